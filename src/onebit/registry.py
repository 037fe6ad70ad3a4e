"""Names to things: one small registry class for methods, models, estimators and data sets; the types of their options."""

from __future__ import annotations

import fnmatch
import math
from collections.abc import Callable, Iterator
from typing import Any, Generic, TypeVar

from onebit.errors import UsageError, unknown_name

T = TypeVar("T")


class Registry(Generic[T]):
    """A dictionary from public names to objects of one kind, whose misses name the nearest hit.

    >>> colours = Registry[str]("colour")
    >>> _ = colours.add("red", "#f00")
    >>> colours["red"]
    '#f00'
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def add(self, name: str, item: T) -> T:
        if name in self._items:
            raise ValueError(f"{self.kind} {name!r} is registered already")
        self._items[name] = item
        return item

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator form of :meth:`add`."""
        return lambda item: self.add(name, item)

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            raise unknown_name(self.kind, name, self._items)
        return self._items[name]

    def __contains__(self, name: object) -> bool:
        return name in self._items

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self._items))

    def __len__(self) -> int:
        return len(self._items)

    def names(self, pattern: str = "*") -> list[str]:
        """The registered names that match a shell pattern, sorted."""
        return [name for name in self if fnmatch.fnmatchcase(name, pattern)]


def checked_option(label: str, value: Any, default: Any) -> Any:
    """The value, if it is of its default's type; defaults that are neither switch, number nor text take anything.

    Where the default is a text of digits a whole number will do, for ``binary=234`` is how files and command lines write it.

    Raises:
        UsageError: with ``label``, what the option takes, and the value.

    >>> checked_option("option 'init_scale' of method 'rbcn'", 1, 0.1)
    1
    >>> checked_option("option 'binary' of model 'siamfc'", 234, "2345")
    '234'
    """
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if isinstance(default, bool):
        valid, wanted = isinstance(value, bool), "true or false"
    elif isinstance(default, int):
        valid, wanted = number and isinstance(value, int), "a whole number"
    elif isinstance(default, float):
        valid, wanted = number and math.isfinite(value), "a finite number" if number else "a number"
    elif isinstance(default, str):
        value = str(value) if default.isdecimal() and type(value) is int else value
        valid, wanted = isinstance(value, str), "text"
    else:
        return value
    if not valid:
        raise UsageError(f"{label} takes {wanted}, got {value!r}")
    return value
