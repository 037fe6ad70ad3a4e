"""Bi-Real Net's convolution against its formulas in double precision."""

import numpy as np
import pytest
import torch

import by_hand
from by_hand import GEOMETRIES, bireal, clip, close, sign
from onebit.methods.bireal import BiRealConv2d, BiRealLinear


@pytest.mark.parametrize("scale_grad", ["unit", "scaled"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_value_and_gradients(g, scale_grad):
    torch.manual_seed(0)
    positional, keywords = g.arguments
    layer = BiRealConv2d(*positional, **keywords, scale_grad=scale_grad).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.weight.view(-1)[:1] = -1.0
    x = torch.randn(g.x_shape, dtype=torch.float64).requires_grad_()
    upstream = torch.randn(g.y_shape, dtype=torch.float64)
    y = layer(x)
    y.backward(upstream)
    weight, signs = layer.weight.detach().numpy(), sign(x.detach().numpy())
    mean = np.abs(weight).mean((1, 2, 3), keepdims=True)
    close(y.detach().numpy(), by_hand.conv(signs, mean * sign(weight), g))
    # The scale is held constant; the straight-through window of the weights is closed: abs(W) <= 1.
    to_effective = by_hand.conv_to_weight(upstream.numpy(), signs, g)
    close(layer.weight.grad.numpy(), to_effective * (mean if scale_grad == "scaled" else 1) * clip(weight))
    to_signs = by_hand.conv_to_input(upstream.numpy(), mean * sign(weight), g)
    close(x.grad.numpy(), to_signs * bireal(x.detach().numpy()))


def test_linear_layer_follows_the_same_formulas():
    torch.manual_seed(0)
    layer = BiRealLinear(5, 3, init_scale=2.0).double()
    x, upstream = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64)
    y = layer(x)
    y.backward(upstream)
    weight, signs = layer.weight.detach().numpy(), sign(x.detach().numpy())
    effective = np.abs(weight).mean(1, keepdims=True) * sign(weight)
    close(y.detach().numpy(), signs @ effective.T)
    close(layer.weight.grad.numpy(), upstream.numpy().T @ signs * clip(weight))
    close(x.grad.numpy(), upstream.numpy() @ effective * bireal(x.detach().numpy()))
