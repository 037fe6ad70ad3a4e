"""Every structure with every method packs, and the packed network answers as PyTorch does."""

import torch
from torch import nn

from onebit import pack
from onebit.deploy import engine
from onebit.deploy.reference import run_values
from onebit.methods import get_method
from onebit.nn import BinaryLayer
from settled import settle

# Logits: two roundings to 24 bits in every layer that float numbers pass through, and shortcuts let all of them through.
BOUND = 2e-6


def close(packed, expected):
    return (packed - expected).abs().max() <= BOUND * expected.abs().max()


def test_answers_are_pytorchs(model, method, make, images):
    network = settle(make(model, method), images.shape[1:])
    packed = pack(network, images.shape[1:])
    with torch.no_grad():
        expected = network(images)
    answers = packed(images)
    assert answers.shape == expected.shape
    assert close(answers, expected), f"{(answers - expected).abs().max()} of {expected.abs().max()}"
    assert answers.argmax(1).equal(expected.argmax(1))
    if method == "rbcn" and engine.library():
        assert answers.equal(packed.using(kernel="python")(images)), "the engine's bits are those of the reference"


def test_signs_are_pytorchs(model, make, images):
    """In every binary layer; where one differs, the value before it is within rounding of 0."""
    network = settle(make(model, "bireal"), images.shape[1:])
    program = pack(network, images.shape[1:]).program
    seen = {}
    for name, layer in network.named_modules():
        if isinstance(layer, BinaryLayer):
            layer.register_forward_pre_hook(lambda _, inputs, name=name: seen.__setitem__(name, inputs[0]))
    with torch.no_grad():
        network(images)
    values = run_values(program, images)
    found = {
        program.path(i): values[op.inputs[0]] for i, op in enumerate(program.operations) if op.kind == "binary_conv"
    }
    assert found.keys() == seen.keys()
    for name, x in seen.items():
        mine = found[name].view_as(x)
        flipped = (mine >= 0) != (x >= 0)
        assert not flipped.any() or x[flipped].abs().max() < BOUND * x.abs().max(), name


def test_binary_weights_are_those_of_the_layers(model, binary_method, make):
    network = make(model, binary_method)
    packed = pack(network, (2, 12, 12))
    for name, layer in network.named_modules():
        if isinstance(layer, BinaryLayer):
            expected = layer.binary_weight().detach()
            assert packed.binary_weight(name).equal(expected.view(packed.binary_weight(name).shape)), name


def test_every_method_and_its_variants_as_a_layer(binary_variant, images):
    convolutions = [
        (12, 12, 3, {"padding": 1}),
        (12, 24, 1, {}),
        (12, 12, 5, {"padding": 2, "stride": 2}),
        (12, 12, 3, {"groups": 3, "padding": (1, 0)}),
        (12, 12, 3, {"dilation": 2, "padding": 2}),
    ]
    for inputs, outputs, kernel, options in convolutions:
        conv = binary_variant.conv(inputs, outputs, kernel, **options)
        network = nn.Sequential(
            nn.Conv2d(2, inputs, 3), conv, nn.BatchNorm2d(outputs), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        )
        network = settle(network.append(binary_variant.linear(outputs, 12)), images.shape[1:])
        with torch.no_grad():
            expected = network(images)
        # Terms of both signs cancel, so that what is rounded is larger than what is left.
        summed = sum(outputs * term.scale.abs().max() for term in network[-1].packed())
        error = (pack(network, images.shape[1:])(images) - expected).abs().max()
        assert error <= BOUND * summed, options


def test_input_scales_of_xnor(images):
    method = get_method("xnor", input_scale=True)
    for kernel, options in (
        (3, {"padding": 1}),
        (1, {}),
        (1, {"stride": 2}),
        ((3, 5), {"padding": (1, 2), "stride": (2, 1)}),
    ):
        layers = [nn.Conv2d(2, 21, 3), method.conv(21, 12, kernel, **options), nn.BatchNorm2d(12), nn.Flatten()]
        network = nn.Sequential(*layers)
        network.append(method.linear(network(images).shape[1], 7))
        network = settle(network, images.shape[1:])
        with torch.no_grad():
            expected = network(images)
        packed = pack(network, images.shape[1:])
        assert sum(op.kind == "mean_abs" for op in packed.program.operations) == 2
        assert close(packed(images), expected), options
