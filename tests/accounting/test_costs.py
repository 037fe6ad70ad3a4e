"""summarize against an independent count by shape arithmetic, and against the printed figures that it reproduces."""

from dataclasses import dataclass, field

import pytest

from onebit.accounting import summarize
from onebit.graph import without_data
from onebit.models import create_model
from onebit.nn import BinaryLayer


@dataclass
class Sheet:
    """A network as a list of convolutions: no tensors, no modules, only channels and sizes."""

    real: list = field(default_factory=list)
    binary: list = field(default_factory=list)
    norms: int = 0
    bias: int = 0

    def conv(self, kind, channels, outputs, kernel, size, norm=True):
        getattr(self, kind).append((kernel**2 * channels * outputs, kernel**2 * channels * outputs * size**2, outputs))
        self.norms += outputs * norm

    def classifier(self, channels, classes=1000):
        self.real.append((channels * classes, channels * classes, classes))
        self.bias = classes

    def cost(self, norms=0, scales=0, activation_bits=1):
        """(bits of storage, computation, binary weights, other numbers, binary MACs, real MACs)."""
        weights, ones = sum(w for w, _, _ in self.binary), sum(m for _, m, _ in self.binary)
        others = sum(w for w, _, _ in self.real) + self.bias + norms * self.norms
        others += scales * sum(outputs for _, _, outputs in self.binary)
        macs = sum(m for _, m, _ in self.real)
        return 32 * others + weights, macs + activation_bits * ones / 64, weights, others, activation_bits * ones, macs


def residual(depth, kind="binary", shortcut="real", width=64):
    sheet = Sheet()
    sheet.conv("real", 3, width, 7, 112)
    channels, size = width, 56
    for stage, units in enumerate({18: (4, 4, 4, 4), 34: (6, 8, 12, 6)}[depth]):
        outputs = width * 2**stage
        if stage:
            size //= 2
            sheet.conv(shortcut, channels, outputs, 1, size)
        for _ in range(units):
            sheet.conv(kind, channels, outputs, 3, size)
            channels = outputs
    sheet.classifier(channels)
    return sheet


def igp_residual(blocks, convs, width, entries):
    sheet = Sheet()
    sheet.conv("real", 3, width, 7, 112)
    channels, size = width, 56
    for stage, count in enumerate(blocks):
        outputs = width * 2**stage
        if stage:
            size //= 2
            for _ in range(entries):
                sheet.conv("real", channels, outputs, 1, size)
        for _ in range(convs * count):
            sheet.conv("binary", outputs, outputs, 3, size)
        channels = outputs
    sheet.classifier(channels)
    return sheet


def dense(layers, growth, reductions, units=False):
    sheet = Sheet()
    sheet.conv("real", 3, 64, 7, 112)
    channels, size = 64, 56
    for stage, count in enumerate(layers):
        for _ in range(count):
            for inputs in (channels, channels, growth) if units else (channels,):
                sheet.conv("binary", inputs, growth, 3, size, norm=False)
            channels += growth
        sheet.norms += channels  # before the transition and before the classifier
        if stage < 3:
            size //= 2
            outputs = int(channels / reductions[stage])
            sheet.conv("real", channels, outputs, 1, size, norm=False)
            channels = outputs
    sheet.classifier(channels)
    return sheet


def build(name, method, activation_bits=1, **options):
    with without_data():
        net = create_model(name, method, 1000, image_size=224, **options)
    for layer in net.modules():
        if isinstance(layer, BinaryLayer):
            layer.activation_bits = activation_bits
    return net


BINARY_SHORTCUT = {"shortcut_conv": "binary"}
B51, B69 = (2.7, 2.7, 2.2), (3.3, 3.3, 4.0)
# model, method, options, convention, the independent count, printed storage (Mbit) and computation (1e9)
ROWS = [
    ("resnet18", "real", {}, "float", residual(18, "real").cost(norms=2), "374.064", "1.8141"),
    ("resnet34", "real", {}, "float", residual(34, "real").cost(norms=2), "697.526", "3.6638"),
    ("resnet18", "real", {}, "paper", residual(18, "real").cost(), "373.757", "1.8141"),
    ("bireal_resnet18", "bireal", {}, "paper", residual(18).cost(), "33.208", "0.1640"),
    ("bireal_resnet34", "bireal", {}, "paper", residual(34).cost(), "43.308", "0.1929"),
    ("ebireal_resnet18", "bireal", {}, "paper", residual(18).cost(), "33.208", "0.1640"),
    ("resnet18", "rbcn", {}, "paper", residual(18).cost(), "33.208", "0.1640"),
    ("resnet18", "rbcn", {}, "float", residual(18).cost(norms=2), "33.515", "0.1640"),
    ("resnet18", "bnn", BINARY_SHORTCUT, "paper", residual(18, shortcut="binary").cost(), "27.875", "0.1450"),
    (
        "resnet18",
        "xnor",
        BINARY_SHORTCUT,
        "paper-scales",
        residual(18, shortcut="binary").cost(scales=1),
        "28.026",
        "0.1450",
    ),
    ("igp_resnet37", "bireal", {}, "paper", igp_residual((2, 2, 2, 2), 7, 41, 2).cost(), "33.243", "0.1333"),
    ("igp_resnet41", "bireal", {}, "paper", igp_residual((2, 2, 3, 2), 7, 48, 1).cost(), "42.641", "0.1637"),
    ("igp_resnet21", "bireal", {}, "paper", igp_residual((2, 2, 2, 2), 3, 53, 1).cost(), "30.518", "0.1411"),
    ("igp_resnet69", "bireal", {}, "paper", igp_residual((2, 2, 2, 2), 15, 31, 1).cost(), "31.460", "0.1128"),
    ("binary_densenet51", "bireal", {}, "paper", dense((12, 12, 12, 10), 32, B51).cost(), "34.512", "0.2660"),
    ("binary_densenet69", "bireal", {}, "paper", dense((12, 16, 24, 12), 32, B69).cost(), "41.658", "0.2771"),
    (
        "igp_densenet51",
        "bireal",
        {},
        "paper",
        dense((6, 6, 6, 5), 53, (1.9, 2.3, 2.2), True).cost(),
        "34.494",
        "0.3041",
    ),
    (
        "igp_densenet69",
        "bireal",
        {},
        "paper",
        dense((6, 8, 12, 6), 48, (1.9, 2.3, 3.4), True).cost(),
        "41.480",
        "0.3102",
    ),
]


@pytest.mark.parametrize(
    ("name", "method", "options", "convention", "expected", "mbit", "giga"),
    ROWS,
    ids=[f"{r[0]}-{r[1]}-{r[3]}" for r in ROWS],
)
def test_costs_are_those_of_shape_arithmetic_and_of_the_tables(name, method, options, convention, expected, mbit, giga):
    costs = summarize(build(name, method, **options), (3, 224, 224), convention=convention)
    bits, computation, weights, others, ones, macs = expected
    assert (costs.storage_bits, costs.computation) == (bits, computation)
    assert costs.parameters == ({1: weights} if weights else {}) | {32: others}
    assert costs.macs == ({1: ones} if ones else {}) | {32: macs}
    assert (f"{costs.storage_bits / 1e6:.3f}", f"{costs.computation / 1e9:.4f}") == (mbit, giga)


@pytest.mark.parametrize(("depth", "mbit", "giga"), [(18, "27.9", "0.17"), (34, "38.0", "0.23")])
def test_ternary_inputs_divide_by_32(depth, mbit, giga):
    costs = summarize(build(f"resnet{depth}", "bnn", activation_bits=2, **BINARY_SHORTCUT), (3, 224, 224))
    expected = residual(depth, shortcut="binary").cost(activation_bits=2)
    assert (costs.storage_bits, costs.computation, costs.macs[1]) == (expected[0], expected[1], expected[4])
    assert (f"{costs.storage_bits / 1e6:.1f}", f"{costs.computation / 1e9:.2f}") == (mbit, giga)


def test_dense_networks_meet_the_printed_storage_with_four_vectors_of_the_outer_norms():
    for sheet, printed in (
        (dense((12, 12, 12, 10), 32, B51), "34.8 0.27"),
        (dense((12, 16, 24, 12), 32, B69), "42.0 0.28"),
    ):
        bits, computation, *_ = sheet.cost(norms=4)
        assert f"{bits / 1e6:.1f} {computation / 1e9:.2f}" == printed


def test_larqs_figures_of_bi_real_18():
    costs = summarize(build("bireal_resnet18", "bireal"), (3, 224, 224), convention="larq")
    assert costs.parameters == {1: 10_985_472, 32: 704_040}
    assert costs.macs == {1: 1_676_279_808, 32: 137_793_536}
    assert f"{costs.storage_bits / 8 / 2**20:.2f}" == "4.00"
    assert f"{costs.macs[1] / sum(costs.macs.values()):.3f}" == "0.924"
    # its precision of a MAC is that of the wider operand, and a MAC counts once
    ternary = summarize(build("bireal_resnet18", "bireal", activation_bits=2), (3, 224, 224), convention="larq")
    assert ternary.macs == {2: 1_676_279_808, 32: 137_793_536}


def test_the_savings_of_the_rbcn_table():
    real = summarize(build("resnet18", "real"), (3, 224, 224), convention="float")
    for convention, saving in (("paper", "11.26"), ("float", "11.16"), ("deployed", "11.16")):
        rbcn = summarize(build("resnet18", "rbcn"), (3, 224, 224), convention=convention)
        assert f"{real.storage_bits / rbcn.storage_bits:.2f}" == saving
        assert f"{real.computation / rbcn.computation:.2f}" == "11.06"
