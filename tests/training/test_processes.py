"""Two processes over gloo: the same parameters on both, an orderly end, and an orderly end of what goes wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import onebit
from onebit.training import Recipe, recipe_to_toml

DRIVER = Path(__file__).with_name("drive_processes.py")


@pytest.fixture(scope="module")
def start(recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """Train with two processes: (how it ended, the folder)."""

    def run(*arguments: str, joint: bool = False, folder: Path | None = None) -> Any:
        folder = folder or tmp_path_factory.mktemp("two")
        two = recipe({"training": {"devices": 2, "epochs": 2}}, full=True, joint=joint)
        (folder / "recipe.toml").write_text(recipe_to_toml(two))
        # No rank or address of an outer launcher; the package from wherever this one is.
        kept = {k: v for k, v in os.environ.items() if k not in ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_PORT")}
        kept["PYTHONPATH"] = os.pathsep.join([str(Path(onebit.__file__).parents[1]), kept.get("PYTHONPATH", "")])
        command = [sys.executable, str(DRIVER), str(folder / "recipe.toml"), str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False, env=kept)
        return done, folder

    return run


@pytest.fixture(scope="module")
def two(start: Callable[..., Any]) -> Path:
    done, folder = start()
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert "terminate called" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def joint(start: Callable[..., Any]) -> Path:
    done, folder = start(joint=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("teacher", ["two", "joint"])
def test_both_ranks_end_with_the_same_numbers(teacher: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(teacher)
    first, second = (json.loads((folder / f"rank{rank}.json").read_text()) for rank in (0, 1))
    assert min(len(first["student"]), len(first["teacher"])) > 10
    assert len(first["discriminators"]) > 4
    for part in ("student", "teacher", "discriminators", "evaluation"):
        assert first[part] == second[part]


@pytest.mark.parametrize("teacher", ["two", "joint"])
def test_metrics_are_written_once_and_are_about_all_images(teacher: str, request: pytest.FixtureRequest) -> None:
    two = request.getfixturevalue(teacher)
    for part, epochs in (("run", 2), ("run/teacher", 2)):
        records = [json.loads(line) for line in (two / part / "metrics.jsonl").read_text().splitlines()]
        assert [r["event"] for r in records] == ["start", *["epoch"] * epochs, "end"]
    assert json.loads((two / "run" / "environment.json").read_text())["processes"] == 2
    evaluation = json.loads((two / "run" / "evaluation.json").read_text())
    assert (evaluation["n"], evaluation["holdout"]["n"]) == (360, 120)
    assert sum(map(sum, evaluation["confusion"])) == 360


def test_a_loss_that_breaks_on_one_rank_stops_both_with_one_sentence(start: Callable[..., Any]) -> None:
    done, folder = start("poison")
    assert done.returncode == 1
    assert "NonFiniteLossError: the task loss became nan in epoch 2, step 2" in done.stderr
    assert "Connection closed" not in done.stderr
    assert not (folder / "rank0.json").exists()


def test_a_taken_folder_is_refused_without_a_hang(two: Path, start: Callable[..., Any]) -> None:
    done, _ = start(folder=two)
    assert done.returncode == 1
    assert "holds a run already" in done.stderr


def test_two_halves_make_the_whole_gradient(two: Path) -> None:
    for rank in (0, 1):
        assert json.loads((two / f"rank{rank}.json").read_text())["gradient_difference"] < 1e-6
