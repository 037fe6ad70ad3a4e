"""Reading run folders, whole and broken."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from onebit.errors import CheckpointError
from onebit.reports import read_run

Maker = Callable[..., Path]


def test_a_whole_run(make_run: Maker) -> None:
    run = read_run(make_run(epochs=3, layers=2))
    assert (run.role, run.planned_epochs, run.parameters, run.binary_parameters) == ("student", 3, 695_178, 670_000)
    assert run.finished
    assert run.problems == ()
    assert run.seconds == 3 * 41.5
    assert [epoch.number for epoch in run.epochs] == [1, 2, 3]
    last = run.epochs[-1]
    assert set(last.terms) == {"task", "kernel", "adversarial", "distillation"}
    assert set(last.rates) == {"real", "binary", "matrix"}
    assert last.train.loss == pytest.approx(sum(last.terms.values()))
    assert list(last.discriminators) == ["stage1", "stage2", "stage3", "stage4"]
    assert last.discriminators["stage1"].update_share == 0.6
    assert last.matrix.negative_share == 0.0
    assert list(last.flips_per_layer) == ["stages.0.0.conv", "stages.0.1.conv"]
    assert run.recipe["method"]["name"] == "rbcn"
    assert run.evaluation is not None
    assert run.evaluation.confusion is not None
    assert run.evaluation.confusion.shape == (10, 10)
    assert run.evaluation.class_name(3) == "cat"
    assert run.evaluation.class_name(99) == "99"
    assert run.examples is not None
    assert run.examples.images.shape == (24, 32, 32, 3)
    assert [kernel.layer for kernel in run.kernels] == ["stages.0.0.conv", "stages.0.1.conv"]
    assert run.kernels[0].levels.tolist() == pytest.approx([-0.05, 0.05])
    assert run.teacher is not None
    assert run.teacher.role == "teacher"
    assert run.teacher.evaluation is not None
    assert run.teacher.evaluation.scores.top1 == 91.87
    assert run.teacher.evaluation.split == "test"


@pytest.mark.parametrize("kept", range(0, 400, 37))
def test_a_log_cut_anywhere_gives_the_epochs_before_the_cut(make_run: Maker, kept: int) -> None:
    folder = make_run(epochs=4, complete=False, teacher=False, layers=2)
    log = folder / "metrics.jsonl"
    whole = log.read_bytes()
    second_last = whole[:-1].rindex(b"\n") + 1
    log.write_bytes(whole[: second_last + kept])
    run = read_run(folder)
    assert [epoch.number for epoch in run.epochs] == [1, 2, 3]
    assert not run.finished
    assert run.problems == ()


def test_a_resumed_run_counts_every_epoch_once(make_run: Maker) -> None:
    folder = make_run(epochs=4, done=2, complete=False, layers=2)
    log = folder / "metrics.jsonl"
    lines = log.read_text().splitlines()
    again = [lines[0], json.dumps(json.loads(lines[2]) | {"flips": 0.5}), json.dumps({"event": "epoch", "epoch": 3})]
    # the kill cut a line in its middle, and the resumed run wrote on behind it
    log.write_text("\n".join(lines) + '\n{"event":"epoch","epo' + "\n".join(again) + "\n")
    run = read_run(folder)
    assert [epoch.number for epoch in run.epochs] == [1, 2, 3]
    assert run.epochs[1].flips == 0.5
    assert run.epochs[2].train.loss is None
    assert run.problems == ()


def test_a_run_that_goes_on_after_its_end_is_unfinished(make_run: Maker) -> None:
    folder = make_run(epochs=2, layers=1, teacher=False)
    with (folder / "metrics.jsonl").open("a") as log:
        log.write(json.dumps({"event": "start", "role": "student", "epochs": 4}) + "\n")
    run = read_run(folder)
    assert not run.finished
    assert run.planned_epochs == 4
    assert len(run.epochs) == 2


def test_damaged_lines_are_counted(make_run: Maker) -> None:
    folder = make_run(epochs=2, teacher=False, complete=False, layers=1)
    log = folder / "metrics.jsonl"
    first, rest = log.read_text().split("\n", 1)
    log.write_bytes(first.encode() + b"\n\xff\xfe noise\n[1, 2]\n" + rest.encode())
    run = read_run(folder)
    assert len(run.epochs) == 2
    assert run.problems == ("metrics.jsonl: 2 damaged lines left out.",)


def test_values_of_the_wrong_kind_are_missing_values(make_run: Maker) -> None:
    folder = make_run(epochs=1, done=0, teacher=False, complete=False)
    strange = {
        "event": "epoch",
        "epoch": 1,
        "seconds": "12",
        "lr": [1, 2],
        "train": {"loss": None, "top1": True, "task": "low", "kernel": 1e400},
        "holdout": None,
        "flips": {"a": 1},
        "discriminators": {"d": 3},
        "matrix": "none",
    }
    later = [{"event": "epoch"}, {"event": "epoch", "epoch": 10**12}, {"event": "epoch", "epoch": -1}]
    with (folder / "metrics.jsonl").open("a") as log:
        log.writelines(json.dumps(line) + "\n" for line in [strange, *later])
    (epoch,) = read_run(folder).epochs
    assert (epoch.seconds, epoch.rates, epoch.train.loss, epoch.train.top1) == (None, {}, None, None)
    assert epoch.terms == {"kernel": math.inf}
    assert (epoch.holdout.top1, epoch.flips, epoch.matrix.mean) == (None, None, None)
    assert epoch.discriminators["d"].accuracy is None


@pytest.mark.parametrize("name", ["evaluation.json", "environment.json", "examples.npz", "kernels.npz", "recipe.toml"])
@pytest.mark.parametrize("damage", ["cut", "noise", "gone"])
def test_damaged_files_are_named_and_left_out(make_run: Maker, name: str, damage: str) -> None:
    folder = make_run(epochs=1, layers=1, teacher=False)
    path = folder / name
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(whole[: len(whole) // 2] + b"[" if damage == "cut" else b"\x00\xff= no such thing" * 9)
    run = read_run(folder)
    assert len(run.epochs) == 1
    assert [problem.split()[0].rstrip(":") for problem in run.problems] == ([] if damage == "gone" else [name])


def test_arrays_that_do_not_fit_are_left_out(make_run: Maker) -> None:
    folder = make_run(epochs=1, layers=2, teacher=False)
    kernels = dict(np.load(folder / "kernels.npz"))
    kernels["stages/0/0/conv:counts"] = kernels["stages/0/0/conv:counts"][:-1]
    np.savez(folder / "kernels.npz", **kernels)
    examples = dict(np.load(folder / "examples.npz"))
    np.savez(folder / "examples.npz", **(examples | {"labels": examples["labels"][:5]}))
    evaluation = json.loads((folder / "evaluation.json").read_text())
    evaluation["confusion"][0].pop()
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    run = read_run(folder)
    assert [kernel.layer for kernel in run.kernels] == ["stages.0.1.conv"]
    assert run.examples is None
    assert run.evaluation is not None
    assert run.evaluation.confusion is None
    assert len(run.problems) == 2


def test_pickled_arrays_are_refused(make_run: Maker) -> None:
    folder = make_run(epochs=1, layers=1, teacher=False)
    np.savez(folder / "examples.npz", images=np.array([{"a": 1}], dtype=object))
    run = read_run(folder)
    assert run.examples is None
    assert run.problems == ("examples.npz is damaged and was left out.",)


def test_a_teacher_that_was_loaded_has_scores_only(make_run: Maker) -> None:
    folder = make_run(epochs=1, layers=1, teacher=False)
    assert read_run(folder).teacher is None
    (folder / "teacher").mkdir()
    (folder / "teacher" / "evaluation.json").write_text(json.dumps({"top1": 90.0, "split": "test", "n": 100}))
    teacher = read_run(folder).teacher
    assert teacher is not None
    assert teacher.evaluation is not None
    assert teacher.evaluation.scores.top1 == 90.0
    assert teacher.epochs == ()


def test_what_is_not_a_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="nowhere does not exist"):
        read_run(tmp_path / "nowhere")
    (tmp_path / "file").write_text("x")
    with pytest.raises(CheckpointError, match="file is a file, not a run folder"):
        read_run(tmp_path / "file")
    with pytest.raises(CheckpointError, match=r"is not a run folder: it holds neither metrics\.jsonl nor recipe\.toml"):
        read_run(tmp_path)
