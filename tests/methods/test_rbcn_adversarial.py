"""Equations 2, 4, 12 and 16: a linear discriminator whose gradient is known, in double precision."""

import numpy as np
import pytest
import torch
from torch import nn

import by_hand
from by_hand import GEOMETRIES, bireal, close, sign
from onebit.methods.rbcn import RectifiedConv2d
from onebit.training.discriminators import Discriminators
from onebit.training.recipe import AdversarialConfig


class LinearD(nn.Module):
    """logit(T) = sum of v * T + b, so that D = sigmoid(logit) and dD/dT = D (1 - D) v."""

    def __init__(self, shape):
        super().__init__()
        self.v = nn.Parameter(0.3 * torch.randn(shape, dtype=torch.float64))
        self.b = nn.Parameter(torch.tensor(0.2, dtype=torch.float64))

    def forward(self, maps):
        return (self.v * maps).flatten(1).sum(1) + self.b


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def make(shapes, **options):
    torch.manual_seed(1)
    names = [f"map{i}" for i in range(len(shapes))]
    discriminators = Discriminators(names, shapes, AdversarialConfig(**options))
    discriminators.members = nn.ModuleList(LinearD(shape) for shape in shapes)
    return discriminators


def judge(member, maps):
    """D(T) of every image."""
    return sigmoid((member.v.detach().numpy() * maps).sum((1, 2, 3)) + member.b.item())


@pytest.mark.parametrize("loss", ["least-squares", "log"])
@pytest.mark.parametrize("scale_grad", ["scaled", "unit"])
@pytest.mark.parametrize("g", GEOMETRIES[:3])
def test_student_gradients_are_equations_12_and_16(g, scale_grad, loss):
    torch.manual_seed(0)
    positional, keywords = g.arguments
    layer = RectifiedConv2d(*positional, **keywords, scale_grad=scale_grad).double()
    with torch.no_grad():
        layer.weight.uniform_(-1.4, 1.4)
        layer.matrix.uniform_(0.1, 1.0)
    x = torch.randn(g.x_shape, dtype=torch.float64)
    discriminators = make([g.y_shape[1:]], generator_loss=loss)
    fake = layer(x)
    value = discriminators.generator_loss([fake])
    value.backward()

    member = discriminators.members[0]
    d = judge(member, fake.detach().numpy())
    close(value.item(), ((1 - d) ** 2).mean() if loss == "least-squares" else -np.log(d).mean())
    # dD/dWhat of one image: D (1 - D) v carried back through conv(sign(x), C o What); the batch mean is over images.
    weight, matrix, signs = layer.weight.detach().numpy(), layer.matrix.detach().numpy(), sign(x.numpy())
    to_weight, to_matrix = np.zeros_like(weight), np.zeros_like(matrix)
    one = by_hand.Geometry(**{**g.__dict__, "n": 1})
    for image, d_of_t in zip(signs, d, strict=True):
        slope = (d_of_t * (1 - d_of_t) * member.v.detach().numpy())[None]
        slope_of_effective = by_hand.conv_to_weight(slope, image[None], one)
        d_what = slope_of_effective * (matrix if scale_grad == "scaled" else 1)
        d_matrix = sum(e * sign(w) for e, w in zip(slope_of_effective, weight, strict=True))
        outer = -2 * (1 - d_of_t) if loss == "least-squares" else -1 / d_of_t
        to_weight += outer * d_what * bireal(weight) / g.n  # Eq. 12, then Eqs. 7 and 8
        to_matrix += outer * d_matrix / g.n  # Eq. 16
    close(layer.weight.grad.numpy(), to_weight)
    close(layer.matrix.grad.numpy(), to_matrix)
    assert all(p.grad is None and p.requires_grad for p in discriminators.parameters()), "D is fixed here (Eq. 4)"


def test_student_terms_are_summed_over_discriminators():
    shapes = [(2, 3, 3), (4, 1, 2)]
    discriminators = make(shapes)
    fakes = [torch.randn(3, *shape, dtype=torch.float64) for shape in shapes]
    expected = sum(((1 - judge(m, f.numpy())) ** 2).mean() for m, f in zip(discriminators.members, fakes, strict=True))
    close(discriminators.generator_loss(fakes).item(), expected)


def test_discriminator_loss_is_equation_2_negated_and_ascends_it():
    shapes = [(2, 3, 3), (4, 1, 2)]
    discriminators = make(shapes)
    real, fake = ([torch.randn(3, *s, dtype=torch.float64, requires_grad=True) for s in shapes] for _ in range(2))
    loss, scores = discriminators.loss(real, fake, [0, 1])
    loss.backward()
    expected = 0.0
    for index, member in enumerate(discriminators.members):
        r, t = real[index].detach().numpy(), fake[index].detach().numpy()
        d_r, d_t = judge(member, r), judge(member, t)
        own = -(np.log(d_r) + np.log(1 - d_t)).mean()
        expected += own
        # d/dv of -log D(R) is -(1 - D(R)) R, of -log(1 - D(T)) it is D(T) T.
        to_v = (-(1 - d_r)[:, None, None, None] * r + d_t[:, None, None, None] * t).mean(0)
        close(member.v.grad.numpy(), to_v)
        close(member.b.grad.item(), (d_t - (1 - d_r)).mean())
        accuracy = ((d_r > 0.5).mean() + (d_t < 0.5).mean()) / 2
        np.testing.assert_allclose(scores[index].numpy(), [accuracy, own, d_r.mean(), d_t.mean()], rtol=1e-6)
    close(loss.item(), expected)
    assert all(maps.grad is None for maps in (*real, *fake)), "neither network learns from D's own loss"
