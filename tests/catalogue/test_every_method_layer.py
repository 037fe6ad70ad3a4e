"""One set of checks over the convolution and the linear layer of every method, at every geometry."""

import copy

import pytest
import torch
from hypothesis import given, settings

import by_hand
from by_hand import GEOMETRIES, Geometry
from onebit.functional import hard_sign, reference_binary_conv2d
from onebit.methods import get_method


def make(method, g, seed=0, **options):
    torch.manual_seed(seed)
    positional, keywords = g.arguments
    return get_method(method, **options).conv(*positional, **keywords), torch.randn(g.x_shape)


@settings(max_examples=15)
@given(g=by_hand.geometries(largest=4))
def test_any_geometry_is_exact_and_trains(binary_method, g):
    layer, x = make(binary_method, g)
    sums = reference_binary_conv2d(x, hard_sign(layer.weight.detach()), **g.numbers)
    assert torch.equal(layer.eval()(x), sums.float() * layer.scale())
    x.requires_grad_()
    layer.train()(x).square().sum().backward()
    assert bool(torch.isfinite(x.grad).all())
    assert all(bool(torch.isfinite(p.grad).all()) for p in layer.parameters())


@pytest.mark.parametrize("g", GEOMETRIES)
def test_groups_are_separate_layers(binary_method, g):
    layer, x = make(binary_method, Geometry(**{**g.__dict__, "groups": 2}))
    parts = []
    for group in range(2):
        one = get_method(binary_method).conv(
            *Geometry(**{**g.__dict__, "groups": 1}).arguments[0], **{**g.numbers, "groups": 1}
        )
        state = layer.state_dict()
        state["weight"] = layer.weight.detach()[group * g.c_out : (group + 1) * g.c_out]
        one.load_state_dict(state)
        parts.append(one.eval()(x[:, group * g.c_in : (group + 1) * g.c_in]))
    assert torch.equal(layer.eval()(x), torch.cat(parts, 1))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes_train_and_keep_their_dtype(method, dtype):
    for layer, x in ((make(method, Geometry())), (get_method(method).linear(6, 4), torch.randn(3, 6))):
        layer, x = layer.to(dtype), x.to(dtype).requires_grad_()
        y = layer(x)
        assert y.dtype == dtype
        y.sum().backward()
        assert x.grad.dtype == dtype
        for parameter in layer.parameters():
            assert parameter.grad.dtype == dtype
            assert bool(torch.isfinite(parameter.grad).all())
        assert layer.eval()(x).dtype == dtype


def test_autocast_casts_back_to_the_own_dtype(method):
    for layer, x in ((make(method, Geometry())), (get_method(method).linear(6, 4), torch.randn(3, 6))):
        x.requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = layer(x)
        assert y.dtype == torch.bfloat16
        y.float().sum().backward()
        assert {t.grad.dtype for t in (x, *layer.parameters())} == {torch.float32}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_one_bad_input_number_stays_in_its_window(binary_method, value):
    layer, x = make(binary_method, Geometry(n=2))
    good = layer.eval()(x)
    x[0, 0, 0, 0] = value
    y = layer(x)
    assert torch.equal(y[1], good[1])
    assert torch.equal(y[0, :, 2:, 2:], good[0, :, 2:, 2:])
    assert bool(torch.isfinite(y).all())


def test_exported_layer_gives_equal_outputs(method):
    layer, x = make(method, GEOMETRIES[1])
    layer.eval()
    with torch.no_grad():
        exported = torch.export.export(layer, (x,)).module()
        assert torch.equal(exported(x), layer(x))


def test_packed_is_a_snapshot(binary_method):
    layer, _ = make(binary_method, Geometry())
    terms = layer.packed()
    before = copy.deepcopy(terms)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(-3)
    assert all(torch.equal(a.weight, b.weight) for a, b in zip(terms, before, strict=True))
    assert all(torch.equal(a.scale, b.scale) for a, b in zip(terms, before, strict=True))


def test_second_derivative_is_refused(binary_method):
    layer, x = make(binary_method, Geometry())
    y = layer(x.requires_grad_()).square().sum()
    (gradient,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_unknown_arguments_are_refused(method):
    with pytest.raises(TypeError):
        get_method(method).conv(2, 2, 3, striide=2)
