"""What a student takes from its teacher in each step: feature maps for the discriminators, logits for distillation."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.training.discriminators import Discriminators
from onebit.training.metrics import Mean
from onebit.training.objective import distillation_loss
from onebit.training.optimization import anneal_factor
from onebit.training.recipe import Recipe
from onebit.training.refresh import average_gradients
from onebit.training.taps import FeatureMaps, check_maps_match, model_taps, select_taps


class Guidance:
    """The teacher's part of a training step.

    Args:
        student: the network that trains; teacher: the frozen twin; example: one batch, to learn the shapes of the maps.
    Raises:
        UsageError: if the feature maps of the two are not found or do not match.
    """

    def __init__(self, recipe: Recipe, student: nn.Module, teacher: nn.Module, example: Tensor, fabric: Any) -> None:
        self.recipe, self.teacher, self.fabric = recipe, teacher, fabric
        self.adversarial = recipe.adversarial
        self.discriminators: Discriminators | None = None
        self.scores: dict[int, Mean] = {}
        self.updates: dict[int, int] = {}
        self.steps = 0
        self.cap = float("inf")
        if not self.adversarial.enabled:
            return
        taps = [tap.module for tap in select_taps(model_taps(student), self.adversarial.attach)]
        theirs = list(recipe.teacher.taps) or taps
        known = dict(teacher.named_modules())
        unknown = next((name for name in theirs if name not in known), None)
        if unknown is not None and not recipe.teacher.taps:
            raise UsageError(
                f"the teacher has no module {unknown!r}, from which the student's feature map comes; name the teacher's own "
                f"modules in teacher.taps, one for each of {', '.join(taps)}"
            )
        self.teacher_maps = FeatureMaps(teacher, theirs)
        self.student_maps = FeatureMaps(student, taps)
        try:
            shapes = self._check_shapes(student, example, taps)
        except BaseException:
            self.student_maps.close()
            self.teacher_maps.close()
            raise
        self.discriminators = Discriminators(taps, shapes, self.adversarial).to(fabric.device)
        kind = torch.optim.Adam if self.adversarial.optimizer == "adam" else torch.optim.SGD
        self.optimizer = kind(self.discriminators.parameters(), lr=self.adversarial.lr)

    @torch.no_grad()
    def _check_shapes(self, student: nn.Module, example: Tensor, taps: list[str]) -> list[tuple[int, ...]]:
        training = student.training
        student.eval()
        student(example)
        self.teacher(example)
        student.train(training)
        mine, theirs = self.student_maps.read(), self.teacher_maps.read()
        check_maps_match(mine, theirs, taps)
        return [tuple(maps.shape[1:]) for maps in mine]

    @torch.no_grad()
    def look(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The teacher's logits and feature maps of a batch."""
        with self.fabric.autocast():
            logits = self.teacher(images)
        maps = self.teacher_maps.read() if self.discriminators is not None else []
        return logits.float(), maps

    def weight(self, progress: float) -> float:
        """The adversarial weight at a share of the run, after annealing and the bound on the gradient ratio."""
        return min(self.adversarial.weight, self.cap) * anneal_factor(self.adversarial.anneal, progress)

    def note_ratio(self, ratio: float, weight: float) -> None:
        """Take a measured gradient ratio at a weight; with ``max_ratio`` it bounds the weight from now on."""
        if self.adversarial.max_ratio and weight and ratio:
            self.cap = self.adversarial.max_ratio * weight / ratio

    def train_discriminators(self, real: list[Tensor], fake: list[Tensor], step: int) -> None:
        """One ascent of Eq. 2 on detached maps, for the discriminators that are due."""
        assert self.discriminators is not None
        self.steps += 1
        due = self.discriminators.due(step)
        if not due:
            return
        loss, scores = self.discriminators.loss(real, fake, due)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        average_gradients(self.fabric, list(self.discriminators.parameters()))
        self.optimizer.step()
        for index, values in scores.items():
            if self.fabric.world_size > 1:
                values = self.fabric.all_reduce(values, reduce_op="mean")
            self.discriminators.accuracy[index] = values[0]
            names = ("accuracy", "loss", "real", "fake")
            self.scores.setdefault(index, Mean()).add(dict(zip(names, values, strict=True)))
            self.updates[index] = self.updates.get(index, 0) + 1

    def terms(self, logits: Tensor, maps: list[Tensor], teacher_logits: Tensor, progress: float) -> dict[str, Tensor]:
        """The weighted terms that the teacher adds to the student's loss."""
        terms = {}
        if self.recipe.distillation.weight:
            loss = distillation_loss(logits, teacher_logits, self.recipe.distillation.temperature)
            terms["distillation"] = self.recipe.distillation.weight * loss
        if self.discriminators is not None:
            terms["adversarial"] = self.weight(progress) * self.discriminators.generator_loss(maps)
        return terms

    def read_scores(self) -> dict[str, dict[str, float]]:
        """Mean scores per discriminator since the last call, with the share of steps in which it was updated."""
        if self.discriminators is None:
            return {}
        result = {}
        for index, name in enumerate(self.discriminators.names):
            if index in self.scores:
                share = self.updates[index] / max(1, self.steps)
                result[name] = {**self.scores[index].read(), "update_share": share}
        self.scores, self.updates, self.steps = {}, {}, 0
        return result

    def state_dict(self) -> dict[str, Any]:
        if self.discriminators is None:
            return {}
        return {"model": self.discriminators.state_dict(), "optimizer": self.optimizer.state_dict(), "cap": self.cap}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        if self.discriminators is not None:
            self.discriminators.load_state_dict(state["model"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.cap = state["cap"]

    def close(self) -> None:
        """Take the hooks off both networks."""
        if self.discriminators is not None:
            self.student_maps.close()
            self.teacher_maps.close()
