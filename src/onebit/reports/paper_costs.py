"""The printed costs of the papers' networks beside those that we count, and why the two differ where they do."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from onebit.reports.subjects import METHOD_NAMES, Subject, canonical

if TYPE_CHECKING:
    from torch import nn

    from onebit.accounting.conventions import Norms

#: how the network's numbers are counted where no convention of onebit.accounting has that name: norms, scales
_FURTHER: dict[str, tuple[Norms, bool]] = {
    "float-scales": ("learned", True),
    "all-norms": ("all", False),
    "outer-norms": ("none", False),
}
CONVENTION_NOTE = (
    "Conventions: paper counts weights and biases; float also gamma and beta of every batch norm; -scales one scale per "
    "binary filter; all-norms the four vectors of every batch norm, outer-norms of those outside the dense layers."
)


@dataclass(frozen=True)
class Build:
    """How a row's network is built here, and how it is counted.

    ``convention`` is one of :func:`onebit.accounting.summarize` or of those that :data:`CONVENTION_NOTE` adds.
    ``activation_bits`` other than 1 is set on every binary layer: ternary inputs count as 2 bits, two bit-serial passes, so
    that their products are divided by 32 instead of 64. ``variant`` names another reading of the same printed row.
    ``fitted`` says that something the paper does not print was chosen to meet its costs, so that a match is no evidence.
    ``reason`` says what is known about a gap, or what a match rests on.
    """

    model: str
    method: str = "bireal"
    options: tuple[tuple[str, Any], ...] = ()
    convention: str = "paper"
    activation_bits: int = 1
    variant: str = ""
    fitted: bool = False
    reason: str | None = None

    def subject(self) -> Subject | None:
        """What a training run on ImageNet has to be about to stand in this row; None for what no recipe trains."""
        if self.options or self.activation_bits != 1:
            return None
        from onebit.models import model_options

        widths = tuple(model_options(self.model).get("widths", ()))
        return Subject("ImageNet", canonical(self.model), widths, METHOD_NAMES[self.method])


_BINARY_SHORTCUTS = (("shortcut_conv", "binary"),)
_TERNARY = "counted on the network of bnn with binary 1x1 shortcuts and inputs of 2 bits; TBN itself is not part of this package"
_FITTED = "the paper does not print its reductions; {} were fitted to its two costs and are not evidence for the layout"
_UNFITTED = "the reductions of the BinaryDenseNet of that depth; no layout with them meets the printed costs"

#: how each row of the IGP table is built; rows that are not here are quoted by the paper and not part of this package
IGP_BUILDS: dict[str, tuple[Build, ...]] = {
    "full-precision ResNet18": (Build("resnet18", "real", convention="float"),),
    "full-precision ResNet34": (
        Build(
            "resnet34",
            "real",
            convention="float",
            reason="697.5 with batch norm and 697.0 without; the printed 697.3 is quoted from the Bi-Real paper",
        ),
    ),
    "BNN ResNet18": (
        Build(
            "resnet18",
            "bnn",
            _BINARY_SHORTCUTS,
            reason="1x1 shortcuts binary; the exact 0.14502 lies on the edge between 0.14 and 0.15",
        ),
    ),
    "XNOR ResNet18": (
        Build(
            "resnet18",
            "xnor",
            _BINARY_SHORTCUTS,
            convention="paper-scales",
            reason="1x1 shortcuts binary, no input scale K; the exact 0.14502 lies on the edge between 0.14 and 0.15",
        ),
    ),
    "TBN ResNet18": (Build("resnet18", "bnn", _BINARY_SHORTCUTS, activation_bits=2, reason=_TERNARY),),
    "TBN ResNet34": (Build("resnet34", "bnn", _BINARY_SHORTCUTS, activation_bits=2, reason=_TERNARY),),
    "Bi-Real ResNet18": (Build("bireal_resnet18"),),
    "Bi-Real ResNet34": (Build("bireal_resnet34"),),
    "IGP-ResNet37(41)": (
        Build(
            "igp_resnet37", reason="with a real 1x1 shortcut over each stage: the one natural layout that meets both"
        ),
        Build(
            "igp_resnet37",
            options=(("stage_shortcut", False),),
            variant="without stage shortcuts",
            reason="the rule of IGP-ResNet41(48); the printed storage asks for one more real 1x1 per stage",
        ),
    ),
    "IGP-ResNet41(48)": (Build("igp_resnet41", reason="blocks 2-2-3-2, the only nine-block layout that meets both"),),
    "BinaryDenseNet51(32)": (
        Build(
            "binary_densenet51",
            convention="outer-norms",
            reason="a match only with these norms, which the ResNets' rows do not count (34.5 without)",
        ),
    ),
    "BinaryDenseNet69(32)": (
        Build(
            "binary_densenet69",
            convention="outer-norms",
            reason="a match only with these norms, which the ResNets' rows do not count (41.7 without)",
        ),
    ),
    "IGP-DenseNet51(53)": (
        Build("igp_densenet51", fitted=True, reason=_FITTED.format("1.9-2.3-2.2")),
        Build(
            "igp_densenet51",
            options=(("reductions", (2.7, 2.7, 2.2)),),
            variant="reductions 2.7-2.7-2.2",
            reason=_UNFITTED,
        ),
    ),
    "IGP-DenseNet69(48)": (
        Build("igp_densenet69", fitted=True, reason=_FITTED.format("1.9-2.3-3.4")),
        Build(
            "igp_densenet69",
            options=(("reductions", (3.3, 3.3, 4.0)),),
            variant="reductions 3.3-3.3-4.0",
            reason=_UNFITTED,
        ),
    ),
}

_BETWEEN = "33.7 = 374.1 / 11.10 lies among these; the paper does not say what it counts beside weights"
_CITED = "the printed multiplications are those of Bi-Real's table; the paper's own rule gives 0.164"
_CONVENTIONS = ("paper", "float", "float-scales", "all-norms")

#: the same for RBCN's efficiency table, whose 1x1 shortcuts are real, by several conventions
EFFICIENCY_BUILDS: dict[str, tuple[Build, ...]] = {
    "full precision": (Build("resnet18", "real", convention="float"),),
    "XNOR": tuple(Build("resnet18", "xnor", convention=name, reason=_BETWEEN) for name in _CONVENTIONS),
    "RBCN": tuple(Build("resnet18", "rbcn", convention=name, reason=f"{_BETWEEN}; {_CITED}") for name in _CONVENTIONS),
}


@dataclass(frozen=True)
class Cost:
    """Storage in Mbit (1e6 bit) and computation in 1e9 multiplications, a binary one counting 1/64."""

    storage: float
    computation: float


@functools.cache
def count(build: Build) -> Cost:
    """The cost of a row's network on one 224x224 image with 1000 classes; the network is built without memory.

    >>> cost = count(Build("bireal_resnet18"))
    >>> round(cost.storage, 3), round(cost.computation, 4)
    (33.208, 0.164)
    """
    from onebit.accounting import summarize
    from onebit.accounting.conventions import Convention
    from onebit.graph import without_data
    from onebit.models import create_model
    from onebit.nn import BinaryLayer

    with without_data():
        model = create_model(build.model, build.method, num_classes=1000, image_size=224, **dict(build.options))
    if build.activation_bits != 1:
        for layer in model.modules():
            if isinstance(layer, BinaryLayer):
                layer.activation_bits = build.activation_bits
    convention: str | Convention = build.convention
    if build.convention in _FURTHER:
        norms, scales = _FURTHER[build.convention]
        convention = Convention(build.convention, "", norms=norms, scales=scales)
    summary = summarize(model, (1, 3, 224, 224), convention=convention)
    bits = summary.storage_bits + (_outer_norm_bits(model) if build.convention == "outer-norms" else 0)
    return Cost(bits / 1e6, summary.computation / 1e9)


def _outer_norm_bits(model: nn.Module) -> int:
    """Four 32-bit numbers per channel of every batch norm that lies in no stage: of stem, transitions and head."""
    from torch.nn import BatchNorm2d

    outer = [m for name, m in model.named_modules() if isinstance(m, BatchNorm2d) and not name.startswith("stages.")]
    return 4 * 32 * sum(norm.num_features for norm in outer)


def verdict(quantities: Iterable[tuple[str, float, float | None, str]]) -> str | None:
    """Whether our numbers are the printed ones: to the printed digits a match, else the gaps in percent.

    Args:
        quantities: name, ours, printed (None where nothing is printed: left out), format in which it is printed.

    >>> verdict([("storage", 33.208, 33.2, ".1f"), ("computation", 0.14502, 0.14, ".2f")])
    'computation +3.6 %'
    >>> verdict([("storage", 33.208, 33.2, ".1f"), ("computation", 0.164, None, ".2f")])
    'match'
    """
    known = [(name, ours, printed, digits) for name, ours, printed, digits in quantities if printed is not None]
    if not known:
        return None
    gaps = [
        f"{name} {100 * (ours / printed - 1):+.2g} %"
        for name, ours, printed, digits in known
        if f"{ours:{digits}}" != f"{printed:{digits}}"
    ]
    return ", ".join(gaps) or "match"
