"""RBCN's Equations 3 to 15 in double precision: the code's gradients against the printed formulas in NumPy."""

import numpy as np
import pytest
import torch

import by_hand
from by_hand import GEOMETRIES, Geometry, bireal, close, sign
from onebit.errors import UsageError
from onebit.methods import get_method
from onebit.methods.rbcn import RectifiedConv2d, RectifiedLinear

LAMBDA = 0.3
KERNEL_OPTIONS = [(grad, target) for grad in ("paper", "full") for target in ("matrix", "mean")]


def make(g, seed=0, **options):
    """A layer whose W covers the whole window of Eq. 8 with its ends, and whose C has a negative and a zero entry."""
    torch.manual_seed(seed)
    positional, keywords = g.arguments
    layer = RectifiedConv2d(*positional, **keywords, **options).double()
    edges = torch.tensor([0.0, -0.0, 1.0, -1.0, 0.999, -0.999, 1.7], dtype=torch.float64)
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        count = min(len(edges), layer.weight.numel())
        layer.weight.view(-1)[:count] = edges[:count]
        layer.matrix.uniform_(0.1, 1.0)
        layer.matrix.view(-1)[-1] = -0.2
        if layer.matrix.numel() > 2:
            layer.matrix.view(-1)[1] = 0.0
    x = torch.randn(g.x_shape, dtype=torch.float64) * 0.8
    return layer, x.requires_grad_(), torch.randn(g.y_shape, dtype=torch.float64)


def arrays(layer):
    return layer.weight.detach().numpy(), layer.matrix.detach().numpy()


def kernel_loss(weight, matrix, target):
    """Eq. 3, filter by filter."""
    c = matrix if target == "matrix" else matrix.mean()
    return LAMBDA / 2 * sum(((w - c * sign(w)) ** 2).sum() for w in weight)


def kernel_gradients(weight, matrix, grad, target):
    """Eqs. 7, 11 and 15, filter by filter; ``full`` adds the direct term, ``mean`` spreads Eq. 15 over the mean."""
    c = matrix if target == "matrix" else np.full_like(matrix, matrix.mean())
    to_weight, to_matrix = np.zeros_like(weight), np.zeros_like(matrix)
    for i, w in enumerate(weight):
        difference = w - c * sign(w)
        to_what = -LAMBDA * difference * c  # Eq. 11
        to_weight[i] = to_what * bireal(w)  # Eqs. 7 and 8
        if grad == "full":
            to_weight[i] += LAMBDA * difference
        to_matrix += -LAMBDA * difference * sign(w)  # Eq. 15
    if target == "mean":
        to_matrix[...] = to_matrix.sum() / to_matrix.size
    return to_weight, to_matrix


@pytest.mark.parametrize("scale_grad", ["scaled", "unit"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_task_gradients_are_equations_6_to_8_and_13(g, scale_grad):
    layer, x, upstream = make(g, scale_grad=scale_grad)
    y = layer(x)
    y.backward(upstream)
    (weight, matrix), signs = arrays(layer), sign(x.detach().numpy())
    effective = matrix.mean() * sign(weight)
    close(y.detach().numpy(), by_hand.conv(signs, effective, g))  # Eq. 6 with mean(C)
    to_effective = by_hand.conv_to_weight(upstream.numpy(), signs, g)
    to_what = to_effective * matrix if scale_grad == "scaled" else to_effective
    close(layer.weight.grad.numpy(), to_what * bireal(weight))  # Eqs. 7 and 8
    close(layer.matrix.grad.numpy(), sum(d * sign(w) for d, w in zip(to_effective, weight, strict=True)))  # Eq. 13
    to_signs = by_hand.conv_to_input(upstream.numpy(), effective, g)
    close(x.grad.numpy(), to_signs * bireal(x.detach().numpy()))


@pytest.mark.parametrize("scale_grad", ["scaled", "unit"])
def test_linear_layer_follows_the_same_equations(scale_grad):
    torch.manual_seed(0)
    layer = RectifiedLinear(5, 3, scale_grad=scale_grad).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.matrix.uniform_(0.1, 1.0)
    x, upstream = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 3, dtype=torch.float64)
    y = layer(x)
    y.backward(upstream)
    (weight, matrix), signs, u = arrays(layer), sign(x.detach().numpy()), upstream.numpy()
    close(y.detach().numpy(), matrix.mean() * signs @ sign(weight).T)
    to_effective = u.T @ signs
    close(layer.weight.grad.numpy(), to_effective * (matrix if scale_grad == "scaled" else 1) * bireal(weight))
    close(layer.matrix.grad.numpy(), (to_effective * sign(weight)).sum(0))
    close(x.grad.numpy(), matrix.mean() * u @ sign(weight) * bireal(x.detach().numpy()))


@pytest.mark.parametrize(("grad", "target"), KERNEL_OPTIONS)
@pytest.mark.parametrize("g", GEOMETRIES)
def test_kernel_loss_is_equation_3_with_gradients_11_and_15(g, grad, target):
    layer, _, _ = make(g, kernel_weight=LAMBDA, kernel_grad=grad, kernel_target=target)
    loss = layer.penalty()
    (2.5 * loss).backward()
    weight, matrix = arrays(layer)
    close(loss.item(), kernel_loss(weight, matrix, target))
    to_weight, to_matrix = kernel_gradients(weight, matrix, grad, target)
    close(layer.weight.grad.numpy(), 2.5 * to_weight)
    close(layer.matrix.grad.numpy(), 2.5 * to_matrix)


@pytest.mark.parametrize(("grad", "target"), KERNEL_OPTIONS)
def test_kernel_loss_of_a_linear_layer(grad, target):
    torch.manual_seed(0)
    layer = RectifiedLinear(5, 3, kernel_weight=LAMBDA, kernel_grad=grad, kernel_target=target).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.matrix.uniform_(0.1, 1.0)
    loss = layer.penalty()
    loss.backward()
    weight, matrix = arrays(layer)
    close(loss.item(), kernel_loss(weight, matrix, target))
    for parameter, expected in zip(
        (layer.weight, layer.matrix), kernel_gradients(weight, matrix, grad, target), strict=True
    ):
        close(parameter.grad.numpy(), expected)


def test_full_gradient_to_the_matrix_is_the_slope_of_the_value():
    layer, _, _ = make(Geometry(), kernel_weight=LAMBDA)
    layer.penalty().backward()
    weight, matrix = arrays(layer)
    for index in [(0, 0, 0), (1, 2, 1)]:
        step = np.zeros_like(matrix)
        step[index] = 1e-5
        slope = (kernel_loss(weight, matrix + step, "matrix") - kernel_loss(weight, matrix - step, "matrix")) / 2e-5
        assert layer.matrix.grad[index].item() == pytest.approx(slope, rel=1e-6)


@pytest.mark.parametrize("scale_grad", ["scaled", "unit"])
@pytest.mark.parametrize(("grad", "target"), KERNEL_OPTIONS)
def test_terms_add_up_as_in_equations_9_and_13(grad, target, scale_grad):
    g = GEOMETRIES[1]
    layer, x, upstream = make(g, kernel_weight=LAMBDA, kernel_grad=grad, kernel_target=target, scale_grad=scale_grad)
    ((layer(x) * upstream).sum() + layer.penalty()).backward()
    weight, matrix = arrays(layer)
    to_effective = by_hand.conv_to_weight(upstream.numpy(), sign(x.detach().numpy()), g)
    to_weight, to_matrix = kernel_gradients(weight, matrix, grad, target)
    to_weight += to_effective * (matrix if scale_grad == "scaled" else 1) * bireal(weight)
    to_matrix += (to_effective * sign(weight)).sum(0)
    close(layer.weight.grad.numpy(), to_weight)
    close(layer.matrix.grad.numpy(), to_matrix)


@pytest.mark.parametrize("estimator", ["clip", "identity", "bireal"])
def test_weight_estimator_is_the_window_of_both_losses(estimator):
    layer, x, upstream = make(Geometry(), weight_estimator=estimator, kernel_weight=LAMBDA)
    ((layer(x) * upstream).sum() + layer.penalty()).backward()
    weight, matrix = arrays(layer)
    to_effective = by_hand.conv_to_weight(upstream.numpy(), sign(x.detach().numpy()), Geometry())
    to_what = to_effective - LAMBDA * (weight - matrix * sign(weight)) * matrix
    close(layer.weight.grad.numpy(), to_what * by_hand.WINDOWS[estimator](weight))


@pytest.mark.parametrize("frozen", ["weight", "matrix"])
def test_one_frozen_parameter_leaves_the_other_gradient_alone(frozen):
    def gradients(freeze):
        layer, x, upstream = make(Geometry(), kernel_weight=LAMBDA)
        for name in freeze:
            getattr(layer, name).requires_grad_(False)
        ((layer(x) * upstream).sum() + layer.penalty()).backward()
        return {name: getattr(layer, name).grad for name in ("weight", "matrix")}

    both, one = gradients([]), gradients([frozen])
    other = "matrix" if frozen == "weight" else "weight"
    assert one[frozen] is None
    assert torch.equal(one[other], both[other])


def test_matrix_starts_at_the_mean_of_the_weights():
    layer = RectifiedConv2d(4, 3, 3)
    assert layer.matrix.shape == (4, 3, 3)
    assert RectifiedConv2d(4, 2, 3, groups=2).matrix.shape == (2, 3, 3)
    assert RectifiedLinear(4, 2).matrix.shape == (4,)
    mean = layer.weight.detach().abs().mean()
    assert torch.equal(layer.matrix.detach(), mean.expand(4, 3, 3))
    with torch.no_grad():
        layer.weight.mul_(5)
    layer.reset_scale()
    torch.testing.assert_close(layer.matrix.detach(), (5 * mean).expand(4, 3, 3))


def test_keep_positive_holds_every_entry_at_a_tenth_of_the_start():
    for keep in (True, False):
        layer = RectifiedConv2d(2, 3, 2, keep_positive=keep)
        floor = layer.matrix[0, 0, 0].item() / 10
        drifted = torch.tensor([[[-1.0, 0.0], [floor / 2, 5.0]], [[floor, 2 * floor], [1.0, -0.0]]])
        layer.matrix.data.copy_(drifted)
        layer.constrain()
        expected = drifted.clamp(min=layer.matrix_floor.item()) if keep else drifted
        assert torch.equal(layer.matrix.detach(), expected)
        assert layer.matrix_floor.item() == pytest.approx(floor)
        assert layer.matrix.requires_grad


def test_the_floor_travels_with_the_state():
    layer, other = RectifiedConv2d(2, 3, 2), RectifiedConv2d(2, 3, 2)
    other.load_state_dict(layer.state_dict())
    assert torch.equal(other.matrix_floor, layer.matrix_floor)


def test_no_kernel_loss_without_weight():
    assert RectifiedConv2d(1, 1, 1, kernel_weight=0.0).penalty() is None


def test_second_derivative_of_the_kernel_loss_is_refused():
    layer, _, _ = make(Geometry(), kernel_weight=LAMBDA)
    factor = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(factor * layer.penalty(), layer.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_grad": "papre"}, "kernel_grad is 'paper' or 'full', not 'papre'"),
        ({"kernel_target": "men"}, "kernel_target is 'matrix' or 'mean', not 'men'"),
        ({"kernel_weight": -1e-4}, "kernel_weight must be 0 or more, got -0.0001"),
        ({"kernel_grd": "full"}, "unknown option .*did you mean 'kernel_grad'"),
    ],
)
def test_wrong_options_are_one_sentence(options, message):
    with pytest.raises(UsageError, match=message):
        get_method("rbcn", **options).conv(2, 2, 3)
