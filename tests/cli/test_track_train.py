"""`onebit track train`, as a user types it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from benchmark_trees import square_video, straight, write_rows

pytest.importorskip("cv2", reason="OpenCV is not installed")

RECIPE = """
name = "tiny"
[data]
dataset = "pairs"
batch_size = 4
[pairs]
per_sequence = 4
measured = 2
[model]
name = "siamfc"
widths = [4, 6, 6, 6, 4]
[method]
name = "real"
[teacher]
source = "none"
[training]
epochs = 1
threads = 1
accelerator = "cpu"
devices = 2
"""


def test_of_two_processes_one_says_what_was_found(process: Callable, tmp_path: Path) -> None:
    boxes = straight(6, (5, 10, 30, 30), (3, 1, 0, 0))
    square_video(tmp_path / "data" / "Ball" / "img", boxes, (160, 120))
    write_rows(tmp_path / "data" / "Ball" / "groundtruth_rect.txt", boxes)
    (tmp_path / "tiny.toml").write_text(RECIPE)
    done = process("track", "train", "tiny.toml", "--data", "data", "--json", cwd=tmp_path)
    assert done.status == 0, done.err
    assert done.err.count("data: otb layout, OTB, 1 sequence, 6 frames") == 1
    assert json.loads((tmp_path / "runs" / "tiny" / "evaluation.json").read_text())["n"] == done.json["n"]


def test_two_processes_refuse_data_without_a_traceback(process: Callable, tmp_path: Path) -> None:
    (tmp_path / "tiny.toml").write_text(RECIPE)
    done = process("track", "train", "tiny.toml", "--data", "nowhere", cwd=tmp_path)
    assert done.status == 1
    assert "onebit: error: " in done.err
    assert "nowhere" in done.err
    assert "Traceback" not in done.err
    assert not (tmp_path / "runs").exists()
