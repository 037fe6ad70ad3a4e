"""How far a packed network agrees with the PyTorch network it was packed from: classes, logits, signs."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import contextmanager
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
    training, total, same, signs, flips = network.training, 0, 0, 0, 0
    largest = 0.0
    try:
        network.eval()
        for batch in pixels:
            with recorded_inputs(network) as read:
                theirs = network(normalise(batch)).flatten(1)
            ours = packed(batch).flatten(1)
            total += len(batch)
            same += int((theirs.argmax(1) == ours.argmax(1)).sum())
            largest = max(largest, float((theirs - ours).abs().max()))
            if count_flips:
                for compared in compared_inputs(packed, batch, read):
                    signs += sum(one.numel() for one, _ in compared)
                    flips += sum(int(((one >= 0) != (other >= 0)).sum()) for one, other in compared)
    finally:
        network.train(training)
    return Agreement(total, same, largest, *((signs, flips) if count_flips else (None, None)))


@contextmanager
def recorded_inputs(network: nn.Module) -> Generator[dict[str, list[Tensor]]]:
    """What the binary layers of a network read meanwhile, by module path, a tensor for every call."""
    read: dict[str, list[Tensor]] = {}

    def keep(path: str) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
        # A copy, for the network may go on to change what the layer has read in place.
        return lambda _, inputs: read.setdefault(path, []).append(inputs[0].clone())

    layers = [(path, module) for path, module in network.named_modules() if isinstance(module, BinaryLayer)]
    hooks = [module.register_forward_pre_hook(keep(path)) for path, module in layers]
    try:
        yield read
    finally:
        for hook in hooks:
            hook.remove()


def compared_inputs(
    packed: PackedModel, pixels: Tensor, read: dict[str, list[Tensor]]
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """For every binary layer in order, a pair of what PyTorch ``read`` and what the packed network reads, (N, values) each, for
    each different shift of the layer, added: their signs are the layer's bits."""
    program, values = packed.program, run_values(packed.program, pixels)
    for index, op in enumerate(program.operations):
        if op.kind == "binary_conv" and read.get(program.path(index)):
            theirs, ours = read[program.path(index)].pop(0).flatten(1), values[op.inputs[0]].flatten(1)
            shifts = sorted({float(shift) for shift in program.tensors[op.tensors["shift"]]})
            yield [(theirs + shift, ours + shift) for shift in shifts]
