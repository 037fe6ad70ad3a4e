"""Where two branches of a network meet."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from onebit.errors import UsageError

JoinKind = Literal["mean", "sum"]


class Join(nn.Module):
    """The element-wise mean or sum of two branches, with drop-path in training (FractalNet, Larsson et al. 2017).

    With ``drop_path`` p, each image's branch is dropped with probability p in training, never both; what is left is
    rescaled so that a join of equal branches gives what it would give with both. In evaluation nothing is dropped.

    Shapes:
        (N, ...), (N, ...) -> (N, ...)
    Raises:
        UsageError: for branches of unequal shapes, with both.

    >>> Join("mean")(torch.tensor([1.0]), torch.tensor([3.0])).item(), Join("sum")(torch.tensor([1.0]), torch.tensor([3.0])).item()
    (2.0, 4.0)
    """

    def __init__(self, kind: JoinKind = "mean", drop_path: float = 0.0) -> None:
        super().__init__()
        if kind not in ("mean", "sum"):
            raise UsageError(f"join is 'mean' or 'sum', not {kind!r}")
        if not 0 <= drop_path < 1:
            raise UsageError(f"drop_path is a probability from 0 up to, not including, 1; got {drop_path}")
        self.kind: JoinKind = kind
        self.drop_path = drop_path

    def forward(self, left: Tensor, right: Tensor) -> Tensor:
        if left.shape != right.shape:
            raise UsageError(
                f"a join takes two branches of one shape, got {tuple(left.shape)} and {tuple(right.shape)}"
            )
        factor = 0.5 if self.kind == "mean" else 1.0
        if self.training and self.drop_path:
            kept = self._draw(left) * (2 * factor)
            return left * kept[0] + right * kept[1]
        both = left + right
        return both * factor if self.kind == "mean" else both

    def _draw(self, x: Tensor) -> Tensor:
        """Shares of the two branches per image, (2, N, 1, ...), which sum to 1."""
        count = x.shape[0]
        kept = torch.rand(2, count, device=x.device) >= self.drop_path
        left = torch.rand(count, device=x.device) < 0.5
        neither = ~kept.any(0)
        kept = (kept | (neither & torch.stack([left, ~left]))).to(x.dtype)
        return (kept / kept.sum(0)).view(2, count, *[1] * (x.dim() - 1))

    def extra_repr(self) -> str:
        return f"{self.kind}, drop_path={self.drop_path}" if self.drop_path else self.kind
