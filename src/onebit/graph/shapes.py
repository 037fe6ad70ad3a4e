"""Shapes of the commonest results, worked out here: torch's own kernels for "meta" import its compiler first, a second or more.

Whatever is not plainly one of these cases (a mix of dtypes, an odd layout, shapes that do not fit) goes to torch.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from onebit.graph.kinds import plain_name

Size = Sequence[int]
_META = torch.device("meta")


def result_without_kernel(
    func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> Tensor | tuple[Tensor, Tensor] | None:
    """What an operation on tensors without memory returns, or None where torch has to say."""
    name = plain_name(func._schema.name)
    rule = _RULES.get(name)
    out = kwargs.get("out")
    if (
        rule is None
        or (func._schema.is_mutable and out is None)
        or any(kwargs[key] is not None for key in kwargs.keys() - _FREE)
    ):
        return None
    tensors = [t for t in tree_leaves(args) if isinstance(t, Tensor)]
    valued = tensors[1:] if name == "where" else tensors
    dtypes = {t.dtype for t in valued} or {torch.get_default_dtype()}
    plain = all(t.device == _META and t.is_contiguous() for t in tensors)
    if not tensors or not plain or len(dtypes) > 1 or not all(dtype.is_floating_point for dtype in dtypes):
        return None
    try:
        shape = rule(*args, **{key: kwargs[key] for key in ("keepdim",) if key in kwargs})
    except (TypeError, ValueError, IndexError):
        return None
    if shape is None or (out is not None and out.shape != torch.Size(shape)):
        return None
    dtype = torch.bool if name in _COMPARISONS else dtypes.pop()
    if name in _PAIRS:
        return torch.empty(shape, dtype=dtype, device=_META), torch.empty(shape, dtype=dtype, device=_META)
    return torch.empty(shape, dtype=dtype, device=_META) if out is None else out


def _sizes(values: Any, count: int = 2) -> tuple[int, ...]:
    """One number or a list of one or two, as two."""
    if isinstance(values, int):
        return (values,) * count
    return tuple(values) * count if len(values) == 1 else tuple(values)


def _broadcast(*args: Any) -> Size | None:
    if not all(isinstance(a, (Tensor, int, float)) for a in args):
        return None
    shapes = [a.shape for a in args if isinstance(a, Tensor)]
    columns = list(itertools.zip_longest(*(shape[::-1] for shape in shapes), fillvalue=1))
    sizes = [max(column) for column in columns]
    return (
        sizes[::-1]
        if all(size in (1, most) for column, most in zip(columns, sizes, strict=True) for size in column)
        else None
    )


def _same(x: Tensor, *_: Any) -> Size:
    return x.shape


def _slid(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool = False) -> Size | None:
    """Height and width of a window's positions, as torch counts them."""
    if isinstance(padding, str) or x.dim() != 4:
        return None
    found = []
    geometry = zip(x.shape[2:], _sizes(kernel), _sizes(stride), _sizes(padding), _sizes(dilation), strict=True)
    for size, k, s, p, d in geometry:
        count = (size + 2 * p - d * (k - 1) - 1 + (s - 1 if ceil else 0)) // s + 1
        found.append(count - 1 if ceil and (count - 1) * s >= size + p else count)
    return found if min(found) > 0 and min(x.shape) > 0 else None


def _conv2d(
    x: Tensor, w: Tensor, bias: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: int = 1
) -> Size | None:
    fits = w.dim() == 4 and x.dim() == 4 and x.shape[1] == w.shape[1] * groups and w.shape[0] % groups == 0
    maps = _slid(x, w.shape[2:], stride, padding, dilation) if fits else None
    return None if maps is None else (x.shape[0], w.shape[0], *maps)


def _linear(x: Tensor, w: Tensor, bias: Any = None) -> Size | None:
    return (*x.shape[:-1], w.shape[0]) if w.dim() == 2 and x.dim() > 0 and x.shape[-1] == w.shape[1] else None


def _max_pool2d(
    x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, dilation: Any = 1, ceil: bool = False
) -> Size | None:
    maps = _slid(x, kernel, stride or kernel, padding, dilation, ceil)
    return None if maps is None else (*x.shape[:2], *maps)


def _avg_pool2d(x: Tensor, kernel: Any, stride: Any = (), padding: Any = 0, ceil: bool = False, *_: Any) -> Size | None:
    return _max_pool2d(x, kernel, stride, padding, 1, ceil)


def _adaptive(x: Tensor, size: Any) -> Size | None:
    sizes = _sizes(size)
    return (*x.shape[:2], *sizes) if x.dim() == 4 and None not in sizes else None


def _mean(x: Tensor, dims: Any = None, keepdim: bool = False) -> Size:
    given = range(x.dim()) if dims is None or dims == [] else [dims] if isinstance(dims, int) else dims
    gone = {range(x.dim())[d] for d in given}
    return [1 if d in gone else size for d, size in enumerate(x.shape) if keepdim or d not in gone]


def _cat(tensors: Sequence[Tensor], dim: int = 0) -> Size | None:
    first = list(tensors[0].shape)
    axis = range(len(first))[dim]
    rest = {(*t.shape[:axis], *t.shape[axis + 1 :]) for t in tensors}
    return [*first[:axis], sum(t.shape[axis] for t in tensors), *first[axis + 1 :]] if len(rest) == 1 else None


def _stack(tensors: Sequence[Tensor], dim: int = 0) -> Size | None:
    shape = list(tensors[0].shape)
    axis = range(len(shape) + 1)[dim]
    return [*shape[:axis], len(tensors), *shape[axis:]] if all(list(t.shape) == shape for t in tensors) else None


_COMPARISONS = frozenset(("ge", "gt", "le", "lt", "eq", "ne"))
_PAIRS = frozenset(("std_mean", "var_mean"))
# Keywords that leave a result's shape and dtype as they are.
_FREE = frozenset(("out", "device", "layout", "pin_memory", "alpha", "correction", "keepdim"))
_ONE = "relu hardtanh leaky_relu gelu silu sigmoid tanh abs neg clamp clamp_min clamp_max hardswish hardsigmoid relu6 batch_norm"
_RULES: dict[str, Callable[..., Size | None]] = {
    **dict.fromkeys(_ONE.split(), _same),
    **dict.fromkeys(("empty_like", "zeros_like", "ones_like"), _same),
    **dict.fromkeys(("add", "sub", "mul", "div", "where", *_COMPARISONS), _broadcast),
    "conv2d": _conv2d,
    "linear": _linear,
    "max_pool2d": _max_pool2d,
    "avg_pool2d": _avg_pool2d,
    "adaptive_avg_pool2d": _adaptive,
    **dict.fromkeys(("mean", *_PAIRS), _mean),
    "cat": _cat,
    "stack": _stack,
}

# What fills a tensor; without memory there is nothing to fill.
_FILLS = frozenset(("normal", "uniform", "fill", "zero", "copy", "random", "bernoulli", "trunc_normal", "exponential"))


class QuickMode(TorchDispatchMode):
    """A dispatch mode that does not ask torch's compiler to keep away, which would import it."""

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        return False


class _WithoutData(QuickMode):
    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if plain_name(func._schema.name) in _FILLS and func._schema.is_mutable and args and args[0].device == _META:
            return args[0]
        made = result_without_kernel(func, args, kwargs)
        return func(*args, **kwargs) if made is None else made


@contextmanager
def without_data() -> Generator[None]:
    """Modules made inside have shapes and no data (device "meta"): the largest network is there at once.

    >>> with without_data():
    ...     layer = torch.nn.Linear(100_000, 100_000)
    >>> layer.weight.device, layer.weight.shape
    (device(type='meta'), torch.Size([100000, 100000]))
    """
    with torch.device(_META), _WithoutData():
        yield
