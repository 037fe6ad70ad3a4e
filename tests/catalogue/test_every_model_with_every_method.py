"""One set of checks over every architecture with every method in it; a new one is tested by existing."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F

from onebit.errors import UsageError
from onebit.functional import hard_sign
from onebit.models import Tap
from onebit.nn import BinaryConv2d, BinaryLayer, BinaryLinear


def binary_layers(network):
    return {name: m for name, m in network.named_modules() if isinstance(m, BinaryLayer)}


def loss_of(network, images, labels):
    """Cross-entropy plus the method's own terms, as training computes it."""
    penalties = [layer.penalty() for layer in binary_layers(network).values()]
    return F.cross_entropy(network(images).float(), labels) + sum(p for p in penalties if p is not None)


def record(network, modules, images):
    """Inputs and outputs of the named modules in one pass."""
    seen = {}
    handles = [
        network.get_submodule(name).register_forward_hook(lambda _, i, o, name=name: seen.__setitem__(name, (i[0], o)))
        for name in modules
    ]
    with torch.no_grad():
        network(images)
    for handle in handles:
        handle.remove()
    return seen


def test_logits_and_gradients(model, method, make, images, labels):
    network = make(model, method)
    logits = network(images)
    assert logits.shape == (len(images), int(labels.max()) + 1)
    loss_of(network, images, labels).backward()
    for name, parameter in network.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
        assert bool(parameter.grad.any()), f"{name} has a gradient of zeros only"


def test_evaluation_is_the_reference_in_every_binary_layer(model, binary_method, make, images, definition, response):
    network = make(model, binary_method)
    network(images)
    layers = binary_layers(network.eval())
    assert layers
    for name, (x, y) in record(network, layers, images).items():
        layer = layers[name]
        weight, scale = layer.binary_weight().detach(), layer.scale().detach()
        assert bool((weight.abs() == 1).all()), name
        if isinstance(layer, BinaryConv2d):
            shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
            assert scale.shape in {(layer.out_channels, 1, 1), (1, 1, 1)}, name
        else:
            shape = (layer.out_features, layer.in_features)
            assert scale.shape in {(layer.out_features,), (1,)}, name
        assert weight.shape == shape, name
        assert torch.equal(weight, definition(binary_method, layer.weight, shape[0])), name
        (term,) = layer.packed()
        assert torch.equal(term.weight, weight), name
        assert torch.equal(term.scale, scale), name
        assert torch.equal(y, response(layer, x)), name


def test_packed_terms_sum_to_the_layer(model, binary_method, make, images):
    network = make(model, binary_method).eval()
    layers = binary_layers(network)
    for name, (x, y) in record(network, layers, images).items():
        layer, total = layers[name], 0
        for term in layer.packed():
            assert bool((term.weight.abs() == 1).all()), name
            assert not term.weight.requires_grad, name
            assert not term.scale.requires_grad, name
            signs = hard_sign(x) if term.shift is None else hard_sign(x + term.shift)
            if isinstance(layer, BinaryLinear):
                sums = F.linear(signs, term.weight)
            else:
                sums = F.conv2d(signs, term.weight, None, layer.stride, layer.padding, layer.dilation, layer.groups)
            total = total + sums * term.scale
        assert torch.equal(total, y), name


def test_training_differs_from_evaluation_by_rounding_only(model, binary_method, make, images):
    network = make(model, binary_method)
    layers = binary_layers(network)
    for name, (x, y) in record(network, layers, images).items():
        layer = layers[name]
        with torch.no_grad():
            other = layer.eval()(x)
        bound = layer.scale().abs().max() * layer.weight[0].numel() * 2**-22
        assert bool(((y - other).abs() <= bound).all()), name


def test_state_survives_a_file(model, method, make, images):
    network = make(model, method)
    network(images)
    file = io.BytesIO()
    torch.save(network.state_dict(), file)
    file.seek(0)
    other = make(model, method, seed=1)
    assert not torch.equal(other.eval()(images), network.eval()(images))
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(images), network(images))


def test_same_seed_same_weights_and_a_copy_stands_alone(model, method, make, images):
    network, other = make(model, method), make(model, method)
    assert all(
        torch.equal(a, b) for a, b in zip(network.state_dict().values(), other.state_dict().values(), strict=True)
    )
    twin = copy.deepcopy(network)
    network(images).sum().backward()
    assert all(p.grad is None for p in twin.parameters())
    assert torch.equal(twin(images), other(images))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_training_step_moves_every_parameter(model, method, make, images, labels, dtype):
    network = make(model, method)
    before = {name: p.detach().clone() for name, p in network.named_parameters()}
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    with torch.autocast("cpu", dtype=dtype, enabled=dtype == torch.bfloat16):
        loss = loss_of(network, images, labels)
    loss.backward()
    optimizer.step()
    for layer in binary_layers(network).values():
        layer.constrain()
    for name, parameter in network.named_parameters():
        assert parameter.dtype == parameter.grad.dtype == torch.float32, name
        assert bool(torch.isfinite(parameter).all()), name
        # A norm whose readers are all norms again (a dense network's stem), and the one factor of all that a norm reads
        # (ABC-Net's beta), have a gradient of rounding errors only.
        below_rounding = bool((before[name] - 0.1 * parameter.grad == before[name]).all())
        moved = not torch.equal(parameter, before[name])
        blind = name.startswith("stem") or name.endswith("activation_scale")
        assert moved or (below_rounding and blind), f"{name} did not move"
    assert bool(torch.isfinite(network.eval()(images)).all())


def test_double_precision_and_single_images(model, method, make, images):
    network = make(model, method).double()
    assert {t.dtype for t in network.state_dict().values()} <= {torch.float64, torch.int64}
    network(images.double()).sum().backward()
    network.eval()
    assert network(images[:1].double()).dtype == torch.float64
    # One image alone gives what it gives among others.
    torch.testing.assert_close(network(images.double())[:1], network(images[:1].double()), rtol=1e-9, atol=1e-9)
    assert network(images[:0].double()).shape[0] == 0


def test_channels_last_gives_the_same(model, method, make, images):
    network = make(model, method).double().eval()
    expected = network(images.double())
    last = network.to(memory_format=torch.channels_last)(images.double().to(memory_format=torch.channels_last))
    torch.testing.assert_close(last, expected, rtol=1e-9, atol=1e-9)


def test_taps_are_the_twins(model, method, make, images):
    network, twin = make(model, method), make(model, "real")
    assert network.taps == twin.taps
    assert network.taps
    assert all(isinstance(tap, Tap) for tap in network.taps)
    stages = [tap.stage for tap in network.taps]
    assert stages == sorted(stages)
    assert sorted(set(stages)) == list(range(stages[-1] + 1))
    names = [tap.module for tap in network.taps]
    assert len(set(names)) == len(names)
    maps, its = record(network, names, images), record(twin, names, images)
    assert {n: o.shape for n, (_, o) in maps.items()} == {n: o.shape for n, (_, o) in its.items()}


def test_roles_and_bits_are_stated(model, method, make):
    network = make(model, method)
    layers = binary_layers(network)
    assert bool(layers) == (method != "real")
    for name, layer in layers.items():
        own = dict(layer.named_parameters(recurse=False))
        assert layer.roles.keys() == own.keys(), name
        assert set(layer.roles.values()) <= {"binary", "matrix", "norm", "real"}, name
        assert layer.roles["weight"] == "binary", name
        assert (layer.weight_bits, layer.activation_bits) == (1, 1), name
    if not layers:
        stated = [m for m in network.modules() if hasattr(m, "weight_bits")]
        assert stated
        assert all((m.weight_bits, m.activation_bits) == (32, 32) for m in stated)


def test_own_loss_terms_are_finite_and_not_negative(model, binary_method, make):
    for name, layer in binary_layers(make(model, binary_method)).items():
        penalty = layer.penalty()
        assert penalty is None or (penalty.shape == () and 0 <= penalty.item() < float("inf")), name


def test_wrong_channels_are_refused_by_every_binary_layer(model, binary_method, make):
    for layer in binary_layers(make(model, binary_method)).values():
        features = layer.in_features if isinstance(layer, BinaryLinear) else layer.in_channels
        wrong = torch.zeros(1, features + 1) if isinstance(layer, BinaryLinear) else torch.zeros(1, features + 1, 3, 3)
        with pytest.raises(UsageError, match=f"{features}.*got .*{features + 1}"):
            layer(wrong)
