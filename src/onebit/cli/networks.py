"""Networks that commands are given by name: shapes of images, and modules of the user's own code."""

from __future__ import annotations

import contextlib
import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from onebit.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


def parse_shape(text: str) -> tuple[int, int, int]:
    """``3,224,224`` as numbers.

    >>> parse_shape("3,32,32")
    (3, 32, 32)
    """
    parts = text.replace("x", ",").split(",")
    if len(parts) != 3 or not all(part.strip().isdecimal() and int(part) > 0 for part in parts):
        raise UsageError(f"--input is channels,height,width such as 3,224,224, got {text!r}")
    channels, height, width = map(int, parts)
    return channels, height, width


def stdout_for_us() -> contextlib.AbstractContextManager[Any]:
    """What the user's own code prints goes to stderr, for stdout holds the result and nothing else."""
    return contextlib.redirect_stdout(sys.stderr)


def own_network(name: str) -> nn.Module:
    """The module that ``module:callable`` returns, or is; imported from the current folder first.

    Raises:
        UsageError: if it cannot be imported, fails, or is no module; with the line that failed.
    """
    from torch import nn

    place, _, attribute = name.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(place)
        for part in attribute.split("."):
            found = getattr(found, part)
    except Exception as error:
        raise UsageError(f"{name!r} is not module:callable that can be imported here: {_told(error)}") from error
    finally:
        sys.path.pop(0)
    try:
        network = found if isinstance(found, nn.Module) else found() if callable(found) else None
    except Exception as error:
        raise UsageError(f"{name!r} gives no module when called without arguments: {_told(error)}") from error
    if not isinstance(network, nn.Module):
        raise UsageError(f"{name!r} gives {network!r}, which is no torch.nn.Module")
    return network


def _told(error: Exception) -> str:
    """An error of the user's code with its line, if it has one."""
    from onebit.graph.source import code_line, source_of_traceback

    filename, number = source_of_traceback(error.__traceback__)
    if not filename or filename == __file__:
        return f"{type(error).__name__}: {error}"
    return f"{type(error).__name__} at {code_line(filename, number)}: {error}"
