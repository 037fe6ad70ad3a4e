"""A reproduced table or figure, and the files that it can be written to."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection
from dataclasses import dataclass
from html import escape
from importlib.resources import files
from pathlib import Path

from onebit.errors import UsageError
from onebit.files import write_bytes, write_text
from onebit.reports.summary_stats import Spread
from onebit.reports.table import Column, Table

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>
{style}
</style>
</head>
<body>
<main>
{body}
</main>
</body>
</html>
"""


@dataclass(frozen=True)
class Reproduction:
    """A table or figure of a paper with our side beside it.

    ``table`` is whole. Where a table has to be narrow (terminal, Markdown, page) its columns ``aside``, long texts, become
    notes and those of ``wide`` are left out; ``measured`` are those that hold spreads where something was run. ``results``,
    where there is one, is what a program should read instead (CSV). ``draw`` gives the figure's bytes as ``"svg"`` or
    ``"png"``.
    """

    name: str
    table: Table
    aside: tuple[str, ...] = ()
    measured: tuple[str, ...] = ()
    wide: tuple[str, ...] = ()
    results: Table | None = None
    draw: Callable[[str], bytes] | None = None

    def narrow(self) -> Table:
        """The table with its long texts below: each with the lines that it is about, named by their first cells.

        >>> rows = [("a", None, "why"), ("b", 1.0, None), ("c", None, "why")]
        >>> Reproduction("t", Table("t", ["network", "ours", "remark"], rows), aside=("remark",)).narrow().notes
        ['a; c: why']
        """
        table = self.table
        texts = [i for i, column in enumerate(table.columns) if column.name in self.aside]
        kept = [i for i, column in enumerate(table.columns) if column.name not in (*self.aside, *self.wide)]
        about: dict[str, dict[str, None]] = {}
        for row in table.rows:
            label = ", ".join(str(cell) for cell in itertools.takewhile(lambda cell: isinstance(cell, str), row))
            for i in texts:
                if row[i] is not None:
                    about.setdefault(str(row[i]), {})[label] = None
        notes = [f"{'; '.join(labels)}: {text}" for text, labels in about.items()]
        rows = [[row[i] for i in kept] for row in table.rows]
        return Table(table.title, [table.columns[i] for i in kept], rows, [*notes, *table.notes])

    def csv(self) -> str:
        """For programs: a mean, its deviation and the number of runs each in a column of its own."""
        return (self.results or split_spreads(self.table, self.measured)).csv()

    def html(self) -> str:
        """A page of its own, with the figure in it where there is one."""
        style, figure = (files("onebit.reports") / "page.css").read_text("utf-8"), ""
        if self.draw is not None:
            from onebit.reports.figures.style import inline, theme_css

            style += theme_css()
            drawn = inline(self.draw("svg").decode(), self.name, escape(self.table.title))
            figure = f'<figure class="card">{drawn}</figure>\n'
        body = f'{figure}<div class="card scroll">{self.narrow().html()}</div>'
        return _PAGE.format(title=escape(self.table.title), style=style, body=body)

    def write(
        self,
        *,
        csv: Path | None = None,
        markdown: Path | None = None,
        html: Path | None = None,
        figure: Path | None = None,
    ) -> list[Path]:
        """Write what is asked for and return the paths; nothing is written if the figure cannot be.

        Raises:
            UsageError: for a figure that does not exist, or a file that ends neither in .svg nor in .png.
        """
        drawn = b"" if figure is None else self._drawn(figure)
        texts: list[tuple[Path | None, Callable[[], str]]] = [
            (csv, self.csv),
            (markdown, lambda: self.narrow().markdown() + "\n"),
            (html, self.html),
        ]
        for path, text in texts:
            if path is not None:
                write_text(path, text())
        if figure is not None:
            write_bytes(figure, drawn)
        return [path for path in (csv, markdown, html, figure) if path is not None]

    def _drawn(self, path: Path) -> bytes:
        if self.draw is None:
            raise UsageError(f"{self.name} is a table and has no figure to write to {path}")
        return self.draw(figure_kind(path))


def figure_kind(path: Path) -> str:
    """``svg`` or ``png``, by the ending of a figure's file.

    Raises:
        UsageError: for any other ending.
    """
    kind = path.suffix.lower().removeprefix(".")
    if kind not in ("svg", "png"):
        raise UsageError(f"the figure's file {path} has to end in .svg or .png")
    return kind


def split_spreads(table: Table, names: Collection[str]) -> Table:
    """The named columns as three each: mean, standard deviation, number of runs.

    >>> whole = Table("", ["ours"], [(Spread(50.0, 1.5, 3),), (None,)])
    >>> print(split_spreads(whole, ["ours"]).csv(), end="")
    ours,ours: deviation,ours: runs
    50.0,1.5,3
    ,,
    """
    columns: list[Column] = []
    rows: list[list[object]] = [[] for _ in table.rows]
    for i, column in enumerate(table.columns):
        split = column.name in names
        columns.append(column)
        if split:
            columns += [Column(f"{column.name}: deviation", column.format), Column(f"{column.name}: runs")]
        for whole, row in zip(table.rows, rows, strict=True):
            cell = whole[i]
            parts = (cell.mean, cell.std, cell.n) if isinstance(cell, Spread) else (cell, None, None)
            row += parts if split else [cell]
    return Table(table.title, columns, rows, table.notes)
