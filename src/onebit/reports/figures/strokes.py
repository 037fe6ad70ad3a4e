"""Lines of drawings as points: from left to right, with round bends."""

from __future__ import annotations

import numpy as np

Point = tuple[float, float]


def s_curve(start: Point, end: Point) -> list[Point]:
    """From one level to another, level at both ends."""
    (x0, y0), (x1, y1) = start, end
    t = np.linspace(0, 1, 33)
    return list(zip(x0 + (x1 - x0) * t, y0 + (y1 - y0) * (1 - np.cos(np.pi * t)) / 2, strict=True))


def arc(x0: float, x1: float, y: float, height: float, bend: float) -> list[Point]:
    """Up a quarter of an ellipse that is ``bend`` wide, across, and down another."""
    if height == y:
        return [(x0, y), (x1, y)]
    bend = min(bend, (x1 - x0) / 2)
    angle = np.linspace(0, np.pi / 2, 25)
    side = np.abs(1 - np.cos(angle)) * bend
    rise = y + (height - y) * np.sin(angle)
    left = list(zip(x0 + side, rise, strict=True))
    return left + [(x0 + x1 - x, level) for x, level in reversed(left)]


def rounded(corners: list[Point], radius: float) -> list[Point]:
    """From corner to corner, the inner ones rounded off."""
    points = [np.array(corners[0])]
    for before, corner, after in zip(corners, corners[1:], corners[2:], strict=False):
        here = np.array(corner)
        to, on = np.array(before) - here, np.array(after) - here
        most = min(radius, np.linalg.norm(to) / 2, np.linalg.norm(on) / 2)
        first, last = here + to / np.linalg.norm(to) * most, here + on / np.linalg.norm(on) * most
        points += [(1 - t) ** 2 * first + 2 * t * (1 - t) * here + t**2 * last for t in np.linspace(0, 1, 9)]
    return [(float(x), float(y)) for x, y in [*points, np.array(corners[-1])]]
