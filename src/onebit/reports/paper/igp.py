"""What the paper on improved gradient paths (IGP) prints: its table of costs and errors on ImageNet."""

from __future__ import annotations

from onebit.reports.paper.printed import PAPERS, PaperTable, grid

COLUMNS = ("storage (Mbit)", "computation (1e9)", "top-1 error (%)", "top-5 error (%)")

_Row = tuple[float | None, float | None, float | None, float | None]
_ROWS: dict[str, _Row] = {
    "full-precision ResNet18": (374.1, 1.81, None, None),
    "full-precision ResNet34": (697.3, 3.66, None, None),
    "BNN ResNet18": (27.9, 0.14, None, None),
    "XNOR ResNet18": (28.0, 0.14, None, None),
    "S2-Bi-Real ResNet18": (33.2, 0.16, 48.76, 24.11),
    "Bin ResNet18": (27.9, 0.14, 45.80, 22.10),
    "TBN ResNet18": (27.9, 0.17, 44.40, 25.80),
    "TBN ResNet34": (38.0, 0.23, None, None),
    "CI-Net ResNet18": (27.9, 0.14, 43.30, 19.90),
    "XNOR++ ResNet18": (28.0, 0.14, 42.90, 20.10),
    "IR-ResNet18": (33.1, None, 41.90, 20.00),
    "BNAS-E": (33.1, None, 41.24, 19.39),
    "Bi-Real ResNet18": (33.2, 0.16, 40.42, 18.29),
    "Si-ResNet18": (None, None, 40.30, 18.20),
    "RBNN ResNet18": (None, None, 40.10, 18.10),
    "CI-Net, Bi-Real shortcuts": (None, None, 40.10, 17.80),
    "FT-ResNet18": (None, None, 39.80, None),
    "DGRL (K=1)": (None, None, 39.55, None),
    "UaBNN": (None, None, 39.40, 17.80),
    "BinaryDuo": (None, None, 39.10, 17.40),
    "ReActNet-18 (BN-free)": (None, None, 38.90, None),
    "SA-BNN": (None, None, 38.30, 17.20),
    "IA-BNN": (None, None, 37.20, 15.70),
    "FULW": (None, None, 36.60, 15.40),
    "ProxyResNet18": (None, None, 36.30, 15.20),
    "Real-to-bin": (None, None, 34.60, 13.80),
    "ReActNet-ResNet18": (None, None, 34.10, None),
    "DIR-Net^2": (None, None, 33.90, 13.60),
    "IGP-ResNet37(41)": (33.2, 0.13, 37.13, 15.63),
    "Bi-Real ResNet34": (43.3, 0.19, 36.74, 15.36),
    "IGP-ResNet41(48)": (42.6, 0.16, 35.62, 14.53),
    "BinaryDenseNet51(32)": (34.8, 0.27, 38.14, 16.80),
    "IGP-DenseNet51(53)": (34.5, 0.30, 36.73, 15.54),
    "BinaryDenseNet69(32)": (42.0, 0.28, 36.26, 15.24),
    "IGP-DenseNet69(48)": (41.5, 0.31, 35.20, 14.59),
}

_WHERE = {
    "S2-Bi-Real ResNet18": "Shen et al., S2-BNN, CVPR 2021: Bi-Real18 trained without labels, linear probe",
    "Bin ResNet18": "Xu and Cheung, trained binarization, BMVC 2019",
    "TBN ResNet18": "Wan et al., TBN, ECCV 2018: binary weights, ternary inputs",
    "TBN ResNet34": "Wan et al., TBN, ECCV 2018: binary weights, ternary inputs",
    "CI-Net ResNet18": "Wang et al., CI-BCNN, CVPR 2019",
    "CI-Net, Bi-Real shortcuts": "Wang et al., CI-BCNN, CVPR 2019",
    "XNOR++ ResNet18": "Bulat and Tzimiropoulos, XNOR-Net++, BMVC 2019",
    "IR-ResNet18": "Qin et al., IR-Net, CVPR 2020",
    "BNAS-E": "Kim, Singh and Choi, BNAS, ECCV 2020: a searched architecture",
    "Si-ResNet18": "Wang et al., Si-BNN, AAAI 2020",
    "RBNN ResNet18": "Lin et al., Rotated BNN, NeurIPS 2020",
    "FT-ResNet18": "Su et al., FTBNN, 2020",
    "DGRL (K=1)": "Ye, Zhang and Wang, Distillation-Guided Residual Learning, 2020",
    "UaBNN": "Zhao et al., UaBNN, IJCAI 2021",
    "BinaryDuo": "Kim et al., BinaryDuo, ICLR 2020",
    "ReActNet-18 (BN-free)": "Chen et al., BNN - BN = ?, CVPR workshop 2021",
    "SA-BNN": "Liu et al., State-Aware BNN, AAAI 2021",
    "IA-BNN": "Kim et al., unbalanced activation distribution, CVPR 2021",
    "FULW": "Xu et al., Fully Utilizing Latent Weights, 2021",
    "ProxyResNet18": "He et al., ProxyBNN, ECCV 2020",
    "Real-to-bin": "Martinez et al., Real-to-Binary, ICLR 2020",
    "ReActNet-ResNet18": "Liu et al., ReActNet, ECCV 2020",
    "DIR-Net^2": "Qin et al., DIR-Net, IJCV 2022",
}

PAPERS.add(
    "igp-table1",
    PaperTable(
        name="igp-table1",
        title="IGP: storage, computation and error of 1-bit networks on ImageNet",
        source="Improving Gradient Paths for Binary Convolutional Neural Networks, BMVC, comparison on ImageNet "
        "(224x224 images, one number per cell, no spread)",
        row_name="network",
        column_name="quantity",
        rows=tuple(_ROWS),
        columns=COLUMNS,
        unit="as the columns say",
        values=grid(COLUMNS, _ROWS),
        formats={"storage (Mbit)": ".1f"},
        notes=(
            "1 Mbit is 1e6 bit. Printed cells that are not known to us are left out; the order of the rows is ours.",
        ),
        remarks=_WHERE,
    ),
)
