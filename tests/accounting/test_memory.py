"""What training keeps is counted against what autograd really holds; the peak against sums by hand."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit.accounting import summarize
from onebit.models import create_model


class Net(nn.Module):
    def __init__(self, run, **parts):
        super().__init__()
        self.run = run
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x):
        return self.run(self, x)


def held(module, images):
    """Bytes that autograd holds after a forward pass in training mode, parameters and buffers left out."""
    storages = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = (storage.nbytes(), tensor)
        return tensor

    own = {t.untyped_storage().data_ptr() for t in (*module.parameters(), *module.buffers())}
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        output = module.train()(images)
    assert output.requires_grad
    return sum(size for address, (size, _) in storages.items() if address not in own)


def measured(module, shape):
    """(bytes for each image, bytes whatever the batch), from batches of 2 and of 4."""
    two, four = (held(module, torch.randn(count, *shape)) for count in (2, 4))
    return (four - two) / 2, 2 * two - four


NETS = [
    ("resnet18", "real", {"widths": (8, 8, 16, 16)}),
    ("resnet18", "bireal", {"widths": (8, 8, 16, 16)}),
    ("resnet18", "rbcn", {"widths": (8, 8, 16, 16), "shortcut": "block"}),
    ("resnet18", "bnn", {"widths": (8, 8, 16, 16), "shortcut_conv": "binary"}),
    ("resnet18", "xnor", {"widths": (8, 8, 16, 16), "method_options": {"input_scale": True}}),
    (
        "resnet18",
        "abcnet",
        {"widths": (8, 8, 8, 8), "method_options": {"weight_bases": 2, "activation_bases": 3}, "stem": "imagenet"},
    ),
    ("resnet18", "pcnn", {"widths": (8, 8, 8, 8), "method_options": {"projections": 2}}),
    ("ebireal_resnet18", "bireal", {"widths": (8, 8, 16, 16), "stem": "imagenet"}),
    ("wrn22", "bireal", {}),
    ("igp_resnet21", "bireal", {"widths": (8, 8, 8, 8)}),
    ("binary_densenet51", "bireal", {"growth": 8, "init_features": 8, "layers": (2, 2, 2, 2)}),
    ("igp_densenet51", "real", {"growth": 8, "init_features": 8, "layers": (2, 2, 2, 2)}),
    ("lenet", "bireal", {"widths": (8, 8, 16)}),
]


@pytest.mark.parametrize(("name", "method", "options"), NETS, ids=[f"{n}-{m}" for n, m, _ in NETS])
def test_kept_bytes_are_those_that_autograd_holds(name, method, options):
    net = create_model(name, method, image_size=32, **options)
    costs = summarize(net, (3, 32, 32))
    image, fixed = measured(net, (3, 32, 32))
    assert costs.kept_bytes == image
    # Small parts that methods keep of their scales are not counted.
    assert costs.kept_fixed_bytes == pytest.approx(fixed, rel=0.35)
    if method in ("real", "bireal"):
        assert costs.kept_fixed_bytes == pytest.approx(fixed, abs=16 * len(costs.layers))


def functional(net, x):
    y = F.hardtanh(F.relu(net.conv(x))) * net.conv(x)
    y = F.max_pool2d(y, 2) + F.avg_pool2d(torch.sigmoid(y), 2)
    weights = (y.flatten(2) @ y.flatten(2).transpose(1, 2)).softmax(-1)
    return net.linear(F.gelu(weights).mean(-1))


def test_functional_networks():
    net = Net(functional, conv=nn.Conv2d(3, 4, 3), linear=nn.Linear(4, 2))
    assert summarize(net, (3, 10, 10)).kept_bytes == measured(net, (3, 10, 10))[0]


@torch.no_grad()
def fixed_features(net, x):
    return torch.sigmoid(net.conv(x))


ODD = {
    "gradients off": lambda n, x: n.last(fixed_features(n, x)),
    "detached": lambda n, x: n.last(torch.tanh(torch.sigmoid(n.conv(x)).detach())),
    "standardised weight": lambda n, x: F.conv2d(n.conv(x), n.last.weight - n.last.weight.mean()),
    "view of a parameter": lambda n, x: F.conv2d(n.conv(x), n.last.weight[:, :1], groups=4),
    "where": lambda n, x: torch.where(n.conv(x) > 0, n.last(x.repeat(1, 2, 1, 1)[:, :4]), 0.5 * n.conv(x)),
    "interpolation": lambda n, x: F.interpolate(n.last(n.conv(x)), scale_factor=2.0, mode="bilinear"),
}


@pytest.mark.parametrize("run", ODD.values(), ids=ODD)
def test_what_gradients_do_not_need_is_not_kept_nor_weights_for_every_image(run):
    net = Net(run, conv=nn.Conv2d(3, 4, 1), last=nn.Conv2d(4, 4, 1))
    assert summarize(net, (3, 6, 6)).kept_bytes == measured(net, (3, 6, 6))[0]


def test_views_of_parameters_take_no_memory():
    net = Net(lambda n, x: x @ n.linear.weight.t(), linear=nn.Linear(4, 9))
    assert summarize(net, (1, 4)).peak_activation_bytes == 4 * (4 + 9)


@pytest.mark.parametrize("frozen", ["0", "01", "013.weight", "3", "013", "0134.weight"])
def test_frozen_parts_keep_less(frozen):
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
    )
    net.extend([nn.Flatten(), nn.Linear(144, 8), nn.Linear(8, 2)])
    net[7].weight.requires_grad_(False)
    for name, parameter in net.named_parameters():
        parameter.requires_grad_(
            parameter.requires_grad and name not in frozen and name[0] not in frozen.partition(".")[0]
        )
    assert summarize(net, (3, 8, 8)).kept_bytes == measured(net, (3, 8, 8))[0]


def test_double_precision_keeps_inputs_as_they_are():
    net = create_model("resnet18", "bireal", widths=(8, 8, 8, 8)).double()
    image = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    per_image = (held(net, torch.cat([image, image])) - held(net, image)) / 2
    assert summarize(net, (3, 32, 32)).kept_bytes == per_image


def test_compact_codes_are_what_makes_binary_training_small():
    costs = {
        m: summarize(create_model("resnet18", m, widths=(8, 8, 8, 8)), (3, 32, 32)) for m in ("real", "bnn", "bireal")
    }
    # the inputs of the binary layers: 8 channels, of four maps in every stage the first one of the stage before
    inputs = 8 * (5 * 32**2 + 4 * 16**2 + 4 * 8**2 + 3 * 4**2)
    codes = {m: sum(s.kept_bytes for s in costs[m].layers if s.kind == "binary_conv") for m in ("bnn", "bireal")}
    assert codes == {"bnn": inputs * 2 // 8, "bireal": inputs}
    assert costs["bnn"].kept_bytes < costs["bireal"].kept_bytes < costs["real"].kept_bytes


def test_peak_of_a_chain_a_residual_and_views():
    x = 4 * 3 * 8 * 8
    chain = nn.Sequential(nn.Conv2d(3, 6, 1), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(384, 10))
    # input and first map together; the ReLU writes over it, flattening is a view
    assert summarize(chain, (3, 8, 8)).peak_activation_bytes == x + 2 * x
    assert [layer.activation_bytes for layer in summarize(chain, (3, 8, 8)).layers] == [2 * x, 0, 40]
    residual = Net(lambda net, x: net.b(net.a(x)) + x, a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 3, 1))
    # x lives until the addition: x, a(x), b(a(x)); then x, b, their sum
    assert summarize(residual, (3, 8, 8)).peak_activation_bytes == 3 * x
    plain = Net(lambda net, x: net.b(net.a(x)), a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 3, 1))
    assert summarize(plain, (3, 8, 8)).peak_activation_bytes == 2 * x
    held_by_view = Net(
        lambda net, x: (net.a(x).view(-1)[:1], net.b(net.a(x))), a=nn.Conv2d(3, 3, 1), b=nn.Conv2d(3, 3, 1)
    )
    assert summarize(held_by_view, (3, 8, 8)).peak_activation_bytes == 3 * x
    assert summarize(plain.bfloat16(), (3, 8, 8)).peak_activation_bytes == x
