"""The structures of the gradient-path paper and their baselines, against their formulas written out here."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from onebit.errors import UsageError
from onebit.methods import get_method
from onebit.models import create_model, model_options, scale_options
from onebit.models.densenet import DenseLayer
from onebit.models.igp_densenet import FractalDenseLayer
from onebit.models.igp_resnet import FractalBlock
from onebit.models.join import Join
from onebit.models.residual import DoublyResidualBlock
from onebit.nn import BinaryConv2d, BinaryUnit

CONV = get_method("bireal").conv
CHANNELS = 4


@pytest.fixture
def x():
    return torch.randn(2, CHANNELS, 6, 6, generator=torch.Generator().manual_seed(3))


def units_in_order(block):
    return [m for m in block.modules() if isinstance(m, BinaryUnit)]


def binary_convs(module):
    return [m for m in module.modules() if isinstance(m, BinaryConv2d)]


@pytest.mark.parametrize("columns", [2, 3, 4])
def test_a_fractal_of_c_columns_has_two_to_the_c_minus_one_convolutions(columns):
    assert len(units_in_order(FractalBlock(CONV, CHANNELS, columns))) == 2**columns - 1


@pytest.mark.parametrize("join", ["mean", "sum"])
def test_fractal_blocks_are_the_recursion(x, join):
    block = FractalBlock(CONV, CHANNELS, 3, join).eval()
    # In the order of construction: u, then the two inner fractals, each u and its two deeper units.
    u, a, b, c, d, e, f = units_in_order(block)
    factor = 0.5 if join == "mean" else 1.0

    def inner(value, shallow, first, second):
        return (shallow(value) + second(first(value))) * factor

    expected = (u(x) + inner(inner(x, a, b, c), d, e, f)) * factor
    assert torch.equal(block(x), expected)


def test_doubly_residual_block_reuses_the_shortcut(x):
    block = DoublyResidualBlock(CONV, CHANNELS, 2 * CHANNELS, 2, None).eval()
    shortcut = block.shortcut(x)
    middle = block.first.norm(block.first.conv(x)) + shortcut
    expected = block.second.norm(block.second.conv(middle)) + middle + shortcut
    assert torch.equal(block(x), expected)
    real = [m for m in block.modules() if isinstance(m, nn.Conv2d) and not isinstance(m, BinaryConv2d)]
    assert len(real) == 1


def test_dense_layers_append(x):
    layer = DenseLayer(CONV, CHANNELS, 3).eval()
    norm, conv = layer.branch
    y = layer(x)
    assert torch.equal(y[:, :CHANNELS], x)
    assert torch.equal(y[:, CHANNELS:], conv(norm(x)))


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("join", ["mean", "sum"])
def test_fractal_dense_layers_append_the_join(x, join, shortcut):
    layer = FractalDenseLayer(CONV, CHANNELS, 3, join, inner_shortcut=shortcut).eval()
    first = layer.first(x)
    deep = layer.second(first) + (first if shortcut else 0)
    both = layer.direct(x) + deep
    y = layer(x)
    assert torch.equal(y[:, :CHANNELS], x)
    assert torch.equal(y[:, CHANNELS:], both / 2 if join == "mean" else both)


def test_stage_layouts_of_the_igp_resnets(x):
    images = torch.randn(1, 3, 32, 32)
    counts = {}
    for shortcut in (False, True):
        for column in (False, True):
            net = create_model(
                "igp_resnet37", "bireal", widths=(4, 8, 16, 32), stage_shortcut=shortcut, stage_column=column
            )
            assert net.eval()(images).shape == (1, 10)
            real = [m for m in net.modules() if isinstance(m, nn.Conv2d) and not isinstance(m, BinaryConv2d)]
            counts[shortcut, column] = len(binary_convs(net)), len(real)
    # 8 blocks of 7; a column adds one per stage; a shortcut one real 1x1 in each of three stages.
    assert counts == {(False, False): (56, 4), (True, False): (56, 7), (False, True): (60, 4), (True, True): (60, 7)}


def test_stage_shortcut_and_column_join_as_stated(x):
    net = create_model("igp_resnet37", "bireal", widths=(4, 8, 16, 32), stage_column=True).eval()
    stage = net.stages[1]
    entered = stage.entry(x)
    expected = (stage.column(entered) + stage.blocks(entered)) / 2
    expected = (stage.shortcut(x) + expected) / 2
    assert torch.equal(stage(x), expected)
    assert net.stages[0].shortcut is None


def test_ebireal_costs_what_bireal_costs():
    def parameters(name):
        return sorted(p.numel() for p in create_model(name, "bireal", widths=(8, 16, 32, 64)).parameters())

    assert parameters("ebireal_resnet18") == parameters("bireal_resnet18")


def test_binary_shortcuts_are_the_methods_own():
    net = create_model("resnet18", "xnor", widths=(4, 8, 16, 32), shortcut_conv="binary")
    assert [m.kernel_size for m in binary_convs(net)].count((1, 1)) == 3
    assert all(
        isinstance(m, BinaryConv2d)
        for n, m in net.named_modules()
        if n.startswith("stages") and isinstance(m, nn.Conv2d)
    )


def test_bireal_is_resnet_with_a_shortcut_per_unit():
    torch.manual_seed(0)
    one = create_model("bireal_resnet34", "xnor", widths=(4, 4, 4, 4))
    torch.manual_seed(0)
    other = create_model("resnet34", "xnor", widths=(4, 4, 4, 4), shortcut="unit")
    images = torch.randn(2, 3, 16, 16)
    assert torch.equal(one.eval()(images), other.eval()(images))


@settings(max_examples=30)
@given(p=st.floats(0.0, 0.99), count=st.integers(1, 40), seed=st.integers(0, 1000))
def test_drop_path_keeps_one_branch_per_image(p, count, seed):
    torch.manual_seed(seed)
    one, two = torch.full((count, 2, 1, 1), 1.0), torch.full((count, 2, 1, 1), 2.0)
    y = Join("mean", p)(one, two)
    assert bool(((y == 1) | (y == 2) | (y == 1.5)).all())
    assert torch.equal(y[:, 0], y[:, 1])
    assert torch.equal(Join("mean", p).eval()(one, two), torch.full_like(one, 1.5))
    total = Join("sum", p)(one, two)
    assert bool(((total == 2) | (total == 4) | (total == 3)).all())


def test_drop_path_drops_at_its_rate():
    torch.manual_seed(0)
    y = Join("mean", 0.3)(torch.zeros(20000, 1), torch.ones(20000, 1))
    # Both kept 0.49, one alone 0.21 each, neither 0.09, which a coin settles.
    shares = [(y == value).float().mean().item() for value in (0.0, 0.5, 1.0)]
    assert shares == pytest.approx([0.255, 0.49, 0.255], abs=0.015)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"join": "max"}, "join is 'mean' or 'sum', not 'max'"),
        ({"drop_path": 1.0}, "drop_path is a probability from 0 up to, not including, 1; got 1.0"),
        ({"widths": (4, 8)}, "4 widths, one a stage such as 41-82-164-328, got"),
        ({"blocks": (2, 0, 2, 2)}, "blocks per stage such as 2-2-2-2, got"),
        ({"blocks": 2}, "blocks per stage such as 2-2-2-2, got 2"),
        ({"blocks": (), "widths": ()}, r"blocks per stage such as 2-2-2-2, got \(\)"),
    ],
)
def test_impossible_igp_resnets(options, message):
    with pytest.raises(UsageError, match=message):
        create_model("igp_resnet37", "bireal", **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"growth": 0}, "one positive growth, got"),
        ({"reductions": (2.0, 2.0)}, "4 stages take 3 reductions of 1 or more, got"),
        ({"reductions": (2.0, 2.0, 0.5)}, "3 reductions of 1 or more"),
        ({"reductions": (2.0, 2.0, float("nan"))}, "3 reductions of 1 or more"),
        ({"reductions": 2.0}, "3 reductions of 1 or more, got 2.0"),
        ({"reductions": ("2", "2", "2")}, "3 reductions of 1 or more, got"),
        ({"layers": 2}, "layers per stage such as 12-12-12-10, got 2"),
        ({"layers": (), "reductions": ()}, r"layers per stage such as 12-12-12-10, got \(\)"),
        (
            {"layers": (1, 1, 1, 1), "growth": 1, "init_features": 2, "reductions": (9.0, 2, 2)},
            "leaves none of 3 channels",
        ),
    ],
)
def test_impossible_densenets(options, message):
    for name in ("binary_densenet51", "igp_densenet51"):
        with pytest.raises(UsageError, match=message):
            create_model(name, "bireal", **options)


def test_branches_of_unequal_shapes_are_refused():
    with pytest.raises(UsageError, match=r"got \(1, 2\) and \(1, 3\)"):
        Join()(torch.zeros(1, 2), torch.zeros(1, 3))


@pytest.mark.parametrize("name", ["resnet18", "wrn22", "igp_resnet21", "binary_densenet69", "lenet"])
def test_scaled_options_are_the_defaults_at_the_default_width(name):
    defaults = model_options(name)
    key = next(iter(scale_options(name, 1)))
    width = defaults[key] if isinstance(defaults[key], int) else defaults[key][0]
    assert scale_options(name, width) == {key: defaults[key]}
    with pytest.raises(UsageError, match="a width is a positive whole number, got 0"):
        scale_options(name, 0)
