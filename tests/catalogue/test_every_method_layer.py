"""One set of checks over the convolution and the linear layer of every method, at every geometry."""

import copy
import dataclasses
import io

import pytest
import torch
from hypothesis import given, settings

import by_hand
from by_hand import GEOMETRIES, Geometry
from onebit.functional import reference_binary_conv2d
from onebit.methods import get_method


def make(method, g, seed=0, **options):
    """A convolution of the method and an input; with J projections it has J times the output channels."""
    torch.manual_seed(seed)
    method = get_method(method, **options)
    g = dataclasses.replace(g, c_out=g.c_out * method.options.get("projections", 1))
    positional, keywords = g.arguments
    return method.conv(*positional, **keywords), torch.randn(g.x_shape)


@settings(max_examples=15)
@given(g=by_hand.geometries(largest=4))
def test_any_geometry_is_exact_and_trains(binary_variant, response, g):
    layer, x = make(binary_variant, g)
    y = layer.eval()(x)
    assert torch.equal(y, response(layer, x))
    x.requires_grad_()
    other = layer.train()(x)
    scales = sum(term.scale.abs().max().item() for term in layer.packed())
    assert (other - y).abs().max().item() <= scales * layer.weight[0].numel() * 2**-22
    other.square().sum().backward()
    assert bool(torch.isfinite(x.grad).all())
    assert all(bool(torch.isfinite(p.grad).all()) for p in layer.parameters())


def test_stated_bits_are_the_terms(binary_variant):
    layer, _ = make(binary_variant, Geometry(c_out=4))
    terms = layer.packed()
    assert len(terms) == layer.weight_bits * layer.activation_bits
    weights, shifts = ({tuple(t.flatten().tolist()) for t in ts} for ts in ([t.weight for t in terms], _shifts(terms)))
    assert (len(weights), len(shifts)) == (layer.weight_bits, layer.activation_bits)
    shape = (layer.out_channels, layer.in_channels // layer.groups, *layer.kernel_size)
    assert {t.weight.shape for t in terms} == {shape}
    assert layer.binary_weight().shape == ((layer.weight_bits,) if layer.weight_bits > 1 else ()) + shape


def _shifts(terms):
    return [torch.zeros(()) if term.shift is None else term.shift for term in terms]


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_outputs_are_the_scale_times_every_second_whole_number(binary_method, kind):
    torch.manual_seed(0)
    method = get_method(binary_method)
    layer, x = (
        (method.conv(2, 4, 2), torch.randn(3, 2, 5, 5)) if kind == "conv" else (method.linear(8, 4), torch.randn(64, 8))
    )
    steps = (layer.double().eval()(x.double()) / layer.scale()).detach()
    whole = steps.round()
    torch.testing.assert_close(steps, whole, rtol=0, atol=1e-9)
    assert set(whole.unique().tolist()) <= set(range(-8, 9, 2))


def test_zeros_count_as_plus_one(binary_method):
    layer, _ = make(binary_method, Geometry(padding=(0, 0)))
    ones = torch.ones(2, layer.in_channels, 5, 4)
    for zero in (0.0, -0.0):
        for training in (True, False):
            assert torch.equal(layer.train(training)(ones * zero), layer(ones))
        layer.weight.data.fill_(zero)
        assert all(bool((term.weight == 1).all()) for term in layer.packed())
        layer.draw_weight()


@pytest.mark.parametrize("kind", ["conv", "linear"])
def test_gradient_of_the_input_is_the_window_of_the_estimator(binary_method, kind):
    def gradient(**options):
        torch.manual_seed(0)
        method = get_method(binary_method, **options)
        layer = (method.conv(4, 3, 3, padding=1) if kind == "conv" else method.linear(4, 3)).double()
        x = torch.randn(2, 4, 5, 5) if kind == "conv" else torch.randn(9, 4)
        x.view(-1)[:7] = torch.tensor([0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0])
        x = x.double().requires_grad_()
        (layer(x) * torch.linspace(1, 2, layer(x).numel()).double().view_as(layer(x))).sum().backward()
        return x, layer

    (x, layer), (all_through, _) = gradient(), gradient(estimator="identity")
    window = torch.from_numpy(by_hand.WINDOWS[layer.estimator.name](x.detach().numpy()))
    torch.testing.assert_close(x.grad, all_through.grad * window, rtol=1e-12, atol=1e-12)
    assert 0 < window.count_nonzero() < window.numel()


@pytest.mark.parametrize("g", GEOMETRIES)
def test_groups_are_separate_layers(binary_variant, g):
    layer, x = make(binary_variant, dataclasses.replace(g, groups=2))
    geometry = {**g.numbers, "groups": 1}
    parts = []
    for ins, outs in zip(x.chunk(2, 1), torch.arange(layer.out_channels).chunk(2), strict=True):
        part = torch.zeros(())
        for term, shift in zip(layer.packed(), _shifts(layer.packed()), strict=True):
            sums = reference_binary_conv2d(ins + shift, term.weight[outs], **geometry)
            part = part + sums.float() * (term.scale if len(term.scale) == 1 else term.scale[outs])
        parts.append(part)
    assert torch.equal(layer.eval()(x), torch.cat(parts, 1))
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(layer.train()(x)[:, : layer.out_channels // 2].sum(), x)
    assert not gradient[:, g.c_in :].any()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_dtypes_train_and_keep_their_dtype(any_variant, dtype):
    for layer, x in ((make(any_variant, Geometry())), (any_variant.linear(6, 4), torch.randn(3, 6))):
        layer, x = layer.to(dtype), x.to(dtype).requires_grad_()
        y = layer(x)
        assert y.dtype == dtype
        y.sum().backward()
        assert x.grad.dtype == dtype
        for parameter in layer.parameters():
            assert parameter.grad.dtype == dtype
            assert bool(torch.isfinite(parameter.grad).all())
        assert layer.eval()(x).dtype == dtype


def test_autocast_casts_back_to_the_own_dtype(any_variant):
    for layer, x in ((make(any_variant, Geometry())), (any_variant.linear(6, 4), torch.randn(3, 6))):
        x.requires_grad_()
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = layer(x)
        assert y.dtype == torch.bfloat16
        y.float().sum().backward()
        assert {t.grad.dtype for t in (x, *layer.parameters())} == {torch.float32}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 3e38])
def test_one_bad_input_number_stays_in_its_window(binary_variant, value):
    layer, x = make(binary_variant, Geometry(n=2))
    good = layer.eval()(x)
    x[0, 0, 0, 0] = value
    y = layer(x)
    assert torch.equal(y[1], good[1])
    assert torch.equal(y[0, :, 2:, 2:], good[0, :, 2:, 2:])
    assert bool(torch.isfinite(y).all())


def test_exported_layer_gives_equal_outputs(any_variant):
    layer, x = make(any_variant, GEOMETRIES[1])
    layer.eval()
    with torch.no_grad():
        exported = torch.export.export(layer, (x,)).module()
        assert torch.equal(exported(x), layer(x))


def test_packed_is_a_snapshot(binary_variant):
    layer, _ = make(binary_variant, Geometry())
    terms = layer.packed()
    before = copy.deepcopy(terms)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(-3)
    for now, then in zip(terms, before, strict=True):
        for name in ("weight", "scale", "shift"):
            one, other = getattr(now, name), getattr(then, name)
            assert (one is None and other is None) or torch.equal(one, other), name
            assert one is None or not one.requires_grad, name


def test_state_survives_a_file(binary_variant):
    (layer, x), (other, _) = (make(binary_variant, Geometry(n=3), seed) for seed in (0, 1))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.2 * torch.rand_like(parameter))
    assert not torch.equal(other.eval()(x), layer.eval()(x))
    file = io.BytesIO()
    torch.save(layer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    for training in (True, False):
        assert torch.equal(other.train(training)(x), layer.train(training)(x))
    assert torch.equal(*(torch.zeros(()) if p is None else p for p in (layer.penalty(), other.penalty())))


def test_training_keeps_the_codes_of_its_inputs_and_a_few_kernels(binary_variant):
    layer, _ = make(binary_variant, Geometry(c_in=8, c_out=2))
    x, kept = torch.randn(4, 8, 32, 32, requires_grad=True), {}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor  # held, or its address might be given out again
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        layer(x)
    own = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    count = sum(tensor.untyped_storage().nbytes() for address, tensor in kept.items() if address not in own)
    codes, kernel = x.numel() * layer.estimator.bits // 8, layer.binary_weight().numel() * 4
    assert layer.activation_bits * codes <= count <= layer.activation_bits * (codes + 3 * kernel)


def test_real_multiplications_are_whole_numbers(binary_method):
    layer, x = make(binary_method, Geometry())
    assert layer.real_macs(layer(x).shape) == 0
    assert get_method(binary_method).linear(4, 2).real_macs((3, 2)) == 0


def test_roles_name_every_parameter(binary_variant):
    for layer in (make(binary_variant, Geometry())[0], binary_variant.linear(6, 4)):
        assert layer.roles.keys() == dict(layer.named_parameters()).keys()


def test_second_derivative_is_refused(binary_variant):
    layer, x = make(binary_variant, Geometry())
    y = layer(x.requires_grad_()).square().sum()
    (gradient,) = torch.autograd.grad(y, x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


def test_unknown_arguments_are_refused(method):
    with pytest.raises(TypeError):
        get_method(method).conv(2, 2, 3, striide=2)
