"""binarize on networks that are not ours: same shapes, they learn, save, copy and export; and what warned, and why."""

import copy
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from foreign_networks import CLASSES, INPUT, NETWORKS, make
from onebit.methods import list_methods
from onebit.models.binarize import binarize
from onebit.models.binarize_report import BinarizeWarning
from onebit.nn import BinaryLayer, BinaryUnit

pytestmark = pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel:UserWarning")
on_every_network = pytest.mark.parametrize("name", NETWORKS)


def quietly(net, method="rbcn", **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BinarizeWarning)
        return binarize(net, method, **options)


def warned(report, kind):
    return [finding.path for finding in report.warnings if finding.kind == kind]


def kept(report):
    return {entry.path: entry.reason for entry in report.kept}


def batch():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(8, *INPUT[1:], generator=generator), torch.arange(8) % CLASSES


def loss_of(net, images, labels):
    answer = net(images)
    return F.cross_entropy(answer.mean((2, 3)) if answer.dim() == 4 else answer, labels)


@on_every_network
def test_every_network_keeps_its_shapes_and_learns(name):
    net = make(name)
    shape = net(torch.randn(INPUT)).shape
    report = quietly(net, input_shape=INPUT, insert_norm=True)
    assert net(torch.randn(INPUT)).shape == shape
    assert sum(isinstance(module, BinaryLayer) for module in net.modules()) == len(report.replaced) > 0
    images, labels = batch()
    optimiser = torch.optim.Adam(net.parameters(), 5e-3)
    losses = []
    for _ in range(15):
        optimiser.zero_grad()
        loss = loss_of(net, images, labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < 0.7 * losses[0]
    stuck = [n for n, p in net.named_parameters() if p.requires_grad and p.grad is None]
    assert not stuck, "every parameter takes part"


@pytest.mark.parametrize("method", list_methods())
@on_every_network
def test_every_method_fits_every_network(name, method):
    net = make(name)
    shape = net(torch.randn(INPUT)).shape
    report = quietly(net, method, input_shape=INPUT)
    assert net(torch.randn(INPUT)).shape == shape
    assert (report.method, report.order) == (method, "execution")
    assert bool(report.warnings) == (name != "grouped dilated" and method != "real")
    other = quiet_twin(name, method)
    other.load_state_dict(net.state_dict())
    images, _ = batch()
    assert torch.equal(net.eval()(images), other.eval()(images))


def quiet_twin(name, method):
    other = make(name, seed=5)
    quietly(other, method, input_shape=INPUT)
    return other


@on_every_network
def test_copies_and_exports(name):
    net = make(name)
    quietly(net, input_shape=INPUT, insert_norm=True)
    images, _ = batch()
    expected = net.eval()(images)
    assert torch.equal(copy.deepcopy(net)(images), expected)
    exported = torch.export.export(net, (images,)).module()
    torch.testing.assert_close(exported(images), expected, rtol=1e-5, atol=1e-5)


def test_linear_layers_on_request():
    net = make("vgg")
    report = quietly(net, linear=True, insert_norm=True, input_shape=INPUT)
    assert [entry.path for entry in report.replaced][-1] == "1.1"
    assert kept(report) == {"0.0": "first layer", "1.4": "last layer"}
    assert [type(part).__name__ for part in net[1][1]] == ["BatchNorm1d", "RectifiedLinear", "Bias"]
    assert net(torch.randn(INPUT)).shape == (2, CLASSES)


def test_vgg_warns_that_relu_makes_signs_constant():
    with pytest.warns(BinarizeWarning) as caught:
        report = binarize(make("vgg"), input_shape=INPUT)
    assert [entry.path for entry in report.replaced] == ["0.3", "0.7", "0.10"]
    assert warned(report, "constant-sign") == ["0.3", "0.7", "0.10"]
    assert len(report.warnings) == 3
    assert str(caught[0].message) == (
        "0.3: its input comes from ReLU '0.2', so all its signs are the same; put a norm directly before it, with no such "
        "activation between, or pass insert_norm=True and an input_shape. The same kind: 0.7, 0.10."
    )
    assert len(caught) == 1
    assert caught[0].filename == __file__, "the warning points at the user's line"


def test_signs_after_relu_really_are_constant():
    net = make("vgg")
    quietly(net, input_shape=INPUT)
    seen = []
    net[0][7].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    net.eval()(torch.randn(INPUT))
    assert bool((seen[0] >= 0).all()), "after the pool, too"


def test_thresholds_beside_zero_are_not_constant_after_relu():
    report = quietly(make("vgg"), "abcnet", method_options={"activation_bases": 3}, input_shape=INPUT)
    assert not warned(report, "constant-sign")


def test_without_a_shape_sequentials_are_checked_alone():
    report = quietly(make("vgg"))
    assert warned(report, "constant-sign") == ["0.3", "0.7", "0.10"]
    assert report.order == "registration"
    assert "the order of layers was not checked" in report.notes[-1]
    report = quietly(make("functional resnet"))
    assert not report.warnings, "F.relu cannot be seen without a shape"


def test_mobilenet_warns_of_depthwise_layers_and_relu6():
    report = quietly(make("mobilenet"), input_shape=INPUT)
    assert kept(report)["stem.0"] == "first layer"
    assert warned(report, "few-signs") == ["blocks.0.depthwise", "blocks.1.depthwise"]
    assert "depthwise: each of its outputs is a sum of only 9 signs" in {f.message for f in report.warnings}
    assert warned(report, "constant-sign") == [f"blocks.{i}.{n}" for i in (0, 1) for n in ("depthwise", "project.0")]
    assert not warned(report, "no-norm"), "the sum of a normed branch and a normed stem needs no further norm"
    remedied = quietly(
        make("mobilenet"), keep=("first", "last", "shortcut", "depthwise"), insert_norm=True, input_shape=INPUT
    )
    assert not remedied.warnings
    assert kept(remedied)["blocks.0.depthwise"] == "depthwise"


def test_unet_keeps_what_runs_first_and_last_and_the_transposed():
    report = quietly(make("unet"), input_shape=INPUT)
    assert kept(report) == {
        "out": "last layer",
        "up": "there is no binary ConvTranspose2d",
        "encode.0": "first layer",
    }
    partly = next(finding for finding in report.warnings if finding.path == "decode.0")
    assert partly.message.startswith("part of its input comes from ReLU 'encode.5'")
    assert len(warned(report, "constant-sign")) == 5


def test_functional_resnet_is_judged_by_what_runs():
    report = quietly(make("functional resnet"), input_shape=INPUT)
    assert kept(report) == {
        "fc": "linear layers become binary on request (linear=True)",
        "stem": "first layer",
        "b.c3": "1x1 convolution of a shortcut",
    }
    assert warned(report, "constant-sign") == ["a.c1", "a.c2", "b.c1", "b.c2"]
    assert all("relu in foreign_networks.py:" in finding.message for finding in report.warnings)


def test_norms_before_signs_warn_of_nothing():
    with warnings.catch_warnings():
        warnings.simplefilter("error", BinarizeWarning)
        report = binarize(make("grouped dilated"), input_shape=INPUT)
    assert not report.warnings


def test_a_network_without_norms():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.PReLU(), nn.Conv2d(8, 8, 3), nn.Dropout(), nn.Conv2d(8, 8, 3), nn.Conv2d(8, 2, 1)
    )
    report = quietly(copy.deepcopy(net), input_shape=INPUT)
    assert [(f.path, f.message.split(",")[0]) for f in report.warnings] == [
        ("2", "nothing normalises its input after Conv2d '0'"),
        ("4", "nothing normalises its input after Conv2d '2'"),
    ]
    report = quietly(net, input_shape=INPUT, insert_norm=True)
    assert not report.warnings
    assert [entry.after for entry in report.replaced] == ["BatchNorm2d -> RectifiedConv2d -> Bias"] * 2


def test_first_and_last_on_request_are_warned_of():
    report = quietly(make("functional resnet"), keep=(), linear=True, input_shape=INPUT)
    assert warned(report, "first-or-last") == ["fc", "stem"]
    assert len(report.replaced) == 7


def test_bireal_units_need_nothing():
    def conv(inputs, outputs, kernel, **geometry):
        return nn.Conv2d(inputs, outputs, kernel, bias=False, **geometry)

    stem = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8))
    units = nn.Sequential(BinaryUnit(conv, 8, 8), BinaryUnit(conv, 8, 16, stride=2), BinaryUnit(conv, 16, 16))
    report = binarize(nn.Sequential(stem, units, nn.Flatten(), nn.Linear(16 * 64, 2)), input_shape=INPUT)
    assert [entry.path for entry in report.replaced] == ["1.0.conv", "1.1.conv", "1.2.conv"]
    assert not report.warnings, "a sum of normed values is normed"
    assert kept(report)["1.1.shortcut.1"] == "1x1 convolution of a shortcut"
