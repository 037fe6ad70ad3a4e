"""The page of evaluated trackers: scores, plots and film strips in one file that needs nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib.resources import files

from onebit.reports.figures.style import inline, theme_css
from onebit.reports.film_strip import legend
from onebit.reports.page import fill_page
from onebit.reports.table import Table


@dataclass(frozen=True)
class Strip:
    """A sequence on the page: its name, a line about it, and its film strip as HTML."""

    name: str
    note: str
    html: str


@dataclass(frozen=True)
class Plot:
    """A figure on the page: a name for its ids, the title that is drawn in it, how to read it, and an SVG file's text."""

    name: str
    title: str
    caption: str
    svg: str


def tracking_page(
    heading: str,
    facts: str,
    tables: Sequence[Table],
    plots: Sequence[Plot],
    strips: Sequence[Strip],
    colours: Mapping[str, str],
    remarks: Sequence[str] = (),
) -> str:
    """The page's HTML: ``tables`` (the first is the scores), then plots, then strips; ``remarks`` are warnings at the top."""
    first, *others = tables
    body = [_warnings(remarks), f'<h2>Scores</h2>\n<div class="card scroll">{first.html()}</div>']
    body += ['<h2>Curves</h2>\n<div class="grid">', *map(_figure, plots), "</div>"]
    if strips:
        body += ["<h2>Film strips</h2>", legend(colours), *map(_strip, strips)]
    body += [f'<h2>{escape(t.title)}</h2>\n<div class="card long scroll tall">{_untitled(t)}</div>' for t in others]
    return fill_page(
        title=f"{heading} – onebit tracking report",
        eyebrow="onebit tracking report",
        heading=heading,
        facts=facts,
        body="\n".join(part for part in body if part),
        footer="Written by onebit. The plots and the numbers are also in files beside this page.",
        style=theme_css() + (files("onebit.reports") / "tracking.css").read_text("utf-8"),
    )


def _warnings(remarks: Sequence[str]) -> str:
    if not remarks:
        return ""
    return '<div class="warning" role="note">' + "".join(f"<p>{escape(text)}</p>" for text in remarks) + "</div>"


def _figure(plot: Plot) -> str:
    drawn = inline(plot.svg, plot.name, escape(f"{plot.title}. {plot.caption}"))
    return (
        f'<figure class="card" id="{plot.name}">\n<figcaption>{escape(plot.caption)}</figcaption>\n{drawn}\n</figure>'
    )


def _strip(strip: Strip) -> str:
    return (
        f'<section class="card sequence">\n<h3>{escape(strip.name)}</h3>\n'
        f'<p class="note">{escape(strip.note)}</p>\n{strip.html}\n</section>'
    )


def _untitled(table: Table) -> str:
    return Table("", table.columns, table.rows, table.notes).html()
