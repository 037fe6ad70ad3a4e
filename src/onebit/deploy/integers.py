"""Real convolutions in integers: pixels times 8- or 16-bit weights, and 12-bit 1x1 convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onebit.deploy.folding import Draft, in_order
from onebit.deploy.program import MOST_POINTWISE_CHANNELS, MOST_POINTWISE_WEIGHT, PIXELS
from onebit.errors import UsageError

Numbers = Sequence[float]


def normalisation(mean: Numbers, std: Numbers) -> tuple[np.ndarray, np.ndarray]:
    """Factor and summand per channel, as float32: a pixel v is ``v * factor + summand``, as in :class:`onebit.data.Normalise`."""
    mean64, std64 = np.asarray(mean, np.float64), np.asarray(std, np.float64)
    return (1 / (255 * std64)).astype(np.float32), (-mean64 / std64).astype(np.float32)


def pixel_table(mean: Numbers, std: Numbers) -> np.ndarray:
    """What every pixel value stands for, (C, 256) float32, bit for bit what training makes of it."""
    factor, summand = normalisation(mean, std)
    pixels = np.arange(256, dtype=np.float32)
    return pixels * factor[:, None] + summand[:, None]


@np.errstate(all="ignore")  # what is not finite is refused by name when it is written
def use_integers(output: Draft, bits: int, mean: Numbers, std: Numbers) -> None:
    """Let the stem compute on pixels with weights of ``bits`` bits, and 1x1 convolutions on 12-bit integers.

    Raises:
        UsageError: if anything but a plain convolution reads the image.
    """
    drafts = in_order(output)
    image = drafts[0]
    readers = [draft for draft in drafts if image in draft.inputs]
    wrong = [draft for draft in readers if draft.kind != "conv" or draft.groups != 1]
    if wrong or image is output:
        names = ", ".join(f"{draft.path!r} ({draft.kind})" for draft in wrong) or "the result"
        raise UsageError(
            f"precision int{bits} takes an ungrouped real convolution on the image, but {names} reads it; use precision='float32'"
        )
    image.flags = PIXELS
    for draft in readers:
        _to_pixels(draft, bits, *normalisation(mean, std))
    for draft in drafts:
        if draft.kind == "conv" and _is_pointwise(draft):
            _to_pointwise(draft)


def _to_pixels(draft: Draft, bits: int, factor: np.ndarray, summand: np.ndarray) -> None:
    weight = draft.tensors["weight"] * draft.tensors["scale"][:, None, None, None]
    scaled = weight * factor.astype(np.float64)
    # Sums of pixels times weights stay within 32 bits, whatever the image.
    limit = min(2 ** (bits - 1) - 1, (2**31 - 1) // (255 * weight[0].size))
    whole, step = _quantise(scaled, limit)
    # The mean of the pixels goes through the rounded weights, so that rounding multiplies values around 0.
    offset = whole * step[:, None, None, None] * (summand.astype(np.float64) / factor)
    draft.kind = "pixel_conv"
    draft.tensors |= {"weight": whole.astype(f"int{bits}"), "scale": step, "offset": offset.sum(3)}


def _is_pointwise(draft: Draft) -> bool:
    narrow = draft.tensors["weight"].shape[3] <= MOST_POINTWISE_CHANNELS
    return draft.geometry.is_pixelwise and draft.groups == 1 and narrow and not draft.inputs[0].is_vector


def _to_pointwise(draft: Draft) -> None:
    weight = draft.tensors["weight"][:, 0, 0] * draft.tensors["scale"][:, None]
    whole, step = _quantise(weight, MOST_POINTWISE_WEIGHT)
    draft.kind = "pointwise"
    draft.tensors |= {"weight": whole.astype(np.int16), "scale": step}


def _quantise(weight: np.ndarray, limit: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers up to ``limit`` and a step for each output whose product is nearest to ``weight``."""
    most = np.abs(weight).reshape(len(weight), -1).max(1)
    # As float32, which is how it is stored; a filter of nothing but zeros has any step.
    step = (most / limit).astype(np.float32).astype(np.float64)
    step = np.where(step > 0, step, 1.0)
    whole = np.rint(weight / step.reshape(-1, *[1] * (weight.ndim - 1)))
    # A step among the subnormal numbers, which are coarse, may be much too small.
    return whole.clip(-limit, limit), step
