"""onebit summary MODEL."""

from __future__ import annotations

import ast
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from onebit.cli.arguments import parse, print_json, print_table
from onebit.errors import UsageError

if TYPE_CHECKING:
    from torch import nn


@dataclass
class Arguments:
    """What a network costs: storage, computation and memory, by part and in total, beside its full-precision twin.

    MODEL is a model of onebit, or module:callable, a function or class of your own code that returns a torch module when
    called without arguments; that code is imported and run.
    Example: onebit summary bireal_resnet18 --method bireal
    """

    model: Annotated[str, tyro.conf.Positional]
    """A model (see `onebit list models`) or module:callable."""
    method: str | None = None
    """How its layers are binarised (default: rbcn; a module of your own has its own)."""
    input: str = "3,224,224"
    """Shape of one image: channels,height,width."""
    num_classes: int = 1000
    """Of the classifier."""
    widths: tuple[int, ...] | None = None
    """Widths, if not those of the papers."""
    option: tuple[str, ...] = ()
    """Further options of the model, such as growth=64 stem=imagenet."""
    method_option: tuple[str, ...] = ()
    """Options of the method, such as weight_bases=3."""
    convention: str = "paper"
    """How costs are counted: paper, paper-scales, float, larq or deployed."""
    layers: bool = False
    """Show every layer instead of the parts."""
    json: bool = False
    """Print everything as JSON."""
    csv: Path | None = None
    """Also write every layer to this file, as CSV."""
    markdown: Path | None = None
    """Also write totals and layers to this file, as Markdown."""
    html: Path | None = None
    """Also write totals, parts and layers to this file, as a page."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "summary", argv)
    from onebit.accounting.conventions import get_convention
    from onebit.accounting.summary import summarize
    from onebit.reports.costs import as_json, brief_layer_table, cost_page, stage_table, totals_table

    shape = parse_shape(arguments.input)
    convention = get_convention(arguments.convention)
    own = ":" in arguments.model
    network = _own_network(arguments) if own else _network(arguments, arguments.method or "rbcn", shape)
    summary = summarize(network, shape, convention=convention, model=arguments.model)
    twin = None
    if not own and summary.method != "real":
        real = _network(arguments, "real", shape)
        twin = summarize(real, shape, convention=convention.twin or convention, model=arguments.model)
    files = (
        (arguments.csv, summary.to_csv),
        (arguments.markdown, summary.to_markdown),
        (arguments.html, lambda: cost_page(summary, twin)),
    )
    for path, text in files:
        if path is not None:
            path.write_text(text(), encoding="utf-8")
            print(f"written: {path}", file=sys.stderr)
    if arguments.json:
        print_json(as_json(summary, twin))
        return
    print_table(brief_layer_table(summary) if arguments.layers else stage_table(summary))
    print_table(totals_table(summary, twin))


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


def _network(arguments: Arguments, method: str, shape: tuple[int, int, int]) -> nn.Module:
    from onebit.graph import without_data
    from onebit.models import create_model

    channels, height, width = shape
    options = parse_options(arguments.option, "--option")
    if arguments.widths is not None:
        options["widths"] = arguments.widths
    method_options = parse_options(arguments.method_option, "--method-option") if method != "real" else {}
    size = max(height, width)
    with without_data():
        return create_model(
            arguments.model,
            method,
            arguments.num_classes,
            channels,
            image_size=size,
            method_options=method_options,
            **options,
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


def _own_network(arguments: Arguments) -> nn.Module:
    import importlib

    from torch import nn

    if arguments.method or arguments.widths or arguments.option or arguments.method_option:
        raise UsageError(
            "--method, --widths and options belong to the models of onebit; build your own module as you want it"
        )
    place, _, name = arguments.model.partition(":")
    sys.path.insert(0, str(Path.cwd()))
    try:
        found: Any = importlib.import_module(place)
        for part in name.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise UsageError(f"{arguments.model!r} is not module:callable that can be imported here: {error}") from None
    finally:
        sys.path.pop(0)
    network = found if isinstance(found, nn.Module) else found() if callable(found) else None
    if not isinstance(network, nn.Module):
        raise UsageError(f"{arguments.model!r} gives {network!r}, which is no torch.nn.Module")
    return network
