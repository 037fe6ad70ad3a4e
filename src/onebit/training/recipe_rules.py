"""What a recipe's values may be, and what of them must fit together."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from onebit.errors import UsageError
from onebit.training.recipe import Recipe

#: what is allowed, in words; the test; the keys it holds for
RANGES: list[tuple[str, Callable[[Any], bool], str]] = [
    ("at least 2 (batch norm needs two images)", lambda v: v >= 2, "data.batch_size"),
    (
        "at least 1",
        lambda v: v >= 1,
        "training.epochs training.devices schedule.step_epochs adversarial.throttle_interval",
    ),
    ("positive", lambda v: v > 0, "optimizer.lr distillation.temperature"),
    ("positive numbers", lambda v: min(v, default=1) >= 1, "adversarial.widths"),
    (
        "0 or more",
        lambda v: v >= 0,
        "data.holdout data.limit data.image_size data.workers training.threads teacher.epochs teacher.lr "
        "optimizer.weight_decay optimizer.binary_weight_decay optimizer.binary_lr_scale optimizer.matrix_lr "
        "optimizer.clip_norm schedule.warmup_epochs adversarial.weight adversarial.max_ratio adversarial.lr "
        "adversarial.pool adversarial.probe_every distillation.weight refresh.lr",
    ),
    (
        "at least 0 and less than 1",
        lambda v: 0 <= v < 1,
        "training.ema training.label_smoothing optimizer.momentum refresh.momentum",
    ),
    ("between 0 and 1", lambda v: 0 <= v <= 1, "adversarial.throttle_accuracy"),
    (
        "more than 0 and at most 1",
        lambda v: 0 < v <= 1,
        "refresh.fraction schedule.gamma",
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
        raise UsageError('this recipe learns from a teacher, but teacher.source is "none"; set it to "train" or "load"')
    if recipe.teacher.source == "load" and not recipe.teacher.checkpoint:
        raise UsageError('teacher.source is "load", but teacher.checkpoint names no file')
    if recipe.method.name == "real" and recipe.needs_teacher():
        raise UsageError(
            'method "real" is the full-precision twin itself and takes no teacher; switch off adversarial and distillation'
        )
