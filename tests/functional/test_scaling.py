"""scale_signs: its value, and the gradient that each of its two sides is promised."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from by_hand import close
from onebit.functional import hard_sign, scale_signs


@given(
    channels=st.integers(1, 4),
    inner=st.lists(st.integers(1, 3), min_size=1, max_size=3),
    kind=st.sampled_from(["full", "filter", "output", "one"]),
    through=st.booleans(),
    separate=st.booleans(),
)
def test_value_and_gradients_are_the_written_ones(channels, inner, kind, through, separate):
    generator = torch.Generator().manual_seed(0)
    shape = (channels, *inner)
    scale_shape = {"full": shape, "filter": tuple(inner), "output": (channels, *[1] * len(inner)), "one": (1,)}[kind]

    def draw(*size):
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    signs, scale, upstream = hard_sign(draw(*shape)).requires_grad_(), draw(*scale_shape).requires_grad_(), draw(*shape)
    value = scale.detach().mean() if separate else None
    chain = draw(*scale_shape) if through else None
    y = scale_signs(signs, scale, value=value, through=chain)
    y.backward(upstream)
    s, g = signs.detach().numpy(), upstream.numpy()
    close(y.detach().numpy(), s * (scale if value is None else value).detach().numpy())
    close(signs.grad.numpy(), g * chain.numpy() if through else g)
    product = g * s
    axes = {"full": None, "filter": 0, "output": tuple(range(1, len(shape))), "one": tuple(range(len(shape)))}[kind]
    expected = product if axes is None else product.sum(axes)
    close(scale.grad.numpy(), np.reshape(expected, scale_shape))


@pytest.mark.parametrize("learns", [(True, False), (False, True)])
def test_only_the_side_that_learns_gets_a_gradient(learns):
    signs, scale = torch.tensor([[1.0, -1.0]]), torch.tensor([[2.0, 3.0]])
    signs.requires_grad_(learns[0])
    scale.requires_grad_(learns[1])
    scale_signs(signs, scale, through=scale.detach()).sum().backward()
    assert (signs.grad is not None, scale.grad is not None) == learns


def test_value_gets_no_gradient_and_the_second_derivative_is_refused():
    signs, scale = torch.tensor([[1.0, -1.0]], requires_grad=True), torch.tensor([[2.0, 3.0]], requires_grad=True)
    value, upstream = torch.tensor(5.0, requires_grad=True), torch.ones(1, 2, requires_grad=True)
    y = scale_signs(signs, scale, value=value)
    (gradient,) = torch.autograd.grad(y, signs, upstream, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()
    scale_signs(signs, scale, value=value).sum().backward()
    assert value.grad is None
