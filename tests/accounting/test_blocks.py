"""The paper's statements on its six blocks, and the paths of whole networks."""

import re

import pytest
import torch

from onebit.accounting.blocks import block_paths, list_blocks
from onebit.accounting.path_names import short_count
from onebit.accounting.paths import gradient_paths
from onebit.errors import UsageError
from onebit.models import create_model

# block -> N2, L2, N3, L3 as printed; N1 = 0 and L1 = 0 everywhere
STATEMENTS = {
    "resnet": ("2N^R", 2, None, None),
    "bireal": ("N^BR", 1, "2N^BR", 2),
    "ebireal": ("N^ER", 1, "2N^ER", 2),
    "igp_resnet": ("N^IR", 1, "2N^IR", 2),
    "binary_densenet": ("N1^BD ~ N2^BD", 1, "N1^BD + N2^BD", 2),
    "igp_densenet": ("N1^ID", 1, "N1^ID + N2^ID", 2),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_the_papers_statement(name):
    paths = block_paths(name)
    second, length, third, longer = STATEMENTS[name]
    levels = list(zip(paths.expressions, paths.lengths, strict=True))
    assert levels == [("0", 0), (second, length)] + ([(third, longer)] if third else [])
    assert paths.costs[0] == 0


def test_the_blocks_are_those_of_the_statements():
    assert list_blocks() == list(STATEMENTS)


def test_costs_in_numbers():
    position = 56 * 56 * 9
    assert block_paths("bireal", width=64, size=56).costs == [0, 64 * 64 * position, 2 * 64 * 64 * position]
    assert block_paths("resnet", width=16, size=56).costs == [0, 2 * 16 * 16 * position]
    dense = block_paths("binary_densenet", width=384, growth=32)
    assert dense.costs == [0, 384 * 32 * position, (384 + 416) * 32 * position]
    assert [route.cost for route in dense.levels[1].routes] == [384 * 32 * position, 416 * 32 * position]
    assert block_paths("igp_densenet", width=276, growth=53).costs == [
        0,
        276 * 53 * position,
        (276 + 53) * 53 * position,
    ]


@pytest.mark.parametrize(("convs", "layers"), [(3, 3), (7, 7), (15, 15), (31, 31)])
def test_fractal_blocks_of_every_depth_have_the_same_statement(convs, layers):
    paths = block_paths("igp_resnet", convs=convs, width=8, size=8)
    assert (paths.binary_layers, paths.expressions, paths.lengths) == (layers, ["0", "N^IR", "2N^IR"], [0, 1, 2])


def test_dense_layers_of_unlike_size_are_levels_of_their_own():
    paths = block_paths("binary_densenet", width=64, growth=32)
    assert paths.expressions == ["0", "N1^BD", "N2^BD"]
    assert block_paths("binary_densenet", width=64, growth=32, tolerance=0.6).expressions[1] == "N1^BD ~ N2^BD"


@pytest.mark.parametrize("method", ["bireal", "xnor", "rbcn"])
def test_the_method_does_not_matter(method):
    assert block_paths("ebireal", method=method, width=8, size=8).costs == [0, 36864, 73728]


def test_the_full_precision_twin_has_no_binary_layer():
    paths = block_paths("bireal", method="real", width=8, size=8)
    assert (paths.costs, paths.lengths, paths.binary_layers, paths.expressions) == ([0], [0], 0, ["0"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "birael"}, "did you mean 'bireal'?"),
        ({"name": "bireal", "growth": 3}, "unknown option of block 'bireal': 'growth'"),
        ({"name": "igp_resnet", "convs": 5}, "3, 7, 15, ... convolutions (2^c - 1), got 5"),
        ({"name": "bireal", "width": 0}, "width must be a positive whole number, got 0"),
        ({"name": "bireal", "size": -1}, "size must be a positive whole number, got -1"),
        ({"name": "bireal", "method": "birael"}, "unknown method 'birael'"),
    ],
)
def test_wrong_requests_are_refused_in_one_sentence(arguments, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        block_paths(**arguments)


# network -> costs and lengths at 3 x 224 x 224, worked out by hand from widths and map sizes
NETWORKS = {
    "bireal_resnet18": (16, [0, 9 * 64 * 128 * 28**2, 9 * 64 * 64 * 56**2], [0, 1, 1]),
    "ebireal_resnet18": (16, [0, 9 * 64 * 128 * 28**2, 9 * 64 * 64 * 56**2], [0, 1, 1]),
    "igp_resnet37": (56, [0, 9 * 41 * 41 * 56**2, 2 * 9 * 41 * 41 * 56**2], [0, 1, 2]),
    "igp_resnet69": (120, [0, 9 * 31 * 31 * 56**2, 2 * 9 * 31 * 31 * 56**2], [0, 1, 2]),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_whole_networks(name):
    with torch.device("meta"):
        model = create_model(name, "bireal", 1000, image_size=224)
    paths = gradient_paths(model, (3, 224, 224))
    assert (paths.binary_layers, paths.costs, paths.lengths) == NETWORKS[name]


def test_short_counts():
    assert [short_count(n) for n in (0, 7, 999, 1000, 999_499, 999_500, 65_000_000, 10**16)] == [
        *("0", "7", "999", "1.00 k", "999.5 k", "1.00 M", "65.0 M", "10000.0 T"),
    ]
