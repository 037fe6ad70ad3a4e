"""What a student takes from its teacher in each step: its feature maps and its logits, by every objective that is on."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from onebit.errors import UsageError
from onebit.training.discriminators import Discriminators
from onebit.training.metrics import Mean
from onebit.training.objective import answer_loss, distillation_loss, feature_loss
from onebit.training.optimization import anneal_factor
from onebit.training.processes import average_gradients
from onebit.training.recipe import Recipe
from onebit.training.taps import FeatureMaps, check_maps_match, model_taps, select_taps


class Guidance:
    """The teacher's part of a training step.

    Args:
        student: the network that trains; teacher: its twin, frozen or, for a joint recipe, learning; example: one batch, to
            learn the shapes of the maps.
    Raises:
        UsageError: if the feature maps of the two are not found or do not match.
    """

    def __init__(self, recipe: Recipe, student: nn.Module, teacher: nn.Module, example: Any, fabric: Any) -> None:
        self.recipe, self.teacher, self.fabric = recipe, teacher, fabric
        self.adversarial = recipe.adversarial
        self.joint = recipe.teacher.source == "joint"
        self.discriminators: Discriminators | None = None
        self.scores: dict[int, Mean] = {}
        self.updates: dict[int, int] = {}
        self.steps = 0
        self.cap = float("inf")
        self.attached: dict[str, list[int]] = {}
        self.teacher_maps, self.student_maps = FeatureMaps(teacher, []), FeatureMaps(student, [])
        both: dict[str, str] = {"adversarial": recipe.adversarial.attach, "features": recipe.features.attach}
        matched = {name: attach for name, attach in both.items() if name in recipe.objectives()}
        if matched:
            self._attach(student, example, matched)

    def _attach(self, student: nn.Module, example: Any, matched: dict[str, str]) -> None:
        """Tap what any objective matches; each then knows its own maps by their places among the tapped ones."""
        known_taps = model_taps(student)
        chosen = {name: [tap.module for tap in select_taps(known_taps, attach)] for name, attach in matched.items()}
        # The attachments are nested, so the longest list holds the others.
        taps = max(chosen.values(), key=len)
        self.attached = {name: [taps.index(tap) for tap in own] for name, own in chosen.items()}
        theirs = list(self.recipe.teacher.taps) or taps
        known = dict(self.teacher.named_modules())
        unknown = next((name for name in theirs if name not in known), None)
        if unknown is not None and not self.recipe.teacher.taps:
            raise UsageError(
                f"the teacher has no module {unknown!r}, from which the student's feature map comes; name the teacher's own "
                f"modules in teacher.taps, one for each of {', '.join(taps)}"
            )
        self.teacher_maps = FeatureMaps(self.teacher, theirs)
        self.student_maps = FeatureMaps(student, taps)
        try:
            shapes = self._check_shapes(student, example, taps)
        except BaseException:
            self.close()
            raise
        if "adversarial" in chosen:
            own = [shapes[place] for place in self.attached["adversarial"]]
            self.discriminators = Discriminators(chosen["adversarial"], own, self.adversarial).to(self.fabric.device)
            kind = torch.optim.Adam if self.adversarial.optimizer == "adam" else torch.optim.SGD
            self.optimizer = kind(self.discriminators.parameters(), lr=self.adversarial.lr)

    @torch.no_grad()
    def _check_shapes(self, student: nn.Module, example: Any, taps: list[str]) -> list[tuple[int, ...]]:
        modes = [(network, network.training) for network in (student, self.teacher)]
        for network, training in modes:
            network.eval()  # a look at the shapes is not to move running statistics
            network(example)
            network.train(training)
        mine, theirs = self.student_maps.read(), self.teacher_maps.read()
        check_maps_match(mine, theirs, taps)
        return [tuple(maps.shape[1:]) for maps in mine]

    def look(self, inputs: Any) -> tuple[Tensor, list[Tensor]]:
        """The teacher's logits and feature maps of a batch; the logits of a joint teacher have a gradient."""
        with torch.set_grad_enabled(self.joint), self.fabric.autocast():
            logits = self.teacher(inputs)
        return logits.float(), [maps.detach() for maps in self.teacher_maps.read()]

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
        loss, scores = self.discriminators.loss(self._own("adversarial", real), self._own("adversarial", fake), due)
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

    def _own(self, objective: str, maps: list[Tensor]) -> list[Tensor]:
        return [maps[place] for place in self.attached[objective]]

    def terms(
        self, logits: Tensor, maps: list[Tensor], teacher: tuple[Tensor, list[Tensor]], progress: float
    ) -> dict[str, Tensor]:
        """The weighted terms that the teacher adds to the student's loss; ``teacher`` is what :meth:`look` returned."""
        terms = {}
        teacher_logits, teacher_maps = teacher
        apprentice, distillation, features = self.recipe.apprentice, self.recipe.distillation, self.recipe.features
        if apprentice.enabled and apprentice.gamma:
            answers = teacher_logits.detach() if apprentice.detach else teacher_logits
            terms["apprentice"] = apprentice.gamma * answer_loss(logits, answers)
        if distillation.weight:
            loss = distillation_loss(logits.flatten(1), teacher_logits.detach().flatten(1), distillation.temperature)
            terms["distillation"] = distillation.weight * loss
        if features.weight:
            pairs = zip(self._own("features", maps), self._own("features", teacher_maps), strict=True)
            losses = [feature_loss(mine, its, features.kind, features.normalize) for mine, its in pairs]
            terms["features"] = features.weight * torch.stack(losses).sum()
        if self.discriminators is not None:
            generator_loss = self.discriminators.generator_loss(self._own("adversarial", maps))
            terms["adversarial"] = self.weight(progress) * generator_loss
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
        self.student_maps.close()
        self.teacher_maps.close()
