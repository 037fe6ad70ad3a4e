"""How the costs of gradient paths are written: in symbols such as 2N^BR, or as short numbers such as 116 M."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onebit.accounting.path_search import Route

_MOST_TERMS = 3  # expressions of one level that are written out


def short_count(number: int) -> str:
    """A count in three or four digits.

    >>> short_count(0), short_count(999), short_count(1000), short_count(115605504), short_count(1_849_688_064)
    ('0', '999', '1.00 k', '115.6 M', '1.85 G')
    """
    scaled, unit = float(number), ""
    for unit in ("", " k", " M", " G", " T"):
        if scaled < 999.5 or unit == " T":
            break
        scaled /= 1000
    if not unit:
        return str(number)
    return f"{scaled:.1f}{unit}" if scaled >= 10 else f"{scaled:.2f}{unit}"


def expression(routes: Sequence[Route], symbols: Mapping[str, str]) -> str:
    """The costs of a level in symbols, joined by ``~`` where it holds several; numbers where a layer has no symbol."""
    if any(layer not in symbols for route in routes for layer in route.layers) or not symbols:
        return short_count(routes[0].cost)
    terms = list(dict.fromkeys(_sum(route.layers, symbols) for route in routes))
    return " ~ ".join(terms[:_MOST_TERMS]) + (" ~ ..." if len(terms) > _MOST_TERMS else "")


def _sum(layers: Sequence[str], symbols: Mapping[str, str]) -> str:
    counts = Counter(symbols[layer] for layer in layers)
    return " + ".join(f"{count if count > 1 else ''}{symbol}" for symbol, count in sorted(counts.items())) or "0"
