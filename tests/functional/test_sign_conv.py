"""sign_conv2d and sign_linear: values and gradients against the written formulas, layouts, dtypes, refusals."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given

import by_hand
from by_hand import GEOMETRIES, Geometry
from onebit.errors import UsageError
from onebit.functional import ESTIMATORS, hard_sign, reference_binary_conv2d, sign_conv2d, sign_linear

ESTIMATOR_NAMES = sorted(ESTIMATORS)


def draw(g, dtype, seed=0):
    """x of all magnitudes with exact zeros, and whole-number weights and upstream, so that every sum is exact."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(g.x_shape, generator=generator, dtype=torch.float64).mul(0.8).to(dtype)
    x.view(-1)[::5] = 0.0
    x.view(-1)[::7] = -0.0
    w = torch.randint(-4, 5, g.w_shape, generator=generator).to(dtype)
    return x, w, torch.randint(-4, 5, g.y_shape, generator=generator).to(dtype)


def differentiate(operate, x, w, upstream, needs=(True, True)):
    x, w = (t.detach().requires_grad_(need) for t, need in zip((x, w), needs, strict=True))
    y = operate(x, w)
    y.backward(upstream.to(y.dtype))
    return y.detach(), x.grad, w.grad


def numpy_of(*tensors):
    return tuple(t.detach().double().contiguous().numpy() for t in tensors)


def written(g, name, x, w, upstream):
    x, w, upstream = numpy_of(x, w, upstream)
    y = by_hand.conv(by_hand.sign(x), w, g)
    to_signs = by_hand.conv_to_input(upstream, w, g)
    to_w = by_hand.conv_to_weight(upstream, by_hand.sign(x), g)
    return tuple(map(torch.from_numpy, (y, to_signs, by_hand.WINDOWS[name](x), to_w)))


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
@given(g=by_hand.geometries(largest=5))
def test_float64_equals_the_formula_bit_for_bit(name, g):
    drawn = draw(g, torch.float64)
    y, to_x, to_w = differentiate(lambda x, w: sign_conv2d(x, w, name, **g.numbers), *drawn)
    expected_y, to_signs, window, expected_w = written(g, name, *drawn)
    assert torch.equal(y, expected_y)
    assert torch.equal(to_x, to_signs * window)
    assert torch.equal(to_w, expected_w)


@pytest.mark.parametrize("g", GEOMETRIES)
@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_float32_is_exact_but_for_the_code_of_the_window(name, g):
    drawn = draw(g, torch.float32)
    y, to_x, to_w = differentiate(lambda x, w: sign_conv2d(x, w, name, **g.numbers), *drawn)
    assert y.dtype == to_x.dtype == to_w.dtype == torch.float32
    expected_y, to_signs, window, expected_w = written(g, name, *drawn)
    assert torch.equal(y.double(), expected_y)
    assert torch.equal(to_w.double(), expected_w)
    bound = to_signs.abs() / 126 * (1 + 1e-5) if name == "bireal" else torch.zeros(())
    assert bool(((to_x.double() - to_signs * window).abs() <= bound).all())


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_sums_are_those_of_the_reference(name):
    g = Geometry(n=1, c_in=64, c_out=8, size=(9, 9))
    x, _, _ = draw(g, torch.float32)
    w = hard_sign(torch.randn(g.w_shape, generator=torch.Generator().manual_seed(1)))
    exact = reference_binary_conv2d(x, w, **g.numbers).float()
    assert torch.equal(sign_conv2d(x, w, name, **g.numbers), exact)
    assert torch.equal(sign_conv2d(x, w.requires_grad_(), name, **g.numbers).detach(), exact)


@pytest.mark.parametrize("needs", [(True, False), (False, True)])
@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_one_gradient_alone_is_the_same_as_with_the_other(name, needs):
    g = GEOMETRIES[1]
    drawn = draw(g, torch.float32)
    for operate, tensors in (
        (lambda x, w: sign_conv2d(x, w, name, **g.numbers), drawn),
        (lambda x, w: sign_linear(x, w, name), (torch.randn(3, 5), torch.randn(4, 5), torch.randn(3, 4))),
    ):
        both, alone = differentiate(operate, *tensors), differentiate(operate, *tensors, needs)
        for need, one, other in zip((True, *needs), both, alone, strict=True):
            assert torch.equal(one, other) if need else other is None


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_layouts_do_not_matter(name):
    g = Geometry(n=2, c_in=3, c_out=4, size=(5, 6))
    x, w, upstream = draw(g, torch.float32)

    def operate(x, w):
        return sign_conv2d(x, w, name, **g.numbers)

    plain = differentiate(operate, x, w, upstream)
    last = [t.to(memory_format=torch.channels_last) for t in (x, w, upstream)]
    spaced = torch.zeros(g.n, g.c_in, 5, 12)[..., ::2].copy_(x)
    turned = w.permute(3, 2, 1, 0).contiguous().permute(3, 2, 1, 0)
    for arguments in (
        [last[0], w, upstream],
        [x, last[1], upstream],
        [x, w, last[2]],
        last,
        [spaced, turned, upstream],
    ):
        for one, other in zip(plain, differentiate(operate, *arguments), strict=True):
            assert torch.equal(one, other)


@pytest.mark.parametrize("shape", [(5,), (0, 5), (1, 5), (2, 3, 5), (2, 0, 5)])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_linear_equals_the_formula(name, dtype, shape):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(dtype)
    w, upstream = (torch.randint(-4, 5, s, generator=generator).to(dtype) for s in ((4, 5), (*shape[:-1], 4)))
    y, to_x, to_w = differentiate(lambda x, w: sign_linear(x, w, name), x, w, upstream)
    signs, window = by_hand.sign(x.double().numpy()), torch.from_numpy(by_hand.WINDOWS[name](x.double().numpy()))
    assert torch.equal(y.double(), torch.from_numpy(signs @ w.double().numpy().T))
    flat = upstream.double().reshape(-1, 4).T @ torch.from_numpy(signs).reshape(-1, 5)
    assert torch.equal(to_w.double(), flat)
    to_signs = upstream.double() @ w.double()
    bound = to_signs.abs() / 126 * (1 + 1e-5) if name == "bireal" and dtype == torch.float32 else torch.zeros(())
    assert bool(((to_x.double() - to_signs * window).abs() <= bound).all())


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_without_gradient_the_result_is_the_same(name, dtype):
    g = GEOMETRIES[1]
    x, w, _ = draw(g, dtype)
    flat = torch.randn(3, 4, generator=torch.Generator().manual_seed(2)).to(dtype)
    for autocast in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
            for plain, tracked in (
                (sign_conv2d(x, w, name, **g.numbers), sign_conv2d(x, w.clone().requires_grad_(), name, **g.numbers)),
                (sign_linear(flat, flat, name), sign_linear(flat, flat.clone().requires_grad_(), name)),
            ):
                assert plain.dtype == tracked.dtype
                assert torch.equal(plain, tracked.detach())
                assert not plain.requires_grad


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_autocast_computes_in_bfloat16_and_returns_gradients_in_the_own_dtype(name):
    g = Geometry()
    x, w, upstream = draw(g, torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y, to_x, to_w = differentiate(lambda x, w: sign_conv2d(x, w, name, **g.numbers), x, w, upstream)
    assert y.dtype == torch.bfloat16
    assert to_x.dtype == to_w.dtype == torch.float32
    expected_y, to_signs, window, expected_w = written(g, name, x, w, upstream)
    # Small whole numbers are exact in bfloat16, so only the window is rounded.
    assert torch.equal(y.double(), expected_y)
    assert torch.equal(to_w.double(), expected_w)
    assert bool(((to_x.double() - to_signs * window).abs() <= to_signs.abs() * (1 / 126 + 2**-6)).all())


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_double_precision_stays_under_autocast(name):
    x, w, upstream = draw(Geometry(), torch.float64)
    plain = differentiate(lambda x, w: sign_conv2d(x, w, name, padding=(1, 1)), x, w, upstream)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = differentiate(lambda x, w: sign_conv2d(x, w, name, padding=(1, 1)), x, w, upstream)
    assert all(torch.equal(one, other) for one, other in zip(plain, cast, strict=True))


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_input_is_never_written_to(name):
    x, w, upstream = draw(Geometry(), torch.float32)
    x[0, 0, 0] = torch.tensor([float("inf"), -float("inf"), 3e38, -3e38])
    before = x.clone(), w.clone(), upstream.clone()
    _, to_x, to_w = differentiate(lambda x, w: sign_conv2d(x, w, name, padding=(1, 1)), x, w, upstream)
    assert all(torch.equal(one, other) for one, other in zip((x, w, upstream), before, strict=True))
    assert bool(torch.isfinite(to_x).all())
    assert bool(torch.isfinite(to_w).all())
    if name != "identity":
        assert not to_x[0, 0, 0].any()


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_empty_batch(name):
    g = Geometry(n=0)
    y, to_x, to_w = differentiate(lambda x, w: sign_conv2d(x, w, name, padding=(1, 1)), *draw(g, torch.float32))
    assert y.shape == g.y_shape
    assert to_x.shape == g.x_shape
    assert not to_w.any()


def test_one_number_stands_for_a_pair():
    x, w, upstream = draw(Geometry(size=(7, 7), stride=(2, 2), padding=(2, 2), dilation=(2, 2)), torch.float32)
    pairs = differentiate(lambda x, w: sign_conv2d(x, w, "clip", (2, 2), (2, 2), (2, 2)), x, w, upstream)
    numbers = differentiate(lambda x, w: sign_conv2d(x, w, "clip", 2, 2, 2), x, w, upstream)
    assert all(torch.equal(one, other) for one, other in zip(pairs, numbers, strict=True))


@pytest.mark.parametrize("tracked", [False, True])
def test_wrong_arguments_are_refused_before_anything_runs(tracked):
    x, w = torch.zeros(1, 1, 3, 3), torch.ones(1, 1, 1, 1, requires_grad=tracked)
    for padding in ("same", "valid", (1, 2, 3), (0.5, 0.5)):
        with pytest.raises(UsageError, match="padding is a whole number or a pair"):
            sign_conv2d(x, w, "clip", padding=padding)
    for operate, z in ((sign_conv2d, x), (sign_linear, torch.zeros(2, 1))):
        with pytest.raises(UsageError, match=r"floats, got torch\.uint8"):
            operate(z.to(torch.uint8), w, "clip")
    with pytest.raises(UsageError, match="unknown estimator"):
        sign_conv2d(x, w, "clop")


@pytest.mark.parametrize("name", ESTIMATOR_NAMES)
def test_second_derivative_is_refused(name):
    x, w, upstream = draw(Geometry(), torch.float32)
    y = sign_conv2d(x.requires_grad_(), w.requires_grad_(), name, padding=(1, 1))
    (gradient,) = torch.autograd.grad(y, x, upstream.requires_grad_(), create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_meta_tensors_give_shapes():
    g = GEOMETRIES[2]
    w = torch.empty(g.w_shape, device="meta", requires_grad=True)
    y = sign_conv2d(torch.empty(g.x_shape, device="meta"), w, "bireal", **g.numbers)
    assert y.shape == g.y_shape


def test_matches_torch_for_a_layer_of_usual_size():
    g = Geometry(n=2, c_in=16, c_out=16, size=(14, 14), stride=(2, 2))
    x, w, upstream = draw(g, torch.float32)
    y, _, to_w = differentiate(lambda x, w: sign_conv2d(x, w, "bireal", **g.numbers), x, w, upstream)
    plain, _, expected = differentiate(lambda x, w: F.conv2d(x, w, None, **g.numbers), hard_sign(x), w, upstream)
    assert torch.equal(y, plain)
    assert torch.equal(to_w, expected)
