"""pack: a trained network as bits."""

from __future__ import annotations

import operator
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from torch import Tensor, nn

import onebit
from onebit.deploy.file import write_program
from onebit.deploy.folding import in_order, write_out
from onebit.deploy.integers import normalisation, pixel_table, use_integers
from onebit.deploy.lowering import Lowering, Obstacle
from onebit.deploy.packed_model import PackedModel
from onebit.deploy.program import check_metadata
from onebit.errors import UsageError
from onebit.graph import bare_module, capture

if TYPE_CHECKING:
    from onebit.deploy.partial import PartialModel

Precision = Literal["float32", "int16", "int8"]
_BITS = {"int16": 16, "int8": 8}
# Two images, so that an operation that mixes a batch shows.
_BATCH = 2


@overload
def pack(
    module: nn.Module,
    example_input: Tensor | Sequence[int],
    *,
    precision: Precision = ...,
    partial: Literal[False] = ...,
    classes: Sequence[str] | None = ...,
    mean: Sequence[float] | None = ...,
    std: Sequence[float] | None = ...,
    metadata: Mapping[str, Any] | None = ...,
) -> PackedModel: ...
@overload
def pack(
    module: nn.Module,
    example_input: Tensor | Sequence[int],
    *,
    precision: Precision = ...,
    partial: bool,
    classes: Sequence[str] | None = ...,
    mean: Sequence[float] | None = ...,
    std: Sequence[float] | None = ...,
    metadata: Mapping[str, Any] | None = ...,
) -> PackedModel | PartialModel: ...
def pack(
    module: nn.Module,
    example_input: Tensor | Sequence[int],
    *,
    precision: Precision = "float32",
    partial: bool = False,
    classes: Sequence[str] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    metadata: Mapping[str, Any] | None = None,
) -> PackedModel | PartialModel:
    """Turn a trained network of any method and structure into bits and a few real numbers, run by the engine.

    Batch norm, biases and scales are folded into one factor and one summand per channel, computed in double precision and rounded
    once. Answers are those of ``module`` in evaluation mode up to that rounding; sums of bits are exact. ``module`` stays as it is.

    Args:
        module: any network that :func:`onebit.graph.capture` can follow, with or without binary layers.
        example_input: the shape of an image, (C, H, W), or a batch of images, of which only the shape is read.
        precision: what real layers compute in. ``float32``; ``int16``: the convolution on the image takes pixels and 16-bit
            weights, 1x1 convolutions 12-bit integers (nearly lossless); ``int8``: the same with 8-bit weights on the image.
        partial: where not everything can be packed, return a copy of the module in which the binary layers are packed
            and PyTorch runs the rest.
        classes: names of the outputs.
        mean, std: per channel, of pixels divided by 255; with them the packed network takes uint8 pixels, too.
        metadata: anything that JSON can hold, kept in the file.
    Raises:
        UsageError: if the module cannot be captured; naming every operation that cannot be packed, with the reason and what to
            do; for mean and std that do not fit the image, or that precision needs and that are not given.

    >>> import torch
    >>> network = onebit.create_model("lenet", "bireal", in_channels=1, image_size=8, widths=(8, 16, 32)).eval()
    >>> packed = pack(network, (1, 8, 8))
    >>> images = torch.randn(4, 1, 8, 8)
    >>> bool((packed(images).argmax(1) == network(images).argmax(1)).all())
    True
    """
    module = bare_module(module)
    shape = _image_shape(example_input)
    if precision not in ("float32", *_BITS):
        raise UsageError(f"precision is 'float32', 'int16' or 'int8', not {precision!r}")
    _check_normalisation(shape[0], mean, std, precision)
    check_metadata({} if metadata is None else metadata)
    try:
        graph = capture(module, (_BATCH, *shape))
        with np.errstate(all="ignore"):  # what is not finite is named when it is written
            lowering = Lowering(module, graph)
        if lowering.obstacles:
            raise UsageError(_not_packable(module, lowering.obstacles))
    except UsageError as error:
        if partial:
            from onebit.deploy.partial import PartialModel

            return PartialModel(module, str(error))
        raise
    output, result = lowering.output, graph.nodes[graph.outputs[0]].shape[1:]
    if classes is not None and (len(result) != 1 or len(classes) != result[0]):
        raise UsageError(f"{len(classes)} classes were named, but the network's output has shape {tuple(result)}")
    if mean is not None and std is not None:
        if precision == "float32":
            in_order(output)[0].tensors["scale"] = pixel_table(mean, std)
        else:
            use_integers(output, _BITS[precision], mean, std)
    facts = {
        "input_shape": list(shape),
        "output_shape": list(result),
        "mean": None if mean is None else [float(m) for m in mean],
        "std": None if std is None else [float(s) for s in std],
        "classes": None if classes is None else [str(name) for name in classes],
        "precision": precision,
        "creator": f"onebit {onebit.__version__}",
    }
    known = {key: value for key, value in facts.items() if value is not None}
    program = write_out(output, {**known, **(metadata or {})})
    return PackedModel(write_program(program), None, 1)


def _image_shape(example: Any) -> tuple[int, int, int]:
    batch = isinstance(example, Tensor | np.ndarray) and example.ndim != 1
    given = example.shape if batch else example
    try:
        sizes = tuple(map(operator.index, given))
    except TypeError:
        sizes = ()
    if min(sizes, default=0) < 1 or len(sizes) not in ((4,) if batch else (3, 4)):
        raise UsageError(f"example_input is a shape (channels, height, width) or a batch of images, got {given!r:.80}")
    channels, height, width = sizes[-3:]
    return channels, height, width


def _check_normalisation(
    channels: int, mean: Sequence[float] | None, std: Sequence[float] | None, precision: Precision
) -> None:
    if (mean is None) != (std is None):
        raise UsageError("mean and std belong together; give both or neither")
    if mean is None or std is None:
        if precision != "float32":
            raise UsageError(
                f"precision {precision} computes on pixels; give mean and std of the images it was trained on"
            )
        return
    try:
        with np.errstate(all="ignore"):
            factor, summand = normalisation(mean, std)
            fits = (
                factor.shape == summand.shape == (channels,)
                and np.isfinite([*mean, *pixel_table(mean, std)[:, -1]]).all()
            )
    except (TypeError, ValueError):
        fits = False
    if not fits or factor.min() <= 0:
        raise UsageError(
            f"mean and std are one number for each of the {channels} channels, std above 0, and pixels stay finite in float32; "
            f"got {mean!r:.80} and {std!r:.80}"
        )


def _not_packable(module: nn.Module, obstacles: Sequence[Obstacle]) -> str:
    count = len(obstacles)
    listed = "".join(f"\n  {obstacle}" for obstacle in obstacles)
    return (
        f"{count} operation{'s' * (count > 1)} of {type(module).__name__} cannot be packed "
        f"(pack(..., partial=True) packs the binary layers and leaves the rest to PyTorch):{listed}"
    )
