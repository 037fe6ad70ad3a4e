"""How each of torch's operations is packed; an operation without a rule here has no packed form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import reduce
from typing import Any

import numpy as np
import torch
from torch import Tensor

from onebit.deploy.folding import Draft, Geometry, make_binary_conv, make_conv
from onebit.deploy.program import CEIL_MODE, COUNT_PADDING, MOST_TERMS, Pair
from onebit.graph import Node
from onebit.nn import BinaryLayer

LARGEST = float(np.finfo(np.float32).max)


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
        """An operation that keeps its input's path of computation: one input, this node's path and shape."""
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
        geometry = Geometry(*(_pair(size) for size in (layer.kernel_size, layer.stride, layer.padding, layer.dilation)))
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


def conv2d(call: Call) -> Draft:
    tensors = call.tensors()
    weight = tensors["weight"]
    kernel, dilation = (weight.shape[2], weight.shape[3]), _pair(call.argument("dilation", 1))
    geometry = Geometry(kernel, _pair(call.argument("stride", 1)), _padding(call, kernel, dilation), dilation)
    groups = call.argument("groups", 1)
    return make_conv(call.x, call.shape, weight, tensors.get("bias"), call.node.path, geometry, groups)


def linear(call: Call) -> Draft:
    tensors = call.tensors()
    if len(call.node.shape) != 2:
        raise NotPackableError("a linear layer on more than (N, features) is not packed; use a 1x1 convolution")
    return make_conv(call.x, call.shape, tensors["weight"][:, :, None, None], tensors.get("bias"), call.node.path)


def batch_norm(call: Call) -> Draft:
    tensors = call.tensors()
    if call.argument("training", False) or "running_mean" not in tensors:
        raise NotPackableError(
            "it normalises by each batch's own statistics; keep running statistics (track_running_stats=True)"
        )
    scale = tensors.get("weight", 1.0) / np.sqrt(tensors["running_var"] + call.argument("eps", 1e-5))
    return affine(call, scale, tensors.get("bias", 0.0) - tensors["running_mean"] * scale)


def add(call: Call) -> Draft:
    alpha, number = call.argument("alpha", 1), call.argument("other")
    sign = -1.0 if call.node.op.startswith("sub") else 1.0
    if len(call.inputs) == 2:
        a, b = call.inputs
        if a.shape != b.shape:
            raise NotPackableError(f"it adds maps of {_sizes(a)} and {_sizes(b)}; maps of one shape are packed")
        if sign * alpha != 1:
            b = Draft("multiply", (b,), b.shape, call.node.path, p0=sign * alpha)
        return Draft("add", (a, b), call.shape, call.node.path)
    ones = np.ones(1)
    if not call.constants:
        return affine(call, ones, np.full(1, sign * alpha * number))
    constant = per_channel(call.constants[0], len(call.node.shape))
    if next(iter(call.node.operands.values())) != call.node.shape and sign < 0:
        return affine(call, -ones * alpha, constant)
    return affine(call, ones, sign * alpha * constant)


def multiply(call: Call) -> Draft:
    divides = "div" in call.node.op
    if call.argument("rounding_mode") is not None:
        raise NotPackableError("a division that rounds is not packed")
    if call.node.op in ("neg", "negative"):
        number = -1.0
    elif call.constants:
        factor = per_channel(call.constants[0], len(call.node.shape))
        if divides and next(iter(call.node.operands.values())) != call.node.shape:
            raise NotPackableError("it divides by a map; a division by constants is packed")
        return affine(call, 1 / factor if divides else factor, np.zeros(1))
    elif len(call.inputs) == 2:
        raise NotPackableError("it multiplies two maps that depend on the image; sums are packed")
    else:
        number = call.argument("other")
        number = 1 / number if divides else number
    return call.draft("multiply", p0=number)


def concat(call: Call) -> Draft:
    dimension = call.argument("dim", 0) % len(call.node.shape)
    if dimension != 1 or call.constants:
        raise NotPackableError(
            f"it joins tensors along dimension {dimension}, or constants; maps along the channels are packed"
        )

    def join(a: Draft, b: Draft) -> Draft:
        if a.shape[1:] != b.shape[1:]:
            raise NotPackableError(
                f"it joins maps of {_sizes(a)} and {_sizes(b)}; maps of one height and width are packed"
            )
        return Draft("concat", (a, b), (a.shape[0] + b.shape[0], *a.shape[1:]), call.node.path)

    return reduce(join, call.inputs)


def max_pool(call: Call) -> Draft:
    if _pair(call.argument("dilation", 1)) != (1, 1):
        raise NotPackableError("max pooling with dilation is not packed; pool without it")
    return call.draft("max_pool", geometry=_window(call), flags=CEIL_MODE if call.argument("ceil_mode") else 0)


def average_pool(call: Call) -> Draft:
    if call.argument("divisor_override") is not None:
        raise NotPackableError(
            "average pooling with divisor_override is not packed; leave it out and scale in the next layer"
        )
    geometry = _window(call)
    flags = CEIL_MODE if call.argument("ceil_mode") else 0
    if call.argument("count_include_pad", True) and geometry.padding != (0, 0):
        flags |= COUNT_PADDING
    return call.draft("average_pool", geometry=geometry, flags=flags)


def adaptive_average_pool(call: Call) -> Draft:
    if call.shape[1:] == (1, 1):
        return call.draft("mean_pool")
    sizes = tuple(zip(call.x.shape[1:], call.shape[1:], strict=True))
    if any(size % count for size, count in sizes):
        raise NotPackableError(
            f"it pools {_sizes(call.x)} to {call.shape[1]} x {call.shape[2]} in windows of several sizes; "
            "pool to 1 x 1 or to a divisor"
        )
    height, width = (size // count for size, count in sizes)
    geometry = Geometry((height, width), (height, width))
    return call.draft("average_pool", geometry=geometry, is_fixed=True)


def mean(call: Call) -> Draft:
    dimensions = len(next(iter(call.node.operands.values())))
    given = call.argument("dim")
    reduced = {given % dimensions} if isinstance(given, int) else {d % dimensions for d in given or range(dimensions)}
    if dimensions != 4 or reduced != {2, 3}:
        raise NotPackableError(
            f"it takes the mean over dimensions {sorted(reduced)}; the mean over height and width is packed"
        )
    return call.draft("mean_pool")


def relu(call: Call) -> Draft:
    return call.draft("relu")


def clamp(call: Call) -> Draft:
    low, high = {
        "relu6": (0.0, 6.0),
        "hardtanh": (call.argument("min_val", -1.0), call.argument("max_val", 1.0)),
        "clamp_min": (call.argument("min"), None),
        "clamp_max": (None, call.argument("max")),
    }.get(call.node.op, (call.argument("min"), call.argument("max")))
    if call.constants:
        raise NotPackableError("it clamps to bounds in a tensor; two numbers are packed")
    return call.draft("clamp", p0=-LARGEST if low is None else float(low), p1=LARGEST if high is None else float(high))


def leaky_relu(call: Call) -> Draft:
    slope = np.full(call.shape[0], float(call.argument("negative_slope", 0.01)))
    return call.draft("prelu", tensors={"scale": slope})


def prelu(call: Call) -> Draft:
    slope = call.tensors()["weight"].reshape(-1)
    return call.draft("prelu", tensors={"scale": np.broadcast_to(slope, call.shape[0])})


def reshape(call: Call) -> Draft:
    """Views that leave every number where it is, or make a vector of a map."""
    x, dimensions = call.x, len(call.node.shape)
    if call.shape == x.shape and (dimensions == 4 or x.is_vector):
        return x
    if dimensions == 2 and call.shape[0] == x.shape[0] * x.shape[1] * x.shape[2]:
        return call.draft("flatten")
    raise NotPackableError(
        f"it makes {call.node.shape} of {_sizes(x)} (channels x height x width); flattening is packed"
    )


def keep(call: Call) -> Draft:
    """Operations that do nothing in evaluation, and slices that take everything."""
    if call.argument("train", False) or call.argument("training", False):
        raise NotPackableError("it drops values in evaluation too; make it follow the module's training flag")
    source = next(iter(call.node.operands.values()), call.node.shape)
    if call.shape != call.x.shape or source != call.node.shape or call.argument("step", 1) != 1:
        raise NotPackableError("it moves or selects numbers; whole maps are packed")
    return call.x


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().cpu().double().numpy()


def _pair(value: Any) -> Pair:
    values = (value,) if isinstance(value, int) else tuple(value)
    return (values[0], values[0]) if len(values) == 1 else (values[0], values[1])


def _padding(call: Call, kernel: Pair, dilation: Pair) -> Pair:
    padding = call.argument("padding", 0)
    if padding == "valid":
        return (0, 0)
    if padding != "same":
        return _pair(padding)
    around = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(total % 2 for total in around):
        raise NotPackableError("padding='same' of an even kernel pads one side more; the same on both sides is packed")
    return around[0] // 2, around[1] // 2


def _window(call: Call) -> Geometry:
    kernel = _pair(call.argument("kernel_size"))
    return Geometry(kernel, _pair(call.argument("stride") or kernel), _pair(call.argument("padding", 0)))


def _sizes(draft: Draft) -> str:
    return " x ".join(map(str, draft.shape))


_VIEWS = "view _unsafe_view reshape view_as reshape_as flatten ravel squeeze unsqueeze"
_NOTHING = (
    "contiguous clone detach alias to _to_copy type_as dropout feature_dropout alpha_dropout feature_alpha_dropout slice narrow "
    "expand expand_as lift_fresh"
)

RULES: dict[str, Callable[[Call], Draft]] = {
    "conv2d": conv2d,
    "linear": linear,
    "batch_norm": batch_norm,
    "_native_batch_norm_legit_no_training": batch_norm,
    **dict.fromkeys(("add", "sub", "subtract"), add),
    **dict.fromkeys(("mul", "multiply", "div", "divide", "true_divide", "neg", "negative"), multiply),
    **dict.fromkeys(("cat", "concat", "concatenate"), concat),
    **dict.fromkeys(("max_pool2d", "max_pool2d_with_indices"), max_pool),
    "avg_pool2d": average_pool,
    **dict.fromkeys(("adaptive_avg_pool2d", "_adaptive_avg_pool2d"), adaptive_average_pool),
    "mean": mean,
    "relu": relu,
    **dict.fromkeys(("relu6", "hardtanh", "clamp", "clamp_min", "clamp_max"), clamp),
    "leaky_relu": leaky_relu,
    **dict.fromkeys(("prelu", "_prelu_kernel"), prelu),
    **dict.fromkeys(_VIEWS.split(), reshape),
    **dict.fromkeys(_NOTHING.split(), keep),
}

#: what to do about the commonest operations that have no rule
REMEDIES = {
    **dict.fromkeys(("conv_transpose2d", "upsample_nearest2d"), "let PyTorch run it (partial=True)"),
    **dict.fromkeys(
        ("softmax", "_softmax", "log_softmax", "_log_softmax"),
        "pack the network without it: the order of the classes is the same",
    ),
    **dict.fromkeys(
        ("gelu", "silu", "sigmoid", "tanh", "elu", "hardswish", "hardsigmoid"), "use relu, prelu, leaky_relu or clamp"
    ),
    **dict.fromkeys(("layer_norm", "group_norm", "instance_norm"), "use batch norm, which folds into the weights"),
    **dict.fromkeys(
        ("pad", "constant_pad_nd"), "use the padding of the convolution, in which a padded tap contributes 0"
    ),
}
