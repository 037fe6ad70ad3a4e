"""summarize on modules of every kind: functions, products, methods, sharing, precision; its forms of output."""

import csv
import functools
import io
import json
import math
import re

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit.accounting import CONVENTIONS, Convention, summarize
from onebit.errors import UsageError
from onebit.methods import get_method
from onebit.models import create_model
from onebit.nn import BinaryConv2d, BinaryLinear
from onebit.reports.costs import cost_page, group_paths, stage_table, totals_table


class Net(nn.Module):
    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, *inputs):
        return self.run(self, *inputs)


def empty(*shapes):
    """Examples for summarize; a tensor is taken as it is, batch included."""
    return [torch.empty(shape) for shape in shapes]


PRODUCTS = [
    (lambda n, x: F.conv1d(x, torch.ones(6, 2, 3), groups=2), [(1, 4, 10)], 6 * 2 * 3 * 8),
    (lambda n, x: F.conv3d(x, torch.ones(5, 2, 1, 2, 3)), [(1, 2, 4, 4, 4)], 5 * 2 * 6 * (4 * 3 * 2)),
    (lambda n, x: F.conv2d(x, torch.ones(8, 4, 3, 3), stride=2, padding=1, dilation=2), [(1, 4, 9, 9)], 8 * 4 * 9 * 16),
    (lambda n, x: F.conv2d(x, torch.ones(4, 1, 3, 3), groups=4), [(1, 4, 5, 5)], 4 * 9 * 9),
    # every element of a transposed convolution's input meets the kernel once
    (lambda n, x: F.conv_transpose2d(x, torch.ones(4, 6, 2, 2), stride=2), [(1, 4, 5, 5)], 4 * 25 * 6 * 4),
    (lambda n, x: F.conv_transpose2d(x, torch.ones(4, 3, 2, 2), groups=2), [(1, 4, 5, 5)], 4 * 25 * 3 * 4),
    (lambda n, x: F.linear(x, torch.ones(7, 6), torch.ones(7)), [(1, 5, 6)], 5 * 6 * 7),
    (lambda n, x, y: x @ y, [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
    (lambda n, x, y: torch.bmm(x, y), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
    (lambda n, x, y: torch.baddbmm(torch.ones(1), x, y), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
    (lambda n, x, y: torch.addbmm(torch.ones(1), x, y), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
    (lambda n, x, y: torch.addmm(torch.ones(6), x, y), [(4, 5), (5, 6)], 4 * 5 * 6),
    (lambda n, x, y: torch.mv(x, y), [(4, 5), (5,)], 4 * 5),
    (lambda n, x, y: torch.einsum("bij,bjk->bik", x, y), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
    (lambda n, x: F.scaled_dot_product_attention(x, x, x), [(2, 5, 8)], 2 * 5 * 5 * 8 * 2),
    (lambda n, x, y: n.bilinear(x, y), [(1, 3), (1, 4)], 5 * (3 * 4 + 3)),
    (lambda n, x: n.lstm(x)[0], [(7, 1, 3)], 7 * (4 * 6 * 3 + 4 * 6 * 6)),
    (lambda n, x: n.attention(x, x, x)[0], [(1, 5, 8)], 5 * 8 * 24 + 2 * 5 * 5 * 8 + 5 * 8 * 8),
    (lambda n, x: n.cell(x)[0], [(2, 3)], 2 * (4 * 6 * 3 + 4 * 6 * 6)),
    (lambda n, x, y: F.scaled_dot_product_attention(x, y, y), [(1, 1, 5, 8), (1, 4, 7, 8)], 4 * 5 * 7 * 8 * 2),
    (lambda n, x, y: torch.linalg.matmul(x, y), [(3, 4, 5), (3, 5, 6)], 3 * 4 * 5 * 6),
    # what is written over an input makes no new tensor, and is computed all the same
    (lambda n, x, y: x.addmm_(y, y), [(5, 5), (5, 5)], 5 * 5 * 5),
    (lambda n, x: F.avg_pool2d(F.relu(F.batch_norm(x, torch.zeros(4), torch.ones(4))) * 2 + x, 2), [(1, 4, 4, 4)], 0),
]


@pytest.mark.parametrize(("run", "shapes", "expected"), PRODUCTS)
def test_products_of_every_kind(run, shapes, expected):
    parts = {"bilinear": nn.Bilinear(3, 4, 5), "lstm": nn.LSTM(3, 6), "cell": nn.LSTMCell(3, 6)}
    net = Net(run, **parts, attention=nn.MultiheadAttention(8, 2, batch_first=True))
    assert summarize(net, empty(*shapes)).macs.get(32, 0) == expected


def test_a_batch_counts_as_one_image_and_inputs_may_be_several():
    net = create_model("lenet", "bireal", in_channels=1, image_size=28)
    one = summarize(net, (1, 28, 28)).to_dict()
    assert one["input_shape"] == [1, 1, 28, 28]
    assert summarize(net, (16, 1, 28, 28)).to_dict() == summarize(net, [(1, 28, 28)]).to_dict() == one
    both = Net(lambda n, x, y: n.a(x) + n.b(y), a=nn.Conv2d(3, 2, 1), b=nn.Linear(5, 4))
    assert summarize(both, [(3, 4, 4), (7, 5)]).macs == {32: 3 * 2 * 16 + 20}
    assert summarize(nn.Linear(5, 7), (5,)).macs == {32: 35}
    for shape in ((), None, 5, "5"):
        with pytest.raises(UsageError, match=rf"input_shape is \(C, H, W\).*got {re.escape(repr(shape))}"):
            summarize(net, shape)
    with pytest.raises(UsageError, match="a convention is a Convention or the name of one, got None"):
        summarize(net, (1, 28, 28), convention=None)
    with pytest.raises(UsageError, match="unknown convention 'papr'; did you mean 'paper'"):
        summarize(net, (1, 28, 28), convention="papr")


def test_shared_unread_frozen_and_half_precision_parameters():
    shared = nn.Linear(4, 4, bias=False)
    net = Net(lambda n, x: n.b(n.a(n.a(x))), a=shared, b=shared, c=nn.Linear(4, 3), scale=nn.Parameter(torch.ones(5)))
    costs = summarize(net, (1, 4))
    assert costs.parameters == {32: 16 + 15 + 5}
    assert costs.macs == {32: 3 * 16}
    assert {(layer.path, layer.op): layer.storage_bits for layer in costs.layers if layer.op == "not read"} == {
        ("c", "not read"): 32 * 15,
        ("", "not read"): 32 * 5,
    }
    half = summarize(nn.Linear(4, 4).bfloat16(), (1, 4))
    assert (half.parameters, half.storage_bits, half.macs, half.computation) == ({16: 20}, 320, {16: 16}, 16)


@pytest.mark.parametrize("wrap", [nn.DataParallel, functools.partial(torch.compile, backend="eager")])
def test_wrapped_modules_cost_what_is_inside(wrap):
    def net():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

    plain = summarize(net(), (3, 6, 6)).to_dict()
    assert summarize(wrap(net()), (3, 6, 6)).to_dict() == plain


def layer_costs(layer, shape, convention="paper"):
    return summarize(nn.Sequential(layer), shape, convention=convention)


def test_layers_of_several_bases_projections_and_input_scales():
    abc = get_method("abcnet", weight_bases=3, activation_bases=5).conv(4, 8, 3, padding=1)
    costs = layer_costs(abc, (4, 6, 6))
    macs = 8 * 4 * 9 * 36
    assert (costs.parameters, costs.storage_bits) == ({3: 288}, 3 * 288)
    assert (costs.macs, costs.computation) == ({1: 15 * macs}, 15 * macs / 64)
    assert layer_costs(abc, (4, 6, 6), "larq").macs == {5: macs}
    assert layer_costs(abc, (4, 6, 6), "paper-scales").storage_bits == 3 * 288 + 32 * 3 * 8
    # PCNN's latent weight has C_out / J filters, the layer that ships has C_out
    pcnn = get_method("pcnn", projections=2).conv(4, 8, 3, padding=1)
    assert (layer_costs(pcnn, (4, 6, 6)).storage_bits, layer_costs(pcnn, (4, 6, 6)).macs) == (288, {1: macs})
    xnor = get_method("xnor", input_scale=True).conv(4, 8, 3, padding=1)
    assert layer_costs(xnor, (4, 6, 6)).computation == macs / 64 + 9 * 36 + 8 * 36
    linear = BinaryLinear(20, 6)
    assert (layer_costs(linear, (1, 20)).parameters, layer_costs(linear, (1, 20)).macs) == ({1: 120}, {1: 120})


def test_conventions_count_norms_and_scales_as_they_say():
    net = nn.Sequential(
        nn.Conv2d(3, 40, 3), nn.BatchNorm2d(40), BinaryConv2d(40, 20, 3, groups=2), nn.BatchNorm2d(20, affine=False)
    )
    stem, bits = 3 * 40 * 9 + 40, 20 * 20 * 9
    vectors = {"paper": 0, "paper-scales": 20, "float": 80, "larq": 80 + 40}
    for convention, numbers in vectors.items():
        assert summarize(net, (3, 8, 8), convention=convention).storage_bits == 32 * (stem + numbers) + bits
    every = Convention("every", "", norms="all")
    assert summarize(net, (3, 8, 8), convention=every).storage_bits == 32 * (stem + 160 + 40) + bits
    assert set(CONVENTIONS) == {*vectors, "deployed"}


def test_deployed_sizes_are_padded_to_words_and_lanes():
    net = nn.Sequential(BinaryConv2d(41, 53, 3), nn.BatchNorm2d(53), nn.ReLU())
    # 9 positions of two 32-bit words for 41 channels, four blocks of 16 lanes for 53 filters; two vectors of the norm
    assert summarize(net, (41, 8, 8)).deployed_bits == 9 * 64 * 64 + 32 * 2 * 53
    alone = nn.Sequential(BinaryConv2d(64, 32, 3, groups=2))
    # without a norm its scale ships as a vector
    assert summarize(alone, (64, 8, 8)).deployed_bits == 2 * 9 * 32 * 16 + 32 * 32
    assert (
        summarize(alone, (64, 8, 8), convention="deployed").storage_bits == summarize(alone, (64, 8, 8)).deployed_bits
    )


def test_every_form_of_output_tells_the_same():
    costs = summarize(create_model("resnet18", "rbcn", widths=(8, 8, 16, 16)), (3, 32, 32), model="resnet18")
    data = json.loads(costs.to_json())
    keys = ("model", "method", "input_shape", "parameters", "storage_bits", "macs", "computation", "layers")
    assert list(data)[:3] == list(keys[:3])
    assert set(keys) <= set(data)
    assert (data["model"], data["method"]) == ("resnet18", "rbcn")
    assert data["parameters"] == {str(bits): number for bits, number in costs.parameters.items()}
    for key in ("storage_bits", "computation", "kept_bytes"):
        assert sum(layer[key] for layer in data["layers"]) == data[key]
    rows = list(csv.DictReader(io.StringIO(costs.to_csv())))
    assert len(rows) == len(costs.layers)
    assert sum(int(row["macs_1_bit"]) for row in rows) == costs.macs[1]
    assert sum(int(row["parameters_32_bit"]) for row in rows) == costs.parameters[32]
    assert math.isclose(sum(float(row["computation"]) for row in rows), costs.computation)
    assert "| stages.0.0.conv " in costs.to_markdown()
    twin = summarize(create_model("resnet18", "real", widths=(8, 8, 16, 16)), (3, 32, 32), convention="float")
    assert totals_table(costs, twin).rows[0][-1] == f"{twin.storage_bits / costs.storage_bits:.2f}x"
    page = cost_page(costs, twin)
    assert page.count("<table>") == 3
    assert "http" not in page
    parts = [row[0] for row in stage_table(costs).rows]
    assert parts == ["stem", "stages.0", "stages.1", "stages.2", "stages.3", "pool", "classifier"]
    assert sum(row[4] for row in stage_table(costs).rows) == pytest.approx(costs.storage_bits / 1e3)


def test_tables_fit_a_terminal_of_100_columns():
    from rich.console import Console

    costs = summarize(create_model("igp_resnet37", "bireal"), (3, 32, 32))
    stream = io.StringIO()
    console = Console(file=stream, width=100)
    for table in (stage_table(costs), totals_table(costs, costs)):
        console.print(table.rich())
    assert max(map(len, stream.getvalue().splitlines())) <= 100
    assert f"{costs.parameters[1]:,}" in stream.getvalue()


def test_parts_are_split_where_one_would_hold_most():
    assert group_paths([]) == []
    assert group_paths(["", "", "0.1"]) == ["", "", "0"]
    assert group_paths(["net.a.0", "net.a.1", "net.b", "net.c"]) == ["net.a", "net.a", "net.b", "net.c"]
    many = [f"layers.{i}.{j}" for i in range(30) for j in range(2)]
    assert len(set(group_paths(many))) in (1, 30)
