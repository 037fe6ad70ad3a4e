"""The k cheapest levels of gradient paths, against a count of every path."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from accounting.hand_made import all_paths, cost_and_length, graph_of, graphs, is_layer, slow_levels
from onebit.accounting import path_search
from onebit.accounting.path_search import cheapest_levels, merge_levels
from onebit.accounting.paths import gradient_paths
from onebit.errors import OnebitError, UsageError
from onebit.methods import get_method
from onebit.nn import BinaryConv2d, BinaryLinear


@settings(max_examples=150)
@given(graphs(), st.integers(1, 5), st.sampled_from([0.0, 0.01, 0.1, 0.5, 3.0]))
def test_costs_and_lengths_equal_a_count_of_every_path(graph, k, tolerance):
    levels = cheapest_levels(graph, k, tolerance)
    assert [(level.cost, level.length) for level in levels] == slow_levels(graph, k, tolerance)


@settings(max_examples=100)
@given(graphs())
def test_every_route_is_a_path_of_its_cost_with_the_fewest_layers(graph):
    paths = {path: cost_and_length(graph, path) for path in all_paths(graph)}
    for level in cheapest_levels(graph, 3, 0.1):
        for route in level.routes:
            assert paths[route.nodes] == (route.cost, route.length)
            assert route.length == min(length for cost, length in paths.values() if cost == route.cost)
            assert route.layers == tuple(f"n{i}" for i in route.nodes if is_layer(graph, i))


def chain(costs):
    """x -> (layer of cost c | shortcut) -> add, once for every c."""
    rows, last = [(0, ())], 0
    for cost in costs:
        rows += [(cost, (last,)), (0, (last, len(rows)))]
        last = len(rows) - 1
    return graph_of(rows)


def test_many_nearly_equal_costs_do_not_crowd_out_the_third_level():
    levels = cheapest_levels(chain([1000 + i for i in range(40)]), 3, 0.1)
    assert [(level.cost, level.length) for level in levels] == [(0, 0), (1000, 1), (2001, 2)]
    assert [len(level.routes) for level in levels] == [1, 40, 77]


def test_of_paths_with_one_cost_the_one_with_the_fewest_layers_counts():
    for layers in (
        [(100, (0,)), (100, (1,)), (200, (0,)), (0, (2, 3))],
        [(200, (0,)), (100, (0,)), (100, (2,)), (0, (1, 3))],
    ):
        (level,) = cheapest_levels(graph_of([(0, ()), *layers]), 3, 0.1)
        assert (level.cost, level.length, len(level.routes)) == (200, 1, 1)


def test_zero_is_a_level_of_its_own_whatever_the_tolerance():
    levels = cheapest_levels(chain([1, 5]), 3, 1e6)
    assert [level.cost for level in levels] == [0, 1]


def test_levels_are_anchored_at_their_smallest_cost():
    assert merge_levels([0, 100, 109, 118, 127], 0.1) == [[0], [100, 109], [118, 127]]


def test_the_length_is_the_least_of_the_whole_level_even_off_its_cheapest_path():
    graph = graph_of([(0, ()), (50, (0,)), (50, (1,)), (105, (0,)), (0, (2, 3))])
    (level,) = cheapest_levels(graph, 3, 0.1)
    assert (level.cost, level.routes[0].length, level.length) == (100, 2, 1)


def test_too_many_distinct_costs_are_refused_with_the_remedy(monkeypatch):
    monkeypatch.setattr(path_search, "MOST_COSTS", 1 << 10)
    with pytest.raises(UsageError, match="smaller k or a smaller tolerance"):
        cheapest_levels(chain([3**i for i in range(14)]), 3, 1e9)


def test_costs_of_layers_groups_stride_and_linear():
    grouped = nn.Sequential(BinaryConv2d(8, 4, (3, 1), stride=2, padding=(1, 0), groups=2))
    assert gradient_paths(grouped, (8, 10, 10)).costs == [3 * 1 * (8 // 2) * 4 * 5 * 5]
    linear = nn.Sequential(nn.Flatten(), BinaryLinear(12, 5))
    assert gradient_paths(linear, (3, 2, 2)).costs == [12 * 5]
    assert gradient_paths(BinaryLinear(6, 5), (7, 6)).costs == [7 * 6 * 5]


class Cut(nn.Module):
    """x -> layer -> detach, beside x -> layer."""

    def __init__(self, whole):
        super().__init__()
        self.free, self.held, self.whole = BinaryLinear(4, 4), BinaryLinear(4, 4), whole

    def forward(self, x):
        held = self.held(x).detach()
        return held if self.whole else self.free(x) + held + x.argmax(1, keepdim=True)


def test_no_gradient_comes_through_detach_nor_whole_numbers():
    paths = gradient_paths(Cut(whole=False), (4,))
    assert (paths.costs, paths.levels[0].routes[0].layers) == ([16], ("free",))
    with pytest.raises(OnebitError, match="no gradient reaches the input"):
        gradient_paths(Cut(whole=True), (4,))


class Straight(torch.autograd.Function):
    """A sign of the user's own, whose forward torch runs with gradients switched off."""

    @staticmethod
    def forward(ctx, x):
        return x.sign()

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class Off(nn.Module):
    """x -> Function of one's own -> layer, beside a layer without gradients."""

    def __init__(self):
        super().__init__()
        self.free, self.held = BinaryLinear(4, 4), BinaryLinear(4, 4)

    def forward(self, x):
        with torch.no_grad():
            held = self.held(x)
        return self.free(Straight.apply(x)) + held


def test_no_gradient_comes_through_no_grad_but_through_ones_own_function():
    paths = gradient_paths(Off(), (4,))
    assert (paths.costs, paths.levels[0].routes[0].layers) == ([16], ("free",))
    with torch.no_grad():
        assert gradient_paths(Off(), (4,)).costs == [16]


class Branches(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.left, self.right, self.last = BinaryLinear(4, 8), BinaryLinear(2, 8), BinaryLinear(8, 3)

    def forward(self, x, y):
        z = self.left(x) + self.right(y)
        return {"last": self.last(z), "inner": z}


def test_paths_lead_from_any_output_to_any_input():
    paths = gradient_paths(Branches(), [(4,), (2,)], k=5)
    assert paths.costs == [16, 32, 40, 56]
    assert paths.lengths == [1, 1, 2, 2]


def test_a_module_called_twice_costs_twice():
    layer = BinaryLinear(4, 4)
    paths = gradient_paths(nn.Sequential(layer, layer), (4,))
    assert (paths.costs, paths.lengths, paths.binary_layers) == ([32], [2], 2)


@pytest.mark.parametrize("arguments", [{"k": 0}, {"k": True}, {"tolerance": -0.1}, {"tolerance": float("nan")}])
def test_meaningless_searches_are_refused(arguments):
    with pytest.raises(UsageError, match=f"got {next(iter(arguments.values()))!r}"):
        gradient_paths(BinaryLinear(4, 4), (4,), **arguments)


@pytest.mark.parametrize("shape", [(), (0, 3), [(3,), ()], (3.5,), None, 3, torch.zeros(1, 3)])
def test_meaningless_shapes_are_refused(shape):
    with pytest.raises(UsageError, match="an input shape is positive whole numbers"):
        gradient_paths(BinaryLinear(4, 4), shape)


def test_shared_filters_count_for_every_output_channel():
    block = get_method("pcnn").conv(4, 8, 3, padding=1)
    assert gradient_paths(block, (4, 6, 6)).costs == [9 * 4 * 8 * 6 * 6]


def test_the_module_stays_as_it_was():
    layer = BinaryLinear(4, 4).train()
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    gradient_paths(layer, (4,))
    assert layer.training
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
