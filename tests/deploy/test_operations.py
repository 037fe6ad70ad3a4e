"""What torch's operations become, one small network each, against PyTorch; and what has no packed form, by name."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit import binarize, pack
from onebit.deploy.partial import PartialModel
from onebit.errors import UsageError
from onebit.methods import get_method

IMAGES = torch.randn(3, 4, 11, 9, generator=torch.Generator().manual_seed(0))
IMAGES[:, 0, ::3] = 0  # sign(0) = +1


class Does(nn.Module):
    """A forward given as a function of the image and the module, which holds one parameter and one norm."""

    def __init__(self, forward):
        super().__init__()
        self.run = forward
        generator = torch.Generator().manual_seed(1)
        self.factor = nn.Parameter(torch.randn(4, generator=generator))
        self.square = nn.Parameter(torch.randn(9, 9))
        self.norm = nn.BatchNorm2d(4)
        self.conv = nn.Conv2d(4, 4, 3, padding=1)
        with torch.no_grad():
            for tensor in (self.norm.running_mean, self.norm.weight, self.norm.bias):
                tensor.normal_(generator=generator)
            self.norm.running_var.uniform_(0.5, 2, generator=generator)

    def forward(self, x):
        return self.run(x, self)


PACKED = {
    "relu": lambda x, m: F.relu(x),
    "in place": lambda x, m: (x + 1).relu_().mul_(2).add_(x),
    "leaky_relu": lambda x, m: F.leaky_relu(x, 0.2),
    "prelu": lambda x, m: F.prelu(x, m.factor),
    "relu6": lambda x, m: F.relu6(8 * x),
    "hardtanh": lambda x, m: F.hardtanh(x, -0.5, 0.25),
    "clamp": lambda x, m: x.clamp(-1, 0.5),
    "clamp from below": lambda x, m: x.clamp(min=-0.5),
    "clamp_max": lambda x, m: x.clamp_max(0.5),
    "norm alone": lambda x, m: m.norm(x),
    "norm of a conv": lambda x, m: m.norm(m.conv(x)),
    "norm of a conv that others read": lambda x, m: (lambda y: m.norm(y) + y)(m.conv(x)),
    "norm twice": lambda x, m: m.norm(m.norm(m.conv(x))),
    "dropout in evaluation": lambda x, m: m.norm(F.dropout(m.conv(x), training=m.training)),
    "sum": lambda x, m: x + m.conv(x) + x,
    "x + x": lambda x, m: x + x,
    "weighted sum": lambda x, m: torch.add(x, m.conv(x), alpha=0.3),
    "difference": lambda x, m: x - m.conv(x),
    "difference with a number": lambda x, m: x - 0.25,
    "mean of two": lambda x, m: (x + m.conv(x)) * 0.5,
    "divided": lambda x, m: x / 3,
    "negative": lambda x, m: -x,
    "factor per channel": lambda x, m: x * m.factor.view(1, -1, 1, 1),
    "factor of a conv": lambda x, m: m.conv(x) * m.factor.view(4, 1, 1),
    "divided per channel": lambda x, m: x / m.factor.view(1, -1, 1, 1),
    "summand per channel": lambda x, m: m.conv(x) + m.factor.view(-1, 1, 1),
    "constant minus map": lambda x, m: m.factor.view(-1, 1, 1) - x,
    "concat": lambda x, m: torch.cat([x, m.conv(x), x], 1),
    "max_pool": lambda x, m: F.max_pool2d(x, 2),
    "max_pool padded": lambda x, m: F.max_pool2d(x, 3, 2, 1),
    "max_pool rounded up": lambda x, m: F.max_pool2d(x, (2, 3), 2, ceil_mode=True),
    "avg_pool": lambda x, m: F.avg_pool2d(x, 3, 2),
    "avg_pool padded": lambda x, m: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool padded, not counted": lambda x, m: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "avg_pool rounded up": lambda x, m: F.avg_pool2d(x, 2, 2, ceil_mode=True),
    "avg_pool padded, rounded up": lambda x, m: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "avg_pool rounded up, not counted": lambda x, m: F.avg_pool2d(x, 2, 2, ceil_mode=True, count_include_pad=False),
    "mean": lambda x, m: x.mean((2, 3)),
    "mean kept": lambda x, m: x.mean((-1, -2), keepdim=True).flatten(1),
    "adaptive to 1": lambda x, m: F.adaptive_avg_pool2d(x, 1),
    "adaptive, then flat": lambda x, m: F.adaptive_avg_pool2d(x, (11, 3)).flatten(1),
    "flatten": lambda x, m: x.flatten(1),
    "view": lambda x, m: x.view(x.size(0), -1),
    "squeeze": lambda x, m: F.adaptive_avg_pool2d(x, 1).squeeze(-1).squeeze(-1),
    "contiguous": lambda x, m: m.norm(m.conv(x).contiguous(memory_format=torch.channels_last)),
}  # fmt: skip


@pytest.mark.parametrize("name", PACKED)
def test_it_is_packed(name):
    network = Does(PACKED[name]).eval()
    with torch.no_grad():
        expected = network(IMAGES)
    answer = pack(network, (4, 11, 9))(IMAGES)
    torch.testing.assert_close(answer, expected, rtol=1e-6, atol=2e-6)


def test_norms_and_factors_go_into_convolutions():
    for name in (
        "norm of a conv",
        "norm twice",
        "dropout in evaluation",
        "factor of a conv",
        "summand per channel",
        "contiguous",
    ):
        kinds = [op.kind for op in pack(Does(PACKED[name]).eval(), (4, 11, 9)).program.operations]
        assert kinds == ["input", "conv"], name


CONVOLUTIONS = [
    nn.Conv2d(4, 6, 3),
    nn.Conv2d(4, 6, (5, 1), stride=(2, 1), padding=(2, 0), bias=False),
    nn.Conv2d(4, 8, 3, padding=2, dilation=2, groups=2),
    nn.Conv2d(4, 4, 3, padding="same", groups=4),
    nn.Conv2d(4, 6, 1, stride=2, padding="valid"),
]


@pytest.mark.parametrize("conv", CONVOLUTIONS, ids=str)
def test_convolutions(conv):
    network = nn.Sequential(conv, nn.BatchNorm2d(conv.out_channels)).eval()
    network[1].weight.data[::2] = -0.7
    with torch.no_grad():
        torch.testing.assert_close(pack(network, (4, 11, 9))(IMAGES), network(IMAGES), rtol=1e-6, atol=2e-6)


def test_linear_layers_and_norms_of_vectors():
    network = nn.Sequential(nn.Flatten(), nn.Linear(396, 7), nn.BatchNorm1d(7), nn.Linear(7, 3, bias=False)).eval()
    network[2].running_var.fill_(2)
    with torch.no_grad():
        torch.testing.assert_close(pack(network, (4, 11, 9))(IMAGES), network(IMAGES), rtol=1e-6, atol=2e-6)


def test_a_binary_layer_by_hand():
    """sign(0) = +1 for weights and inputs, a negative factor of the norm, padded taps of 0: computed on paper."""
    conv = get_method("bireal").conv(1, 1, (1, 3), padding=(0, 1))
    conv.weight.data = torch.tensor([[[[0.0, -1.0, 0.5]]]])  # bits + - +, scale 0.5
    norm = nn.BatchNorm2d(1, eps=0)
    norm.weight.data.fill_(-2)
    norm.bias.data.fill_(1)
    norm.running_mean.fill_(0.5)
    norm.running_var.fill_(4)
    packed = pack(nn.Sequential(conv, norm).eval(), (1, 1, 3))
    # signs + - +; sums -1-1 = -2, 1+1+1 = 3, -1-1 = -2; y = 1 - (sum / 2 - 0.5)
    assert packed(torch.tensor([[[[0.0, -3.0, 1.0]]]])).tolist() == [[[[2.5, 0.0, 2.5]]]]
    assert packed.binary_weight("0").tolist() == [[[[1, -1, 1]]]]


def test_the_module_stays_as_it_is():
    network = nn.Sequential(nn.Conv2d(4, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(280, 4))
    binarize(network, "rbcn", keep=["0", "4"])
    network.train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    pack(network, IMAGES)
    assert network.training
    assert all(tensor.equal(before[name]) for name, tensor in network.state_dict().items())


NOT_PACKED = {
    "sigmoid": (lambda x, m: x.sigmoid(), "sigmoid has no packed form; use relu"),
    "softmax": (lambda x, m: m.conv(x).mean((2, 3)).softmax(1), "pack the network without it"),
    "product of maps": (lambda x, m: x * m.conv(x), "multiplies two maps"),
    "division by a map": (lambda x, m: m.factor.view(-1, 1, 1) / x, "divides by a map"),
    "broadcast sum": (lambda x, m: x + x.mean((2, 3), keepdim=True), "adds maps of 4 x 11 x 9 and 4 x 1 x 1"),
    "map of constants": (lambda x, m: x * torch.ones(9), "reads a tensor that forward computes"),
    "computed parameter": (lambda x, m: x * m.factor.exp().view(-1, 1, 1), "reads a tensor that forward computes"),
    "mean over channels": (lambda x, m: x.mean(1), "(2, 11, 9)"),
    "mean over the batch": (lambda x, m: x - x.mean(0, keepdim=True), "for a batch of 2 images"),
    "batch statistics": (lambda x, m: F.batch_norm(x, None, None, training=True), "each batch's own statistics"),
    "dropout always": (lambda x, m: F.dropout(x, training=True), "drops values in evaluation too"),
    "concat of rows": (lambda x, m: torch.cat([x, x], 2), "along dimension 2"),
    "flip": (lambda x, m: x.flip(3), "flip has no packed form"),
    "slice": (lambda x, m: x[:, :2], "moves or selects numbers"),
    "reshape": (lambda x, m: x.reshape(len(x), 4, 9, 11), "flattening is packed"),
    "padding": (lambda x, m: F.pad(x, (1, 1, 1, 1)), "use the padding of the convolution"),
    "adaptive": (lambda x, m: F.adaptive_avg_pool2d(x, (11, 3)), "windows that depend on the image"),
    "adaptive, uneven": (lambda x, m: F.adaptive_avg_pool2d(x, 2).flatten(1), "windows of several sizes"),
    "dilated pooling": (lambda x, m: F.max_pool2d(x, 2, dilation=2), "with dilation is not packed"),
    "own divisor": (lambda x, m: F.avg_pool2d(x, 2, divisor_override=3), "divisor_override"),
    "linear on maps": (lambda x, m: F.linear(x, m.square), "a linear layer on more than (N, features)"),
    "two results": (lambda x, m: (x, m.conv(x)), "returns 2 tensors"),
    "no result": (lambda x, m: m.factor.view(1, 4), "does not depend on the image"),
    "integers": (lambda x, m: (x * 10).int(), "int32"),
}  # fmt: skip


@pytest.mark.parametrize("name", NOT_PACKED)
def test_it_is_refused_by_name(name):
    forward, reason = NOT_PACKED[name]
    with pytest.raises(UsageError) as caught:
        pack(Does(forward).eval(), (4, 11, 9))
    assert reason in str(caught.value)
    assert "cannot be packed" in str(caught.value)


def test_every_obstacle_is_named_at_once():
    network = nn.Sequential(
        nn.Sequential(nn.Conv2d(4, 4, 3), nn.GELU()),
        nn.ModuleDict({"up": nn.ConvTranspose2d(4, 4, 2)})["up"],
        nn.Conv2d(4, 4, 3, padding_mode="reflect", padding=1),
        nn.BatchNorm2d(4),
        nn.Tanh(),
    )
    with pytest.raises(UsageError) as caught:
        pack(network.eval(), (4, 11, 9))
    lines = str(caught.value).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["'0.1'", "'1'", "'2'", "'4'"]
    assert lines[0].startswith("4 operations of Sequential cannot be packed")


def test_a_layer_that_is_not_finite_is_named():
    network = nn.Sequential(nn.Conv2d(4, 4, 3), nn.BatchNorm2d(4)).eval()
    network[1].running_mean[2] = float("nan")
    with pytest.raises(UsageError, match=r"0: its bias, with everything folded into it, is not finite"):
        pack(network, (4, 11, 9))
    network[1].running_mean[2] = 0
    network[0].weight.data[0, 0, 0, 0] = 3e38
    network[1].weight.data[0] = 100
    with pytest.raises(UsageError, match="its weight"):
        pack(network, (4, 11, 9))


def test_weights_without_values():
    with torch.device("meta"):
        network = nn.Conv2d(4, 4, 3)
    with pytest.raises(UsageError, match=r"'weight' has a shape but no values"):
        pack(network, (4, 11, 9))


def test_more_terms_than_the_engine_adds():
    conv = get_method("abcnet", weight_bases=9, activation_bases=8).conv(4, 4, 3)
    with pytest.raises(UsageError, match=r"has 72 terms, the engine adds up to 64"):
        pack(conv.eval(), (4, 11, 9))


def test_equal_bases_are_stored_once():
    conv = get_method("abcnet", weight_bases=3, activation_bases=4).conv(4, 6, 3)
    program = pack(conv.eval(), (4, 11, 9)).program
    assert program.tensor(1, "weight").shape == (3, 6, 3, 3, 4)
    assert program.tensor(1, "index").tolist() == [0, 1, 2] * 4


@pytest.mark.parametrize(
    ("options", "example", "message"),
    [
        ({}, (11, 9), "example_input is a shape"),
        ({}, torch.zeros(4, 11, 9), "example_input is a shape"),
        ({}, (4, 0, 9), "example_input is a shape"),
        ({"precision": "bfloat16"}, (4, 11, 9), "precision is 'float32', 'int16' or 'int8', not 'bfloat16'"),
        ({"precision": "int8"}, (4, 11, 9), "give mean and std"),
        ({"mean": [0] * 4}, (4, 11, 9), "mean and std belong together"),
        ({"mean": [0] * 3, "std": [1] * 3}, (4, 11, 9), "each of the 4 channels"),
        ({"mean": [0] * 4, "std": [0] * 4}, (4, 11, 9), "std above 0"),
        ({"classes": ["a", "b"]}, (4, 11, 9), "2 classes were named, but the network's output has shape (4, 9, 7)"),
        ({"metadata": {"a": {1, 2}}}, (4, 11, 9), "metadata are what JSON can hold"),
    ],
)
def test_requests_that_cannot_be(options, example, message):
    with pytest.raises(UsageError) as caught:
        pack(nn.Conv2d(4, 4, 3), example, **options)
    assert message in str(caught.value)


class Branching(nn.Module):
    """Its path depends on values: it cannot be captured, but its binary layers can be packed."""

    def __init__(self):
        super().__init__()
        method = get_method("xnor", input_scale=True)
        self.conv, self.linear = method.conv(4, 6, 3, padding=1), method.linear(6, 5)
        self.again = self.conv

    def forward(self, x):
        y = self.conv(x)
        return self.linear((y if y.sum() > 0 else y.flip(3)).mean((2, 3)))


def test_partial_packing():
    network = Branching()
    with pytest.raises(UsageError, match="takes a value out of a tensor"):
        pack(network, (4, 11, 9))
    packed = pack(network, (4, 11, 9), partial=True)
    assert isinstance(packed, PartialModel)
    assert packed.packed == ["conv", "linear"]
    assert packed.network.again is packed.network.conv
    assert network.training
    assert isinstance(network.conv, nn.Conv2d)
    with torch.no_grad():
        torch.testing.assert_close(packed(IMAGES), network.eval()(IMAGES), rtol=1e-6, atol=1e-6)
    with pytest.raises(UsageError, match=r"a \.onebit file holds a network that is packed as a whole"):
        packed.save("a.onebit")


def test_partial_packing_names_layers_that_stay():
    network = nn.Sequential(
        get_method("xnor", input_scale=True).conv(4, 4, 3, dilation=2), get_method("bnn").conv(4, 4, 3), nn.Tanh()
    )
    packed = pack(network, (4, 11, 9), partial=True)
    assert packed.packed == ["1"]
    assert list(packed.unpacked) == ["0"]
    assert "without dilation" in packed.unpacked["0"]
    torch.testing.assert_close(packed(IMAGES), network.eval()(IMAGES))


def test_partial_packing_of_what_packs_whole_and_of_what_has_no_bits():
    assert not isinstance(pack(nn.Conv2d(4, 4, 3), (4, 11, 9), partial=True), PartialModel)
    with pytest.raises(UsageError, match="there is no binary layer to pack"):
        pack(nn.Tanh(), (4, 11, 9), partial=True)
