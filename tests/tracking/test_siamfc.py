"""The network as specified: counts, published names, cost, and what 1-bit versions change."""

import pytest
import torch
from torch import nn

from onebit import create_model, summarize
from onebit.errors import UsageError
from onebit.functional import hard_sign

SMALL = (6, 8, 12, 12, 8)
KEYS = [
    f"backbone.conv{i}.{key}"
    for i in range(1, 6)
    for key in (
        "0.weight",
        "0.bias",
        *("1.weight", "1.bias", "1.running_mean", "1.running_var", "1.num_batches_tracked") * (i < 5),
    )
]


def published(widths=(96, 256, 384, 384, 256)):
    """AlexNetV1 written out: convolution, norm, ReLU, pooling."""
    a, b, c, d, e = widths

    def block(*layers):
        return [*layers[:1], nn.BatchNorm2d(layers[0].out_channels, eps=1e-6, momentum=0.05), nn.ReLU(), *layers[1:]]

    return nn.Sequential(
        *block(nn.Conv2d(3, a, 11, 2), nn.MaxPool2d(3, 2)),
        *block(nn.Conv2d(a, b, 5, groups=2), nn.MaxPool2d(3, 2)),
        *block(nn.Conv2d(b, c, 3)),
        *block(nn.Conv2d(c, d, 3, groups=2)),
        nn.Conv2d(d, e, 3, groups=2),
    )


def test_counts_and_published_names():
    network = create_model("siamfc", "real")
    assert sum(p.numel() for p in network.parameters()) == 2_336_320
    assert sum(p.numel() for n, p in network.named_parameters() if n.endswith("0.weight")) == 2_332_704
    assert list(network.state_dict()) == KEYS
    assert len(KEYS) == 30
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    assert {(m.eps, m.momentum) for m in norms} == {(1e-6, 0.05)}


@pytest.mark.parametrize(("side", "out"), [(127, 6), (239, 20), (255, 22), (87, 1)])
def test_shapes(side, out):
    network = create_model("siamfc", "real", widths=SMALL)
    assert network(torch.rand(1, 3, side, side)).shape == (1, 8, out, out)


def test_a_published_state_dict_gives_the_published_network():
    torch.manual_seed(0)
    theirs = published(SMALL)
    theirs(255 * torch.rand(4, 3, 127, 127))  # running statistics that are not trivial
    convs, norms = ([m for m in theirs if isinstance(m, kind)] for kind in (nn.Conv2d, nn.BatchNorm2d))
    parts = [*zip(convs, norms, strict=False), (convs[4],)]
    state = {
        f"backbone.conv{i}.{j}.{key}": value
        for i, modules in enumerate(parts, 1)
        for j, module in enumerate(modules)
        for key, value in module.state_dict().items()
    }
    assert sorted(state) == sorted(KEYS)
    ours = create_model("siamfc", "real", widths=SMALL)
    ours.load_state_dict(state)
    images = 255 * torch.rand(2, 3, 127, 127)
    assert torch.equal(ours.eval()(images), theirs.eval()(images))
    assert torch.equal(ours.train()(images), theirs.train()(images))


def test_starts_as_specified():
    torch.manual_seed(0)
    conv = create_model("siamfc", "real").backbone.conv2[0]
    bound = (6 / (48 * 25 + 256 * 25)) ** 0.5  # fans of the weight tensor (256, 48, 5, 5)
    assert 0.99 * bound < conv.weight.abs().max() <= bound
    assert not conv.bias.any()


def test_response_is_the_scaled_correlation():
    network = create_model("siamfc", "real", widths=SMALL)
    exemplar, search = torch.randn(2, 8, 3, 3), torch.randn(2, 8, 5, 5)
    expected = torch.empty(2, 3, 3)
    for n in range(2):
        for y in range(3):
            for x in range(3):
                expected[n, y, x] = 0.001 * (search[n, :, y : y + 3, x : x + 3] * exemplar[n]).sum()
    torch.testing.assert_close(network.response(exemplar, search), expected)
    alone = torch.stack([network.response(exemplar[:1], search)[n] for n in range(2)])
    torch.testing.assert_close(alone[0], expected[0])
    torch.testing.assert_close(network.response(exemplar[:1], search[1:])[0], alone[1])
    pair = torch.rand(2, 3, 127, 127), torch.rand(2, 3, 239, 239)
    assert network(pair).shape == (2, 15, 15)


@pytest.mark.parametrize("method", ["xnor", "rbcn"])
@pytest.mark.parametrize(
    ("binary", "millions", "saving", "speedup"),
    [("2345", 3.570, 20.94, 4.84), ("234", 17.275, 4.33, 3.52), ("12345", 2.492, 30.0, 64)],
)
def test_cost_is_the_specified_one(method, binary, millions, saving, speedup):
    network, twin = create_model("siamfc", method, binary=binary), create_model("siamfc", "real")
    ours, real = (summarize(net, (3, 255, 255)) for net in (network, twin))
    # The specification also counts the norms, a real scale per output filter of a binary layer, and the biases of all.
    norms, biases, widths = 2 * (96 + 256 + 384 + 384), 1376, (96, 256, 384, 384, 256)
    scales = sum(widths[int(i) - 1] for i in binary)
    weights = sum(m.weight.numel() for m in network.backbone.modules() if type(m).__name__ in ("Conv2d", "RealConv2d"))
    bits = ours.parameters[1]
    storage = bits + 32 * (weights + norms + biases + scales)
    assert storage / 1e6 == pytest.approx(millions, abs=1e-3)
    assert 32 * 2_336_320 / storage == pytest.approx(saving, abs=0.05)
    assert real.computation / ours.computation == pytest.approx(speedup, abs=0.01)
    assert real.computation / 1e6 == pytest.approx(2719.7, abs=0.1)


def test_every_sign_sees_both_values_after_training_mode_and_evaluation():
    torch.manual_seed(0)
    network = create_model("siamfc", "xnor", widths=SMALL, binary="12345")
    images = 255 * torch.rand(4, 3, 127, 127)
    seen = {}
    for name in (f"backbone.conv{i}.0" for i in range(1, 6)):
        network.get_submodule(name).register_forward_pre_hook(
            lambda _, inputs, name=name: seen.setdefault(name, []).append(hard_sign(inputs[0]).mean().item())
        )
    for norm in (m for m in network.modules() if isinstance(m, nn.BatchNorm2d)):
        norm.momentum = 0.5  # running statistics that are near those of these images after a few passes
    for _ in range(8):
        network.train()(images)
    network.eval()(images)
    assert len(seen) == 5
    assert all(abs(mean) < 0.6 for means in seen.values() for mean in means), seen


def test_blocks_pool_before_norm_and_sign():
    network = create_model("siamfc", "bireal", widths=SMALL)
    x = torch.randn(1, 3, 127, 127)
    block = network.backbone.conv1
    y = torch.nn.functional.max_pool2d(block[0](x), 3, 2)
    assert torch.equal(block(x), block[1](y)) or torch.allclose(block(x), block[1](y))
    assert network.backbone.conv5[0](network.backbone.maps(x)[3]).shape[-1] == 6


def test_settings_of_the_fifth_convolution():
    plain = create_model("siamfc", "rbcn", widths=SMALL, feature_norm=False, scale=0.5, learn_gain=True)
    assert len(plain.backbone.conv5) == 1
    assert plain.gain is not None
    exemplar, search = torch.ones(1, 1, 1, 1), torch.full((1, 1, 1, 1), 3.0)
    with torch.no_grad():
        plain.gain.fill_(2.0)
    assert plain.response(exemplar, search).item() == 3.0
    assert len(create_model("siamfc", "rbcn", widths=SMALL).backbone.conv5) == 2
    assert len(create_model("siamfc", "rbcn", widths=SMALL, binary="234").backbone.conv5) == 1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"binary": "26"}, "'26'"),
        ({"binary": "22"}, "'22'"),
        ({"binary": ""}, "''"),
        ({"widths": (6, 8, 12, 12)}, "five widths"),
        ({"widths": (6, 9, 12, 12, 8)}, "even"),
        ({"scale": 0.0}, "scale must be more than 0"),
        ({"widht": 3}, "did you mean"),
    ],
)
def test_options_that_cannot_be(options, words):
    with pytest.raises(UsageError, match=words):
        create_model("siamfc", "xnor", **options)


def test_images_that_are_too_small_or_of_other_channels():
    network = create_model("siamfc", "real", widths=SMALL)
    with pytest.raises(UsageError, match="87x87"):
        network(torch.zeros(1, 3, 86, 120))
    with pytest.raises(UsageError, match=r"\(N, 3, H, W\)"):
        network(torch.zeros(1, 1, 127, 127))
