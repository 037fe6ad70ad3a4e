"""One table, printed four ways: terminal, Markdown, CSV and HTML."""

from __future__ import annotations

import csv
import html
import io
import numbers
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

from onebit.reports.summary_stats import Spread

if TYPE_CHECKING:
    from rich.table import Table as RichTable


@dataclass(frozen=True)
class Column:
    """A column's heading, the format of its numbers and where its cells stand.

    ``format`` is a format specification such as ``".1f"`` or ``","``; it is applied to numbers and to
    :class:`~onebit.reports.summary_stats.Spread`, never to text. ``align=None`` puts a column of numbers to the right
    and any other to the left.
    """

    name: str
    format: str = ""
    align: Literal["left", "right"] | None = None


class Table:
    """Rows under named columns, with a title above and notes below.

    A cell is a number, text, a :class:`~onebit.reports.summary_stats.Spread`, a truth value (printed ``yes`` or
    ``no``) or ``None`` (printed empty). A column given as text is a :class:`Column` without a format.
    Raises ValueError when a row has not one cell per column.

    >>> table = Table("CIFAR-10", ["method", Column("top-1 (%)", ".1f")], [("rbcn", 84.25), ("real", None)])
    >>> print(table.markdown())
    **CIFAR-10**
    <BLANKLINE>
    | method | top-1 (%) |
    | :----- | --------: |
    | rbcn   |      84.2 |
    | real   |           |
    >>> print(table.csv(), end="")
    method,top-1 (%)
    rbcn,84.25
    real,
    """

    def __init__(
        self,
        title: str,
        columns: Sequence[Column | str],
        rows: Sequence[Sequence[object]],
        notes: Sequence[str] = (),
    ) -> None:
        self.title = title
        self.columns = [column if isinstance(column, Column) else Column(column) for column in columns]
        self.rows = [tuple(row) for row in rows]
        self.notes = list(notes)
        for number, row in enumerate(self.rows, start=1):
            if len(row) != len(self.columns):
                raise ValueError(
                    f"row {number} of {title!r} has {len(row)} cells for {len(self.columns)} columns: {row!r}"
                )

    def without_empty_columns(self) -> Table:
        """The same table less the columns that hold nothing but ``None``; a table without rows stays as it is."""
        kept = [i for i in range(len(self.columns)) if not self.rows or any(row[i] is not None for row in self.rows)]
        rows = [[row[i] for i in kept] for row in self.rows]
        return Table(self.title, [self.columns[i] for i in kept], rows, self.notes)

    def to_dict(self) -> dict[str, object]:
        """The table as plain data for JSON: a spread becomes ``{"mean", "std", "n"}``, numbers stay unrounded."""
        rows = [[asdict(cell) if isinstance(cell, Spread) else cell for cell in row] for row in self.rows]
        return {"title": self.title, "columns": [c.name for c in self.columns], "rows": rows, "notes": self.notes}

    def rich(self) -> RichTable:
        """The table for a terminal: ``rich.print(table.rich())``."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(
            title=Text(self.title) if self.title else None,
            caption=Text("\n".join(self.notes)) if self.notes else None,
            title_justify="left",
            caption_justify="left",
            box=box.SIMPLE_HEAD,
        )
        cells = self._cells()
        for i, (column, right) in enumerate(zip(self.columns, self._right(), strict=True)):
            # Headings are as narrow as their column allows; a narrow terminal breaks lines, never words.
            texts = [column.name, *(row[i] for row in cells)]
            word = max((len(word) for text in texts for word in text.split()), default=1)
            heading = textwrap.wrap(column.name, max(word, *map(len, texts[1:]), 1), break_long_words=False)
            table.add_column(Text("\n".join(heading)), justify="right" if right else "left", min_width=word)
        for row in cells:
            table.add_row(*(Text(cell) for cell in row))
        return table

    def markdown(self) -> str:
        """A Markdown table whose columns line up in the source too; title in bold above, notes as lines below."""
        right = self._right()
        lines = [[_markdown_cell(column.name) for column in self.columns]]
        lines += [[_markdown_cell(cell) for cell in row] for row in self._cells()]
        widths = [max(2, *(len(line[i]) for line in lines)) for i in range(len(self.columns))]
        body = [
            [cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True)]
            for line in lines
        ]
        body.insert(1, ["-" * (w - 1) + ":" if r else ":" + "-" * (w - 1) for w, r in zip(widths, right, strict=True)])
        above = [f"**{self.title}**", ""] if self.title else []
        below = [part for note in self.notes for part in ("", note)]
        return "\n".join([*above, *("| " + " | ".join(line) + " |" for line in body), *below])

    def csv(self) -> str:
        """Comma-separated values for programs: a heading line, numbers at full precision, no title, no notes."""
        stream = io.StringIO()
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow([column.name for column in self.columns])
        for row in self.rows:
            writer.writerow([_csv_cell(cell, column) for cell, column in zip(row, self.columns, strict=True)])
        return stream.getvalue()

    def html(self) -> str:
        """An HTML ``<table>`` with everything escaped; cells of right-aligned columns have the class ``number``."""
        classes = [' class="number"' if right else "" for right in self._right()]
        caption = f"<caption>{html.escape(self.title)}</caption>\n" if self.title else ""
        head = "".join(
            f'<th scope="col"{c}>{html.escape(column.name)}</th>'
            for column, c in zip(self.columns, classes, strict=True)
        )
        body = "\n".join(
            "<tr>" + "".join(f"<td{c}>{html.escape(cell)}</td>" for cell, c in zip(row, classes, strict=True)) + "</tr>"
            for row in self._cells()
        )
        notes = "".join(f'\n<p class="note">{html.escape(note)}</p>' for note in self.notes)
        return f"<table>\n{caption}<thead><tr>{head}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>{notes}"

    def _cells(self) -> list[list[str]]:
        return [[format_cell(cell, c.format) for cell, c in zip(row, self.columns, strict=True)] for row in self.rows]

    def _right(self) -> list[bool]:
        return [
            column.align == "right" or (column.align is None and _holds_numbers([row[i] for row in self.rows]))
            for i, column in enumerate(self.columns)
        ]


def format_cell(cell: object, spec: str = "") -> str:
    """The printed form of one cell; ``spec`` formats numbers and spreads, without it fractions get four digits.

    >>> format_cell(1234567, ","), format_cell(None, ".1f"), format_cell(True), format_cell("n/a", ".1f")
    ('1,234,567', '', 'yes', 'n/a')
    >>> format_cell(84.256789), format_cell(0.512345), format_cell(7)
    ('84.26', '0.5123', '7')
    """
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, float) and not spec:
        return f"{cell:.2f}" if abs(cell) >= 10 else f"{cell:.4g}"
    return format(cell, spec) if isinstance(cell, (numbers.Real, Spread)) else str(cell)


def _holds_numbers(cells: Sequence[object]) -> bool:
    known = [cell for cell in cells if cell is not None]
    return bool(known) and all(isinstance(c, (numbers.Real, Spread)) and not isinstance(c, bool) for c in known)


def _csv_cell(cell: object, column: Column) -> object:
    if isinstance(cell, numbers.Real) and not isinstance(cell, bool):
        return cell
    return format_cell(cell, column.format)


def _markdown_cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
