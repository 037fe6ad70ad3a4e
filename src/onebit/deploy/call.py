"""An operation of the captured graph as the rules see it, with what it reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from onebit.deploy.folding import Draft
from onebit.deploy.program import Pair
from onebit.graph import Node


class NotPackableError(Exception):
    """Why an operation cannot be packed, and what to do."""


@dataclass(frozen=True)
class Call:
    """An operation of the captured graph with what it reads."""

    node: Node
    #: drafts of the inputs that depend on the image, in order
    inputs: tuple[Draft, ...]
    #: parameters, buffers and views of them that it reads beside these, in order
    constants: tuple[np.ndarray, ...]
    #: channels, height and width of its result
    shape: tuple[int, int, int]
    #: whether nobody else reads the first input, so that this operation may be folded into it
    folds: bool

    @property
    def x(self) -> Draft:
        """The one input of an operation that has one."""
        if len(self.inputs) != 1:
            raise NotPackableError(f"it reads {len(self.inputs)} maps that depend on the image; one is packed")
        return self.inputs[0]

    @property
    def first_shape(self) -> tuple[int, ...]:
        """The shape of the first tensor that torch's operation was given, which may be a constant."""
        return next(iter(self.node.operands.values()), self.node.shape)

    def argument(self, name: str, default: Any = None) -> Any:
        return self.node.arguments.get(name, default)

    def tensors(self) -> Mapping[str, np.ndarray]:
        """Its parameters by the names of torch's arguments."""
        names = list(self.node.operands)[1:]
        if len(self.inputs) != 1 or len(names) != len(self.constants):
            raise NotPackableError(
                "its weight depends on the image or is used for two purposes; make it a parameter of its own"
            )
        return dict(zip(names, self.constants, strict=True))

    def draft(self, kind: str, **fields: Any) -> Draft:
        """An operation on the one input, with this node's path and shape."""
        return Draft(kind, (self.x,), self.shape, self.node.path, **fields)


def affine(call: Call, scale: np.ndarray, bias: np.ndarray) -> Draft:
    """``x * scale + bias`` per channel: folded into what made x, or an operation of its own."""
    channels = call.x.shape[0]
    scale, bias = (np.broadcast_to(values, channels).astype(np.float64) for values in (scale, bias))
    if call.folds and call.x.takes_affine:
        call.x.fold(scale, bias)
        return call.x
    return call.draft("affine", tensors={"scale": scale, "bias": bias})


def per_channel(values: np.ndarray, dimensions: int) -> np.ndarray:
    """One number for every channel from what is broadcast to (N, C, H, W) or (N, F)."""
    sizes = (*[1] * (dimensions - values.ndim), *values.shape)
    if len(sizes) != dimensions or any(size != 1 for axis, size in enumerate(sizes) if axis != 1):
        raise NotPackableError(
            f"it combines a map with a tensor of shape {values.shape}; one number per channel is packed"
        )
    return values.reshape(-1)


def as_pair(value: Any) -> Pair:
    """A number for height and width, or one for each, as two."""
    values = (value,) if isinstance(value, int) else tuple(value)
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])
