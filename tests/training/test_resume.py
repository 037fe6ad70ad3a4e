"""A run that is killed at any moment and resumed ends where a run that never stopped ends, bit for bit."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from onebit.errors import CheckpointError, UsageError
from onebit.training import Recipe, load_checkpoint, recipe_to_toml, train
from onebit.training.fit import Fit
from onebit.training.processes import seed_epoch

MOMENTS = [
    "teacher-step",
    "student-first-epoch",
    "student-step",
    "refresh",
    "after-checkpoint",
    "in-checkpoint",
    "torn-line",
    "evaluation",
]


#: with a joint teacher the fourth last.pt is the student's second: its teacher's is there already
JOINT_MOMENTS = ["teacher-step", "refresh", "in-checkpoint", "torn-line", "evaluation"]
RUNS = [*(("first", moment) for moment in MOMENTS), *(("joint", moment) for moment in JOINT_MOMENTS)]


@pytest.fixture(scope="module")
def killed(recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """A folder with one run per moment, killed there and resumed, and one that was left in peace; the teacher trains
    ``first`` or ``joint``."""
    folders: dict[str, Path] = {}

    def runs(teacher: str) -> Path:
        if teacher in folders:
            return folders[teacher]
        folder = folders[teacher] = tmp_path_factory.mktemp(teacher)
        changes = {"training": {"epochs": 3}, "adversarial": {"throttle_accuracy": 0.5}}
        (folder / "recipe.toml").write_text(recipe_to_toml(recipe(changes, full=True, joint=teacher == "joint")))
        driver = Path(__file__).with_name("drive_kills.py")
        moments = [moment for kind, moment in RUNS if kind == teacher]
        command = [sys.executable, str(driver), str(folder / "recipe.toml"), str(folder), *moments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stderr
        return folder

    return runs


def assert_same(ours: Any, theirs: Any, path: str = "") -> None:
    if isinstance(ours, dict):
        assert ours.keys() == theirs.keys(), path
        for key in ours:
            if key not in ("seconds", "time"):
                assert_same(ours[key], theirs[key], f"{path}/{key}")
    elif isinstance(ours, (list, tuple)):
        assert len(ours) == len(theirs), path
        for index, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            assert_same(one, other, f"{path}/{index}")
    elif isinstance(ours, torch.Tensor):
        assert torch.equal(ours, theirs), f"{path} differs"
    else:
        assert ours == theirs, path


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "metrics.jsonl").read_text().splitlines()]


@pytest.mark.parametrize(("teacher", "moment"), RUNS)
def test_killed_and_resumed_is_bit_identical(killed: Callable[[str], Path], teacher: str, moment: str) -> None:
    folder = killed(teacher)
    for part in ("", "teacher"):
        for file in ("last.pt", "best.pt"):
            ours = load_checkpoint(folder / moment / part / "checkpoints" / file)
            theirs = load_checkpoint(folder / "whole" / part / "checkpoints" / file)
            assert_same(ours, theirs, f"{part}/{file}")
    ours, theirs = ((folder / name / "evaluation.json").read_text() for name in (moment, "whole"))
    assert ours == theirs


@pytest.mark.parametrize(("teacher", "moment"), RUNS)
def test_metrics_have_each_epoch_once(killed: Callable[[str], Path], teacher: str, moment: str) -> None:
    folder = killed(teacher)
    for part, epochs in (("", 3), ("teacher", 3 if teacher == "joint" else 2)):
        ours, theirs = records(folder / moment / part), records(folder / "whole" / part)
        assert [r["event"] for r in ours] == ["start", *["epoch"] * epochs, "end"]
        assert [r["epoch"] for r in ours if r["event"] == "epoch"] == list(range(1, epochs + 1))
        timing = {"seconds", "time", "step_ms", "images_per_second"}
        for one, other in zip(ours, theirs, strict=True):
            assert {k: v for k, v in one.items() if k not in timing} == {
                k: v for k, v in other.items() if k not in timing
            }


@pytest.mark.parametrize(("teacher", "moment"), RUNS)
def test_nothing_half_written_is_left(killed: Callable[[str], Path], teacher: str, moment: str) -> None:
    assert [str(path) for path in (killed(teacher) / moment).rglob("*.part")] == []


def test_what_the_network_draws_is_drawn_again(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = {"name": "igp_resnet21", "widths": [2, 2, 2, 2], "options": {"drop_path": 0.5}}
    dropping = recipe({"model": model, "data": {"limit": 128}, "training": {"epochs": 2}})
    train(dropping, run_dir=tmp_path / "whole", quiet=True)
    run_epoch = Fit._run_epoch

    def stop(fit: Fit, progress: Any) -> dict[str, Any]:
        return run_epoch(fit, progress) if fit.epoch == 1 else sys.exit()

    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_run_epoch", stop)
        with pytest.raises(SystemExit):
            train(dropping, run_dir=tmp_path / "cut", quiet=True)
    train(dropping, run_dir=tmp_path / "cut", resume=True, quiet=True)
    ours, theirs = (load_checkpoint(tmp_path / name / "checkpoints" / "last.pt") for name in ("cut", "whole"))
    assert_same(ours, theirs)


def test_epochs_processes_and_seeds_draw_apart() -> None:
    def drawn(*words: int) -> float:
        seed_epoch(*words)
        return torch.rand(1, dtype=torch.float64).item()

    settings = [(seed, epoch, rank) for seed in (-1, 0, 1) for epoch in (1, 2) for rank in (0, 1)]
    numbers = [drawn(*words) for words in settings]
    assert len(set(numbers)) == len(settings)
    assert [drawn(*words) for words in settings] == numbers


def test_resume_under_another_recipe_is_refused_and_changes_nothing(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(recipe(), run_dir=tmp_path / "run", quiet=True)
    before = {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()}
    with pytest.raises(UsageError, match=r"optimizer\.lr = 0\.002, this recipe has 0\.5") as caught:
        train(recipe({"optimizer": {"lr": 0.5}}), run_dir=tmp_path / "run", resume=True, quiet=True)
    assert "\n" not in str(caught.value)
    assert {path: path.read_bytes() for path in (tmp_path / "run").rglob("*") if path.is_file()} == before


def test_resume_under_another_recipe_is_refused_before_the_first_checkpoint(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Fit, "_train_step", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            train(recipe(), run_dir=tmp_path, quiet=True)
    with pytest.raises(UsageError, match=r"method\.name = 'rbcn', this recipe has 'xnor'"):
        train(recipe({"method": {"name": "xnor"}}), run_dir=tmp_path, resume=True, quiet=True)


def test_a_changed_teacher_is_refused_too(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    changes = {"teacher": {"source": "train", "epochs": 1}}
    train(recipe(changes), run_dir=tmp_path, quiet=True)
    changes["teacher"]["lr"] = 0.1
    with pytest.raises(UsageError, match=r"teacher\.lr"):
        train(recipe(changes), run_dir=tmp_path, resume=True, quiet=True)


def test_resume_of_nothing(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="holds no run to resume"):
        train(recipe(), run_dir=tmp_path / "nothing", resume=True, quiet=True)
    assert not (tmp_path / "nothing").exists()


def test_a_folder_that_holds_a_run_is_refused(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    train(recipe(), run_dir=tmp_path, quiet=True)
    with pytest.raises(UsageError, match="holds a run already; add --resume"):
        train(recipe(), run_dir=tmp_path, quiet=True)
    (tmp_path / "recipe.toml").unlink()
    with pytest.raises(UsageError, match="holds a run already"):  # its checkpoint would be continued unasked
        train(recipe(), run_dir=tmp_path, quiet=True)


def test_resuming_a_finished_run_changes_nothing(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    first = train(recipe(full=True), run_dir=tmp_path, quiet=True)
    checkpoint = (tmp_path / "checkpoints" / "last.pt").read_bytes()
    second = train(recipe(full=True), run_dir=tmp_path, resume=True, quiet=True)
    assert second.evaluation == first.evaluation
    assert (tmp_path / "checkpoints" / "last.pt").read_bytes() == checkpoint
    assert [r["event"] for r in records(tmp_path)] == ["start", "epoch", "end"]


def test_a_damaged_last_checkpoint_is_refused_and_the_best_one_stands_in(
    recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    train(recipe({"training": {"epochs": 2}}), run_dir=tmp_path, quiet=True)
    last = tmp_path / "checkpoints" / "last.pt"
    last.write_bytes(last.read_bytes()[:-100])
    with pytest.raises(CheckpointError, match=r"last\.pt .*cannot be read .*/best\.pt"):
        train(recipe({"training": {"epochs": 2}}), run_dir=tmp_path, resume=True, quiet=True)
    last.write_bytes((tmp_path / "checkpoints" / "best.pt").read_bytes())
    train(recipe({"training": {"epochs": 2}}), run_dir=tmp_path, resume=True, quiet=True)
