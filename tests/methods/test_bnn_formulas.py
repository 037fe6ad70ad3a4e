"""BinaryNet against its formulas in double precision: no scale, two closed windows, W clipped after every step."""

import pytest
import torch

import by_hand
from by_hand import GEOMETRIES, WINDOWS, clip, close, sign
from onebit.methods import get_method
from onebit.methods.bnn import BnnConv2d, BnnLinear


@pytest.mark.parametrize("g", GEOMETRIES)
def test_value_and_gradients(g):
    torch.manual_seed(0)
    positional, keywords = g.arguments
    layer = BnnConv2d(*positional, **keywords).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.weight.view(-1)[:3] = torch.tensor([-1.0, 1.0, 0.0])[: layer.weight.numel()]
    x = torch.randn(g.x_shape, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(g.y_shape, dtype=torch.float64)
    y = layer(x)
    y.backward(upstream)
    weight, signs = layer.weight.detach().numpy(), sign(x.detach().numpy())
    assert torch.equal(y.detach(), torch.from_numpy(by_hand.conv(signs, sign(weight), g)))
    assert torch.equal(layer.eval()(x), y)
    close(layer.weight.grad.numpy(), by_hand.conv_to_weight(upstream.numpy(), signs, g) * clip(weight))
    close(x.grad.numpy(), by_hand.conv_to_input(upstream.numpy(), sign(weight), g) * clip(x.detach().numpy()))


@pytest.mark.parametrize("window", ["clip", "bireal"])
def test_linear_layer_follows_the_same_formulas(window):
    torch.manual_seed(0)
    layer = BnnLinear(5, 3, init_scale=2.0, weight_estimator=window, estimator=window).double()
    x, upstream = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64)
    y = layer(x)
    y.backward(upstream)
    weight, signs, g = layer.weight.detach().numpy(), sign(x.detach().numpy()), WINDOWS[window]
    close(y.detach().numpy(), signs @ sign(weight).T)
    close(layer.weight.grad.numpy(), upstream.numpy().T @ signs * g(weight))
    close(x.grad.numpy(), upstream.numpy() @ sign(weight) * g(x.detach().numpy()))


def test_weights_are_clipped_and_a_clipped_weight_still_learns():
    layer = BnnLinear(4, 1)
    layer.weight.data.copy_(torch.tensor([[-3.0, -0.5, 1.5, 1.0]]))
    layer.constrain()
    assert layer.weight.tolist() == [[-1.0, -0.5, 1.0, 1.0]]
    assert layer.weight.requires_grad
    layer(torch.ones(1, 4)).sum().backward()
    assert layer.weight.grad.tolist() == [[1.0] * 4]


def test_scale_is_one_number_and_nothing_else_learns():
    assert BnnConv2d(2, 3, 3).scale().tolist() == [[[1.0]]]
    assert BnnLinear(2, 3).scale().tolist() == [1.0]
    assert [name for name, _ in BnnConv2d(2, 3, 3).named_parameters()] == ["weight"]
    assert set(get_method("bnn").defaults()) == {"estimator", "weight_estimator", "init", "init_scale"}
