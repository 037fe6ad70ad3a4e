"""onebit paths MODEL|BLOCK."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from onebit.cli.arguments import parse, print_json
from onebit.cli.networks import own_network, parse_shape, stdout_for_us
from onebit.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from onebit.accounting.paths import GradientPaths


@dataclass
class Arguments:
    """Show the cheapest gradient paths of a network or of one block: how many binary multiplications, how many layers.

    Blocks: resnet, bireal, ebireal, igp_resnet, binary_densenet, igp_densenet. Models: see `onebit list models`. A module of
    your own is module:callable, a function or class that returns it when called without arguments; that code is run.
    Example: onebit paths bireal --width 64 --size 56 --svg bireal.svg
    """

    name: Annotated[str, tyro.conf.Positional]
    """A block, a model or module:callable."""
    method: str | None = None
    """How its layers are binarised (default: bireal; with `real` there is nothing to count)."""
    input: str | None = None
    """Shape of the input, channels,height,width (default: 3,224,224; for a block its width and 56,56)."""
    num_classes: int | None = None
    """Of a model's classifier (default: 1000)."""
    widths: tuple[int, ...] | None = None
    """A model's widths, if not those of the papers."""
    width: int | None = None
    """Channels of a block's input."""
    size: int | None = None
    """Height and width of a block's maps (default: 56)."""
    growth: int | None = None
    """Channels that a dense layer adds (dense blocks and models)."""
    convs: int | None = None
    """Convolutions of the block igp_resnet: 3, 7, 15, ..."""
    k: int = 3
    """How many levels of cost."""
    tolerance: float = 0.1
    """Costs up to this share above the smallest of a level count as that level."""
    svg: Path | None = None
    """Also draw it, as SVG."""
    png: Path | None = None
    """Also draw it, as PNG."""
    json: bool = False
    """Print costs, lengths and paths as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "paths", argv)
    from onebit.accounting.blocks import BLOCKS
    from onebit.models import list_models

    for path, wrong in ((arguments.svg, ".png"), (arguments.png, ".svg")):
        if path is not None and path.suffix.lower() == wrong:
            raise UsageError(f"{path} would not hold what its name says; --svg writes SVG and --png writes PNG")
    if ":" in arguments.name:
        paths = _own(arguments)
    elif arguments.name in BLOCKS:
        paths = _block(arguments)
    elif arguments.name in list_models(kind="any"):
        paths = _model(arguments)
    else:
        raise unknown_name("model or block", arguments.name, [*BLOCKS, *list_models(kind="any")])
    if arguments.svg is not None:
        paths.to_svg(arguments.svg)
    if arguments.png is not None:
        paths.to_png(arguments.png)
    for path in filter(None, (arguments.svg, arguments.png)):
        print(f"written: {path}", file=sys.stderr)
    if arguments.json:
        print_json(paths.to_dict())
    else:
        print(paths.to_text(shutil.get_terminal_size((100, 24)).columns))


def _options(arguments: Arguments) -> dict[str, Any]:
    given = {name: getattr(arguments, name) for name in ("widths", "width", "growth", "convs")}
    return {name: value for name, value in given.items() if value is not None}


def _block(arguments: Arguments) -> GradientPaths:
    from onebit.accounting.blocks import block_paths

    if arguments.num_classes is not None:
        raise UsageError(f"--num-classes belongs to models; {arguments.name!r} is a block")
    options, size = _options(arguments), 56 if arguments.size is None else arguments.size
    if arguments.input is not None:
        if arguments.width is not None or arguments.size is not None:
            raise UsageError("give a block's --input or its --width and --size, not both")
        channels, height, width = parse_shape(arguments.input)
        if height != width:
            raise UsageError(f"a block's maps are square here, got {height}x{width}")
        options["width"], size = channels, height
    search: dict[str, Any] = {"k": arguments.k, "tolerance": arguments.tolerance}
    return block_paths(arguments.name, method=arguments.method or "bireal", size=size, **search, **options)


def _model(arguments: Arguments) -> GradientPaths:
    from onebit.accounting.paths import check_search, gradient_paths
    from onebit.graph import without_data
    from onebit.models import create_model

    check_search(arguments.k, arguments.tolerance)
    if arguments.size is not None:
        raise UsageError(f"--size belongs to blocks; give the model {arguments.name!r} an --input such as 3,224,224")
    channels, height, width = shape = parse_shape(arguments.input or "3,224,224")
    classes = 1000 if arguments.num_classes is None else arguments.num_classes
    with without_data():
        model = create_model(
            arguments.name,
            arguments.method or "bireal",
            classes,
            channels,
            image_size=max(height, width),
            **_options(arguments),
        )
    return gradient_paths(model, shape, arguments.k, tolerance=arguments.tolerance, name=arguments.name)


def _own(arguments: Arguments) -> GradientPaths:
    from onebit.accounting.paths import check_search, gradient_paths

    check_search(arguments.k, arguments.tolerance)
    if arguments.method or arguments.size is not None or arguments.num_classes is not None or _options(arguments):
        raise UsageError(
            "a module of your own takes --input, and no options of models and blocks; build it as you want it"
        )
    shape = parse_shape(arguments.input or "3,224,224")
    with stdout_for_us():
        return gradient_paths(
            own_network(arguments.name), shape, arguments.k, tolerance=arguments.tolerance, name=arguments.name
        )
