"""Gradient paths (IGP): how cheaply, and through how few binary convolutions, a gradient can travel through a network."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onebit.accounting.path_names import expression
from onebit.accounting.path_search import Level, cheapest_levels, is_binary
from onebit.errors import UsageError

if TYPE_CHECKING:
    from torch import nn

    from onebit.graph import Graph


@dataclass(frozen=True)
class GradientPaths:
    """What :func:`gradient_paths` found; ``print(paths.to_text())`` shows it.

    ``symbols`` names the costs of binary layers (module name -> ``N^BR``); ``graph`` is the network they were read from.
    """

    model: str
    input_shapes: tuple[tuple[int, ...], ...]
    levels: tuple[Level, ...]
    tolerance: float
    binary_layers: int
    symbols: Mapping[str, str] = field(default_factory=dict, repr=False)
    graph: Graph | None = field(default=None, repr=False, compare=False)

    @property
    def costs(self) -> list[int]:
        """N1, N2, ...: multiplications of the binary layers on the cheapest paths; fewer than k where there are no more."""
        return [level.cost for level in self.levels]

    @property
    def lengths(self) -> list[int]:
        """L1, L2, ...: the least number of binary layers among the paths of each level."""
        return [level.length for level in self.levels]

    @cached_property
    def expressions(self) -> list[str]:
        """The levels in symbols, such as ``2N^BR``; without symbols, the costs as short numbers."""
        return [expression(level.routes, self.symbols) for level in self.levels]

    def to_dict(self) -> dict[str, Any]:
        """Plain data: the keys model, costs and lengths, and for every level the binary layers of its cheapest path."""
        levels = [
            {
                "cost": level.cost,
                "length": level.length,
                "symbol": symbol if self.symbols else None,
                "highest_cost": level.routes[-1].cost,
                "distinct_costs": len(level.routes),
                "path": list(level.routes[0].layers),
            }
            for level, symbol in zip(self.levels, self.expressions, strict=True)
        ]
        return {
            "model": self.model,
            "costs": self.costs,
            "lengths": self.lengths,
            "input_shapes": [list(shape) for shape in self.input_shapes],
            "binary_layers": self.binary_layers,
            "tolerance": self.tolerance,
            "levels": levels,
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON text."""
        import json

        return json.dumps(self.to_dict())

    def to_text(self, width: int = 100) -> str:
        """The levels as a table, and the network drawn with characters where it fits into ``width`` columns."""
        from onebit.accounting.paths_text import paths_text

        return paths_text(self, width)

    def to_svg(self, path: str | Path | None = None) -> str:
        """A drawing as SVG text, also written to ``path``: binary layers with their costs, shortcuts, the cheapest paths."""
        from onebit.files import write_text
        from onebit.reports.figures.paths import paths_svg

        svg = paths_svg(self)
        if path is not None:
            write_text(path, svg)
        return svg

    def to_png(self, path: str | Path, dpi: int = 200) -> None:
        """The same drawing as a PNG file."""
        from onebit.files import write_bytes
        from onebit.reports.figures.paths import paths_png

        write_bytes(path, paths_png(self, dpi))


def gradient_paths(
    module: nn.Module,
    input_shape: Sequence[int] | Sequence[Sequence[int]],
    k: int = 3,
    *,
    tolerance: float = 0.1,
    name: str | None = None,
    symbols: Mapping[str, str] | None = None,
) -> GradientPaths:
    """The k cheapest kinds of gradient path through a module (IGP).

    A gradient path leads from the output back to the input along the operations of the captured graph. A binary layer on it
    costs its multiplications, ``N = kh * kw * C_in / groups * C_out * H_out * W_out`` (linear: ``in * out``); everything else,
    shortcuts, norms, joins and real layers, costs nothing. N1 < N2 < ... are the smallest distinct costs of whole paths, and
    L1, L2, ... the least number of binary layers on a path of that cost.

    Costs up to ``tolerance`` above the smallest of a level count as that level (0 is a level of its own), so that two
    layers of nearly the same size are one kind of path. Levels are formed from the costs of complete paths.

    Args:
        module: any module that :func:`onebit.graph.capture` takes; its parameters may be on the ``meta`` device.
        input_shape: of the input without the batch dimension, such as (3, 224, 224); several shapes for several inputs.
        k: how many levels. tolerance: relative, 0 keeps every distinct cost apart.
        name: of the model, for tables and drawings (default: its class).
        symbols: module name -> symbol of its cost, for modules whose layers have one.
    Raises:
        UsageError: for k < 1, a negative tolerance, a k or tolerance that takes in too many costs.
        OnebitError: if no gradient can reach the input.

    >>> from torch import nn
    >>> from onebit.nn import BinaryUnit, BinaryConv2d
    >>> bireal = nn.Sequential(BinaryUnit(BinaryConv2d, 64, 64), BinaryUnit(BinaryConv2d, 64, 64))
    >>> paths = gradient_paths(bireal, (64, 56, 56))
    >>> paths.costs, paths.lengths  # 0, N and 2N with N = 3 * 3 * 64 * 64 * 56 * 56
    ([0, 115605504, 231211008], [0, 1, 2])
    """
    from onebit.graph import bare_module, capture

    check_search(k, tolerance)
    shapes, module = _shapes(input_shape), bare_module(module)
    graph = capture(module, *((1, *shape) for shape in shapes))
    return GradientPaths(
        model=name or type(module).__name__,
        input_shapes=shapes,
        levels=cheapest_levels(graph, k, tolerance),
        tolerance=tolerance,
        binary_layers=sum(is_binary(node) for node in graph.nodes),
        symbols=dict(symbols or {}),
        graph=graph,
    )


def check_search(k: int, tolerance: float) -> None:
    """Refuse a k or a tolerance that means nothing.

    Raises:
        UsageError: with the value.
    """
    if type(k) is not int or k < 1:
        raise UsageError(f"k is how many levels of paths to find, a whole number from 1, got {k!r}")
    if isinstance(tolerance, bool) or not isinstance(tolerance, (int, float)) or not 0 <= tolerance < math.inf:
        raise UsageError(f"tolerance is a relative difference of costs, 0 or more, got {tolerance!r}")


def _shapes(input_shape: Sequence[Any]) -> tuple[tuple[int, ...], ...]:
    given = input_shape if isinstance(input_shape, Sequence) else ()
    several = bool(given) and all(isinstance(shape, Sequence) for shape in given)
    shapes = tuple(tuple(shape) for shape in given) if several else (tuple(given),)
    if not all(shape and all(type(size) is int and size > 0 for size in shape) for shape in shapes):
        raise UsageError(
            f"an input shape is positive whole numbers without the batch, such as (3, 224, 224); got {input_shape!r}"
        )
    return shapes
