"""What binarize takes and refuses, what stays real, and that an error changes nothing."""

import json
import warnings

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, prune

from onebit.errors import OnebitError, UsageError
from onebit.models.binarize import binarize
from onebit.models.binarize_report import BinarizeWarning
from onebit.nn import BinaryConv2d

IMAGE = (1, 8, 6, 6)


def conv():
    return nn.Conv2d(8, 8, 3, padding=1, bias=False)


def plain(*middle):
    """Real, norm, the given layers, real."""
    return nn.Sequential(conv(), nn.BatchNorm2d(8), *middle, conv())


class Held(nn.Module):
    """A network of three convolutions whose forward is the test's."""

    def __init__(self, forward, middle=None):
        super().__init__()
        self.a, self.norm, self.b, self.c = conv(), nn.BatchNorm2d(8), middle or conv(), conv()
        self.run = forward

    def forward(self, x):
        return self.run(self, x)


def snapshot(net):
    return [(name, id(module), module.training) for name, module in net.named_modules()]


def test_report_reads_and_travels():
    net = plain(nn.ReLU(), conv())
    with pytest.warns(BinarizeWarning):
        report = binarize(net, "bireal", input_shape=IMAGE)
    assert str(report).splitlines() == [
        "bireal: 1 layer binary, 2 real, 1 with warnings (order of execution)",
        "  binary  3  Conv2d(8, 8, kernel_size=(3, 3), stride=(1, 1), padding=(1, 1), bias=False) -> BiRealConv2d",
        "  real    0  Conv2d: first layer",
        "  real    4  Conv2d: last layer",
        "  warning 3  its input comes from ReLU '2', so all its signs are the same",
        "  remedy  put a norm directly before it, with no such activation between, or pass insert_norm=True and an input_shape",
    ]
    data = json.loads(json.dumps(report.to_dict()))
    assert data["kept"][0] == {"path": "0", "layer": "Conv2d", "reason": "first layer"}
    assert (data["method"], data["order"], data["warnings"][0]["kind"]) == ("bireal", "execution", "constant-sign")


def test_method_options_and_an_example_tensor():
    net = plain(conv())
    binarize(net, "rbcn", method_options={"kernel_weight": 0.5}, input_shape=torch.randn(IMAGE))
    assert net[2].kernel_weight == 0.5


def test_several_inputs_and_outputs_keep_each_their_first_and_last():
    def forward(net, x, y):
        shared = net.norm(net.a(x) + net.b(y))
        return net.heads[0](shared), net.heads[1](net.norm(net.c(shared)))

    net = Held(None)
    net.heads = nn.ModuleList([conv(), conv()])
    net.forward = lambda x, y: forward(net, x, y)
    report = binarize(net, input_shape=[IMAGE, IMAGE])
    assert {entry.path: entry.reason for entry in report.kept} == {
        "a": "first layer",
        "b": "first layer",
        "heads.0": "last layer",
        "heads.1": "last layer",
    }


@pytest.mark.parametrize(
    ("keep", "replaced"),
    [
        ((), ["0", "2.0", "2.2", "3"]),
        ("last", ["0", "2.0", "2.2"]),
        (("first", "last"), ["2.0", "2.2"]),
        (("2",), ["0", "3"]),
        (("2.*",), ["0", "3"]),
        (("*.2", "first"), ["2.0", "3"]),
        ("[02]*", ["3"]),
        (lambda path, module: path == "2.0", ["0", "2.2", "3"]),
        (["first", lambda path, module: isinstance(module, nn.Conv2d) and "." in path], ["3"]),
    ],
)
def test_keep(keep, replaced):
    net = plain(nn.Sequential(conv(), nn.BatchNorm2d(8), conv()))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", BinarizeWarning)
        assert [entry.path for entry in binarize(net, keep=keep).replaced] == replaced


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"keep": "frist"},
            r"no layer is called 'frist'; did you mean 'first'.* It takes 'first', 'last', 'shortcut', 'depthw",
        ),
        ({"keep": ("first", "body.cnov")}, "no layer is called 'body.cnov'; did you mean 'body.conv'"),
        ({"keep": "body.norm"}, "keep: 'body.norm' holds no convolution or linear layer"),
        ({"keep": nn.Conv2d}, "keep takes words, paths, patterns and functions"),
        ({"keep": None}, "keep takes words, paths, patterns and functions .* got None"),
        ({"keep": "*"}, r"nothing is left to make binary in Sequential \(stem: keep: \*; body.conv: keep: \*"),
        ({"method": "rbnc"}, "unknown method 'rbnc'; did you mean 'rbcn'"),
        ({"method_options": {"kernel_wieght": 1.0}}, "did you mean 'kernel_weight'"),
        ({"init": "zero"}, "init is 'copy' or 'draw', not 'zero'"),
        ({"insert_norm": True}, r"insert_norm needs input_shape, such as \(1, 3, 224, 224\)"),
        ({"input_shape": (1, 7, 6, 6)}, "cannot capture Sequential .* in module 'stem'"),
        ({"input_shape": [IMAGE, IMAGE]}, "does not take 2 inputs"),
        ({"input_shape": 224}, "a shape of positive whole numbers such as .* got 224"),
    ],
)
def test_wrong_requests_are_one_sentence_and_change_nothing(options, message):
    net = nn.Sequential()
    net.add_module("stem", conv())
    net.add_module("body", nn.Sequential())
    net.body.add_module("norm", nn.BatchNorm2d(8))
    net.body.add_module("conv", conv())
    net.add_module("last", conv())
    before = snapshot(net)
    with pytest.raises(UsageError, match=message):
        binarize(net, **options)
    assert snapshot(net) == before


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (nn.Conv2d(3, 8, 3), r"a Conv2d cannot be replaced in place by itself; .* nn.Sequential\(layer\)"),
        (nn.Linear(3, 8), "a Linear cannot be replaced in place"),
        (BinaryConv2d(3, 8, 3), "a BinaryConv2d cannot be replaced in place"),
        ("resnet18", "binarize takes a torch.nn.Module, got 'resnet18'"),
        (nn.Sequential(nn.ReLU()), "Sequential has no convolution or linear layer"),
    ],
)
def test_what_is_no_network(given, message):
    with pytest.raises(UsageError, match=message):
        binarize(given)


def test_a_distributed_wrapper_is_refused():
    wrapper = nn.Module.__new__(nn.parallel.DistributedDataParallel)
    nn.Module.__init__(wrapper)
    wrapper.module = plain(conv())
    with pytest.raises(UsageError, match="binarize the network first, then wrap it"):
        binarize(wrapper)


def test_data_parallel_is_binarized_from_within():
    wrapper = nn.DataParallel(plain(conv()))
    with pytest.raises(UsageError, match=r"binarize the network that it holds \(its attribute module\)"):
        binarize(wrapper, input_shape=IMAGE)
    binarize(wrapper.module, input_shape=IMAGE)
    assert isinstance(wrapper.module[2], BinaryConv2d)


class Standardised(nn.Conv2d):
    def forward(self, x):
        return self._conv_forward(x, self.weight - self.weight.mean(), self.bias)


class Named(nn.Conv2d):
    """A subclass that only sets its arguments is as good as its parent."""


def pruned():
    layer = conv()
    prune.random_unstructured(layer, "weight", 0.5)
    return layer


def quantised():
    with warnings.catch_warnings():  # torch's own: the class is on its way out
        warnings.simplefilter("ignore")
        return torch.ao.nn.quantized.dynamic.Linear(8, 8)


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (nn.Conv1d(8, 8, 3), "there is no binary Conv1d"),
        (nn.Conv3d(8, 8, 3), "there is no binary Conv3d"),
        (nn.ConvTranspose2d(8, 8, 3), "there is no binary ConvTranspose2d"),
        (nn.LazyConv2d(8, 3), "lazy, its shape is not known yet: run the network once before"),
        (parametrizations.weight_norm(conv()), "its weight is computed (weight_norm"),
        (parametrizations.spectral_norm(conv()), "its weight is computed (weight_norm, spectral_norm"),
        (pruned(), "its weight is computed (weight_norm, spectral_norm, pruning"),
        (Standardised(8, 8, 3), "this Standardised has a forward of its own"),
        (nn.Conv2d(8, 8, 3, dtype=torch.complex64), "its weight is torch.complex64"),
        (quantised(), "there is no binary Linear"),
        (nn.Linear(8, 8), "linear layers become binary on request (linear=True)"),
        (BinaryConv2d(8, 8, 3), "binary already"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, nn.Module) else "",
)
def test_what_stays_real_and_why(layer, reason):
    net = plain(layer, nn.BatchNorm2d(8), conv())
    report = binarize(net)
    assert [entry.path for entry in report.replaced] == ["4"]
    assert net[2] is layer
    assert next(entry for entry in report.kept if entry.path == "2").reason.startswith(reason)


def test_a_plain_subclass_is_replaced():
    net = plain(Named(8, 8, 3))
    assert [entry.path for entry in binarize(net).replaced] == ["2"]


def test_attention_keeps_the_layers_whose_weights_it_reads():
    net = nn.Sequential(
        nn.Linear(8, 8), nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), nn.Linear(8, 8), nn.Linear(8, 2)
    )
    with pytest.warns(BinarizeWarning, match="sum of only 8 signs"):
        report = binarize(net, linear=True, input_shape=(1, 4, 8))
    assert [entry.path for entry in report.replaced] == ["2"]
    reasons = {entry.path: entry.reason for entry in report.kept}
    assert reasons["1.self_attn.out_proj"] == "MultiheadAttention reads its weight without calling it"
    assert reasons["1.linear1"] == "TransformerEncoderLayer reads its weight without calling it"
    net(torch.randn(2, 4, 8))


def test_layers_that_do_not_run_or_are_read_from_outside():
    import torch.nn.functional as F

    net = Held(lambda net, x: net.c(net.norm(net.d(net.norm(F.conv2d(net.a(x), net.b.weight, padding=1))))))
    net.d, net.spare = conv(), conv()
    report = binarize(net, input_shape=IMAGE)
    reasons = {entry.path: entry.reason for entry in report.kept}
    assert reasons["b"].startswith("its parameters are read outside of it, by conv2d in test_binarize_requests.py:")
    assert reasons["spare"] == "it does not run in evaluation mode"
    assert [entry.path for entry in report.replaced] == ["d"]


@pytest.mark.parametrize(
    ("forward", "message"),
    [
        (
            lambda net, x: net.c(net.b(net.norm(net.a(x))) * len(net.b.padding_mode)),
            "does not run with binary layers, so nothing",
        ),
        (lambda net, x: net.c(net.held[0](net.norm(net.a(x)))), "forward still runs the old layer at 'b'"),
        (
            lambda net, x: net.c(net.norm(net.a(x)) if hasattr(net.b, "conv") else net.b(net.norm(net.a(x)))),
            "forward still runs",
        ),
    ],
)
def test_a_forward_that_does_not_go_through_binary_layers_is_left_as_it_was(forward, message):
    net = Held(forward, nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular"))
    net.__dict__["held"] = [net.b]
    before = snapshot(net)
    with pytest.raises(OnebitError, match=message):
        binarize(net, input_shape=IMAGE)
    assert snapshot(net) == before


def test_warnings_as_errors_change_nothing():
    net = plain(nn.ReLU(), conv())
    before = snapshot(net)
    with pytest.raises(BinarizeWarning, match="2'"):  # pytest runs with warnings as errors
        binarize(net)
    assert snapshot(net) == before


def test_layers_outside_the_network_are_said():
    net = Held(lambda net, x: net.c(net.norm(net.b(net.norm(net.plain[0](net.a(x)))))))
    net.__dict__["plain"] = [conv()]
    (note,) = binarize(net, input_shape=IMAGE).notes
    assert note.startswith("conv2d in test_binarize_requests.py:")
    assert "runs on a weight that the network does not hold, so it stays real" in note


def test_lost_hooks_are_said():
    net = plain(conv(), nn.BatchNorm2d(8), conv())
    net[2].register_forward_hook(lambda *_: None)
    assert list(binarize(net, input_shape=IMAGE).notes) == ["the hooks of 2 are lost; register them again"]


def test_data_dependent_forwards_name_the_line():
    net = Held(lambda net, x: net.c(net.b(net.norm(net.a(x)))) if x.sum() > 0 else x)
    with pytest.raises(UsageError, match=r"test_binarize_requests\.py:\d+"):
        binarize(net, input_shape=IMAGE)
    assert binarize(net).replaced[0].path == "b", "without a shape nothing is run"
