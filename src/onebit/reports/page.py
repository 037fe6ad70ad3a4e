"""The report of a run: one HTML page that needs nothing but itself."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import shlex
from html import escape
from importlib.resources import files
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING

from onebit.files import write_text
from onebit.reports import key_figures
from onebit.reports.records import Run
from onebit.reports.run_files import read_run
from onebit.reports.values import clean

if TYPE_CHECKING:
    from onebit.reports.figures import Drawing


def write_report(run_dir: str | os.PathLike[str]) -> Path:
    """Write ``report.html`` and ``figures/*.svg`` into a run folder and return the page's path.

    The page is one file: figures and style are inside, nothing is loaded from anywhere, no script runs. A part for
    which the run has no data is left out; an unfinished run gives a page that says so.
    Raises CheckpointError when ``run_dir`` is not a run folder, OnebitError when the page cannot be written.
    """
    from onebit.reports.figures import draw, theme_css

    run = read_run(run_dir)
    drawings = draw(run)
    for drawing in drawings:
        write_text(run.path / "figures" / f"{drawing.kind.name}.svg", drawing.svg)
    page = run.path / "report.html"
    write_text(page, render(run, drawings, theme_css()))
    return page


def render(run: Run, drawings: list[Drawing], theme: str) -> str:
    """The page's HTML; ``theme`` are the style rules that colour the figures."""
    heading = _heading(run)
    body = [_warnings(run), _summary(run), _tiles(run), _comparison(run)]
    sections = dict.fromkeys(drawing.kind.section for drawing in drawings)
    body += [_section(run, section, [d for d in drawings if d.kind.section == section]) for section in sections]
    body += [_epochs(run), _recipe(run), _environment(run)]
    return fill_page(
        title=f"{heading} – onebit report",
        eyebrow="onebit training report",
        heading=heading,
        facts=_facts(run),
        body="\n".join(part for part in body if part),
        footer=_footer(run),
        style=theme,
    )


def fill_page(*, title: str, eyebrow: str, heading: str, facts: str, body: str, footer: str, style: str) -> str:
    """A page of the house around ``body``, which is HTML; the other texts are escaped here, ``style`` is added to its own."""
    room = files("onebit.reports")
    return Template((room / "page.html").read_text("utf-8")).substitute(
        title=escape(title),
        style=(room / "page.css").read_text("utf-8") + style,
        eyebrow=escape(eyebrow),
        heading=escape(heading),
        facts=escape(facts),
        body=body,
        footer=escape(footer),
    )


def _heading(run: Run) -> str:
    names = key_figures.subject(run)
    network = " ".join(names[part] for part in ("method", "model") if part in names)
    if not network:
        return clean(run.path.resolve().name)
    return f"{network} on {names['data']}" if "data" in names else network


def _facts(run: Run) -> str:
    names, facts = key_figures.subject(run), []
    facts += [f"{what} {names[what]}" for what in ("recipe", "seed") if what in names]
    done = run.epochs[-1].number if run.epochs else 0
    if run.planned_epochs:
        facts.append(f"{done} of {run.planned_epochs} epochs")
    elif done:
        facts.append(f"{done} epochs")
    if isinstance(started := run.environment.get("started"), str):
        facts.append(f"started {_moment(clean(started))}")
    facts.append(f"run folder {clean(run.path.resolve().name)}")
    return " · ".join(facts)


def _moment(stamp: str) -> str:
    """A time stamp to the minute; as it stands where it is none."""
    with contextlib.suppress(ValueError):
        moment = datetime.datetime.fromisoformat(stamp)
        return f"{moment:%Y-%m-%d %H:%M}" + (" UTC" if moment.utcoffset() == datetime.timedelta(0) else "")
    return stamp


def _footer(run: Run) -> str:
    version = run.environment.get("onebit")
    made = f"onebit {clean(version)}" if isinstance(version, str) else "onebit"
    return f"Written by {made}. The figures are also in the folder figures, the numbers in metrics.jsonl."


def _warnings(run: Run) -> str:
    sentences = []
    if not run.finished:
        done = run.epochs[-1].number if run.epochs else 0
        of = f" of {run.planned_epochs}" if run.planned_epochs else ""
        how = f"ended with “{run.status}”" if run.status else "is not finished"
        sentences.append(
            f"This run {how}: {done}{of} epochs are logged. The option --resume of onebit train continues it."
            if done
            else f"This run {how}: no epoch is logged yet."
        )
    sentences += run.problems
    if not sentences:
        return ""
    return '<div class="warning" role="note">' + "".join(f"<p>{escape(s)}</p>" for s in sentences) + "</div>"


def _summary(run: Run) -> str:
    own, teacher = key_figures.accuracies(run)
    if own is None:
        return ""
    share = run.binary_share
    who = f"With {100 * share:.1f} % of its weights in one bit, the network" if share else "The network"
    counted = key_figures.counts(run)
    does = {
        "images": "classifies {:.2f} % of the {} images correctly",
        "pairs": "finds the target in {:.2f} % of the {} pairs",
    }
    sentence = f"{who} {does[counted].format(own.top1, own.split)}"
    if teacher is not None and own.split == teacher.split:
        side = "below" if own.top1 <= teacher.top1 else "above"
        sentence += f", {abs(own.top1 - teacher.top1):.2f} percentage points {side} its full-precision teacher"
    evaluated = run.evaluation is not None and run.evaluation.scores.top1 is not None
    note = run.evaluation.note if evaluated and run.evaluation else None
    remark = f'<p class="note">About the {counted}: {escape(note)}</p>' if note else ""
    return f'<p class="lead">{escape(sentence)}.</p>{remark}'


def _tiles(run: Run) -> str:
    tiles = key_figures.tiles(run)
    if not tiles:
        return ""
    cells = []
    for tile in tiles:
        detail = f'<dd class="detail">{escape(tile.detail)}</dd>' if tile.detail else ""
        cells.append(
            f'<div class="tile {tile.owner}"><dt>{escape(tile.name)}</dt><dd>{escape(tile.value)}</dd>{detail}</div>'
        )
    return '<dl class="tiles">' + "\n".join(cells) + "</dl>"


def _comparison(run: Run) -> str:
    table = key_figures.comparison(run)
    if not table.rows:
        return ""
    title = "Teacher and student" if run.teacher is not None else "At a glance"
    return f'<h2>{title}</h2>\n<div class="card scroll narrow">{table.html()}</div>'


def _section(run: Run, title: str, drawings: list[Drawing]) -> str:
    from onebit.reports.figures import inline

    cards = []
    for drawing in drawings:
        kind = drawing.kind
        description = escape(f"{kind.title}. {kind.caption}")
        cards.append(
            f'<figure class="card" id="{kind.name}">\n<h3>{escape(kind.title)}</h3>\n'
            f"<figcaption>{escape(kind.caption)}</figcaption>\n{inline(drawing.svg, kind.name, description)}\n</figure>"
        )
        if kind.name == "confusion" and (pairs := key_figures.confused_pairs(run)) is not None:
            cards.append(f'<div class="card scroll"><h3>Most frequent mistakes</h3>{pairs.html()}</div>')
    return f'<h2>{escape(title)}</h2>\n<div class="grid">\n' + "\n".join(cards) + "\n</div>"


def _epochs(run: Run) -> str:
    parts = []
    named = [(run.teacher, "Teacher, epoch by epoch"), (run, "Epoch by epoch")]
    for part, title in reversed(named):
        if part is not None and part.epochs:
            table = key_figures.epoch_table(part).html()
            parts.append(f'<h2>{title}</h2>\n<div class="card long scroll tall">{table}</div>')
    return "\n".join(parts)


def _recipe(run: Run) -> str:
    if not run.recipe_text.strip():
        return ""
    return (
        f'<h2>Recipe, as resolved</h2>\n<div class="card long tall"><pre>{escape(run.recipe_text.strip())}</pre></div>'
    )


def _environment(run: Run) -> str:
    rows = []
    for key, value in run.environment.items():
        if value is None:
            continue
        if isinstance(value, list):
            shown = shlex.join(clean(part) for part in value)
        else:
            shown = clean(value) if isinstance(value, str) else clean(json.dumps(value))
        rows.append(f"<tr><td>{escape(key)}</td><td>{escape(shown)}</td></tr>")
    if not rows:
        return ""
    table = f"<table><tbody>{''.join(rows)}</tbody></table>"
    return f'<h2>Environment</h2>\n<div class="card environment scroll">{table}</div>'
