"""The drawings of gradient paths: everything is in the picture, in its place, once."""

import re
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from hypothesis import given, settings
from torch import nn

from accounting.hand_made import all_paths, graphs
from onebit.accounting.blocks import block_paths, list_blocks
from onebit.accounting.flow import flow, layers_of, steps_of
from onebit.accounting.paths import gradient_paths
from onebit.nn import BinaryConv2d, BinaryUnit
from onebit.reports.figures.flow_layout import BOX, lay_out
from onebit.reports.figures.paths import LEVELS


def texts(svg):
    return [
        "".join(element.itertext()).strip()
        for element in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")
    ]


@pytest.mark.parametrize("name", list_blocks())
def test_a_block_is_drawn_with_its_costs_and_levels(name):
    paths = block_paths(name)
    svg = paths.to_svg()
    written = texts(svg)
    assert paths.model in written
    assert "x" in written
    assert "y" in written
    assert len([text for text in written if text.startswith("3×3, ")]) == paths.binary_layers
    for colour in LEVELS[: len(paths.levels)]:
        assert colour in svg
    assert LEVELS[len(paths.levels)] not in svg
    assert svg == block_paths(name).to_svg()


def test_files_are_written(tmp_path):
    paths = block_paths("bireal", width=8, size=8)
    assert paths.to_svg(tmp_path / "block.svg") == (tmp_path / "block.svg").read_text()
    paths.to_png(tmp_path / "block.png", dpi=40)
    assert (tmp_path / "block.png").read_bytes().startswith(b"\x89PNG")


@settings(max_examples=60)
@given(graphs())
def test_any_graph_is_laid_out_with_boxes_apart_and_on_the_wires_of_their_paths(graph):
    whole = flow(graph)
    picture = lay_out(whole, 6.0)
    assert sorted(node.index for *_, node in picture.boxes) == sorted(node.index for node in layers_of(whole.part))
    for i, (x, y, _) in enumerate(picture.boxes):
        for other_x, other_y, _ in picture.boxes[:i]:
            assert abs(x - other_x) >= BOX[0] or abs(y - other_y) >= BOX[1]
    for path in all_paths(graph):
        taken = [wire.points for wire in picture.wires if wire.steps & steps_of(path)]
        for x, y, node in picture.boxes:
            inside = any(np.isclose(p[:, 1], y).any() and p[:, 0].min() < x < p[:, 0].max() for p in taken)
            assert inside or node.index not in path


@settings(max_examples=60)
@given(graphs())
def test_the_wires_of_a_path_are_one_line_from_input_to_output(graph):
    picture = lay_out(flow(graph), 6.0)
    for path in all_paths(graph):
        ends = [wire.points[[0, -1]] for wire in picture.wires if wire.steps & steps_of(path)]
        reached = {picture.start}
        waiting = list(ends)
        while any(_near(end[0], reached) for end in waiting):
            for end in [end for end in waiting if _near(end[0], reached)]:
                reached.add((float(end[1][0]), float(end[1][1])))
                waiting = [other for other in waiting if other is not end]
        assert not waiting
        assert _near(np.array(picture.end), reached)


def _near(point, reached):
    # a shortcut's feet stand a little beside its joint
    return any(abs(point[0] - x) < 0.75 and abs(point[1] - y) < 1e-6 for x, y in reached)


def test_long_networks_are_broken_into_rows_of_equal_maps():
    layers = [BinaryUnit(BinaryConv2d, 8, 8) for _ in range(8)] + [BinaryUnit(BinaryConv2d, 8, 16, 2)]
    layers += [BinaryUnit(BinaryConv2d, 16, 16) for _ in range(4)] + [nn.AdaptiveAvgPool2d(1), nn.Conv2d(16, 3, 1)]
    graph = gradient_paths(nn.Sequential(*layers), (8, 16, 16)).graph
    assert graph is not None
    picture = lay_out(flow(graph), 10.0)
    rows = {}
    for _, y, node in picture.boxes:
        rows.setdefault(round(y, 3), []).append(node.shape)
    assert [len(row) for row in rows.values()] == [4, 4, 5]
    assert all(len(set(row)) == 1 for row in rows.values())
    assert [text for *_, text in picture.captions] == [
        *["16 × 16, 8 channels a layer"] * 2,
        "8 × 8, 16 channels a layer",
    ]


def test_a_network_without_binary_layers_can_be_drawn():
    paths = gradient_paths(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 1)), (3, 8, 8), name="_real $x$"
    )
    written = texts(paths.to_svg())
    assert "0 binary layers, input 3 × 8 × 8" in written
    assert any("_real $x$" in text for text in written)


def test_there_is_a_colour_for_every_level_and_more():
    paths = gradient_paths(nn.Sequential(*(BinaryUnit(BinaryConv2d, 2, 2) for _ in range(9))), (2, 4, 4), k=9)
    svg = paths.to_svg()
    assert all(colour in svg for colour in LEVELS)
    assert len(re.findall(r"N.{0,200}?9", svg, re.DOTALL)) > 0
