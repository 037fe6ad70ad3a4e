"""onebit summary MODEL."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from onebit.cli.arguments import parse, print_json, print_table
from onebit.cli.networks import named_network, own_network, parse_shape, stdout_for_us
from onebit.errors import UsageError
from onebit.files import write_text

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
    if own and (arguments.method or arguments.widths or arguments.option or arguments.method_option):
        raise UsageError(
            "--method, --widths and options belong to the models of onebit; build your own module as you want it"
        )
    with stdout_for_us():
        network = own_network(arguments.model) if own else _network(arguments, arguments.method or "rbcn", shape)
        summary = summarize(network, shape, convention=convention, model=arguments.model)
    twin = None
    if not own and summary.method != "real":
        real = _network(arguments, "real", shape, twin=True)
        twin = summarize(real, shape, convention=convention.twin or convention, model=arguments.model)
    files = (
        (arguments.csv, summary.to_csv),
        (arguments.markdown, summary.to_markdown),
        (arguments.html, lambda: cost_page(summary, twin)),
    )
    for path, text in files:
        if path is not None:
            write_text(path, text())
            print(f"written: {path}", file=sys.stderr)
    if arguments.json:
        print_json(as_json(summary, twin))
        return
    print_table(brief_layer_table(summary) if arguments.layers else stage_table(summary))
    print_table(totals_table(summary, twin))


def _network(arguments: Arguments, method: str, shape: tuple[int, int, int], twin: bool = False) -> nn.Module:
    from onebit.graph import without_data

    method_options = () if twin else arguments.method_option
    with without_data():
        return named_network(
            arguments.model, method, arguments.num_classes, shape, arguments.widths, arguments.option, method_options
        )
