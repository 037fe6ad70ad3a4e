"""Mean and spread of repeated runs."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Spread:
    """Mean, sample standard deviation (``None`` for a single run) and number of runs ``n``.

    Formatting takes the format of one number and applies it to mean and deviation alike; without one it is ``.1f``.

    >>> f"{Spread(54.34, 0.912, 3):.2f}"
    '54.34 ± 0.91 (n=3)'
    """

    mean: float
    std: float | None
    n: int

    def __format__(self, spec: str) -> str:
        spec = spec or ".1f"
        deviation = "" if self.std is None else f" ± {self.std:{spec}}"
        return f"{self.mean:{spec}}{deviation} (n={self.n})"

    def __str__(self) -> str:
        return format(self)


def spread(values: Iterable[float | None]) -> Spread | None:
    """Mean and sample standard deviation (divisor ``n - 1``) of ``values``; ``None`` entries are runs that are missing.

    No value at all gives ``None``, which a table prints as an empty cell. A NaN among the values makes the mean NaN: a
    run that diverged is not hidden.

    >>> str(spread([53.4, 54.5, None, 55.0]))
    '54.3 ± 0.8 (n=3)'
    >>> str(spread([53.4]))
    '53.4 (n=1)'
    """
    known = [float(value) for value in values if value is not None]
    if not known:
        return None
    mean = math.fsum(known) / len(known)
    if len(known) == 1:
        return Spread(mean, None, 1)
    return Spread(mean, math.sqrt(math.fsum((value - mean) ** 2 for value in known) / (len(known) - 1)), len(known))
