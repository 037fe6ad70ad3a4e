"""A teacher that trains beside its student: its share of the loss, its parameters, its log, its checkpoints."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.data import Batches
from onebit.training.checkpoints import load_weights, save_checkpoint
from onebit.training.evaluation import evaluate_model
from onebit.training.metrics import Mean, MetricsLog, now, start_record
from onebit.training.objective import check_weights
from onebit.training.optimization import parameter_groups
from onebit.training.processes import average_buffers, average_gradients
from onebit.training.recipe import Recipe
from onebit.training.recipe_files import recipe_to_dict
from onebit.training.teacher import teacher_recipe

#: before the names of the teacher's groups in the optimiser that the two networks share
PREFIX = "teacher."


class JointTeacher:
    """The full-precision half of Apprentice's scheme A (Mishra and Marr 2018, Eq. 1): ``alpha * CE(y, p_T)``.

    It stands in the student's optimiser as groups of its own, with the teacher's rate and decay and the student's schedule.
    Its folder is that of a teacher trained first. What a resume needs of it lies in the student's checkpoint, so that the two
    can never be of different epochs.

    Args:
        recipe: the student's; network: the teacher, on the device; data: as in a checkpoint; folder: the teacher's.
    """

    def __init__(self, recipe: Recipe, network: nn.Module, fabric: Any, data: dict[str, Any], folder: Path) -> None:
        self.recipe, self.network, self.fabric = teacher_recipe(recipe), network, fabric
        self.alpha, self.data, self.folder = recipe.apprentice.alpha, data, folder
        self.parameters = list(network.parameters())
        self.means = Mean()
        self.best: dict[str, float] = {"epoch": 0, "top1": -1.0}
        self.log: MetricsLog | None = None

    def groups(self) -> list[dict[str, Any]]:
        """Its parameters by role, for the optimiser of the student."""
        groups = parameter_groups(self.network, self.recipe.optimizer)
        return [{**group, "name": PREFIX + group["name"]} for group in groups]

    def open(self, epoch: int, steps: int) -> None:
        """Open the log where the run stands; one process alone does."""
        self.log = MetricsLog(self.folder)
        self.log.rewind(epoch)
        if epoch == 0:
            self.log.write(start_record(self.network, "teacher", self.recipe.training.epochs, steps))

    def terms(self, logits: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Its weighted loss, and its share of right answers, by the names that they have among the student's figures."""
        loss = F.cross_entropy(logits, labels, label_smoothing=self.recipe.training.label_smoothing)
        top1 = (logits.detach().argmax(1) == labels).float().mean()
        return {"teacher": self.alpha * loss, "teacher top1": top1}

    def average(self) -> None:
        """Average its gradients over the processes: the wrapper of the student does not know it."""
        average_gradients(self.fabric, self.parameters)

    def take(self, figures: dict[str, Any]) -> None:
        """Move its figures out of the student's and into its own means."""
        loss, top1 = figures.pop("teacher"), figures.pop("teacher top1")
        self.means.add({"loss": loss, "task": loss, "top1": 100 * top1})

    def end_epoch(self, epoch: int, steps: int, rates: dict[str, float], measure: Batches, measured: str) -> str:
        """Measure it, write its line and its checkpoint; returns a sentence about it."""
        average_buffers(self.fabric, self.network)
        check_weights(self.network, epoch, "the teacher's ")
        train, self.means = self.means.read(), Mean()
        figures = evaluate_model(self.network, measure, fabric=self.fabric)
        improved = figures["top1"] > self.best["top1"]
        if improved:
            self.best = {"epoch": epoch, "top1": figures["top1"]}
        if self.log is not None:
            own = {name.removeprefix(PREFIX): rate for name, rate in rates.items() if name.startswith(PREFIX)}
            record = {"event": "epoch", "epoch": epoch, "step": epoch * steps, "time": now(), "lr": own, "train": train}
            self.log.write({**record, "holdout": None, measured: figures})
            state = {"recipe": recipe_to_dict(self.recipe), "data": self.data, "epoch": epoch, **self.state_dict()}
            state["optimizer"] = None  # it cannot go on alone
            for file in (*["best.pt"] * improved, "last.pt"):
                save_checkpoint(self.folder / "checkpoints" / file, state)
        return f"teacher epoch {epoch}  task {train['loss']:.4g}  top1 {train['top1']:.4g}  {measured} top1 {figures['top1']:.2f}"

    def finish(self) -> None:
        """Write the last line of its log."""
        if self.log is not None:
            end = {"event": "end", "status": "finished", "best_epoch": self.best["epoch"]}
            self.log.write({**end, "best_top1": self.best["top1"], "time": now()})

    def close(self) -> None:
        if self.log is not None:
            self.log.close()

    def state_dict(self) -> dict[str, Any]:
        return {"model": self.network.state_dict(), "best": self.best}

    def load_state_dict(self, state: dict[str, Any], origin: str) -> None:
        load_weights(self.network, state["model"], origin)
        self.best = state["best"]


def clip_gradients(groups: list[dict[str, Any]], limit: float) -> None:
    """Bound the norm of the gradient of each network in the groups, a joint teacher's apart from its student's."""
    for joint in (False, True):
        own = [p for group in groups if group["name"].startswith(PREFIX) == joint for p in group["params"]]
        if own:
            torch.nn.utils.clip_grad_norm_(own, limit)
