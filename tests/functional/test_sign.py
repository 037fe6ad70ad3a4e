"""sign: its two values, its zero, its dtypes, and the gradient that each estimator puts in its place."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import by_hand
from onebit.errors import UsageError
from onebit.functional import ESTIMATORS, Estimator, get_estimator, hard_sign, sign

FLOATS = [torch.float64, torch.float32, torch.bfloat16, torch.float16]
INF, NAN = float("inf"), float("nan")
# Window ends, both zeros, the smallest and the largest numbers.
EDGES = [-INF, -1e4, -1.5, -1.0, -0.999, -0.5, -1e-7, -0.0, 0.0, 1e-7, 0.25, 0.999, 1.0, 1.5, 1e4, INF]


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("make", [hard_sign, sign])
def test_values_are_plus_one_from_zero_up_and_minus_one_below(make, dtype):
    x = torch.tensor(EDGES, dtype=dtype)
    y = make(x)
    assert y.dtype == dtype
    expected = [1.0 if value >= 0 else -1.0 for value in x.tolist()]
    assert y.tolist() == expected
    assert make(torch.tensor([0.0, -0.0], dtype=dtype)).tolist() == [1.0, 1.0]


def test_nan_is_minus_one_in_every_form():
    x = torch.tensor([NAN])
    assert hard_sign(x).item() == sign(x).item() == -1


@pytest.mark.parametrize("shape", [(), (0,), (0, 3), (1,), (2, 0, 4)])
def test_scalars_and_empty_tensors_keep_their_shape(shape):
    for name in ESTIMATORS:
        x = torch.zeros(shape, requires_grad=True)
        y = sign(x, name)
        y.sum().backward()
        assert y.shape == x.grad.shape == torch.Size(shape)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("name", ESTIMATORS)
def test_exact_gradient_is_the_written_window(name, dtype):
    values = [v for v in EDGES if abs(v) < INF]
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    upstream = torch.arange(1, len(values) + 1).to(dtype)
    (sign(x, name, exact=True) * upstream).sum().backward()
    written = by_hand.WINDOWS[name](x.detach().double().numpy())
    window = torch.from_numpy(written).to(dtype)
    assert torch.equal(x.grad, upstream * window)


@pytest.mark.parametrize("name", ESTIMATORS)
@given(values=st.lists(st.floats(-3, 3, width=32), min_size=1, max_size=40))
def test_compact_gradient_is_the_window_within_one_126th(name, values):
    x = torch.tensor(values, dtype=torch.float32, requires_grad=True)
    sign(x, name).sum().backward()
    window = by_hand.WINDOWS[name](x.detach().double().numpy())
    bound = (1 / 126) * (1 + 1e-5) if name == "bireal" else 0
    assert np.abs(x.grad.double().numpy() - window).max() <= bound


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_compact_bireal_gradient_in_half_precision(dtype):
    x = torch.linspace(-1.25, 1.25, 2001).to(dtype).requires_grad_()
    sign(x, "bireal").sum().backward()
    # abs(x) is rounded to a 126th and g to the dtype's own step below 2.
    error = (x.grad.double() - torch.from_numpy(by_hand.bireal(x.detach().double().numpy()))).abs().max().item()
    assert error <= 1 / 126 + 2 * torch.finfo(dtype).eps


@pytest.mark.parametrize("name", ESTIMATORS)
def test_no_compact_gradient_at_infinity_and_huge_values(name):
    x = torch.tensor([-INF, -3e38, 3e38, INF], requires_grad=True)
    sign(x, name).sum().backward()
    assert x.grad.tolist() == [1.0 if name == "identity" else 0.0] * 4


@pytest.mark.parametrize("name", ESTIMATORS)
@pytest.mark.parametrize("exact", [False, True])
def test_every_memory_layout_gives_the_same(name, exact):
    base = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(0))
    upstream = torch.randn(2, 3, 4, 5, generator=torch.Generator().manual_seed(1))

    def run(x, upstream):
        x = x.detach().requires_grad_()
        y = sign(x, name, exact=exact)
        return y.detach(), torch.autograd.grad(y, x, upstream)[0]

    plain = run(base, upstream)
    wide = torch.randn(2, 3, 4, 11)
    wide[..., 1::2] = base
    last = torch.channels_last
    for x, g in [
        (base.to(memory_format=last), upstream),
        (base, upstream.to(memory_format=last)),
        (wide[..., 1::2],) * 2,
    ]:
        g = upstream if g is x else g
        value, gradient = run(x, g)
        assert torch.equal(value, plain[0])
        assert torch.equal(gradient, plain[1])
    value, gradient = run(base.permute(3, 1, 0, 2), upstream.permute(3, 1, 0, 2))
    assert torch.equal(value, plain[0].permute(3, 1, 0, 2))
    assert torch.equal(gradient, plain[1].permute(3, 1, 0, 2))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_estimator_by_name_and_by_object(name):
    estimator = get_estimator(name)
    assert isinstance(estimator, Estimator)
    assert get_estimator(estimator) is estimator
    x = torch.randn(9, generator=torch.Generator().manual_seed(0))
    named, given_object = (
        torch.autograd.grad(sign(z, e).sum(), z)[0] for z, e in ((x.requires_grad_(), name), (x, estimator))
    )
    assert torch.equal(named, given_object)


def test_misspelt_estimator_names_the_nearest():
    with pytest.raises(UsageError, match="did you mean 'bireal'"):
        sign(torch.zeros(1), "bireel")


@pytest.mark.parametrize("name", ESTIMATORS)
def test_second_derivative_is_refused(name):
    x = torch.randn(5, requires_grad=True)
    for upstream_needs_grad, message in ((True, "once_differentiable"), (False, "does not require grad")):
        upstream = torch.ones(5, requires_grad=upstream_needs_grad)
        (gradient,) = torch.autograd.grad(sign(x, name), x, upstream, create_graph=True)
        with pytest.raises(RuntimeError, match=message):
            gradient.sum().backward()
