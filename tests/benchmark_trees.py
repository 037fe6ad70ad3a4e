"""Small trees of tracking benchmarks on disk, with empty files for images where only their names matter."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image


def write_text(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def write_rows(path: Path, rows: Iterable[Iterable[float]], separator: str = ",", form: str = "{:g}") -> Path:
    write_text(path, "".join(separator.join(form.format(value) for value in row) + "\n" for row in rows))
    return path


def touch_images(folder: Path, numbers: Iterable[int], digits: int = 4) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        (folder / f"{number:0{digits}d}.jpg").touch()


def straight(count: int, start: Sequence[float] = (10, 20, 30, 40), step: Sequence[float] = (1, 0, 0, 0)) -> np.ndarray:
    """Boxes that move by ``step`` a frame."""
    return np.asarray(start, float) + np.arange(count)[:, None] * np.asarray(step, float)


def otb_sequence(
    root: Path,
    name: str,
    boxes: Iterable[Iterable[float]],
    numbers: Iterable[int] | None = None,
    file: str = "groundtruth_rect.txt",
    separator: str = ",",
    digits: int = 4,
) -> Path:
    rows = list(boxes)
    touch_images(root / name / "img", numbers or range(1, len(rows) + 1), digits)
    return write_rows(root / name / file, rows, separator)


def got10k_sequence(
    folder: Path,
    boxes: Iterable[Iterable[float]],
    images: int | None = None,
    cover: Iterable[int] | None = None,
    resolution: tuple[int, int] = (320, 240),
) -> None:
    """One sequence; the split's ``list.txt`` gets its name."""
    rows = list(boxes)
    touch_images(folder, range(1, (images or len(rows)) + 1), 8)
    write_rows(folder / "groundtruth.txt", rows, form="{:.4f}")
    write_text(folder / "meta_info.ini", f"[METAINFO]\nobject_class: ball\nresolution: {resolution}")
    labels = {"cover": list(cover or [8] * len(rows)), "absence": [0] * len(rows), "cut_by_image": [0] * len(rows)}
    for what, values in labels.items():
        write_text(folder / f"{what}.label", "".join(f"{value}\n" for value in values))
    names = folder.parent / "list.txt"
    write_text(names, (names.read_text() if names.exists() else "") + folder.name + "\n")


def uav_sequence(root: Path, name: str, boxes: Iterable[Iterable[float]], folder: str, numbers: Iterable[int]) -> Path:
    touch_images(root / "data_seq" / "UAV123" / folder, numbers, 6)
    return write_rows(root / "anno" / "UAV123" / f"{name}.txt", boxes)


def square_video(folder: Path, boxes: np.ndarray, size: tuple[int, int] = (64, 48)) -> None:
    """Real images, grey noise with a bright patch at each of the 1-based boxes."""
    folder.mkdir(parents=True, exist_ok=True)
    ground = np.random.default_rng(0).integers(40, 90, (size[1], size[0], 3), np.uint8)
    for number, (x, y, w, h) in enumerate(boxes.astype(int), start=1):
        frame = ground.copy()
        frame[y - 1 : y - 1 + h, x - 1 : x - 1 + w] = (240, 200, 40)
        Image.fromarray(frame).save(folder / f"{number:04d}.png")
