"""The errors that onebit raises, and the one sentence each of them owes its reader."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class OnebitError(Exception):
    """Something failed: the message says what, with the offending value, and what to do."""

    exit_status = 1


class UsageError(OnebitError):
    """The request itself is wrong: an unknown name, an impossible value, shapes that do not fit."""

    exit_status = 2


class DataError(OnebitError):
    """A data file is missing, truncated, corrupt, or holds what its data set cannot hold."""


class CheckpointError(OnebitError):
    """A checkpoint or a run folder is missing, truncated, or not one of ours."""


class PackedFileError(OnebitError):
    """A packed file is truncated, damaged, of another version, or not one of ours."""


class NonFiniteLossError(OnebitError):
    """A loss term became NaN or infinite; the last good checkpoint is kept."""


def unknown_name(kind: str, name: str, valid: Iterable[str]) -> UsageError:
    """The error for a misspelt name: it offers the nearest valid one, then all of them.

    >>> str(unknown_name("method", "rbnc", ["bireal", "rbcn"]))
    "unknown method 'rbnc'; did you mean 'rbcn'? Valid: bireal, rbcn"
    """
    names = sorted(valid)
    near = difflib.get_close_matches(str(name), names, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]!r}? " if near else ""
    return UsageError(f"unknown {kind} {name!r}; {guess}Valid: {', '.join(names)}")
