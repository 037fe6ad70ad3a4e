"""metrics.jsonl, TensorBoard, progress."""

from __future__ import annotations

import io
import json
import logging
import math
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from onebit.training import Recipe, train
from onebit.training.metrics import Mean, MetricsLog
from onebit.training.progress import Progress


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def run(recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    changes = {"training": {"epochs": 2}, "adversarial": {"attach": "per_layer"}}
    return train(recipe(changes, full=True), run_dir=tmp_path_factory.mktemp("run"), quiet=True).folder


def test_the_students_lines(run: Path) -> None:
    start, *epochs, end = lines(run)
    assert start.items() >= {"event": "start", "role": "student", "epochs": 2, "steps_per_epoch": 4}.items()
    assert start["binary_parameters"] == 6 * 8 * 25 + 8 * 4 * 16
    assert start["parameters"] > start["binary_parameters"]
    for number, record in enumerate(epochs, 1):
        assert (record["event"], record["epoch"], record["step"]) == ("epoch", number, 4 * number)
        assert set(record["lr"]) == {"real", "norm", "binary", "matrix"}
        terms = {"task", "kernel", "adversarial", "distillation"}
        assert set(record["train"]) == {"loss", "top1", *terms}
        assert record["train"]["loss"] == pytest.approx(sum(record["train"][term] for term in terms), rel=1e-3)
        for part in ("holdout", "before_refresh"):
            assert set(record[part]) >= {"loss", "top1", "top5"}
            assert 0 <= record[part]["top1"] <= record[part]["top5"] <= 100
        assert set(record["flips_per_layer"]) == {"conv", "hidden"}
        assert 0 <= record["flips"] <= 1
        for score in record["discriminators"].values():
            assert set(score) == {"accuracy", "loss", "real", "fake", "update_share"}
        assert record["gradient_ratio"] > 0
        assert 0 <= record["adversarial_weight"] <= 0.1
        assert record["matrix"]["negative_share"] == 0
        assert record["matrix"]["min"] <= record["matrix"]["mean"]
        for key in ("seconds", "step_ms", "images_per_second"):
            assert record[key] > 0
        assert record["time"].endswith("+00:00")
    assert end["status"] == "finished"
    best = max(epochs, key=lambda record: record["holdout"]["top1"])
    assert (end["best_epoch"], end["best_top1"]) == (best["epoch"], pytest.approx(best["holdout"]["top1"], rel=1e-5))
    assert end["seconds"] == pytest.approx(sum(record["seconds"] for record in epochs), rel=1e-3)


def test_the_teachers_lines(run: Path) -> None:
    start, *epochs, _ = lines(run / "teacher")
    assert (start["role"], start["binary_parameters"]) == ("teacher", 0)
    for record in epochs:
        assert set(record["train"]) == {"loss", "task", "top1"}
        assert "discriminators" not in record
        assert "flips" not in record
        assert record["matrix"] is None


def test_the_files_of_a_run(run: Path) -> None:
    expected = {
        "recipe.toml",
        "environment.json",
        "metrics.jsonl",
        "evaluation.json",
        "examples.npz",
        "kernels.npz",
        "train.log",
    }
    for folder in (run, run / "teacher"):
        assert expected <= {path.name for path in folder.iterdir()}
        assert {path.name for path in (folder / "checkpoints").iterdir()} == {"last.pt", "best.pt"}
    environment = json.loads((run / "environment.json").read_text())
    assert set(environment) >= {
        "onebit",
        "python",
        "torch",
        "platform",
        "processor",
        "threads",
        "device",
        "git",
        "started",
        "command",
    }
    evaluation = json.loads((run / "evaluation.json").read_text())
    assert sum(map(sum, evaluation["confusion"])) == evaluation["n"] == 360
    right = sum(row[index] for index, row in enumerate(evaluation["confusion"]))
    assert evaluation["top1"] == pytest.approx(100 * right / 360)
    assert len((run / "train.log").read_text().splitlines()) == 2


def test_rewinding_drops_what_came_later_and_what_was_cut(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path, tensorboard=False)
    records = [{"event": "start"}, *({"event": "epoch", "epoch": n} for n in (1, 2, 3)), {"event": "end"}]
    for record in records:
        log.write(record)
    with log.path.open("a") as stream:
        stream.write('{"event": "epo')
    log.rewind(2)
    assert lines(tmp_path) == records[:3]
    log.rewind(0)
    assert lines(tmp_path) == []
    MetricsLog(tmp_path / "none", tensorboard=False).rewind(3)


def test_what_is_no_number_becomes_null(tmp_path: Path) -> None:
    MetricsLog(tmp_path, tensorboard=False).write({"a": math.nan, "b": [math.inf, 1], "c": {"d": 1 / 3}, "e": None})
    assert lines(tmp_path) == [{"a": None, "b": [None, 1], "c": {"d": 0.333333}, "e": None}]


def test_running_means_are_weighted() -> None:
    mean = Mean()
    mean.add({"a": torch.tensor(1.0, requires_grad=True)}, weight=3)
    mean.add({"a": 5.0, "b": 2.0})
    assert mean.read() == {"a": 2.0, "b": 2.0}
    assert Mean().read() == {}


class Board:
    boards: dict[str, list[tuple[str, float, int]]] = {}  # noqa: RUF012

    def __init__(self, folder: str) -> None:
        self.scalars = self.boards.setdefault(folder, [])

    def add_scalar(self, name: str, value: float, step: int) -> None:
        self.scalars.append((name, value, step))

    def flush(self) -> None:
        pass

    def close(self) -> None:
        self.scalars.append(("closed", 0.0, 0))


def test_tensorboard_when_it_is_installed(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "tensorboard").mkdir(parents=True)
    (tmp_path / "site" / "tensorboard" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    fake = types.ModuleType("torch.utils.tensorboard")
    fake.SummaryWriter = Board
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", fake)
    Board.boards.clear()
    folder = tmp_path / "run"
    train(recipe({"training": {"epochs": 2}}), run_dir=folder, quiet=True)
    scalars = Board.boards[str(folder / "tensorboard")]
    written = lines(folder)[1:3]
    losses = [(value, step) for name, value, step in scalars if name == "train/loss"]
    assert losses == [(pytest.approx(record["train"]["loss"], rel=1e-5), record["epoch"]) for record in written]
    names = {name for name, _, _ in scalars}
    assert {"holdout/top1", "lr/binary", "flips", "flips_per_layer/conv", "matrix/mean", "closed"} <= names


def test_progress_lines(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    record = {"epoch": 2, "seconds": 1.5, "step_ms": 8.0, "images_per_second": 100.0, "train": {"loss": 0.5}}
    record |= {"flips": 0.012}
    record |= {
        "holdout": {"top1": 51.5},
        "before_refresh": {"top1": 50.0},
        "discriminators": {"s1": {"accuracy": 0.75}},
    }
    for quiet in (False, True):
        progress = Progress("student", 4, 10, tmp_path, quiet=quiet)
        progress.step(1, 1, 0.1, 8, {"loss": 1.0})
        progress.epoch(record)
        progress.close()
        captured = capsys.readouterr()
        assert captured.out == ""
        assert ("student epoch 2/4" in captured.err) != quiet
    text = (tmp_path / "train.log").read_text()
    for part in (
        "8 ms/step",
        "loss 0.5",
        "holdout top1 51.50",
        "(before refresh 50.00)",
        "flips 1.20 %",
        "D s1 0.75",
        "3 s left",
    ):
        assert part in text
    assert not [item for item in logging.getLogger("onebit").handlers if isinstance(item, logging.FileHandler)]


def test_the_live_bar_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("student", 2, 10, tmp_path)
    progress.step(1, 5, 0.02, 8, {"loss": 1.25})
    progress.say("a line between")
    progress.close()
    text = terminal.getvalue()
    assert "a line between" in text
    assert "student epoch 1/2" in text
    assert "20 ms/step" in text
    assert "5/20" in text
