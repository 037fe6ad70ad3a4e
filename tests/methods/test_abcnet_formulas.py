"""ABC-Net against its formulas in double precision: bases, least squares, shifted signs, and the sum of M x N terms."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import by_hand
from by_hand import GEOMETRIES, Geometry, close, sign
from onebit.errors import UsageError
from onebit.functional import hard_sign
from onebit.methods import get_method
from onebit.methods.abcnet import AbcConv2d, AbcLinear

COUNTS = [(1, 1), (3, 1), (1, 2), (2, 3)]


def make(g, seed=0, **options):
    """A layer whose windows overlap and leave some inputs out, with factors of both signs."""
    torch.manual_seed(seed)
    positional, keywords = g.arguments
    layer = AbcConv2d(*positional, **keywords, **options).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.0, 1.4)
        layer.activation_shift.uniform_(-0.3, 1.2)
        layer.activation_scale.uniform_(-0.5, 1.0)
    x = torch.randn(g.x_shape, dtype=torch.float64) * 0.6
    return layer, x.requires_grad_(), torch.randn(g.y_shape, dtype=torch.float64)


def bases(weight, count):
    """B_1 ... B_M of one group of weights, as printed."""
    u = [0.0] if count == 1 else [-1 + 2 * (m - 1) / (count - 1) for m in range(1, count + 1)]
    return [sign((weight - weight.mean()) + um * np.sqrt(((weight - weight.mean()) ** 2).mean())) for um in u]


def fit(weight, count, share):
    """All B_m, and alpha_m spread over the shape of the weight."""
    if share == "filter":
        parts = [fit(w[None], count, "layer") for w in weight]
        return [np.concatenate(each) for each in zip(*(p[0] for p in parts), strict=True)], [
            np.concatenate(each) for each in zip(*(p[1] for p in parts), strict=True)
        ]
    b = bases(weight, count)
    alpha = np.linalg.lstsq(np.stack([each.ravel() for each in b], 1), weight.ravel(), rcond=1e-10)[0]
    return b, [np.full_like(weight, a) for a in alpha]


def activation(x, v):
    """H_v(x) and the derivative that stands for it."""
    return np.where(np.clip(x + v, 0, 1) >= 0.5, 1.0, -1.0), ((x + v >= 0) & (x + v <= 1)).astype(x.dtype)


@pytest.mark.parametrize("share", ["layer", "filter"])
@pytest.mark.parametrize(("m", "n"), COUNTS)
@pytest.mark.parametrize("g", GEOMETRIES)
def test_value_and_gradients_of_the_convolution(g, m, n, share):
    layer, x, upstream = make(g, weight_bases=m, activation_bases=n, share=share)
    y = layer(x)
    y.backward(upstream)
    weight, inputs = layer.weight.detach().numpy(), x.detach().numpy()
    v, beta = layer.activation_shift.detach().numpy(), layer.activation_scale.detach().numpy()
    b, alpha = fit(weight, m, share)
    maps = [activation(inputs, each) for each in v]
    expected = sum(
        by_hand.conv(h, s * a, g) * bn
        for (h, _), bn in zip(maps, beta, strict=True)
        for s, a in zip(b, alpha, strict=True)
    )
    close(y.detach().numpy(), expected, atol=1e-10)
    close(layer.eval()(x).detach().numpy(), expected, atol=1e-10)

    combined = sum(s * a for s, a in zip(b, alpha, strict=True))
    to_input, to_weight = np.zeros_like(inputs), np.zeros_like(weight)
    for i, (h, slope) in enumerate(maps):
        gradient = beta[i] * by_hand.conv_to_input(upstream.numpy(), combined, g) * slope
        to_input += gradient
        close(layer.activation_shift.grad[i].item(), gradient.sum(), atol=1e-10)
        close(
            layer.activation_scale.grad[i].item(), (by_hand.conv(h, combined, g) * upstream.numpy()).sum(), atol=1e-10
        )
        to_weight += beta[i] * by_hand.conv_to_weight(upstream.numpy(), h, g) * sum(alpha)
    close(x.grad.numpy(), to_input, atol=1e-10)
    close(layer.weight.grad.numpy(), to_weight, atol=1e-10)


@pytest.mark.parametrize(("m", "n"), COUNTS)
def test_value_and_gradients_of_the_linear_layer(m, n):
    torch.manual_seed(0)
    layer = AbcLinear(6, 4, weight_bases=m, activation_bases=n).double()
    x, upstream = torch.randn(5, 6, dtype=torch.float64, requires_grad=True), torch.randn(5, 4, dtype=torch.float64)
    y = layer(x)
    y.backward(upstream)
    weight, inputs, u = layer.weight.detach().numpy(), x.detach().numpy(), upstream.numpy()
    b, alpha = fit(weight, m, "layer")
    combined = sum(s * a for s, a in zip(b, alpha, strict=True))
    maps = [activation(inputs, each) for each in layer.activation_shift.detach().numpy()]
    beta = layer.activation_scale[0].item()
    assert beta == pytest.approx(1 / n)
    close(y.detach().numpy(), beta * sum(h @ combined.T for h, _ in maps))
    close(x.grad.numpy(), beta * sum(u @ combined * slope for _, slope in maps))
    close(layer.weight.grad.numpy(), beta * sum(u.T @ h for h, _ in maps) * sum(alpha))


def test_evaluation_has_the_gradients_of_training():
    for m, n in COUNTS:
        gradients = []
        for training in (True, False):
            layer, x, upstream = make(Geometry(), weight_bases=m, activation_bases=n)
            layer.train(training)(x).backward(upstream)
            gradients.append([x.grad, *(p.grad for p in layer.parameters())])
        for one, other in zip(*gradients, strict=True):
            torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


@settings(max_examples=30)
@given(
    values=st.lists(st.sampled_from([-1.5, -1.0, -0.1, 0.0, 0.1, 0.1, 2.0]), min_size=1, max_size=12),
    count=st.integers(1, 5),
)
def test_factors_are_the_shortest_least_squares_fit_also_where_bases_coincide(values, count):
    layer = AbcLinear(len(values), 1, weight_bases=count).double()
    layer.weight.data.copy_(torch.tensor([values], dtype=torch.float64))
    # A weight at the very edge of a basis may fall on either side by rounding: take the layer's own bits.
    bits = layer.binary_weight().detach().view(count, -1).numpy()
    expected = np.linalg.lstsq(bits.T, np.array(values), rcond=1e-10)[0]
    close(layer.scale().detach().view(-1).numpy(), expected, atol=1e-9)


def test_equal_weights_are_fitted_exactly_and_zeros_give_zero():
    for value in (0.25, -0.3, 0.0):
        layer = AbcConv2d(2, 3, 3, weight_bases=4)
        layer.weight.data.fill_(value)
        effective = sum(term.weight * term.scale for term in layer.packed())
        torch.testing.assert_close(effective, torch.full_like(effective, value), rtol=1e-6, atol=1e-7)
    one = AbcConv2d(1, 1, 1)  # a single weight has a standard deviation of 0
    assert torch.equal(one.effective_weight(), one.weight)


def test_more_bases_fit_better():
    torch.manual_seed(0)
    weight, errors = torch.randn(8, 8, 3, 3), []
    for count in (1, 2, 3, 5):
        layer = AbcConv2d(8, 8, 3, weight_bases=count)
        layer.weight.data.copy_(weight)
        errors.append((layer.effective_weight() - weight).square().mean().item())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 0.3 * errors[0]


def test_start_is_the_plain_sign_for_one_basis_and_evenly_spaced_for_more():
    assert AbcConv2d(2, 2, 3).shifts().tolist() == [0.0]
    assert AbcConv2d(2, 2, 3, activation_bases=3).shifts().tolist() == [-1.0, 0.0, 1.0]
    assert AbcConv2d(2, 2, 3, activation_bases=4).activation_scale.tolist() == [0.25] * 4
    x = torch.tensor([[-0.2, -0.0, 0.3]])
    assert torch.equal(AbcLinear(3, 3, weight_bases=1)._sums(x, torch.eye(3)), hard_sign(x))


def test_terms_are_activation_by_activation():
    layer, _, _ = make(Geometry(), weight_bases=2, activation_bases=2)
    terms = layer.packed()
    shifts = layer.shifts().tolist()
    assert [term.shift.item() for term in terms] == [shifts[0]] * 2 + [shifts[1]] * 2
    assert torch.equal(terms[0].weight, terms[2].weight)
    assert torch.equal(terms[1].weight, terms[3].weight)
    assert (terms[0].weight <= terms[1].weight).all()
    assert layer.scale().shape == (2, 2, 1, 1, 1)
    assert torch.equal(torch.stack([t.scale for t in terms]), layer.scale().detach().flatten(0, 1))
    filters = AbcLinear(4, 3, weight_bases=2, share="filter")
    assert filters.scale().shape == (1, 2, 3)
    assert filters.packed()[0].scale.shape == (3,)
    assert layer.effective_weight().shape == (2, *layer.weight.shape)


def test_keep_positive_holds_the_factors_at_a_tenth_of_their_start():
    for keep in (True, False):
        layer = AbcConv2d(2, 2, 3, activation_bases=2, keep_positive=keep)
        layer.activation_scale.data.copy_(torch.tensor([-1.0, 0.7]))
        layer.constrain()
        assert layer.activation_scale.tolist() == pytest.approx([0.05 if keep else -1.0, 0.7])


def test_whole_numbers_are_refused():
    for training in (True, False):
        with pytest.raises(UsageError, match=r"floats, got torch\.uint8"):
            AbcConv2d(2, 2, 1).train(training)(torch.zeros(1, 2, 3, 3, dtype=torch.uint8))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"weight_bases": 0}, "weight_bases must be 1 or more, got 0"),
        ({"activation_bases": -1}, "activation_bases must be 1 or more, got -1"),
        ({"share": "chanel"}, "share is 'layer' or 'filter', not 'chanel'"),
        ({"weight_bases": 1.5}, "takes a whole number, got 1.5"),
        ({"weight_base": 2}, "did you mean 'weight_bases'"),
    ],
)
def test_wrong_options_are_one_sentence(options, message):
    with pytest.raises(UsageError, match=message):
        get_method("abcnet", **options).conv(2, 2, 3)
