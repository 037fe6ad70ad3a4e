"""The checks of the model catalogue that apply to trackers: images to features, pairs to responses, any method."""

import copy
import io

import pytest
import torch

from onebit.functional import hard_sign
from onebit.models import Tap, create_model, list_models
from onebit.nn import BinaryLayer

TRACKERS = list_models(kind="tracker")
WIDTHS = (6, 8, 12, 12, 8)
# The smallest image that leaves a feature, and one that leaves three by three for it to be found in.
SMALL, LARGE = 87, 103

pytestmark = pytest.mark.parametrize("tracker", TRACKERS)


def make(tracker, method, seed=0):
    torch.manual_seed(seed)
    return create_model(tracker, method, in_channels=3, widths=WIDTHS)


def pair(count=3, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return tuple(255 * torch.rand(count, 3, side, side, generator=generator) for side in (SMALL, LARGE))


def layers_of(network):
    return {name: m for name, m in network.named_modules() if isinstance(m, BinaryLayer)}


def outputs(network, names, inputs):
    seen = {}
    for name in names:
        network.get_submodule(name).register_forward_hook(lambda _, i, o, name=name: seen.__setitem__(name, (i[0], o)))
    with torch.no_grad():
        network(inputs)
    return seen


def test_responses_gradients_and_a_step_that_moves_everything(tracker, method):
    network = make(tracker, method)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    response = network(pair())
    assert response.shape == (3, 3, 3)
    penalties = [layer.penalty() for layer in layers_of(network).values()]
    loss = response.sub(1).square().mean() + sum(p for p in penalties if p is not None)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    loss.backward()
    optimizer.step()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        # Batch norm takes away what a bias before it adds, and the one factor of all that it reads.
        blind = name.endswith("0.bias") or name.endswith("activation_scale")
        still = bool((before[name] - 0.1 * parameter.grad == before[name]).all())
        assert not torch.equal(parameter, before[name]) or (blind and still), f"{name} did not move"


def test_evaluation_is_the_packed_terms_in_every_binary_layer(tracker, binary_method, response):
    network = make(tracker, binary_method)
    network(pair())
    layers = layers_of(network.eval())
    assert list(layers) == [f"backbone.conv{i}.0" for i in (2, 3, 4, 5)]
    for name, (x, y) in outputs(network, layers, pair()).items():
        layer = layers[name]
        assert torch.equal(y, response(layer, x)), name
        bits = hard_sign(x)
        assert set(bits.unique().tolist()) == {-1, 1}, f"the sign before {name} is constant"


def test_state_survives_a_file_and_copies_stand_alone(tracker, method):
    network, twin = make(tracker, method), make(tracker, method)
    states = network.state_dict(), twin.state_dict()
    assert all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))
    network(pair())
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = make(tracker, method, seed=1)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other.eval()(pair()), network.eval()(pair()))
    copied = copy.deepcopy(network)
    copied(pair()).sum().backward()
    assert all(p.grad is None for p in network.parameters())


def test_precision_layout_and_images_alone(tracker, method):
    network = make(tracker, method).double().eval()
    images = pair()[1].double()
    features = network(images)
    assert features.dtype == torch.float64
    torch.testing.assert_close(network(images[:1]), features[:1], rtol=1e-9, atol=1e-9)
    last = network.to(memory_format=torch.channels_last)(images.to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, features, rtol=1e-9, atol=1e-9)


def test_taps_are_the_twins_on_both_branches(tracker, method):
    network, twin = make(tracker, method), make(tracker, "real")
    assert network.taps == twin.taps
    assert all(isinstance(tap, Tap) for tap in network.taps)
    names = [tap.module for tap in network.taps]
    assert {name.partition(".")[0] for name in names} == {"exemplar", "search"}
    mine, its = (outputs(net, names, pair()) for net in (network, twin))
    assert {n: o.shape for n, (_, o) in mine.items()} == {n: o.shape for n, (_, o) in its.items()}
    assert mine["exemplar.4"][1].shape[-1] == 1
    assert mine["search.4"][1].shape[-1] == 3


def test_bits_are_stated(tracker, method):
    layers = layers_of(network := make(tracker, method))
    assert bool(layers) == (method != "real")
    stated = [m for m in network.modules() if hasattr(m, "weight_bits")]
    assert {m.weight_bits for m in stated} == ({32} if method == "real" else {1})
