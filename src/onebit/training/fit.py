"""The training loop: one network, with or without a teacher beside it (RBCN, Algorithm 1)."""

from __future__ import annotations

import contextlib
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onebit.nn import BinaryLayer
from onebit.training.average import MovingAverage
from onebit.training.fit_state import resume_fit, save_fit
from onebit.training.guidance import Guidance
from onebit.training.joint import PREFIX, JointTeacher, clip_gradients
from onebit.training.metrics import Mean, MetricsLog, flips, matrix_figures, now, start_record
from onebit.training.objective import check_finite, check_weights, gradient_norm, kernel_penalty
from onebit.training.optimization import make_optimizer, schedule_factor, set_learning_rates
from onebit.training.processes import average_buffers, average_values, seed_epoch
from onebit.training.progress import Progress
from onebit.training.recipe import Recipe
from onebit.training.refresh import refresh_batch_norm, refreshed_names
from onebit.training.taps import FeatureMaps
from onebit.training.task import Task, first_of


class Fit:
    """Trains one network by a recipe into a run folder, and continues where the folder's last checkpoint stands.

    Args:
        fabric: Lightning Fabric, launched; it gives device, precision and processes.
        model: the network, on the device; teacher: the twin, frozen or (teacher.source = "joint") learning, or None.
        task: what is learned: its batches to learn from, to measure on after every epoch and for the batch-norm refresh,
            its loss and figures.
        folder: the run folder; role: "teacher" or "student", for the log.
    """

    def __init__(
        self,
        recipe: Recipe,
        fabric: Any,
        model: nn.Module,
        teacher: nn.Module | None,
        task: Task,
        folder: Path,
        role: str,
        quiet: bool = False,
    ) -> None:
        self.recipe, self.fabric, self.model, self.teacher = recipe, fabric, model, teacher
        self.task, self.data, self.measured = task, task.data, task.measured
        self.train, self.refresh = task.batches(recipe, fabric), task.batches(recipe, fabric, stream=1)
        self.measure = task.measured_batches(recipe, fabric)
        self.folder, self.role, self.quiet = folder, role, quiet
        self.steps, self.epochs = len(self.train), recipe.training.epochs
        self.layers = {n: m for n, m in model.named_modules() if isinstance(m, BinaryLayer)}
        self.latent = [layer.weight for layer in self.layers.values()]
        self.task_weight = recipe.apprentice.beta if recipe.apprentice.enabled else 1.0
        self.guidance: Guidance | None = None
        self.joint: JointTeacher | None = None
        if teacher is not None:
            example = first_of(next(iter(self.train.epoch(0)))[0], 2)
            self.guidance = Guidance(recipe, model, teacher, example, fabric)
            if recipe.teacher.source == "joint":
                self.joint = JointTeacher(recipe, teacher, fabric, task.data, folder / "teacher")
        theirs = self.joint.groups() if self.joint is not None else []
        self.wrapped, self.optimizer = fabric.setup(model, make_optimizer(model, recipe.optimizer, theirs))
        # Under mixed precision Fabric lets only fabric.backward() through the wrapper's output, but _probe() needs autograd.grad:
        # the loss is built on the output of the network inside, and the wrapper gets an alias of it (a network that answers in
        # float32 of its own accord would else have its very output marked).
        self.output = FeatureMaps(model, [""])
        self._alias = model.register_forward_hook(lambda module, inputs, output: output.view_as(output))
        with_matrix = any(group["name"] == "matrix" for group in self.optimizer.param_groups)
        self.alternates = recipe.training.strict_alternation and with_matrix
        # float16 on CUDA scales the loss, and the scale is part of the state.
        self.scaler = getattr(fabric.strategy.precision, "scaler", None)
        self.average = MovingAverage(model, recipe.training.ema) if recipe.training.ema else None
        self.epoch, self.seconds = 0, 0.0
        self.best: dict[str, float] = {"epoch": 0, "top1": -1.0}

    def run(self) -> dict[str, float]:
        """Train to the last epoch; returns the best epoch and its top-1 on what is measured."""
        try:
            return self._run()
        finally:
            self.output.close()
            self._alias.remove()
            if self.guidance is not None:
                self.guidance.close()

    def _run(self) -> dict[str, float]:
        main = self.fabric.is_global_zero
        last = self.folder / "checkpoints" / "last.pt"
        if last.exists():
            resume_fit(self, last)
        log = MetricsLog(self.folder) if main else None
        progress = Progress(self.role, self.epochs, self.steps, self.folder, quiet=self.quiet or not main)
        try:
            if log is not None:
                log.rewind(self.epoch)
                if self.epoch == 0:
                    log.write(start_record(self.model, self.role, self.epochs, self.steps))
                if self.joint is not None:
                    self.joint.open(self.epoch, self.steps)
            while self.epoch < self.epochs:
                self.epoch += 1
                record = self._run_epoch(progress)
                score = record[self.measured]["top1"]
                improved = score > self.best["top1"]
                if improved:
                    self.best = {"epoch": self.epoch, "top1": score}
                if log is not None:
                    log.write(record)
                    progress.epoch(record)
                    save_fit(self, improved)
                self.fabric.barrier()
            if log is not None:
                end = {"event": "end", "status": "finished", "best_epoch": self.best["epoch"]}
                log.write({**end, "best_top1": self.best["top1"], "seconds": self.seconds, "time": now()})
            if self.joint is not None:
                self.joint.finish()
        finally:
            progress.close()
            if self.joint is not None:
                self.joint.close()
            if log is not None:
                log.close()
        if self.average is not None:
            self.model.load_state_dict(self.average.state)
        return self.best

    def _run_epoch(self, progress: Progress) -> dict[str, Any]:
        started = time.perf_counter()
        seed_epoch(self.recipe.training.seed, self.epoch, self.fabric.global_rank)
        signs = {name: layer.weight.detach() >= 0 for name, layer in self.layers.items()}
        means, ratios, rates, weight = Mean(), Mean(), {}, None
        self.model.train()
        if self.joint is not None:
            self.joint.network.train()
        mark, shown = time.perf_counter(), 0
        for step, (inputs, target) in enumerate(self.train.epoch(self.epoch - 1)):
            overall = (self.epoch - 1) * self.steps + step
            factor = schedule_factor(self.recipe.schedule, overall, self.steps, self.epochs)
            rates = set_learning_rates(self.optimizer, factor)
            figures, ratio = self._train_step(inputs, target, overall)
            means.add(figures)
            if ratio is not None:
                ratios.add({"ratio": ratio})
            if step % 10 == 0 or step + 1 == self.steps:
                seconds = (time.perf_counter() - mark) / (step + 1 - shown)
                mark, shown = time.perf_counter(), step + 1
                progress.step(self.epoch, step + 1, seconds, self.train.batch_size, self._figures(means))
        train = means.read()
        train["top1"] *= 100
        train_seconds = time.perf_counter() - started
        average_buffers(self.fabric, self.model)
        if self.average is not None:
            self.average.synchronise(self.fabric)
        before = None
        if self.recipe.refresh.enabled:
            before = self._measure()
            refresh_batch_norm(
                self.fabric, self.model, self.refresh, self.epoch - 1, self.recipe.refresh, self.task.loss
            )
            average_buffers(self.fabric, self.model)
            if self.average is not None:
                self.average.adopt(refreshed_names(self.model, self.recipe.refresh.scope))
        check_weights(self.model, self.epoch)
        record: dict[str, Any] = {
            "event": "epoch",
            "epoch": self.epoch,
            "step": self.epoch * self.steps,
            "time": now(),
            "images_per_second": self.steps * self.train.batch_size / train_seconds,
            "step_ms": 1000 * train_seconds / self.steps,
            "lr": {name: rate for name, rate in rates.items() if not name.startswith(PREFIX)},
            "train": train,
            "holdout": None,
            self.measured: self._measure(),
            "before_refresh": before,
            **flips(self.layers, signs),
            "matrix": matrix_figures(self.layers),
        }
        if self.guidance is not None and self.guidance.discriminators is not None:
            record["discriminators"] = self.guidance.read_scores()
            record["gradient_ratio"] = ratios.read().get("ratio")
            weight = self.guidance.weight(self.epoch / self.epochs)
            record["adversarial_weight"] = weight
        if self.joint is not None:
            progress.say(self.joint.end_epoch(self.epoch, self.steps, rates, self.measure, self.measured))
        record["seconds"] = time.perf_counter() - started
        self.seconds += record["seconds"]
        return record

    def _figures(self, means: Mean) -> dict[str, float]:
        figures = means.read()
        figures["top1"] *= 100
        if self.guidance is not None and self.guidance.discriminators is not None:
            figures["D accuracy"] = self.guidance.discriminators.accuracy.mean().item()
        return figures

    def _train_step(self, inputs: Any, target: Tensor, step: int) -> tuple[dict[str, Any], float | None]:
        """Update D, then W, C and the rest, in the order of Algorithm 1."""
        self.optimizer.zero_grad(set_to_none=True)
        seen = self.guidance.look(inputs) if self.guidance is not None else None
        terms, output = self._terms(inputs, target, seen, step, train_discriminators=True)
        ratio = self._probe(terms, step)
        loss = torch.stack(list(terms.values())).sum()
        top1 = self.task.hits(output.detach(), target)
        figures = {"loss": loss, **terms, "top1": top1}
        if self.joint is not None and seen is not None:
            theirs = self.joint.terms(seen[0], target)
            figures, terms, loss = figures | theirs, {"teacher": theirs["teacher"], **terms}, loss + theirs["teacher"]
        figures = average_values(self.fabric, figures)
        check_finite({name: figures[name] for name in terms}, self.epoch, step % self.steps + 1)
        self.fabric.backward(loss)
        if self.joint is not None:
            self.joint.average()
            self.joint.take(figures)
        if self.alternates:
            self._step(lambda role: role != "matrix")
            self.optimizer.zero_grad(set_to_none=True)
            seen = (seen[0].detach(), seen[1]) if seen is not None else None  # a joint teacher has had its step
            again, _ = self._terms(inputs, target, seen, step, train_discriminators=False)
            self.fabric.backward(torch.stack(list(again.values())).sum())
            self._step(lambda role: role == "matrix")
        else:
            self._step(lambda role: True)
        for layer in self.layers.values():
            layer.constrain()
        if self.average is not None:
            self.average.update()
        return figures, ratio

    def _terms(
        self, inputs: Any, target: Tensor, seen: Any, step: int, train_discriminators: bool
    ) -> tuple[dict[str, Tensor], Tensor]:
        self.wrapped(inputs)
        output = self.output.read()[0].float()
        task = self.task.loss(output, target, self.recipe.training.label_smoothing)
        terms = {"task": self.task_weight * task}
        penalty = kernel_penalty(self.model)
        if penalty is not None:
            terms["kernel"] = penalty
        if self.guidance is not None:
            maps = self.guidance.student_maps.read()
            if self.guidance.discriminators is not None and train_discriminators:
                self.guidance.train_discriminators(seen[1], maps, step)
            terms |= self.guidance.terms(output, maps, seen, step / (self.steps * self.epochs))
        return terms, output

    def _probe(self, terms: dict[str, Tensor], step: int) -> float | None:
        every = self.recipe.adversarial.probe_every
        if "adversarial" not in terms or not every or step % every or not self.latent:
            return None
        assert self.guidance is not None
        task = gradient_norm(terms["task"], self.latent)
        ratio = gradient_norm(terms["adversarial"], self.latent) / max(task, 1e-12)
        if self.fabric.world_size > 1:
            ratio = self.fabric.all_reduce(torch.tensor(ratio), reduce_op="mean").item()
        self.guidance.note_ratio(ratio, self.guidance.weight(step / (self.steps * self.epochs)))
        return ratio

    def _step(self, chosen: Any) -> None:
        for group in self.optimizer.param_groups:
            if not chosen(group["name"]):
                for parameter in group["params"]:
                    parameter.grad = None
        if self.recipe.optimizer.clip_norm:
            self.fabric.strategy.precision.unscale_gradients(self.optimizer.optimizer)
            clip_gradients(self.optimizer.param_groups, self.recipe.optimizer.clip_norm)
        self.optimizer.step()

    def _measure(self) -> dict[str, Any]:
        with self.average.applied() if self.average is not None else contextlib.nullcontext():
            return self.task.measure(self.model, self.measure, self.fabric)
