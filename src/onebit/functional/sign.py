"""sign with sign(0) = +1, and its gradient by a chosen estimator."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from onebit.functional.estimators import Estimator, get_estimator


def hard_sign(x: Tensor) -> Tensor:
    """+1 where x >= 0 (zero and minus zero included), else -1 (NaN included), in x's dtype; no gradient.

    >>> hard_sign(torch.tensor([-0.5, 0.0, 2.0]))
    tensor([-1.,  1.,  1.])
    """
    x = x.detach()
    # A comparison that writes floats is several times faster on a CPU than one that makes booleans to convert.
    return torch.ge(x, 0, out=torch.empty_like(x)).mul_(2).sub_(1)


def sign(x: Tensor, estimator: str | Estimator = "clip", *, exact: bool = False) -> Tensor:
    """``sign(x)`` in {-1, +1}, with ``sign(0) = +1``; gradient ``dL/dx = dL/dy * g(x)``, g by ``estimator``.

    Args:
        x: float tensor of any shape.
        estimator: ``clip``, ``box``, ``bireal``, ``identity``, or an :class:`~onebit.functional.estimators.Estimator`.
        exact: keep ``x`` itself for the backward instead of the estimator's compact code. It costs nothing where ``x``
            lives on anyway (a parameter). Double precision is always exact.
    Returns:
        tensor of x's shape and dtype.

    >>> x = torch.tensor([-2.0, -0.5, 0.0], requires_grad=True)
    >>> y = sign(x, "bireal", exact=True); y.sum().backward(); y.tolist(), x.grad.tolist()
    ([-1.0, -1.0, 1.0], [0.0, 1.0, 2.0])
    """
    return _Sign.apply(x, get_estimator(estimator), exact or x.dtype == torch.float64)


class _Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, estimator: Estimator, exact: bool) -> Tensor:
        ctx.estimator, ctx.exact = estimator, exact
        signs = hard_sign(x)
        ctx.save_for_backward(*((x,) if exact else estimator.encode(x.detach(), signs)))
        return signs

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        if ctx.exact:
            return gradient * ctx.estimator.derivative(ctx.saved_tensors[0]), None, None
        return ctx.estimator.backward(gradient, ctx.saved_tensors), None, None
