"""The papers' printed numbers, as data, to stand beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onebit.registry import Registry
from onebit.reports.table import Column, Table


@dataclass(frozen=True)
class PaperTable:
    """A table of one quantity as a paper prints it.

    ``values`` maps ``(row, column)`` to the printed number in ``unit``; ``columns`` start with the baseline that gains
    are measured from. ``source`` says where it is printed, ``notes`` what a reader must know before comparing.
    """

    name: str
    title: str
    source: str
    row_name: str
    column_name: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    unit: str
    values: Mapping[tuple[str, str], float]
    notes: tuple[str, ...] = ()

    def table(self) -> Table:
        """The numbers as printed: one line per row, one column per column of the paper."""
        columns = [Column(self.row_name), *(Column(column, ".2f") for column in self.columns)]
        rows = [[row, *(self.values.get((row, column)) for column in self.columns)] for row in self.rows]
        return Table(self.title, columns, rows, [f"Source: {self.source}", *self.notes])


PAPERS = Registry[PaperTable]("paper table")


def paper_numbers(name: str) -> PaperTable:
    """The paper's table of that name. Raises UsageError, naming the nearest one, when there is none.

    >>> paper_numbers("rbcn-ablation").values["32-32-64-128", "R+G"]
    59.13
    """
    return PAPERS[name]


def _grid(columns: tuple[str, ...], rows: Mapping[str, Sequence[float]]) -> dict[tuple[str, str], float]:
    return {(row, c): value for row, line in rows.items() for c, value in zip(columns, line, strict=True)}


_ABLATION_COLUMNS = ("Bi", "R", "R+G", "R+G+B")
_ABLATION = {
    "32-32-64-128": (54.92, 56.54, 59.13, 61.64),
    "32-64-128-256": (63.11, 63.49, 64.93, 65.38),
    "64-64-128-256": (63.81, 64.13, 65.02, 66.27),
}

PAPERS.add(
    "rbcn-ablation",
    PaperTable(
        name="rbcn-ablation",
        title="RBCN ablation: ResNet18 on CIFAR-100",
        source="C. Liu et al., RBCN: Rectified Binary Convolutional Networks for Enhancing the Performance of 1-bit "
        "DCNNs, IJCAI 2019, ablation study (ResNet18, CIFAR-100, 200 epochs, one number per cell, no spread)",
        row_name="stage widths",
        column_name="network",
        rows=tuple(_ABLATION),
        columns=_ABLATION_COLUMNS,
        unit="top-1 %",
        values=_grid(_ABLATION_COLUMNS, _ABLATION),
        notes=(
            "Bi: Bi-Real convolution. R: rectified convolution with the kernel loss. G: discriminators added. "
            "B: batch norm refreshed after each epoch.",
            "The paper is inconsistent about R+G+B at 32-32-64-128: its ablation prints 61.64, its comparison with the "
            "state of the art 61.09.",
        ),
    ),
)
