"""Taking a value from a file that somebody else wrote: the right type, or ``None``."""

from __future__ import annotations

import math
import re
from typing import Any

# Control characters have no place in HTML or SVG; a lone surrogate cannot be written as UTF-8.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")


def clean(value: object) -> str:
    """``value`` as text that can be written into a page: what cannot be shown becomes the replacement character.

    >>> clean("tab\\tstays, bell \\x07 goes")
    'tab\\tstays, bell \\ufffd goes'
    """
    raw = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    return _UNPRINTABLE.sub("\ufffd", raw)


def text(value: object) -> str | None:
    """Text that is not blank, cleaned, else ``None``."""
    return clean(value) if isinstance(value, str) and value.strip() else None


def number(value: object) -> float | None:
    """A number (NaN and infinities included: they are news), else ``None``.

    >>> number(3), number("3"), number(True), number(None)
    (3.0, None, None, None)
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def integer(value: object) -> int | None:
    """A whole number, else ``None``."""
    known = number(value)
    return int(known) if known is not None and math.isfinite(known) and known == int(known) else None


def numbers(value: object) -> list[float]:
    """A list of numbers; anything that is not one counts as NaN, anything that is not a list as an empty one."""
    if not isinstance(value, list):
        return []
    return [math.nan if (known := number(item)) is None else known for item in value]


def table(value: object) -> dict[str, Any]:
    """A dictionary with cleaned keys, empty for anything else."""
    return {clean(key): item for key, item in value.items()} if isinstance(value, dict) else {}


def number_table(value: object) -> dict[str, float]:
    """The entries of a dictionary that are numbers."""
    return {key: known for key, item in table(value).items() if (known := number(item)) is not None}
