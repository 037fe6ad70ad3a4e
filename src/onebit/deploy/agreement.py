"""How far a packed network agrees with the PyTorch network it was packed from: classes, logits, signs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from onebit.data.augment import Normalise
from onebit.deploy.packed_model import PackedModel
from onebit.deploy.reference import run_values
from onebit.errors import UsageError
from onebit.nn import BinaryLayer


@dataclass(frozen=True)
class Agreement:
    """Over ``images`` images: how many got the same class, the largest difference of an output, and how many of the ``signs`` that
    the binary layers read differ (``flips``; None where they were not counted)."""

    images: int
    same_class: int
    largest_difference: float
    signs: int | None = None
    flips: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return dict(vars(self))


@torch.inference_mode()
def agreement(network: nn.Module, packed: PackedModel, pixels: Iterable[Tensor], count_flips: bool = True) -> Agreement:
    """Run both on batches of uint8 pixels (N, C, H, W), normalised for ``network`` as the file says.

    Signs are counted layer by layer with :func:`onebit.deploy.reference.run_values`, whose bits are the engine's; that is slow.

    Raises:
        UsageError: if the file does not say how images are normalised.
    """
    mean, std = packed.metadata.get("mean"), packed.metadata.get("std")
    if mean is None or std is None:
        raise UsageError(
            "this network was packed without mean and std, so that pixels cannot be normalised for PyTorch"
        )
    normalise = Normalise(tuple(mean), tuple(std), torch.device("cpu"))
    training, seen = network.training, _Signs(network)
    total = same = signs = flips = 0
    largest = 0.0
    try:
        network.eval()
        for batch in pixels:
            theirs, ours = network(normalise(batch)).flatten(1), packed(batch).flatten(1)
            total += len(batch)
            same += int((theirs.argmax(1) == ours.argmax(1)).sum())
            largest = max(largest, float((theirs - ours).abs().max()))
            if count_flips:
                counted = _count_flips(packed, batch, seen.take())
                signs, flips = signs + counted[0], flips + counted[1]
            seen.take()
    finally:
        seen.remove()
        network.train(training)
    return Agreement(total, same, largest, *((signs, flips) if count_flips else (None, None)))


class _Signs:
    """What the binary layers of a network read, by module path, one boolean tensor for every call."""

    def __init__(self, network: nn.Module) -> None:
        self._read: dict[str, list[Tensor]] = {}
        layers = [(path, module) for path, module in network.named_modules() if isinstance(module, BinaryLayer)]
        self._hooks = [module.register_forward_pre_hook(self._keep(path)) for path, module in layers]

    def _keep(self, path: str) -> Any:
        return lambda _, inputs: self._read.setdefault(path, []).append(inputs[0] >= 0)

    def take(self) -> dict[str, list[Tensor]]:
        read, self._read = self._read, {}
        return read

    def remove(self) -> None:
        for hook in self._hooks:
            hook.remove()


def _count_flips(packed: PackedModel, batch: Tensor, read: dict[str, list[Tensor]]) -> tuple[int, int]:
    program, signs, flips = packed.program, 0, 0
    values = run_values(program, batch)
    for index, op in enumerate(program.operations):
        if op.kind == "binary_conv" and read.get(program.path(index)):
            theirs = read[program.path(index)].pop(0).flatten()
            signs += theirs.numel()
            flips += int((theirs != (values[op.inputs[0]] >= 0).flatten()).sum())
    return signs, flips
