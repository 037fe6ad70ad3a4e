"""Gradient paths in characters and as plain data."""

import json

from torch import nn

from onebit.accounting.blocks import block_paths
from onebit.accounting.paths import gradient_paths
from onebit.nn import BinaryConv2d, BinaryUnit

BIREAL = """\
Bi-Real: 2 binary layers, input 64 × 56 × 56

x ─┬─[N^BR]─┬(+)┬─[N^BR]─┬(+)─ y
   └────────┘   └────────┘

(+) sum

N1 = 0                     L1 = 0   past every binary layer
N2 = N^BR = 115,605,504    L2 = 1   through 1.conv
N3 = 2N^BR = 231,211,008   L3 = 2   through 0.conv, 1.conv"""

FRACTAL = """\
x ─┬──────┬─[N^IR]─┬(+)─────────┬(μ)─ y
   │      └────────┘            │
   └┬─[N^IR]─┬(+)┬─[N^IR]─┬(+)──┘
    └────────┘   └────────┘
"""


def test_a_block_in_characters():
    assert block_paths("bireal").to_text() == BIREAL
    assert FRACTAL in block_paths("igp_resnet").to_text()


def test_networks_are_broken_into_rows_of_the_given_width():
    network = nn.Sequential(nn.Conv2d(3, 64, 3), *(BinaryUnit(BinaryConv2d, 64, 64) for _ in range(6)))
    text = gradient_paths(network, (3, 16, 16), name="network").to_text(60)
    assert text.splitlines()[0] == "network: 6 binary layers, input 3 × 16 × 16"
    assert max(map(len, text.split("\n\n")[1].splitlines())) <= 60
    assert text.count("[7.23 M]") == 6
    assert "□ real layer" in text


def test_what_does_not_fit_is_listed():
    text = block_paths("igp_resnet", convs=7, width=41).to_text(40)
    assert "    7 ×   47.4 M   -> 41 × 56 × 56" in text
    assert "┬" not in text


def test_costs_that_count_as_one_are_said_to():
    assert "through 0.branch.1 (costs up to 375,717,888 count as one)" in block_paths("binary_densenet").to_text()


def test_plain_data():
    paths = block_paths("binary_densenet")
    data = json.loads(paths.to_json())
    assert data["model"] == "BinaryDenseNet"
    assert (data["costs"], data["lengths"]) == (paths.costs, paths.lengths) == ([0, 346816512, 722534400], [0, 1, 2])
    assert [level["path"] for level in data["levels"]] == [[], ["0.branch.1"], ["0.branch.1", "1.branch.1"]]
    assert data["levels"][1]["highest_cost"] == 375717888
    assert data["binary_layers"] == 2


def test_layers_without_symbols_are_numbers():
    paths = gradient_paths(nn.Sequential(BinaryUnit(BinaryConv2d, 4, 4)), (4, 4, 4))
    assert paths.expressions == ["0", "2.30 k"]
    assert paths.to_dict()["levels"][1]["symbol"] is None
