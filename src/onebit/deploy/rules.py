"""How each of torch's operations is packed; an operation without a rule here has no packed form."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import numpy as np

from onebit.deploy.call import Call, NotPackableError, affine, as_pair, per_channel
from onebit.deploy.folding import Draft, Geometry, make_conv
from onebit.deploy.program import CEIL_MODE, COUNT_PADDING, Pair


def conv2d(call: Call) -> Draft:
    tensors = call.tensors()
    weight = tensors["weight"]
    kernel, dilation = (weight.shape[2], weight.shape[3]), as_pair(call.argument("dilation", 1))
    geometry = Geometry(kernel, as_pair(call.argument("stride", 1)), _padding(call, kernel, dilation), dilation)
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
    if call.first_shape != call.node.shape and sign < 0:
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
        if divides and call.first_shape != call.node.shape:
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
    if as_pair(call.argument("dilation", 1)) != (1, 1):
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
    dimensions = len(call.first_shape)
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
    return call.draft("clamp", p0=-np.inf if low is None else float(low), p1=np.inf if high is None else float(high))


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
    if call.shape != call.x.shape or call.first_shape != call.node.shape or call.argument("step", 1) != 1:
        raise NotPackableError("it moves or selects numbers; whole maps are packed")
    return call.x


def _padding(call: Call, kernel: Pair, dilation: Pair) -> Pair:
    padding = call.argument("padding", 0)
    if padding == "valid":
        return (0, 0)
    if padding != "same":
        return as_pair(padding)
    around = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
    if any(total % 2 for total in around):
        raise NotPackableError("padding='same' of an even kernel pads one side more; the same on both sides is packed")
    return around[0] // 2, around[1] // 2


def _window(call: Call) -> Geometry:
    kernel = as_pair(call.argument("kernel_size"))
    return Geometry(kernel, as_pair(call.argument("stride") or kernel), as_pair(call.argument("padding", 0)))


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
