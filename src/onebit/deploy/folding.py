"""Operations while they are put together: real numbers in double precision, scales and norms folded in, rounded once at the end."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from onebit.deploy.program import ROLES, Operation, Pair, Program
from onebit.errors import UsageError

Array = np.ndarray


@dataclass(frozen=True)
class Geometry:
    """How a window moves, (height, width) each."""

    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)

    @property
    def is_pixelwise(self) -> bool:
        """Whether it reads every pixel alone, once."""
        return self == Geometry()


@dataclass(eq=False)
class Draft:
    """An operation that is not written yet; ``shape``: channels, height, width of its value for the example image.

    A real convolution stands for ``scale * conv(x, weight) + bias`` and a binary one for ``sum over t of scale[t] * s_t + bias``,
    one scale and bias for each output, so that whatever multiplies and adds per channel afterwards goes into the two.
    """

    kind: str
    inputs: tuple[Draft, ...]
    shape: tuple[int, int, int]
    path: str = ""
    geometry: Geometry = field(default_factory=Geometry)
    groups: int = 1
    flags: int = 0
    p0: float = 0.0
    p1: float = 0.0
    tensors: dict[str, Array] = field(default_factory=dict)
    #: whether it is what torch computes only for images of the example's size
    is_fixed: bool = False
    #: when it was made, counted over all drafts
    serial: int = field(default_factory=itertools.count().__next__)
    #: whether its value has one pixel, whatever the size of the image
    is_vector: bool = field(init=False)

    def __post_init__(self) -> None:
        keeps = self.geometry.kernel == (1, 1) and self.geometry.padding == (0, 0) and bool(self.inputs)
        vectors = keeps and all(source.is_vector for source in self.inputs)
        self.is_vector = self.kind in ("mean_pool", "flatten") or vectors

    @property
    def takes_affine(self) -> bool:
        return self.kind in ("conv", "binary_conv", "affine")

    def fold(self, scale: Array, bias: Array) -> None:
        """Become ``self * scale + bias``, per channel."""
        self.tensors["scale"] = self.tensors["scale"] * scale
        self.tensors["bias"] = self.tensors["bias"] * scale + bias


@np.errstate(all="ignore")  # what is not finite is refused by name
def write_out(output: Draft, metadata: Mapping[str, Any]) -> Program:
    """The program that ends in ``output``: what it needs of its drafts, in the order they were made.

    Raises:
        UsageError: if a number is NaN or infinite, or becomes so in float32; with its module's path.
    """
    drafts = in_order(output)
    position = {id(draft): index for index, draft in enumerate(drafts)}
    operations, tensors = [], []
    for draft in drafts:
        slots = {}
        arrays = _as_stored(draft)
        for role in ROLES:
            if role in arrays:
                slots[role] = len(tensors)
                tensors.append(arrays[role])
        geometry = draft.geometry
        inputs = tuple(position[id(source)] for source in draft.inputs)
        windows = geometry.kernel, geometry.stride, geometry.padding, geometry.dilation
        rest = draft.groups, draft.shape[0], draft.flags, _float32(draft.p0), _float32(draft.p1)
        operations.append(Operation(draft.kind, inputs, slots, *windows, *rest))
    return Program(tuple(operations), tuple(tensors), {**metadata, "paths": [draft.path for draft in drafts]})


def in_order(output: Draft) -> list[Draft]:
    """``output`` and all that it depends on, in the order they were made; the image is the first."""
    found: dict[int, Draft] = {}
    waiting = [output]
    while waiting:
        draft = waiting.pop()
        if draft.serial not in found:
            found[draft.serial] = draft
            waiting += draft.inputs
    return [found[serial] for serial in sorted(found)]


def _as_stored(draft: Draft) -> dict[str, Array]:
    tensors = dict(draft.tensors)
    if draft.kind == "conv":
        tensors["weight"] = tensors["weight"] * tensors.pop("scale")[:, None, None, None]
    rounded = {}
    for role, values in tensors.items():
        if values.dtype == np.float64:
            values = values.astype(np.float32)
            if not np.isfinite(values).all():
                raise UsageError(
                    f"{draft.path or 'the network'}: its {role}, with everything folded into it, is not finite; "
                    "look at the module's parameters and at the statistics of the batch norm behind it"
                )
        rounded[role] = np.ascontiguousarray(values)
    return rounded


def _float32(value: float) -> float:
    """The nearest finite float32."""
    most = float(np.finfo(np.float32).max)
    return float(np.float32(min(max(value, -most), most)))


def make_conv(
    source: Draft,
    shape: tuple[int, int, int],
    weight: Array,
    bias: Array | None,
    path: str,
    geometry: Geometry | None = None,
    groups: int = 1,
) -> Draft:
    """A real convolution; ``weight`` is (O, C / groups, kH, kW) as in torch."""
    tensors = {
        "weight": weight.transpose(0, 2, 3, 1),
        "scale": np.ones(len(weight)),
        "bias": np.zeros(len(weight)) if bias is None else bias,
    }
    return Draft("conv", (source,), shape, path, geometry or Geometry(), groups, tensors=tensors)


def make_binary_conv(
    inputs: Sequence[Draft],
    shape: tuple[int, int, int],
    terms: Iterable[tuple[Array, Array, float]],
    path: str,
    geometry: Geometry | None = None,
    groups: int = 1,
) -> Draft:
    """A binary convolution of terms (weight of +1/-1 (O, C / groups, kH, kW), scale, shift); equal weights become one base."""
    bases: dict[bytes, Array] = {}
    index, scales, shifts = [], [], []
    for weight, scale, shift in terms:
        bits = np.ascontiguousarray(weight.transpose(0, 2, 3, 1) > 0)
        key = np.packbits(bits).tobytes()
        bases.setdefault(key, bits)
        index.append(list(bases).index(key))
        scales.append(np.broadcast_to(scale.reshape(-1), len(weight)))
        shifts.append(shift)
    tensors = {
        "weight": np.stack(list(bases.values())),
        "index": np.array(index, np.uint32),
        "shift": np.array(shifts, np.float64),
        "scale": np.stack(scales).astype(np.float64),
        "bias": np.zeros(shape[0]),
    }
    return Draft("binary_conv", tuple(inputs), shape, path, geometry or Geometry(), groups, tensors=tensors)
