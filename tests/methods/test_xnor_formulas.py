"""XNOR-Net: both gradients of alpha * sign(W), and the input scale K, against loops in double precision."""

import itertools

import numpy as np
import pytest
import torch

import by_hand
from by_hand import GEOMETRIES, clip, close, sign
from onebit.errors import UsageError
from onebit.methods.xnor import XnorConv2d, XnorLinear


def make(g, seed=0, **options):
    torch.manual_seed(seed)
    positional, keywords = g.arguments
    layer = XnorConv2d(*positional, **keywords, **options).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.weight.view(-1)[0] = 0.0
        layer.weight.view(-1)[1:2] = 1.0
    return (
        layer,
        torch.randn(g.x_shape, dtype=torch.float64).requires_grad_(),
        torch.randn(g.y_shape, dtype=torch.float64),
    )


def to_weight(to_effective, weight, alpha_grad):
    """dL/dW of filter i, weight by weight, from dL/dWeff."""
    result = np.zeros_like(weight)
    for i, (w, gradient) in enumerate(zip(weight, to_effective, strict=True)):
        n, alpha = w.size, np.abs(w).mean()
        if alpha_grad == "paper":
            result[i] = gradient * (1 / n + alpha * clip(w))
        else:
            result[i] = sign(w) / n * (gradient * sign(w)).sum() + gradient * alpha * clip(w)
    return result


@pytest.mark.parametrize("alpha_grad", ["paper", "exact"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_value_and_gradients_of_the_convolution(g, alpha_grad):
    layer, x, upstream = make(g, alpha_grad=alpha_grad)
    y = layer(x)
    y.backward(upstream)
    weight, signs = layer.weight.detach().numpy(), sign(x.detach().numpy())
    effective = np.abs(weight).mean((1, 2, 3), keepdims=True) * sign(weight)
    close(y.detach().numpy(), by_hand.conv(signs, effective, g))
    to_effective = by_hand.conv_to_weight(upstream.numpy(), signs, g)
    close(layer.weight.grad.numpy(), to_weight(to_effective, weight, alpha_grad))
    close(x.grad.numpy(), by_hand.conv_to_input(upstream.numpy(), effective, g) * clip(x.detach().numpy()))


@pytest.mark.parametrize("alpha_grad", ["paper", "exact"])
def test_value_and_gradients_of_the_linear_layer(alpha_grad):
    torch.manual_seed(0)
    layer = XnorLinear(5, 3, alpha_grad=alpha_grad, init_scale=2.0).double()
    x, upstream = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64)
    y = layer(x)
    y.backward(upstream)
    weight, signs = layer.weight.detach().numpy(), sign(x.detach().numpy())
    effective = np.abs(weight).mean(1, keepdims=True) * sign(weight)
    close(y.detach().numpy(), signs @ effective.T)
    close(layer.weight.grad.numpy(), to_weight(upstream.numpy().T @ signs, weight, alpha_grad))
    close(x.grad.numpy(), upstream.numpy() @ effective * clip(x.detach().numpy()))


def test_exact_gradient_is_the_slope_of_the_weight_where_sign_stands_still():
    layer, _, _ = make(GEOMETRIES[0], alpha_grad="exact")
    # With upstream = signs the straight-through part is known, and the rest must be the true slope of alpha.
    signs = layer.binary_weight().detach()
    layer.effective_weight().backward(signs)
    weight = layer.weight.detach().numpy()
    alpha = np.abs(weight).mean((1, 2, 3), keepdims=True)
    close(layer.weight.grad.numpy(), sign(weight) * (1 + alpha * clip(weight)))


@pytest.mark.parametrize("g", GEOMETRIES)
def test_input_scale_is_the_box_filtered_channel_mean(g):
    layer, x, _ = make(g, input_scale=True)
    image, kernel = np.abs(x.detach().numpy()).mean(1), g.kernel
    expected = np.zeros((g.n, 1, *g.out_size))
    for n, i, j in itertools.product(range(g.n), *map(range, g.out_size)):
        for k, m in itertools.product(*map(range, kernel)):
            row = i * g.stride[0] + k * g.dilation[0] - g.padding[0]
            column = j * g.stride[1] + m * g.dilation[1] - g.padding[1]
            if 0 <= row < g.size[0] and 0 <= column < g.size[1]:
                expected[n, 0, i, j] += image[n, row, column] / (kernel[0] * kernel[1])
    close(layer.input_scales(x).detach().numpy(), expected)
    plain = XnorConv2d(*g.arguments[0], **g.arguments[1]).double()
    plain.load_state_dict(layer.state_dict())
    for training in (True, False):
        y, bare = layer.train(training)(x), plain.train(training)(x)
        close(y.detach().numpy(), bare.detach().numpy() * expected)


def test_input_scale_of_the_linear_layer():
    torch.manual_seed(0)
    layer, plain = XnorLinear(5, 3, input_scale=True).double(), XnorLinear(5, 3).double()
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(4, 5, dtype=torch.float64)
    close(layer(x).detach().numpy(), plain(x).detach().numpy() * np.abs(x.numpy()).mean(1, keepdims=True))


def test_real_multiplications_are_those_of_the_input_scale():
    conv, plain = (XnorConv2d(4, 8, (3, 5), input_scale=on) for on in (True, False))
    # 2 images of 6 x 7 pixels: a 3 x 5 box for each, then one multiplication for each of the 8 channels.
    assert conv.real_macs((2, 8, 6, 7)) == 2 * 6 * 7 * (15 + 8)
    assert plain.real_macs((2, 8, 6, 7)) == 0
    assert XnorLinear(4, 3, input_scale=True).real_macs((5, 3)) == 5 * (1 + 3)
    assert XnorLinear(4, 3).real_macs((5, 3)) == 0


def test_wrong_option_is_one_sentence():
    with pytest.raises(UsageError, match="alpha_grad is 'paper' or 'exact', not 'papre'"):
        XnorConv2d(1, 1, 1, alpha_grad="papre")
