"""Reading feature maps out of a network by the names of the modules that make them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn

from onebit.errors import UsageError, unknown_name
from onebit.models import Tap


def model_taps(model: nn.Module) -> Sequence[Tap]:
    """The feature maps that a network names as matched with its twin's.

    Raises:
        UsageError: if it names none.
    """
    taps = getattr(model, "taps", None)
    if not taps:
        raise UsageError(
            f"{type(model).__name__} names no feature maps (an attribute `taps`); discriminators and [features] need some"
        )
    return taps


def select_taps(taps: Sequence[Tap], attach: str) -> list[Tap]:
    """``per_layer``: all of them; ``per_stage``: the last of each stage; ``last``: the last one.

    >>> [t.module for t in select_taps([Tap("a", 0), Tap("b", 0), Tap("c", 1)], "per_stage")]
    ['b', 'c']
    """
    if attach == "per_layer":
        return list(taps)
    if attach == "last":
        return list(taps[-1:])
    return list({tap.stage: tap for tap in taps}.values())


class FeatureMaps:
    """Keeps the last outputs of the named modules; ``read()`` hands them over, in order, and forgets them.

    Raises:
        UsageError: if the network has no module of that name (the nearest is named).
    """

    def __init__(self, model: nn.Module, names: Sequence[str]) -> None:
        self.names = list(names)
        self._outputs: dict[str, Any] = {}
        modules = dict(model.named_modules())
        for name in self.names:
            if name not in modules:
                raise unknown_name("module to tap", name, filter(None, modules))
        self._handles = [modules[name].register_forward_hook(self._keep(name)) for name in self.names]

    def _keep(self, name: str):
        def hook(_module: nn.Module, _inputs: tuple, output: Any) -> None:
            self._outputs[name] = output

        return hook

    def read(self) -> list[Tensor]:
        """The outputs of the last forward pass.

        Raises:
            UsageError: naming a module that the forward pass did not run, or that returned anything but a tensor.
        """
        outputs, self._outputs = self._outputs, {}
        for name in self.names:
            if name not in outputs:
                raise UsageError(
                    f"the tapped module {name!r} was not run by its network's forward pass; tap a module that is"
                )
            if not isinstance(outputs[name], Tensor):
                raise UsageError(
                    f"the tapped module {name!r} returned a {type(outputs[name]).__name__}, not a tensor; "
                    "tap a module that returns one"
                )
        return [outputs[name] for name in self.names]

    def close(self) -> None:
        """Take the hooks off the network."""
        for handle in self._handles:
            handle.remove()


def check_maps_match(student: Sequence[Tensor], teacher: Sequence[Tensor], names: Sequence[str]) -> None:
    """Refuse a teacher whose feature maps differ in number or shape from the student's.

    Raises:
        UsageError: naming the first pair that differs, with both shapes.
    """
    if len(student) != len(teacher):
        raise UsageError(
            f"the student has {len(student)} matched feature maps, the teacher {len(teacher)}; set teacher.taps to one per map"
        )
    for name, mine, its in zip(names, student, teacher, strict=True):
        if mine.shape[1:] != its.shape[1:]:
            raise UsageError(
                f"feature maps do not match at {name!r}: student {tuple(mine.shape[1:])}, teacher {tuple(its.shape[1:])}; "
                "use a teacher of the same widths, or name matching modules in teacher.taps"
            )
