"""A packed network in memory: operations and tensors as docs/file-format.md names them, and the rules that they obey."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import numpy as np

from onebit.errors import UsageError

Pair = tuple[int, int]
Rule = tuple[str, str]

#: roles in the order of the file
ROLES = ("weight", "scale", "bias", "index", "shift", "offset")
CEIL_MODE, COUNT_PADDING, PIXELS = 1, 2, 1
MOST_TERMS = 64
MOST_POINTWISE_WEIGHT, MOST_POINTWISE_CHANNELS = 2047, 511
#: bounds that every file keeps, so that a reader can reckon with it
MOST_OPERATIONS, MOST_TENSORS, MOST_CHANNELS, MOST_WINDOW = 1 << 14, 1 << 16, 1 << 20, 1 << 10


@dataclass(frozen=True)
class Kind:
    """What a kind of operation has: its number in the file, inputs, tensors (types and dimensions), fields, flags.

    Dimensions: O and C channels of the result and of the first input, G the channels of one group of the input, H and W the
    kernel, M and T free.
    """

    number: int
    inputs: tuple[int, ...] = (1,)
    tensors: Mapping[str, Rule] = field(default_factory=dict)
    optional: tuple[str, ...] = ()
    geometry: bool = False
    flags: int = 0
    numbers: tuple[str, ...] = ()


KINDS: Mapping[str, Kind] = {
    "input": Kind(1, (0,), {"scale": ("float32", "C 256")}, optional=("scale",), flags=PIXELS),
    "conv": Kind(2, tensors={"weight": ("float32", "O H W G"), "bias": ("float32", "O")}, geometry=True),
    "pixel_conv": Kind(
        3,
        tensors={
            "weight": ("int16 int8", "O H W C"),
            "scale": ("float32", "O"),
            "bias": ("float32", "O"),
            "offset": ("float32", "O H W"),
        },
        geometry=True,
    ),
    "binary_conv": Kind(
        4,
        (1, 2),
        {
            "weight": ("bool", "M O H W G"),
            "index": ("uint32", "T"),
            "shift": ("float32", "T"),
            "scale": ("float32", "T O"),
            "bias": ("float32", "O"),
        },
        geometry=True,
    ),
    "pointwise": Kind(5, tensors={"weight": ("int16", "O C"), "scale": ("float32", "O"), "bias": ("float32", "O")}),
    "affine": Kind(6, tensors={"scale": ("float32", "C"), "bias": ("float32", "C")}),
    "add": Kind(7, (2,)),
    "multiply": Kind(8, numbers=("p0",)),
    "concat": Kind(9, (2,)),
    "max_pool": Kind(10, geometry=True, flags=CEIL_MODE),
    "average_pool": Kind(11, geometry=True, flags=CEIL_MODE | COUNT_PADDING),
    "mean_pool": Kind(12),
    "relu": Kind(13),
    "prelu": Kind(14, tensors={"scale": ("float32", "C")}),
    "clamp": Kind(15, numbers=("p0", "p1")),
    "mean_abs": Kind(16),
    "flatten": Kind(17),
}
KIND_BY_NUMBER = {kind.number: name for name, kind in KINDS.items()}

#: the type of a tensor in the file, by numpy's name; bits are booleans here, True for +1
TYPES = ("bool", "float32", "int16", "int8", "uint32")


@dataclass(frozen=True)
class Operation:
    """One operation of :data:`KINDS`; ``tensors``: role -> position in the program's tensors; pairs are (height, width)."""

    kind: str
    inputs: tuple[int, ...] = ()
    tensors: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))
    kernel: Pair = (1, 1)
    stride: Pair = (1, 1)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    groups: int = 1
    channels: int = 1
    flags: int = 0
    p0: float = 0.0
    p1: float = 0.0


@dataclass(frozen=True, eq=False)
class Program:
    """A packed network: operation i makes value i from values of smaller numbers; the last one is the output.

    ``tensors`` are arrays of bool (bits, True for +1), float32, int16, int8 and uint32. Every program obeys the rules of
    docs/file-format.md.

    Raises:
        UsageError: naming the operation that does not and what is wrong with it.

    >>> image = Operation("input", channels=3)
    >>> Program((image, Operation("relu", (0,), channels=3))).operations[1].kind
    'relu'
    """

    operations: tuple[Operation, ...]
    tensors: tuple[np.ndarray, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check_metadata(self.metadata)
        if len(self.operations) > MOST_OPERATIONS or len(self.tensors) > MOST_TENSORS:
            raise UsageError(
                f"{len(self.operations)} operations and {len(self.tensors)} tensors are too many for a file: "
                f"{MOST_OPERATIONS} and {MOST_TENSORS} are allowed"
            )
        if not self.operations or any((op.kind == "input") != (i == 0) for i, op in enumerate(self.operations)):
            raise UsageError("operation 0, and no other, is the input")
        for index, tensor in enumerate(self.tensors):
            if tensor.dtype.name not in TYPES or not 1 <= tensor.ndim <= 6 or 0 in tensor.shape:
                raise UsageError(
                    f"tensor {index} of type {tensor.dtype} and shape {tensor.shape} is none that a file holds"
                )
            if tensor.dtype == np.float32 and not np.isfinite(tensor).all():
                raise UsageError(f"tensor {index} of shape {tensor.shape} holds a NaN or an infinite number")
        for index in range(len(self.operations)):
            if problem := self._problem(index):
                raise UsageError(f"{self.describe(index)} {problem}")

    def tensor(self, index: int, role: str) -> np.ndarray | None:
        """The tensor that operation ``index`` has in that role, or None."""
        position = self.operations[index].tensors.get(role)
        return None if position is None else self.tensors[position]

    def required_tensor(self, index: int, role: str) -> np.ndarray:
        """The tensor in a role that the kind of operation ``index`` always has."""
        return self.tensors[self.operations[index].tensors[role]]

    def path(self, index: int) -> str:
        """The module path of operation ``index``, "" where it has none."""
        paths = self.metadata.get("paths")
        return str(paths[index]) if isinstance(paths, list) and index < len(paths) else ""

    def describe(self, index: int) -> str:
        """``operation 3 (conv stem.0)``."""
        return f"operation {index} ({' '.join(filter(None, (self.operations[index].kind, self.path(index))))})"

    @property
    def takes_pixels_only(self) -> bool:
        """Whether the first convolution computes on the pixels themselves, so that float images do not fit."""
        return self.operations[0].flags == PIXELS

    def _problem(self, index: int) -> str:
        op = self.operations[index]
        kind = KINDS.get(op.kind)
        if kind is None:
            return f"is of an unknown kind {op.kind!r}"
        if len(op.inputs) not in kind.inputs or any(not 0 <= i < index for i in op.inputs):
            return f"reads values {op.inputs}; it takes {' or '.join(map(str, kind.inputs))} of smaller numbers"
        return (
            _wrong_fields(op, kind)
            or self._wrong_channels(index)
            or self._wrong_tensors(index, kind)
            or self._wrong_values(index)
        )

    def _wrong_channels(self, index: int) -> str:
        op = self.operations[index]
        inputs = [self.operations[i] for i in op.inputs]
        channels = [source.channels for source in inputs]
        pixels = any(source.kind == "input" and source.flags for source in inputs)
        if pixels and op.kind != "pixel_conv":
            return "reads pixels, which only a pixel_conv does"
        if op.kind == "pixel_conv" and not pixels:
            return "reads something else than the pixels of the input"
        if op.kind == "concat":
            fits = op.channels == sum(channels)
        elif op.kind == "mean_abs":
            fits = op.channels == 1
        elif op.kind == "flatten":
            fits = op.channels % channels[0] == 0
        elif op.kind == "input":
            fits = True
        elif "weight" in KINDS[op.kind].tensors:
            # The second input of a binary_conv is one number for every pixel.
            fits = channels[1:] in ([], [1]) and channels[0] % op.groups == op.channels % op.groups == 0
        else:
            fits = set(channels) == {op.channels}
        if fits:
            return ""
        return f"makes {op.channels} channels in {op.groups} groups, which does not fit its inputs of {channels}"

    def _wrong_tensors(self, index: int, kind: Kind) -> str:
        op = self.operations[index]
        missing = [role for role in kind.tensors if role not in op.tensors and role not in kind.optional]
        if missing or any(role not in kind.tensors for role in op.tensors):
            return f"has the tensors {sorted(op.tensors)}; it takes {list(kind.tensors)}"
        if any(not 0 <= position < len(self.tensors) for position in op.tensors.values()):
            return f"names tensors {dict(op.tensors)} of {len(self.tensors)}"
        channels = self.operations[op.inputs[0]].channels if op.inputs else op.channels
        sizes = {"O": op.channels, "C": channels, "G": channels // op.groups, "H": op.kernel[0], "W": op.kernel[1]}
        for role, position in op.tensors.items():
            types, letters = kind.tensors[role]
            tensor, names = self.tensors[position], letters.split()
            if tensor.dtype.name not in types.split() or tensor.ndim != len(names):
                return f"has a {role} of {tensor.dtype}, shape {tensor.shape}; it takes {types} ({', '.join(names)})"
            for name, size in zip(names, tensor.shape, strict=True):
                expected = int(name) if name.isdigit() else sizes.setdefault(name, size)
                if size != expected:
                    return f"has a {role} of shape {tensor.shape}; its dimension {name} is {expected}"
        return ""

    def _wrong_values(self, index: int) -> str:
        op = self.operations[index]
        if op.kind == "binary_conv":
            terms, bases = self.required_tensor(index, "index"), len(self.required_tensor(index, "weight"))
            if terms.max() >= bases:
                return f"has a term of base {terms.max()}, but {bases} bases"
            if len(terms) > MOST_TERMS:
                return f"has {len(terms)} terms; the engine adds up to {MOST_TERMS}"
        if op.kind == "pointwise":
            weight, most = self.required_tensor(index, "weight"), MOST_POINTWISE_WEIGHT
            if weight.shape[1] > MOST_POINTWISE_CHANNELS or np.abs(weight.astype(np.int32)).max() > most:
                return f"takes at most {MOST_POINTWISE_CHANNELS} channels and weights from -{most} to {most}"
        if op.kind == "pixel_conv":
            most = 255 * np.abs(self.required_tensor(index, "weight").astype(np.int64)).sum((1, 2, 3)).max()
            if most >= 2**31:
                return f"can have sums of {most}, beyond 32 bits"
        return ""


#: what those keys of the metadata hold that this package reads: a type, and that of a list's elements
_METADATA: Mapping[str, tuple[type | tuple[type, ...], ...]] = {
    **dict.fromkeys(("model", "method", "precision", "creator"), (str,)),
    **dict.fromkeys(("input_shape", "output_shape"), (list, int)),
    **dict.fromkeys(("mean", "std"), (list, (int, float))),
    **dict.fromkeys(("classes", "paths"), (list, str)),
    "run": (dict,),
}


def check_metadata(metadata: Any) -> None:
    """Raises UsageError where metadata are no mapping, or hold something else than docs/file-format.md says under a known key."""
    if not isinstance(metadata, Mapping):
        raise UsageError(f"metadata are a mapping, JSON's object, got {type(metadata).__name__}")
    for key, (kind, *inner) in _METADATA.items():
        value = metadata.get(key)
        if value is not None and not (
            isinstance(value, kind) and all(isinstance(element, inner[0]) for element in (value if inner else ()))
        ):
            raise UsageError(
                f"metadata hold {str(value)[:60]!r} as {key!r}, which is something else; see docs/file-format.md"
            )


def _wrong_fields(op: Operation, kind: Kind) -> str:
    plain = Operation("")
    if not kind.geometry and (op.kernel, op.stride, op.padding, op.dilation) != (
        plain.kernel,
        plain.stride,
        plain.padding,
        plain.dilation,
    ):
        return "has a kernel, a stride, a padding or a dilation, which its kind does not"
    if min(*op.kernel, *op.stride, *op.dilation, op.groups, op.channels) < 1 or min(op.padding) < 0:
        return "has a kernel, stride, dilation, groups or channels below 1, or a padding below 0"
    if max(*op.kernel, *op.stride, *op.padding, *op.dilation) > MOST_WINDOW or op.channels > MOST_CHANNELS:
        return (
            f"has kernel {op.kernel}, stride {op.stride}, padding {op.padding}, dilation {op.dilation} and {op.channels} channels; "
            f"up to {MOST_WINDOW} and {MOST_CHANNELS} channels are packed"
        )
    if op.groups > 1 and op.kind not in ("conv", "binary_conv"):
        return f"has {op.groups} groups, which its kind does not"
    if op.kind.endswith("_pool") and (
        op.dilation != (1, 1) or any(2 * p > k for p, k in zip(op.padding, op.kernel, strict=True))
    ):
        return f"has dilation {op.dilation} and padding {op.padding}; a pooling has no dilation and pads half its kernel at most"
    if op.flags & ~kind.flags:
        return f"has flags {op.flags}, which its kind does not"
    if any(value and name not in kind.numbers for name, value in (("p0", op.p0), ("p1", op.p1))):
        return f"has p0 = {op.p0} and p1 = {op.p1}, which its kind does not"
    if not (math.isfinite(op.p0) and math.isfinite(op.p1)):
        return f"has p0 = {op.p0} and p1 = {op.p1}, which are not finite"
    if op.kind == "clamp" and op.p0 > op.p1:
        return f"has bounds from {op.p0} to {op.p1}"
    return ""
