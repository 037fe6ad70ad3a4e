"""What the RBCN paper prints: ablation, CIFAR, ImageNet, efficiency."""

from __future__ import annotations

from onebit.reports.paper.printed import PAPERS, PaperTable, grid

_RBCN = "C. Liu et al., RBCN: Rectified Binary Convolutional Networks for Enhancing the Performance of 1-bit DCNNs, IJCAI 2019"
_BOOK = "B. Zhang et al., Binary Neural Networks: Algorithms, Architectures, and Applications, Table 3.2"

_ABLATION_COLUMNS = ("Bi", "R", "R+G", "R+G+B")
_ABLATION = {
    "32-32-64-128": (54.92, 56.54, 59.13, 61.64),
    "32-64-128-256": (63.11, 63.49, 64.93, 65.38),
    "64-64-128-256": (63.81, 64.13, 65.02, 66.27),
}
_INCONSISTENT = (
    "The paper is inconsistent about R+G+B at 32-32-64-128: its ablation prints 61.64, its comparison with the "
    "state of the art 61.09."
)

PAPERS.add(
    "rbcn-ablation",
    PaperTable(
        name="rbcn-ablation",
        title="RBCN ablation: ResNet18 on CIFAR-100",
        source=f"{_RBCN}, ablation study (ResNet18, CIFAR-100, 200 epochs, one number per cell, no spread)",
        row_name="stage widths",
        column_name="network",
        rows=tuple(_ABLATION),
        columns=_ABLATION_COLUMNS,
        unit="top-1 %",
        values=grid(_ABLATION_COLUMNS, _ABLATION),
        notes=(
            "Bi: Bi-Real convolution. R: rectified convolution with the kernel loss. G: discriminators added. "
            "B: batch norm refreshed after each epoch.",
            _INCONSISTENT,
        ),
    ),
)

_CIFAR: dict[str, tuple[float | None, float | None]] = {
    "RBCN, ResNet18 32-32-64-128": (None, 61.09),
    "RBCN, ResNet18 32-64-128-256": (None, None),
    "RBCN, ResNet18 64-64-128-256": (None, None),
    "RBCN, WRN22 16-16-32-64": (None, None),
    "RBCN, WRN22 64-64-128-256": (None, None),
    "RBCN, WRN40 16-16-32-64": (None, None),
    "RBCN, WRN40 64-64-128-256": (None, None),
    "PCNN, WRN22 64-64-128-256": (92.79, None),
    "PCNN, WRN40 64-64-128-256": (93.78, None),
}

PAPERS.add(
    "rbcn-cifar",
    PaperTable(
        name="rbcn-cifar",
        title="RBCN on CIFAR-10 and CIFAR-100",
        source=f"{_RBCN}, comparison with the state of the art (200 epochs, one number per cell, no spread)",
        row_name="network",
        column_name="data",
        rows=tuple(_CIFAR),
        columns=("CIFAR-10", "CIFAR-100"),
        unit="top-1 %",
        values=grid(("CIFAR-10", "CIFAR-100"), _CIFAR),
        notes=(
            "Of this comparison only the numbers shown are known to us; its other cells are empty. The two wider ResNet18 "
            "stand in the ablation with 65.38 and 66.27 on CIFAR-100 (rbcn-ablation).",
            _INCONSISTENT,
        ),
        remarks={
            f"PCNN, {net} 64-64-128-256": f"printed by {_BOOK} (PCNN-22, PCNN-40, lambda 1e-4); of what widths is not known to us"
            for net in ("WRN22", "WRN40")
        },
    ),
)

_IMAGENET_COLUMNS = ("top-1 (%)", "top-5 (%)")
_IMAGENET = {
    "full precision": (69.3, 89.2),
    "BinaryNet": (42.2, 67.1),
    "ABC-Net": (42.7, 67.6),
    "XNOR": (51.2, 73.2),
    "Bi-Real": (56.4, 79.5),
    "PCNN": (57.3, 79.8),
    "RBCN": (59.5, 81.6),
}

PAPERS.add(
    "rbcn-imagenet",
    PaperTable(
        name="rbcn-imagenet",
        title="RBCN on ImageNet: ResNet18 64-128-256-512",
        source=f"{_RBCN}, comparison on ImageNet (RBCN: 70 epochs; one number per cell, no spread)",
        row_name="network",
        column_name="accuracy",
        rows=tuple(_IMAGENET),
        columns=_IMAGENET_COLUMNS,
        unit="%",
        values=grid(_IMAGENET_COLUMNS, _IMAGENET),
        formats=dict.fromkeys(_IMAGENET_COLUMNS, ".1f"),
        remarks={"ABC-Net": "one weight base and one activation base"},
    ),
)

_EFFICIENCY_COLUMNS = ("storage (Mbit)", "saving", "multiplications (1e9)")
_EFFICIENCY = {
    "full precision": (374.1, None, 1.81),
    "XNOR": (33.7, 11.10, None),
    "RBCN": (33.7, 11.10, 0.167),
}

PAPERS.add(
    "rbcn-efficiency",
    PaperTable(
        name="rbcn-efficiency",
        title="RBCN efficiency: ResNet18, 224x224 images, 1000 classes",
        source=f"{_RBCN}, efficiency analysis",
        row_name="network",
        column_name="cost",
        rows=tuple(_EFFICIENCY),
        columns=_EFFICIENCY_COLUMNS,
        unit="as the columns say",
        values=grid(_EFFICIENCY_COLUMNS, _EFFICIENCY),
        formats={"storage (Mbit)": ".1f", "multiplications (1e9)": ".3g"},
        notes=(
            "The multiplications are those of the table of Bi-Real Net that RBCN cites (1.67e8 against 1.81e9).",
            "Rule: 32 bit a real parameter and 1 bit a binary one; real multiplications and binary ones divided by 64.",
        ),
    ),
)
