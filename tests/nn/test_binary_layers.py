"""BinaryConv2d and BinaryLinear: the contract, the start, gradients, export, and what they refuse."""

import copy

import pytest
import torch
from torch import nn

import by_hand
from by_hand import GEOMETRIES, Geometry
from onebit.errors import UsageError
from onebit.functional import hard_sign, reference_binary_conv2d
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryLinear


def make(g, seed=0, **options):
    torch.manual_seed(seed)
    positional, keywords = g.arguments
    layer = BinaryConv2d(*positional, **keywords, **options)
    return layer, torch.randn(g.x_shape)


@pytest.mark.parametrize("g", GEOMETRIES)
def test_evaluation_is_the_reference_times_the_scale_bit_for_bit(g):
    layer, x = make(g)
    y = layer.eval()(x)
    sums = reference_binary_conv2d(x, hard_sign(layer.weight.detach()), **g.numbers)
    mean = layer.weight.detach().abs().flatten(1).mean(1)
    assert torch.equal(y, sums.float() * mean[:, None, None])
    assert torch.equal(layer.scale(), mean[:, None, None])


@pytest.mark.parametrize("g", GEOMETRIES)
def test_float64_gradients_are_the_formula(g):
    for scale_grad in ("unit", "scaled"):
        layer, x = make(g, scale_grad=scale_grad, init_scale=2.0)
        layer, x = layer.double(), x.double().requires_grad_()
        upstream = torch.randn(g.y_shape, dtype=torch.float64)
        y = layer(x)
        y.backward(upstream)
        weight, signs = layer.weight.detach().numpy(), by_hand.sign(x.detach().numpy())
        mean = abs(weight).mean(axis=(1, 2, 3), keepdims=True)
        to_effective = by_hand.conv_to_weight(upstream.numpy(), signs, g)
        chain = mean if scale_grad == "scaled" else 1
        by_hand.close(y.detach().numpy(), by_hand.conv(signs, mean * by_hand.sign(weight), g))
        by_hand.close(layer.weight.grad.numpy(), to_effective * chain * by_hand.clip(weight))
        to_signs = by_hand.conv_to_input(upstream.numpy(), mean * by_hand.sign(weight), g)
        by_hand.close(x.grad.numpy(), to_signs * by_hand.bireal(x.detach().numpy()))


def test_linear_is_the_convolution_of_one_pixel():
    torch.manual_seed(0)
    linear, conv = BinaryLinear(6, 4), BinaryConv2d(6, 4, 1)
    conv.load_state_dict({"weight": linear.weight.detach()[:, :, None, None]})
    x, upstream = torch.randn(3, 6), torch.randn(3, 4)
    for training in (True, False):
        one, other = x.clone().requires_grad_(), x.clone().requires_grad_()
        y, z = linear.train(training)(one), conv.train(training)(other[:, :, None, None])
        (y * upstream).sum().backward()
        (z[:, :, 0, 0] * upstream).sum().backward()
        torch.testing.assert_close(y, z[:, :, 0, 0], rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(one.grad, other.grad, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(linear.weight.grad, conv.weight.grad[:, :, 0, 0], rtol=1e-6, atol=1e-6)
    assert linear.scale().shape == (4,)
    assert conv.scale().shape == (4, 1, 1)


def test_he_start_has_its_variance_and_uniform_start_its_range():
    torch.manual_seed(0)
    layer = BinaryConv2d(64, 64, 3, init_scale=0.5)
    assert layer.weight.std().item() == pytest.approx(0.5 * (2 / 576) ** 0.5, rel=0.02)
    assert abs(layer.weight.mean().item()) < 1e-3
    uniform = BinaryConv2d(64, 64, 3, init="uniform", init_scale=7.0).weight
    assert uniform.min().item() >= 0
    assert 0.99e-3 < uniform.max().item() < 1e-3


def test_draw_weight_draws_anew():
    layer = BinaryLinear(8, 8)
    before = layer.weight.detach().clone()
    layer.draw_weight()
    assert not torch.equal(layer.weight.detach(), before)


@pytest.mark.parametrize("mode", [True, False])
def test_graph_export_gives_equal_outputs(mode):
    layer, x = make(Geometry(n=2))
    layer.eval()
    with torch.set_grad_enabled(mode):
        exported = torch.export.export(layer, (x,)).module()
    assert torch.equal(exported(x), layer(x))
    if not mode:
        targets = {str(node.target) for node in exported.graph.nodes}
        assert "aten.conv2d.default" in targets


def test_inference_mode_and_no_grad_give_the_same():
    for training in (True, False):
        layer, x = make(Geometry())
        tracked = layer.train(training)(x).detach()
        with torch.no_grad():
            assert torch.equal(layer(x), tracked)
        with torch.inference_mode():
            assert torch.equal(layer(x), tracked)


def test_weight_in_any_layout():
    g = Geometry(c_in=3, c_out=4)
    layer, x = make(g)
    turned = copy.deepcopy(layer)
    turned.weight.data = layer.weight.data.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    last = copy.deepcopy(layer).to(memory_format=torch.channels_last)
    upstream = torch.randn(g.y_shape)
    layer(x).backward(upstream)
    for other in (turned, last):
        other(x).backward(upstream)
        torch.testing.assert_close(other.weight.grad, layer.weight.grad, rtol=1e-6, atol=1e-6)
        assert torch.equal(other.eval()(x), layer.eval()(x))
        layer.train()


@pytest.mark.parametrize("frozen", ["weight", "input"])
def test_frozen_weight_and_input_without_gradient(frozen):
    layer, x = make(Geometry())
    layer.weight.requires_grad_(frozen != "weight")
    x.requires_grad_(frozen != "input")
    layer(x).sum().backward()
    assert (layer.weight.grad is None) == (frozen == "weight")
    assert (x.grad is None) == (frozen == "input")


@pytest.mark.parametrize("n", [0, 1])
def test_batches_of_none_and_one(n):
    layer, x = make(Geometry(n=n))
    x.requires_grad_()
    for training in (True, False):
        layer.train(training)(x).sum().backward()
    assert x.grad.shape == x.shape
    assert bool(torch.isfinite(layer.weight.grad).all())


def test_geometry_is_read_from_the_layer_as_it_stands():
    layer, x = make(Geometry(size=(9, 9)))
    layer.stride, layer.padding, layer.dilation = (2, 2), (2, 2), (2, 2)
    expected = reference_binary_conv2d(x, layer.binary_weight().detach(), (2, 2), (2, 2), (2, 2)).float()
    assert torch.equal(layer.eval()(x), expected * layer.scale())


def test_zero_weights_are_plus_one():
    layer, x = make(Geometry())
    layer.weight.data.zero_()
    layer.weight.data[0] = -0.0
    assert bool((layer.binary_weight() == 1).all())
    assert bool((layer.packed()[0].weight == 1).all())
    assert not layer.eval()(x).any(), "the mean of the absolute weights is 0"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scale_grad": "unti"}, "scale_grad is 'unit' or 'scaled', not 'unti'"),
        ({"init": "xavier"}, "init is 'he' or 'uniform', not 'xavier'"),
        ({"estimator": "bireel"}, "did you mean 'bireal'"),
        ({"weight_estimator": "clop"}, "did you mean 'clip'"),
        ({"padding": "same"}, "padding is a number of pixels or a pair of them .* not 'same'"),
    ],
)
def test_wrong_options_are_one_sentence(options, message):
    with pytest.raises(UsageError, match=message):
        BinaryConv2d(2, 2, 3, **options)


@pytest.mark.parametrize("shape", [(2, 3, 3), (1, 3, 4, 4), (1, 2, 4), (2,), ()])
def test_wrong_inputs_are_one_sentence_with_their_shape(shape):
    with pytest.raises(UsageError, match=r"takes \(N, 2, H, W\), got \("):
        BinaryConv2d(2, 2, 3)(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3,), (4, 3), ()])
def test_wrong_inputs_of_a_linear_layer(shape):
    with pytest.raises(UsageError, match=r"takes \(\.\.\., 2\), got \("):
        BinaryLinear(2, 2)(torch.zeros(shape))


@pytest.mark.parametrize("training", [True, False])
def test_whole_numbers_are_refused(training):
    with pytest.raises(UsageError, match=r"floats, got torch\.uint8"):
        BinaryConv2d(2, 2, 1).train(training)(torch.zeros(1, 2, 3, 3, dtype=torch.uint8))


def test_facts_are_stated_and_shown():
    layer = BinaryConv2d(2, 2, 3, estimator="clip", scale_grad="scaled")
    assert isinstance(layer, BinaryLayer)
    assert isinstance(layer, nn.Conv2d)
    assert (layer.weight_bits, layer.activation_bits, layer.bias) == (1, 1, None)
    assert repr(layer).endswith("bias=False, estimator=clip, scale_grad=scaled)")
    assert layer.penalty() is None
    assert layer.constrain() is None
