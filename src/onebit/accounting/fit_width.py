"""The width at which one structure costs what another does: the design rule by which structures are compared fairly."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from onebit.accounting.summary import Summary, summarize
from onebit.errors import UsageError
from onebit.graph import without_data
from onebit.models import create_model, scale_options

Budget = str | nn.Module | Summary | tuple[float, float]


@dataclass(frozen=True)
class FittedWidth:
    """A width and what it costs, beside the budget: storage in bits, computation in multiplications."""

    model: str
    width: int
    options: Mapping[str, Any]
    storage_bits: float
    computation: float
    budget_storage_bits: float
    budget_computation: float

    def __str__(self) -> str:
        return (
            f"{self.model}({self.width}): {self.storage_bits / 1e6:.3f} of {self.budget_storage_bits / 1e6:.3f} Mbit, "
            f"{self.computation / 1e6:.3f} of {self.budget_computation / 1e6:.3f} million multiplications"
        )


def fit_width(
    model: str,
    budget: Budget,
    *,
    method: str = "bireal",
    input_shape: Sequence[int] = (3, 224, 224),
    num_classes: int = 1000,
    convention: str = "paper",
    slack: float = 0.0,
    largest: int = 1024,
    **options: Any,
) -> FittedWidth:
    """The largest width whose storage and computation both stay within the budget: the rule by which IGP sets its widths.

    A width is what :func:`onebit.models.scale_options` scales: the first stage's channels, or a dense network's growth.

    Args:
        model: see :func:`onebit.list_models`; ``options`` are its further options (of those that set the width, ours count).
        budget: the name of a reference network (built with the same method, input and classes), a module, a summary, or
            the pair (storage in bits, computation in multiplications).
        input_shape: (C, H, W).
        convention: how costs are counted, see :func:`onebit.summarize`.
        slack: the share by which the budget may be exceeded: IGP-ResNet37(41) costs 0.1 % more than Bi-Real ResNet18, which
            the paper's table rounds away.
        largest: widths above this are not tried.
    Raises:
        UsageError: where even width 1 exceeds the budget, with the numbers; for a budget that is not positive.

    >>> print(fit_width("igp_resnet21", "bireal_resnet18", input_shape=(3, 32, 32), num_classes=10))
    igp_resnet21(52): 16.224 of 16.710 Mbit, 14.940 of 16.618 million multiplications
    """
    if len(input_shape) != 3:
        raise UsageError(f"input_shape is (C, H, W), got {tuple(input_shape)}")
    if type(slack) not in (int, float) or not slack >= 0:
        raise UsageError(f"slack is a share of the budget, 0 or more, got {slack!r}")
    for name in options.keys() & inspect.signature(create_model).parameters.keys():
        raise UsageError(f"{name!r} is no option of a model: give fit_width its method, input_shape and num_classes")
    bits, computation = _budget(budget, method, input_shape, num_classes, convention)
    if not (bits > 0 and computation > 0):
        raise UsageError(f"a budget is positive storage (bits) and computation, got {bits:g} and {computation:g}")

    @functools.cache
    def cost(width: int) -> tuple[float, float]:
        network = _build(model, method, input_shape, num_classes, {**options, **scale_options(model, width)})
        summary = summarize(network, input_shape, convention=convention)
        return summary.storage_bits, summary.computation

    @functools.cache
    def excess(width: int) -> float:
        own_bits, own_computation = cost(width)
        return max(own_bits / bits, own_computation / computation) / (1 + slack)

    # Costs grow about with the square of the width, so one look tells about where the answer is.
    start = 16
    guess = min(max(1, int(start / max(excess(start), 1e-9) ** 0.5)), largest)
    width = _last_that_fits(lambda width: excess(width) <= 1, guess, largest)
    if not width:
        least_bits, least_computation = cost(1)
        raise UsageError(
            f"{model} at width 1 needs {least_bits:g} bits and {least_computation:g} multiplications, more than the budget "
            f"of {bits:g} and {computation:g}; raise the budget or take a shallower network"
        )
    chosen = {**options, **scale_options(model, width)}
    return FittedWidth(model, width, chosen, *cost(width), bits, computation)


def _last_that_fits(fits: Callable[[int], bool], guess: int, largest: int) -> int:
    """The largest number up to ``largest`` that fits (0 for none), where all below one that fits do; looks near ``guess``.

    >>> [_last_that_fits(lambda width: width <= 37, guess, 100) for guess in (1, 30, 37, 38, 100)]
    [37, 37, 37, 37, 37]
    >>> _last_that_fits(lambda width: True, 5, 9), _last_that_fits(lambda width: False, 5, 9)
    (9, 0)
    """
    low, high, step = 0, largest + 1, 1
    if fits(guess):
        low = guess
        while low + step < high and fits(low + step):
            low, step = low + step, 2 * step
        high = min(high, low + step)
    else:
        high = guess
        while high - step > 0 and not fits(high - step):
            high, step = high - step, 2 * step
        low = max(0, high - step)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return low


def _budget(
    budget: Budget, method: str, input_shape: Sequence[int], num_classes: int, convention: str
) -> tuple[float, float]:
    if isinstance(budget, str):
        budget = _build(budget, method, input_shape, num_classes, {})
    if isinstance(budget, nn.Module):
        budget = summarize(budget, input_shape, convention=convention)
    if isinstance(budget, Summary):
        return budget.storage_bits, budget.computation
    if (
        not isinstance(budget, (tuple, list))
        or len(budget) != 2
        or not all(isinstance(part, (int, float)) for part in budget)
    ):
        raise UsageError(
            f"a budget is the name of a network, a module, a summary, or (bits, multiplications), got {budget!r}"
        )
    bits, computation = budget
    return bits, computation


def _build(
    name: str, method: str, input_shape: Sequence[int], num_classes: int, options: Mapping[str, Any]
) -> nn.Module:
    channels, size = input_shape[0], input_shape[-1]
    with without_data():
        return create_model(name, method, num_classes, channels, image_size=size, **options)
