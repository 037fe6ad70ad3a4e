"""Representational capability (IGP): how many different maps can stand behind each operation of a unit."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from typing import Any

from onebit.errors import UsageError


@dataclass(frozen=True)
class Capability:
    """log2 of the number R of maps that each tensor of a unit can be; see :func:`representational_capability`."""

    #: the activations after sign: 2 values an entry
    binary: float
    #: after the 1-bit convolution: h w C + 1 values an entry
    convolved: float
    #: after batch norm, which maps the values of a channel one to one
    normalized: float
    #: after the shortcut's addition, as Bi-Real claims: the product of both terms' R
    claimed: float
    #: after the addition, as IGP corrects it: the second term is a function of the first
    added: float

    def to_dict(self) -> dict[str, Any]:
        """The five logarithms by name."""
        return asdict(self)


def representational_capability(
    height: int, width: int, channels: int, kernel: int | tuple[int, int] = 3
) -> Capability:
    """log2 R along a unit sign -> 1-bit convolution -> batch norm -> addition of the shortcut, all maps C x H x W.

    Formulas, with n = H W C entries and a kernel of h x w over C channels::

        R(A_b)   = 2^n                    signs
        R(A_m)   = (h w C + 1)^n          a sum of h w C products +1 or -1 takes h w C + 1 values
        R(A_r)   = (h w C + 1)^n          batch norm is one to one, channel by channel
        R(A_add) = (h w C + 1)^(2 n)      Bi-Real's claim for A_r^(l+1) + A_r^l, taking the two for independent
        R(A_add) = (h w C + 1)^n          IGP's correction: A_r^(l+1) is computed from A_r^l, so that the pair takes no
                                          more values than A_r^l alone

    The next sign brings it back to 2^n. The counts are of values that the entries can take; they are reached on a 1 x 1
    map (the test enumerates one) and bound R from above on larger ones, where all positions share their weights.

    Args:
        height, width, channels: of the maps. kernel: side of the kernel, or (h, w).
    Returns:
        logarithms to base 2, in bits; R itself has thousands of digits.
    Raises:
        UsageError: for sizes that are not positive whole numbers.
    Source:
        IGP, Figure 1; the claim is Bi-Real Net's (Liu et al., ECCV 2018).

    >>> tiny = representational_capability(1, 1, 3, 1)  # 3 entries, each a sum of three +1 or -1: 4 values
    >>> tiny.binary, tiny.convolved, tiny.claimed, tiny.added  # R = 8, 64, 4096, 64
    (3.0, 6.0, 12.0, 6.0)
    """
    sides = kernel if isinstance(kernel, tuple) else (kernel, kernel)
    for name, value in (
        ("height", height),
        ("width", width),
        ("channels", channels),
        *(("kernel", side) for side in sides),
    ):
        if type(value) is not int or value < 1:
            raise UsageError(f"{name} must be a positive whole number, got {value!r}")
    if len(sides) != 2:
        raise UsageError(f"kernel is one side or (h, w), got {kernel!r}")
    entries = height * width * channels
    values = entries * math.log2(math.prod(sides) * channels + 1)
    return Capability(float(entries), values, values, 2 * values, values)
