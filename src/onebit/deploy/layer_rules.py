"""How binary layers are packed: by what each states about itself."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from onebit.deploy.call import Call, NotPackableError, as_pair
from onebit.deploy.folding import Draft, Geometry, make_binary_conv
from onebit.deploy.program import COUNT_PADDING, MOST_TERMS
from onebit.nn import BinaryLayer


def binary_layer(call: Call) -> Draft:
    layer = call.node.layer
    if not isinstance(layer, BinaryLayer):
        raise NotPackableError("it is not the layer that ran")
    return lower_layer(layer, call.x, call.shape, call.node.path)


def lower_layer(layer: BinaryLayer, x: Draft, shape: tuple[int, int, int], path: str) -> Draft:
    """The draft of a binary layer on ``x``, by what the layer states itself."""
    terms = []
    for term in layer.packed():
        weight = _array(term.weight)
        weight = weight.reshape(*weight.shape, *[1] * (4 - weight.ndim))
        if not (np.abs(weight) == 1).all():
            raise NotPackableError("its binary weights hold other values than -1 and +1")
        terms.append((weight, _array(term.scale), 0.0 if term.shift is None else float(term.shift)))
    if len(terms) > MOST_TERMS:
        raise NotPackableError(f"it has {len(terms)} terms, the engine adds up to {MOST_TERMS}; take fewer bases")
    geometry, groups = Geometry(), getattr(layer, "groups", 1)
    if isinstance(layer, torch.nn.Conv2d):
        geometry = Geometry(
            *(as_pair(size) for size in (layer.kernel_size, layer.stride, layer.padding, layer.dilation))
        )
    inputs = (x, _input_scale(x, shape, geometry, path)) if layer.scales_by_input else (x,)
    return make_binary_conv(inputs, shape, terms, path, geometry, groups)


def _input_scale(x: Draft, shape: tuple[int, int, int], geometry: Geometry, path: str) -> Draft:
    """XNOR's K: the mean of abs(x) over channels, then over each window with zeros around."""
    if geometry.dilation != (1, 1) or any(2 * p > k for p, k in zip(geometry.padding, geometry.kernel, strict=True)):
        raise NotPackableError(
            f"its K is a mean over windows with dilation {geometry.dilation} and padding {geometry.padding}; without dilation and "
            "with padding of at most half the kernel it is packed, as is input_scale=False"
        )
    mean = Draft("mean_abs", (x,), (1, *x.shape[1:]), path)
    if geometry.is_pixelwise:
        return mean
    return Draft("average_pool", (mean,), (1, *shape[1:]), path, geometry, flags=COUNT_PADDING)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()
