"""Film strips: a few frames of a sequence with the boxes of ground truth and trackers drawn over them, as HTML."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from onebit.reports.figures.style import THEME
from onebit.tracking.images import read_image

TRUTH = "ground truth"
TRUTH_COLOUR = "#ffffff"
# Pixels of a frame's picture, and how much wider than the target what it shows is, so that one sees the target and around it.
_WIDTH, _ROOM, _LEAST = 300, 6.0, 96
_ASPECT = 4 / 3
Boxes = NDArray[np.float64]


@dataclass(frozen=True)
class View:
    """The part of a frame that its picture shows: left, top, width, height in pixels of the frame."""

    left: float
    top: float
    width: float
    height: float

    def shows(self, box: Sequence[float]) -> bool:
        """Whether any part of a box is inside.

        >>> View(0, 0, 40, 30).shows((39, 29, 5, 5)), View(0, 0, 40, 30).shows((40, 0, 5, 5))
        (True, False)
        """
        x, y, w, h = box
        across = x < self.left + self.width and x + w > self.left
        return across and y < self.top + self.height and y + h > self.top


def chosen_frames(count: int, wanted: int) -> list[int]:
    """Positions of ``wanted`` frames evenly from the first to the last of ``count``.

    >>> chosen_frames(101, 6), chosen_frames(2, 6)
    ([0, 20, 40, 60, 80, 100], [0, 1])
    """
    return sorted({round(position) for position in np.linspace(0, count - 1, min(wanted, count))})


def view_size(truth: Boxes, image: tuple[int, int]) -> tuple[float, float]:
    """Width and height of what every picture of a strip shows: some times the target's median size, within the image."""
    width, height = image
    target = np.nanmedian(np.maximum(truth[:, 2], truth[:, 3] * _ASPECT))
    wide = min(max(_ROOM * float(target), _LEAST), width, height * _ASPECT)
    return wide, min(wide / _ASPECT, height)


def place_view(box: Sequence[float] | None, size: tuple[float, float], image: tuple[int, int]) -> View:
    """A view around a box, moved inside the image; around the image's middle without a box.

    >>> place_view((0, 0, 10, 10), (40, 30), (100, 100))
    View(left=0.0, top=0.0, width=40, height=30)
    """
    x, y, w, h = box if box is not None else (0.0, 0.0, *image)
    left = min(max(x + w / 2 - size[0] / 2, 0.0), image[0] - size[0])
    top = min(max(y + h / 2 - size[1] / 2, 0.0), image[1] - size[1])
    return View(left, top, *size)


def film_strip(
    frames: Sequence[Path],
    numbers: Sequence[int],
    truth: Boxes,
    tracks: Mapping[str, Boxes],
    colours: Mapping[str, str],
    wanted: int = 6,
) -> str:
    """A ``<div class="strip">`` of pictures, each with its frame's number.

    Args:
        numbers: what each frame is called. truth: (n, 4) 0-based boxes, NaN where the target is absent.
        tracks: tracker -> (n, 4) boxes; colours: tracker -> colour.
        wanted: the number of pictures.

    Raises:
        DataError: when an image cannot be read.
    """
    cells, last = [], None
    for i in chosen_frames(len(frames), wanted):
        known = None if np.isnan(truth[i]).any() else tuple(float(value) for value in truth[i])
        image = Image.fromarray(read_image(frames[i]))
        view = place_view(known or last, view_size(truth, image.size), image.size)
        last = known or last
        boxes = {name: tuple(float(value) for value in boxes[i]) for name, boxes in tracks.items()}
        cells.append(_cell(_picture(image, view), view, known, boxes, colours, numbers[i]))
    return '<div class="strip">\n' + "\n".join(cells) + "\n</div>"


def bright(colours: Mapping[str, str]) -> dict[str, str]:
    """The same hues as on a dark page, which stand out on photographs."""
    return {name: THEME[colour][1] for name, colour in colours.items()}


def legend(colours: Mapping[str, str]) -> str:
    """The colours and what they stand for, as a line of HTML."""
    entries = {TRUTH: TRUTH_COLOUR, **colours}
    keys = (
        f'<span class="key"><i style="border-color:{colour}"></i>{escape(name)}</span>'
        for name, colour in entries.items()
    )
    return f'<p class="keys">{"".join(keys)}</p>'


def _picture(image: Image.Image, view: View) -> str:
    """What the view shows, as the data of a JPEG."""
    box = (view.left, view.top, view.left + view.width, view.top + view.height)
    shape = (_WIDTH, max(1, round(_WIDTH * view.height / view.width)))
    stream = io.BytesIO()
    image.resize(shape, Image.Resampling.BICUBIC, box=box).save(stream, "JPEG", quality=82)
    return base64.b64encode(stream.getvalue()).decode()


def _cell(
    pixels: str,
    view: View,
    truth: Sequence[float] | None,
    boxes: Mapping[str, Sequence[float]],
    colours: Mapping[str, str],
    number: int,
) -> str:
    scale = _WIDTH / view.width
    height = math.ceil(view.height * scale)
    drawn = [_rectangle(box, view, scale, colours[name], name) for name, box in boxes.items()]
    if truth is not None:
        drawn.insert(0, _rectangle(truth, view, scale, TRUTH_COLOUR, TRUTH, dashed=True))
    outside = [name for name, box in boxes.items() if not view.shows(box)]
    lost = "".join(
        f'<i style="background:{colours[name]}" title="{escape(name)} is not in the picture"></i>' for name in outside
    )
    absent = " · target absent" if truth is None else ""
    gone = f'<span class="lost"> · not in view {lost}</span>' if lost else ""
    return (
        f'<figure><svg viewBox="0 0 {_WIDTH} {height}" role="img" aria-label="frame {number}">'
        f'<image href="data:image/jpeg;base64,{pixels}" width="{_WIDTH}" height="{height}" preserveAspectRatio="none"/>'
        f"{''.join(drawn)}</svg><figcaption>frame {number}{absent}{gone}</figcaption></figure>"
    )


def _rectangle(box: Sequence[float], view: View, scale: float, colour: str, name: str, dashed: bool = False) -> str:
    """A box in its colour on a dark line, so that it is seen on any ground."""
    x, y = (box[0] - view.left) * scale, (box[1] - view.top) * scale
    place = f'x="{x:.1f}" y="{y:.1f}" width="{box[2] * scale:.1f}" height="{box[3] * scale:.1f}" fill="none"'
    dash = ' stroke-dasharray="7 5"' if dashed else ""
    return (
        f'<rect {place} stroke="#000" stroke-opacity=".55" stroke-width="4.5"/>'
        f'<rect {place} stroke="{colour}" stroke-width="2.5"{dash}><title>{escape(name)}</title></rect>'
    )
