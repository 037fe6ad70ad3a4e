"""PCNN against its printed equations in double precision: the projected bits, both gradients, the projection loss, delta."""

import dataclasses

import numpy as np
import pytest
import torch

import by_hand
from by_hand import GEOMETRIES, Geometry, clip, close, sign
from onebit.errors import UsageError
from onebit.methods import get_method
from onebit.methods.pcnn import ProjectionConv2d, ProjectionLinear
from onebit.models import create_model
from onebit.training.teacher import copy_teacher

LAMBDA = 0.3


def make(g, seed=0, projections=2, **options):
    """A layer of J * c_out channels a group, whose products cover the window, its ends and zero; one mean is negative."""
    torch.manual_seed(seed)
    g = dataclasses.replace(g, c_out=g.c_out * projections)
    positional, keywords = g.arguments
    layer = ProjectionConv2d(*positional, **keywords, projections=projections, **options).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.weight.view(-1)[:2] = torch.tensor([0.0, 1.0], dtype=torch.float64)
        layer.projection.uniform_(-0.4, 1.6)
        layer.projection[-1] -= 1.0
    x = torch.randn(g.x_shape, dtype=torch.float64)
    return g, layer, x.requires_grad_(), torch.randn(g.y_shape, dtype=torch.float64)


def arrays(layer):
    return layer.weight.detach().numpy(), layer.projection.detach().numpy()


def kernels(weight, projection, projected):
    """Chat_ij in the order D_i = concat over j, and a."""
    a = sum(np.abs(c).sum() for c in weight) / weight.size
    copies = []
    for c in weight:
        for w in projection:
            factor = w.mean() if projected == "mean" else np.broadcast_to(w, c.shape)
            copies.append(a * sign(factor * c))
    return np.stack(copies), a


def task_gradients(to_chat, weight, projection):
    """The equation before 3.52, and 3.55, filter by filter, projection by projection, channel plane by channel plane."""
    to_weight, to_projection = np.zeros_like(weight), np.zeros_like(projection)
    for i, c in enumerate(weight):
        for j, w in enumerate(projection):
            g = to_chat[i * len(projection) + j]
            for h in range(c.shape[0]):
                window = clip(w * c[h])
                to_weight[i, h] += g[h] * window * w
                to_projection[j] += g[h] * window * c[h]
    return to_weight, to_projection


def loss_gradients(weight, projection, projected, shift):
    """Eqs. 3.42, 3.52 and 3.56; ``shift`` is eta * delta, by output channel."""
    chat, _ = kernels(weight, projection, projected)
    loss, to_weight, to_projection = 0.0, np.zeros_like(weight), np.zeros_like(projection)
    for i, c in enumerate(weight):
        for j, w in enumerate(projection):
            channel = i * len(projection) + j
            for h in range(c.shape[0]):
                moved = c[h] + shift[channel, h]
                bracket = w * moved - chat[channel, h]
                loss += LAMBDA / 2 * (bracket**2).sum()
                to_weight[i, h] += LAMBDA * bracket * w
                to_projection[j] += LAMBDA * bracket * moved
    return loss, to_weight, to_projection


@pytest.mark.parametrize("projected", ["mean", "matrix"])
@pytest.mark.parametrize("projections", [1, 3])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_value_and_task_gradients(g, projections, projected):
    g, layer, x, upstream = make(g, projections=projections, projected=projected)
    y = layer(x)
    y.backward(upstream)
    (weight, projection), signs = arrays(layer), sign(x.detach().numpy())
    chat, a = kernels(weight, projection, projected)
    close(y.detach().numpy(), by_hand.conv(signs, chat, g))
    close(layer.eval()(x).detach().numpy(), by_hand.conv(signs, chat, g))
    assert torch.equal(layer.binary_weight().detach(), torch.from_numpy(chat / a).round())
    to_weight, to_projection = task_gradients(by_hand.conv_to_weight(upstream.numpy(), signs, g), weight, projection)
    close(layer.weight.grad.numpy(), to_weight)
    close(layer.projection.grad.numpy(), to_projection)
    close(x.grad.numpy(), by_hand.conv_to_input(upstream.numpy(), chat, g) * clip(x.detach().numpy()))


@pytest.mark.parametrize("projected", ["mean", "matrix"])
def test_linear_layer_follows_the_same_equations(projected):
    torch.manual_seed(0)
    layer = ProjectionLinear(5, 6, projections=2, projected=projected, projection_weight=LAMBDA).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.projection.copy_(torch.tensor([0.8, -0.5]))
    x, upstream = torch.randn(4, 5, dtype=torch.float64, requires_grad=True), torch.randn(4, 6, dtype=torch.float64)
    y = layer(x)
    (y * upstream).sum().backward()
    (weight, projection), signs, u = arrays(layer), sign(x.detach().numpy()), upstream.numpy()
    chat, _ = kernels(weight, projection, projected)
    close(y.detach().numpy(), signs @ chat.T)
    # A linear layer's W_j is one number: planes of one entry.
    planes = (u.T @ signs)[:, :, None], weight[:, :, None], projection[:, None]
    to_weight, to_projection = task_gradients(*planes)
    close(layer.weight.grad.numpy(), to_weight[:, :, 0])
    close(layer.projection.grad.numpy(), to_projection[:, 0])
    layer.zero_grad()
    loss = layer.penalty()
    loss.backward()
    value, to_weight, to_projection = loss_gradients(*planes[1:], projected, np.zeros((6, 5, 1)))
    close(loss.item(), value)
    close(layer.weight.grad.numpy(), to_weight[:, :, 0])
    close(layer.projection.grad.numpy(), to_projection[:, 0])


@pytest.mark.parametrize("projected", ["mean", "matrix"])
@pytest.mark.parametrize("g", GEOMETRIES)
def test_projection_loss_is_equation_3_42_with_gradients_3_52_and_3_56(g, projected):
    g, layer, _, _ = make(g, projected=projected, projection_weight=LAMBDA)
    loss = layer.penalty()
    (2.5 * loss).backward()
    value, to_weight, to_projection = loss_gradients(*arrays(layer), projected, np.zeros(g.w_shape))
    close(loss.item(), value)
    close(layer.weight.grad.numpy(), 2.5 * to_weight)
    close(layer.projection.grad.numpy(), 2.5 * to_projection)


def test_delta_is_the_gradient_of_the_last_backward_pass():
    g, layer, x, upstream = make(GEOMETRIES[1], eta=0.7, projection_weight=LAMBDA)
    before = loss_gradients(*arrays(layer), "mean", np.zeros(g.w_shape))[0]
    total = (layer(x) * upstream).sum() + layer.penalty()
    close(layer.penalty().item(), before)
    total.backward()  # the loss is part of the pass that sets delta
    delta = by_hand.conv_to_weight(upstream.numpy(), sign(x.detach().numpy()), g)
    close(layer.delta.numpy(), delta)
    layer.zero_grad()
    loss = layer.penalty()
    loss.backward()
    value, to_weight, to_projection = loss_gradients(*arrays(layer), "mean", 0.7 * delta)
    close(loss.item(), value)
    close(layer.weight.grad.numpy(), to_weight)
    close(layer.projection.grad.numpy(), to_projection)
    layer.eval()(x.detach()).sum().backward()
    close(layer.delta.numpy(), delta)
    assert "delta" in layer.state_dict()
    layer.reset_scale()
    assert not layer.delta.any()
    assert "delta" not in ProjectionConv2d(2, 2, 3).state_dict()


def test_real_weights_are_taken_as_the_mean_over_the_copies():
    torch.manual_seed(0)
    for layer, weight in (
        (ProjectionConv2d(4, 6, 3, groups=2, projections=3), torch.randn(6, 2, 3, 3)),
        (ProjectionLinear(4, 6, projections=3), torch.randn(6, 4)),
    ):
        magnitude = layer.weight.detach().abs().mean()
        factor = layer.take_weight(weight)
        means = torch.stack([weight[:3].mean(0), weight[3:].mean(0)])
        torch.testing.assert_close(layer.weight.detach(), means * factor)
        torch.testing.assert_close(layer.weight.detach().abs().mean(), magnitude)


def test_a_network_starts_from_a_twin_that_has_more_filters():
    size = {"num_classes": 3, "in_channels": 1, "image_size": 8, "widths": (4, 6, 8)}
    student = create_model("lenet", "pcnn", method_options={"projections": 2}, **size)
    twin = create_model("lenet", "real", **size)
    assert copy_teacher(student, twin) == len(twin.state_dict())
    means = twin.conv.weight.detach().unflatten(0, (3, 2)).mean(1)
    assert torch.equal(student.conv.weight.detach() >= 0, means >= 0)


@pytest.mark.parametrize("frozen", ["weight", "projection"])
def test_one_frozen_parameter_leaves_the_other_gradient_alone(frozen):
    def gradients(freeze):
        _, layer, x, upstream = make(Geometry(), projection_weight=LAMBDA)
        for name in freeze:
            getattr(layer, name).requires_grad_(False)
        ((layer(x) * upstream).sum() + layer.penalty()).backward()
        return {name: getattr(layer, name).grad for name in ("weight", "projection")}

    both, one = gradients([]), gradients([frozen])
    other = "projection" if frozen == "weight" else "weight"
    assert one[frozen] is None
    assert torch.equal(one[other], both[other])


def test_start_and_shapes():
    layer = ProjectionConv2d(6, 8, 3, groups=2, projections=2)
    assert layer.weight.shape == (4, 3, 3, 3)
    assert layer.binary_weight().shape == (8, 3, 3, 3)
    assert layer.projection.shape == (2, 3, 3)
    assert bool((layer.projection == 1).all())
    assert layer.scale().shape == (1, 1, 1)
    assert layer.weight.std().item() == pytest.approx(0.1 * (2 / 27) ** 0.5, rel=0.3)
    mixed = ProjectionConv2d(2, 4, 5, projections=2, projected="matrix").projection
    assert bool((mixed[0] == 1).all())
    assert set(mixed[1].flatten().tolist()) == {-1.0, 1.0}
    linear = ProjectionLinear(4, 6, projections=3)
    assert (linear.weight.shape, linear.projection.shape, linear.scale().shape) == ((2, 4), (3,), (1,))


def test_copies_are_equal_by_the_mean_and_differ_by_the_matrix():
    torch.manual_seed(0)
    for projected, equal in (("mean", True), ("matrix", False)):
        bits = ProjectionConv2d(2, 6, 3, projections=2, projected=projected).binary_weight()
        assert torch.equal(bits[0::2], bits[1::2]) == equal


def test_keep_positive_holds_every_entry_where_the_forward_takes_the_mean():
    for options, held in (({}, True), ({"keep_positive": False}, False), ({"projected": "matrix"}, False)):
        layer = ProjectionConv2d(2, 2, 1, projections=2, **options)
        layer.projection.data.copy_(torch.tensor([-1.0, 0.7]).view(2, 1, 1))
        layer.constrain()
        assert layer.projection.flatten().tolist() == pytest.approx([0.1 if held else -1.0, 0.7])


def test_no_projection_loss_without_weight():
    assert ProjectionConv2d(1, 1, 1, projection_weight=0.0).penalty() is None
    assert ProjectionConv2d(1, 1, 1).projection_weight == 1e-4


def test_second_derivative_of_the_projection_loss_is_refused():
    _, layer, _, _ = make(Geometry(), projection_weight=LAMBDA)
    factor = torch.tensor(1.0, dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(factor * layer.penalty(), layer.weight, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("options", "arguments", "message"),
    [
        ({"projections": 4}, (2, 6, 3), "6 output channels are no multiple of 4, 4 projections in 1 group;"),
        ({"projections": 2}, (3, 9, 3), "9 output channels are no multiple of 6, 2 projections in 3 groups;"),
        ({"projections": 0}, (2, 6, 3), "projections must be 1 or more, got 0"),
        ({"projected": "matrx"}, (2, 6, 3), "projected is 'mean' or 'matrix', not 'matrx'"),
        ({"projection_weight": -1.0}, (2, 6, 3), "projection_weight must be 0 or more, got -1.0"),
        ({"eta": -0.5}, (2, 6, 3), "eta must be 0 or more, got -0.5"),
        ({"projection": 2}, (2, 6, 3), "did you mean"),
    ],
)
def test_wrong_options_are_one_sentence(options, arguments, message):
    with pytest.raises(UsageError, match=message):
        get_method("pcnn", **options).conv(*arguments, groups=3 if arguments[1] == 9 else 1)


def test_linear_layers_are_refused_alike():
    with pytest.raises(UsageError, match="5 output channels are no multiple of 2"):
        ProjectionLinear(4, 5, projections=2)
