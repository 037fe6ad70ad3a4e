"""A printed table, as data, and where printed tables are found by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from onebit.registry import Registry
from onebit.reports.table import Column, Table


@dataclass(frozen=True)
class PaperTable:
    """A table as a paper prints it, as far as its numbers are known to us.

    ``values`` maps ``(row, column)`` to the printed number; a number that we do not have is not in it. ``unit`` is that
    of every column, or says that the columns name their own. ``source`` says where it is printed, ``remarks`` what a
    row is and where its numbers come from if not from there, ``notes`` what a reader must know before comparing.
    ``formats`` are those of columns that are printed with other than two decimals. A table of gains starts with the
    column that they are measured from.
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
    remarks: Mapping[str, str] = field(default_factory=dict)
    formats: Mapping[str, str] = field(default_factory=dict)

    def format(self, column: str) -> str:
        """How the numbers of a column are printed.

        >>> paper_numbers("igp-table1").format("storage (Mbit)")
        '.1f'
        """
        return self.formats.get(column, ".2f")

    def table(self) -> Table:
        """The numbers as printed: one line per row, one column per column of the paper."""
        columns = [Column(self.row_name), *(Column(column, self.format(column)) for column in self.columns)]
        rows = [[row, *(self.values.get((row, column)) for column in self.columns)] for row in self.rows]
        if self.remarks:
            columns.append(Column("remark"))
            rows = [[*row, self.remarks.get(str(row[0]))] for row in rows]
        return Table(self.title, columns, rows, [f"Source: {self.source}", *self.notes])


PAPERS = Registry[PaperTable]("paper table")


def paper_numbers(name: str) -> PaperTable:
    """The paper's table of that name. Raises UsageError, naming the nearest one, when there is none.

    >>> paper_numbers("rbcn-ablation").values["32-32-64-128", "R+G"]
    59.13
    >>> paper_numbers("igp-table1").values["IGP-ResNet37(41)", "top-1 error (%)"]
    37.13
    """
    return PAPERS[name]


def grid(columns: Sequence[str], rows: Mapping[str, Sequence[float | None]]) -> dict[tuple[str, str], float]:
    """``(row, column) -> number`` of a table written line by line; ``None`` is a number that we do not have.

    >>> grid(("a", "b"), {"x": (1.0, None)})
    {('x', 'a'): 1.0}
    """
    cells = [(row, c, value) for row, line in rows.items() for c, value in zip(columns, line, strict=True)]
    return {(row, c): value for row, c, value in cells if value is not None}
