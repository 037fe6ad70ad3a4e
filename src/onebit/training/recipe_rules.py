"""What a recipe's values may be, and what of them must fit together."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from onebit.errors import UsageError
from onebit.models.registry import TRACKERS
from onebit.training.recipe import Recipe

#: what is allowed, in words; the test; the keys it holds for
RANGES: list[tuple[str, Callable[[Any], bool], str]] = [
    ("at least 2 (batch norm needs two images)", lambda v: v >= 2, "data.batch_size"),
    (
        "at least 1",
        lambda v: v >= 1,
        "training.epochs training.devices schedule.step_epochs adversarial.throttle_interval pairs.per_sequence "
        "pairs.max_distance pairs.measured",
    ),
    ("positive", lambda v: v > 0, "optimizer.lr distillation.temperature"),
    ("positive numbers", lambda v: min(v, default=1) >= 1, "adversarial.widths"),
    (
        "0 or more",
        lambda v: v >= 0,
        "data.holdout data.limit data.image_size data.workers training.threads training.keep_every teacher.epochs teacher.lr "
        "optimizer.weight_decay optimizer.norm_weight_decay optimizer.binary_weight_decay optimizer.binary_lr_scale "
        "optimizer.matrix_lr "
        "optimizer.clip_norm schedule.warmup_epochs adversarial.weight adversarial.max_ratio adversarial.lr "
        "adversarial.pool adversarial.probe_every distillation.weight features.weight "
        "pairs.per_still pairs.min_size pairs.still_shift pairs.still_scale "
        "apprentice.alpha apprentice.beta apprentice.gamma refresh.lr",
    ),
    (
        "at least 0 and less than 1",
        lambda v: 0 <= v < 1,
        "pairs.stretch training.ema training.label_smoothing optimizer.momentum refresh.momentum",
    ),
    ("between 0 and 1", lambda v: 0 <= v <= 1, "adversarial.throttle_accuracy"),
    (
        "more than 0 and at most 1",
        lambda v: 0 < v <= 1,
        "refresh.fraction schedule.gamma schedule.final",
    ),
]


def check_recipe(recipe: Recipe, own_teacher: bool = False) -> None:
    """Refuse values that cannot work, each with one sentence; ``own_teacher`` says that the caller brings a teacher.

    Raises:
        UsageError: naming the key, its value and what is allowed.
    """
    for allowed, valid, keys in RANGES:
        for key in keys.split():
            value = operator.attrgetter(key)(recipe)
            if not valid(value):
                raise UsageError(f"{key} = {value}: it must be {allowed}")
    batch, devices = recipe.data.batch_size, recipe.training.devices
    if batch < 2 * devices or batch % devices:
        raise UsageError(
            f"data.batch_size = {batch} does not divide among training.devices = {devices}: it must be a multiple of it, "
            "with at least two images for each"
        )
    if recipe.optimizer.nesterov and not recipe.optimizer.momentum:
        raise UsageError("optimizer.nesterov needs optimizer.momentum above 0")
    if recipe.adversarial.max_ratio and not recipe.adversarial.probe_every:
        raise UsageError(
            "adversarial.max_ratio bounds a ratio that adversarial.probe_every = 0 never measures; set it to 1 or more"
        )
    if recipe.needs_teacher() and recipe.teacher.source == "none" and not own_teacher:
        other = '"train", "load" or "joint"' if recipe.apprentice.enabled else '"train" or "load"'
        raise UsageError(f'this recipe learns from a teacher, but teacher.source is "none"; set it to {other}')
    if recipe.teacher.source == "load" and not recipe.teacher.checkpoint:
        raise UsageError('teacher.source is "load", but teacher.checkpoint names no file')
    if recipe.method.name == "real" and recipe.needs_teacher():
        raise UsageError(
            'method "real" is the full-precision twin itself and takes no teacher; switch off '
            + ", ".join([*recipe.objectives(), *["model.copy_teacher"] * recipe.model.copy_teacher])
        )
    _check_apprentice(recipe)
    if recipe.model.name in TRACKERS:
        _check_tracker(recipe)
    if recipe.teacher.source == "joint":
        _check_joint(recipe, own_teacher)


def _check_tracker(recipe: Recipe) -> None:
    """Responses are no classes: what is meant for classes is refused."""
    smoothing = recipe.training.label_smoothing
    for key, given in (("training.label_smoothing", smoothing), ("apprentice.enabled", recipe.apprentice.enabled)):
        if given:
            raise UsageError(f"{key} = {given} is for classes, and model {recipe.model.name!r} has none; leave it out")


def _check_apprentice(recipe: Recipe) -> None:
    apprentice = recipe.apprentice
    if not apprentice.enabled:
        return
    if recipe.distillation.weight:
        raise UsageError(
            f"apprentice and distillation.weight = {recipe.distillation.weight} both match the teacher's logits; "
            "set that weight to 0, or apprentice.enabled to false"
        )
    if not apprentice.beta and not apprentice.gamma:
        raise UsageError(
            "apprentice.beta = 0 and apprentice.gamma = 0 leave the student without labels; raise one of them"
        )
    if not apprentice.detach and recipe.teacher.source != "joint":
        raise UsageError(
            f'apprentice.detach = false moves the teacher, which stays as it is with teacher.source = "{recipe.teacher.source}"; '
            'set detach to true, or the source to "joint"'
        )


def _check_joint(recipe: Recipe, own_teacher: bool) -> None:
    teacher = recipe.teacher
    if own_teacher:
        raise UsageError(
            'teacher.source = "joint" trains our twin, but a teacher of your own was given, which is used as it is; '
            'set teacher.source to "none"'
        )
    if not recipe.apprentice.enabled:
        raise UsageError(
            'teacher.source = "joint", but nothing trains the teacher: set apprentice.enabled to true, '
            'or teacher.source to "train" or "load"'
        )
    if not recipe.apprentice.alpha:
        raise UsageError(
            'apprentice.alpha = 0 leaves the joint teacher untrained; raise it, or set teacher.source to "train"'
        )
    if recipe.model.copy_teacher:
        raise UsageError(
            "model.copy_teacher starts from a trained teacher, and a joint one is not trained by then; "
            'switch it off, or set teacher.source to "train" or "load"'
        )
    if teacher.epochs not in (0, recipe.training.epochs):
        raise UsageError(
            f"teacher.epochs = {teacher.epochs}: a joint teacher trains for the student's {recipe.training.epochs}; set it to 0"
        )
    for key in ("checkpoint", "factory"):
        if value := getattr(teacher, key):
            raise UsageError(
                f'teacher.{key} = "{value}" names a network, but a joint teacher is our twin, drawn from the seed; '
                'leave it empty, or set teacher.source to "load"'
            )
