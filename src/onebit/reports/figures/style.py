"""One look for every figure: colours, fonts, axes, and the SVG text that comes out.

Colours are a closed set: the page replaces each of them by a CSS variable, so that the figures follow light and dark.
"""

from __future__ import annotations

import io
import math
import re
import unicodedata
import warnings
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

PAPER, INK, MUTED, GRID = "#fefefe", "#1f2328", "#6e7781", "#dfe3e8"
STUDENT, TEACHER = "#c8501e", "#0067a5"
MINUS, PLUS = "#3f97cc", "#d98b00"
RIGHT, WRONG = "#1a7f37", "#cf222e"
CATEGORIES = ("#0072b2", "#d55e00", "#009e73", "#b4588f", "#7a6a00", "#5b5fc7", "#8c564b", "#4d7c8a")
# One hue path from dark to bright, for things that have an order (layers, stages): readable without telling hues apart.
RAMP = (
    "#3b1c6e", "#41307f", "#434789", "#3c5b8c", "#346f8e", "#2d828e",
    "#28938c", "#24a386", "#38b079", "#57bb65", "#79c24f", "#97c23c",
)  # fmt: skip
RAMP_DARK = (
    "#8f7bd6", "#828ae0", "#6f9be0", "#5fabdc", "#55b9d3", "#50c5c6",
    "#55d0b4", "#68d99e", "#85e087", "#a6e572", "#c8e864", "#e8e85e",
)  # fmt: skip

# colour in the file: (CSS variable, colour on a dark page)
THEME: dict[str, tuple[str, str]] = {
    PAPER: ("--fig-paper", "transparent"),
    INK: ("--fig-ink", "#e6edf3"),
    MUTED: ("--fig-muted", "#9aa4af"),
    GRID: ("--fig-grid", "#30363d"),
    STUDENT: ("--fig-student", "#ff9460"),
    TEACHER: ("--fig-teacher", "#56b4f0"),
    MINUS: ("--fig-minus", "#6cb8e6"),
    PLUS: ("--fig-plus", "#f0ad2e"),
    RIGHT: ("--fig-right", "#4cc26b"),
    WRONG: ("--fig-wrong", "#ff7069"),
    **{
        colour: (f"--fig-category-{i}", dark)
        for i, (colour, dark) in enumerate(
            zip(
                CATEGORIES,
                ("#5db8f0", "#ff9a55", "#3fd0a4", "#eb9bc9", "#d3c14a", "#a3a6f5", "#d39a8c", "#8fc1cf"),
                strict=True,
            )
        )
    },
    **{light: (f"--fig-ramp-{i}", dark) for i, (light, dark) in enumerate(zip(RAMP, RAMP_DARK, strict=True))},
}

WIDTH = 4.6  # inches: every figure fits a telephone as it is, and two stand side by side on a desk
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the layout is the same on every machine
    "font.size": 8.5,
    "text.color": INK,
    "text.parse_math": False,  # names are data: a class called $x$ is no formula
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.8,
    "axes.facecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "axes.axisbelow": True,
    "axes.unicode_minus": True,
    "axes.formatter.useoffset": False,
    "grid.color": GRID,
    "grid.linewidth": 0.7,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "legend.handlelength": 1.8,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.7,
    "lines.markersize": 4,
    "figure.facecolor": PAPER,
    "figure.constrained_layout.use": True,
    "savefig.facecolor": PAPER,
    "svg.fonttype": "none",  # text stays text: it can be searched, copied and read aloud
    "svg.hashsalt": "onebit",
    "svg.image_inline": True,
}


@contextmanager
def styled() -> Generator[None]:
    """Everything drawn and saved inside has the report's look; matplotlib's settings are as before afterwards."""
    with matplotlib.rc_context(_SETTINGS), warnings.catch_warnings():
        # Names in other scripts are drawn by the reader's browser, whatever matplotlib's own font holds.
        warnings.filterwarnings("ignore", message="Glyph .* missing from")
        yield


def new_figure(height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, np.ndarray]:
    """A figure of the common width and its axes, (rows, columns)."""
    figure = Figure(figsize=(WIDTH, height), layout="constrained")
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def svg_text(figure: Figure) -> str:
    """The figure as an SVG file's text: the same text for the same figure, on any day."""
    stream = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(stream, format="svg", dpi=150, metadata=nothing)
    return stream.getvalue().replace("'DejaVu Sans'", "'DejaVu Sans', Verdana, Arial, sans-serif")


def figure_bytes(figure: Figure, kind: str) -> bytes:
    """The figure as a file's bytes: ``kind`` is "svg", or "png" at 200 dots an inch; the same bytes on any day."""
    if kind == "svg":
        return svg_text(figure).encode()
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=200, metadata={"Software": None})
    return stream.getvalue()


def inline(svg: str, name: str, description: str) -> str:
    """An SVG file's text as an HTML element: themed colours, ids that no other figure on the page has, a description.

    ``description`` must be escaped already.
    """
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<!--.*?-->|<metadata>.*?</metadata>|<style[^>]*>.*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r'\bid="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    for colour, (variable, _) in THEME.items():
        svg = svg.replace(f": {colour}", f": var({variable}, {colour})")
    opening = svg[: svg.index(">") + 1]
    box = re.search(r'viewBox="([^"]+)"', opening)
    assert box is not None  # matplotlib always writes one
    return f'<svg viewBox="{box[1]}" role="img" aria-label="{description}">' + svg[len(opening) :].strip()


def theme_css() -> str:
    """The rules that recolour the figures on a dark screen; paper stays light."""
    rules = " ".join(f"{variable}: {dark};" for variable, dark in THEME.values())
    light = f"{THEME[PAPER][0]}: transparent;"
    return f":root {{ {light} }}\n@media screen and (prefers-color-scheme: dark) {{ :root {{ {rules} }} }}"


def tint(colour: str) -> ListedColormap:
    """From nothing to ``colour`` by opacity, so that a heat map's empty cells are the page itself, light or dark."""
    rgba = np.tile(matplotlib.colors.to_rgba(colour), (256, 1))
    rgba[:, 3] = np.linspace(0, 1, 256)
    return ListedColormap(rgba)


def ramp(count: int) -> list[str]:
    """``count`` colours in order, dark to bright; neighbours share one where there are more things than colours."""
    if count == 1:
        return [RAMP[4]]
    return [RAMP[round(i * (len(RAMP) - 1) / (count - 1))] for i in range(count)]


def label(text: str, limit: int = 18) -> str:
    """A name as it is written into a figure: one line, at most ``limit`` characters (its middle is left out).

    >>> label("a name that goes on", 10), label("short")
    ('a name…s on', 'short')
    """
    line = " ".join(text.split()) or " "
    if _cells(line) > limit:
        head, tail = line[: limit * 3 // 5], line[len(line) - limit * 2 // 5 :]
        while _cells(head) + _cells(tail) > limit and head:
            head, tail = head[:-1], tail[1:] if len(tail) >= len(head) else tail
        line = f"{head.rstrip()}…{tail.lstrip()}"
    return "\u200b" + line if line.startswith("_") else line  # matplotlib leaves "_names" out of legends


def _cells(line: str) -> int:
    """Width in Latin letters: those of East Asian scripts are twice as wide."""
    return sum(2 if unicodedata.east_asian_width(letter) in "WF" else 1 for letter in line)


def plain(value: float, _: object = None) -> str:
    """A tick's number without mathematics mark-up: 0.001, 1e−5, 12000."""
    return f"{value:g}".replace("e-0", "e-").replace("-", "−")


def epoch_axis(axes: Axes, numbers: Sequence[int] | np.ndarray) -> None:
    """Whole epochs on x, with room around a single one."""
    low, high = int(np.min(numbers)), int(np.max(numbers))
    pad = 0.5 if low == high else 0.02 * (high - low)
    axes.set_xlim(low - pad, high + pad)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, min_n_ticks=1, steps=[1, 2, 5, 10]))
    axes.set_xlabel("epoch")


# Ticks of a logarithmic axis that spans fewer than so many decades: the leading digits.
_LEADS = ((0.7, (1, 1.5, 2, 3, 4, 5, 7)), (1.5, (1, 2, 5)), (2.5, (1, 3)), (math.inf, (1,)))


def log_axis(axes: Axes, values: np.ndarray) -> None:
    """Logarithmic y where the positive ``values`` span more than a factor of three, with plainly written ticks."""
    positive = values[np.isfinite(values) & (values > 0)]
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    if positive.size == 0 or positive.max() < 3 * positive.min():
        return
    axes.set_yscale("log")
    decades = np.log10(positive.max() / positive.min())
    leads = next(subs for most, subs in _LEADS if decades < most)
    axes.yaxis.set_major_locator(LogLocator(subs=leads))
    axes.yaxis.set_major_formatter(FuncFormatter(plain))
    axes.yaxis.set_minor_formatter(NullFormatter())


def marker(count: int, dashed: bool = False) -> dict[str, Any]:
    """Points on short curves, where they can be told apart; a dashed curve has them only where it is nothing else."""
    if dashed:
        return {"marker": "s", "markerfacecolor": "none"} if count == 1 else {}
    return {"marker": "o"} if count <= 15 else {}


def symmetric_ticks(axes: Axes, limit: float) -> None:
    """Three ticks on x: zero and one round number to either side, within ``limit``."""
    power = 10.0 ** math.floor(math.log10(0.85 * limit))
    step = next(power * lead for lead in (8, 6, 5, 4, 3, 2, 1) if power * lead <= 0.85 * limit)
    axes.set_xticks([-step, 0, step], [plain(-step), "0", plain(step)])


def legend_below(figure: Figure, handles: Sequence[Any], names: Sequence[str]) -> None:
    """A legend outside the axes, where it covers no data: one row where it fits, else even columns."""
    letters = [_cells(name) + 6 for name in names]
    even = 3 if 3 * max(letters) <= 62 and len(names) != 4 else 2
    columns = len(names) if sum(letters) <= 62 else even
    figure.legend(list(handles), list(names), loc="outside lower center", ncols=columns)
