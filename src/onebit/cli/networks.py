"""Networks that commands are given by name: shapes of images, and modules of the user's own code."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import sys
from collections.abc import Sequence
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


def named_network(
    model: str,
    method: str,
    num_classes: int,
    shape: tuple[int, int, int],
    widths: tuple[int, ...] | None = None,
    options: Sequence[str] = (),
    method_options: Sequence[str] = (),
) -> nn.Module:
    """A model of onebit for images of ``shape``, with the words of ``--widths``, ``--option`` and ``--method-option``.

    Raises:
        UsageError: for an option that is a flag of its own, and as :func:`onebit.create_model` does.
    """
    from onebit.models import create_model

    channels, height, width = shape
    given = parse_options(options, "--option")
    if widths is not None:
        given["widths"] = widths
    for name in given.keys() & inspect.signature(create_model).parameters.keys():
        raise UsageError(f"--option {name} is no option of a model; it has a flag of its own, see --help")
    return create_model(
        model,
        method,
        num_classes,
        channels,
        image_size=max(height, width),
        method_options=parse_options(method_options, "--method-option"),
        **given,
    )


def parse_options(words: Sequence[str], flag: str) -> dict[str, Any]:
    """``name=value`` words as options; values are read as numbers, truth values, tuples such as 8,16, else as text.

    >>> parse_options(["growth=64", "stem=imagenet", "layers=2,2", "stage_shortcut=false"], "--option")
    {'growth': 64, 'stem': 'imagenet', 'layers': (2, 2), 'stage_shortcut': False}
    """
    options = {}
    for word in words:
        name, equals, value = word.partition("=")
        if not (name.isidentifier() and equals and value):
            raise UsageError(f"{flag} takes name=value, got {word!r}")
        try:
            options[name] = ast.literal_eval({"true": "True", "false": "False", "none": "None"}.get(value, value))
        except (ValueError, SyntaxError):
            options[name] = value
    return options


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
