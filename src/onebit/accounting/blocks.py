"""The six blocks whose gradient paths IGP compares, by name, built from the zoo's own units."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onebit.errors import UsageError, unknown_name

if TYPE_CHECKING:
    from torch import nn

    from onebit.accounting.paths import GradientPaths
    from onebit.methods import Method


@dataclass(frozen=True)
class Block:
    """A block of the paper: how it is built, its defaults, and what its layers' costs are called.

    ``symbols`` maps the names of its binary layers to symbols, ``""`` standing for all others.
    """

    name: str
    title: str
    build: Callable[[Method, Mapping[str, int]], nn.Module]
    options: Mapping[str, int]
    symbols: Mapping[str, str]


def _resnet(method: Method, options: Mapping[str, int]) -> nn.Module:
    from onebit.models.residual import ResidualBlock

    return ResidualBlock(method.conv, options["width"], options["width"], 1, None)


def _bireal(method: Method, options: Mapping[str, int]) -> nn.Module:
    from torch import nn

    from onebit.nn import BinaryUnit

    return nn.Sequential(*(BinaryUnit(method.conv, options["width"], options["width"]) for _ in range(2)))


def _ebireal(method: Method, options: Mapping[str, int]) -> nn.Module:
    from onebit.models.residual import DoublyResidualBlock

    return DoublyResidualBlock(method.conv, options["width"], options["width"], 1, None)


def _igp_resnet(method: Method, options: Mapping[str, int]) -> nn.Module:
    from onebit.models.igp_resnet import FractalBlock

    columns = (options["convs"] + 1).bit_length() - 1
    if columns < 2 or options["convs"] != 2**columns - 1:
        raise UsageError(f"a fractal block has 3, 7, 15, ... convolutions (2^c - 1), got {options['convs']}")
    return FractalBlock(method.conv, options["width"], columns)


def _binary_densenet(method: Method, options: Mapping[str, int]) -> nn.Module:
    from torch import nn

    from onebit.models.densenet import DenseLayer

    width, growth = options["width"], options["growth"]
    return nn.Sequential(*(DenseLayer(method.conv, width + i * growth, growth) for i in range(2)))


def _igp_densenet(method: Method, options: Mapping[str, int]) -> nn.Module:
    from onebit.models.igp_densenet import FractalDenseLayer

    return FractalDenseLayer(method.conv, options["width"], options["growth"])


# Widths of the residual blocks: first stages of Bi-Real 64 and IGP-ResNet21(53), 37(41), 69(31). Of the dense ones: the input
# of the eleventh layer of BinaryDenseNet51(32), where one growth is a small share, and of the fifth of IGP-DenseNet51(53).
BLOCKS = {
    block.name: block
    for block in (
        Block("resnet", "ResNet", _resnet, {"width": 64}, {"": "N^R"}),
        Block("bireal", "Bi-Real", _bireal, {"width": 64}, {"": "N^BR"}),
        Block("ebireal", "EBi-Real", _ebireal, {"width": 64}, {"": "N^ER"}),
        Block("igp_resnet", "IGP-ResNet", _igp_resnet, {"width": 53, "convs": 3}, {"": "N^IR"}),
        Block(
            "binary_densenet",
            "BinaryDenseNet",
            _binary_densenet,
            {"width": 384, "growth": 32},
            {"0.branch.1": "N1^BD", "1.branch.1": "N2^BD"},
        ),
        Block(
            "igp_densenet",
            "IGP-DenseNet",
            _igp_densenet,
            {"width": 276, "growth": 53},
            {"direct.1": "N1^ID", "first.1": "N1^ID", "second.1": "N2^ID"},
        ),
    )
}


def list_blocks() -> list[str]:
    """Names of the blocks.

    >>> list_blocks()
    ['resnet', 'bireal', 'ebireal', 'igp_resnet', 'binary_densenet', 'igp_densenet']
    """
    return list(BLOCKS)


def block_paths(
    name: str, *, method: str = "bireal", size: int = 56, k: int = 3, tolerance: float = 0.1, **options: int
) -> GradientPaths:
    """The gradient paths of a block, with its costs in the paper's symbols.

    Args:
        name: see :func:`list_blocks`. method: any binary one; the paths are the same.
        size: height and width of the block's maps.
        options: ``width``, channels of its input; ``growth`` of the dense blocks; ``convs`` (M) of ``igp_resnet``.
    Raises:
        UsageError: for an unknown block or option, and sizes that are not positive.

    >>> paths = block_paths("bireal", width=64, size=56)
    >>> paths.expressions, paths.lengths
    (['0', 'N^BR', '2N^BR'], [0, 1, 2])
    """
    from onebit.accounting.path_search import is_binary
    from onebit.accounting.paths import gradient_paths
    from onebit.graph import without_data
    from onebit.methods import get_method

    if name not in BLOCKS:
        raise unknown_name("block", name, BLOCKS)
    block = BLOCKS[name]
    for option in options:
        if option not in block.options:
            raise unknown_name(f"option of block {name!r}:", option, block.options)
    chosen: dict[str, Any] = {**block.options, **options}
    for option, value in (*chosen.items(), ("size", size)):
        if type(value) is not int or value < 1:
            raise UsageError(f"{option} must be a positive whole number, got {value!r}")
    with without_data():
        module = block.build(get_method(method), chosen)
    title = block.title + (f" (M={chosen['convs']})" if "convs" in chosen else "")
    paths = gradient_paths(module, (chosen["width"], size, size), k, tolerance=tolerance, name=title)
    assert paths.graph is not None
    layers = [node.path for node in paths.graph.nodes if is_binary(node)]
    symbols = {layer: block.symbols.get(layer, block.symbols.get("", "")) for layer in layers}
    return replace(paths, symbols=symbols)
