"""Whole runs on a few drawn frames: the one training loop with pairs, its resume, its teacher, and wrong recipes."""

import json
import shutil

import numpy as np
import pytest
import torch

from onebit.errors import CheckpointError, UsageError
from onebit.models.siamfc import SiamFC
from onebit.reports import write_report
from onebit.tracking.load import load_network, load_tracker
from onebit.tracking.named import named_tracker
from onebit.tracking.train import train_tracker
from onebit.training import load_checkpoint, load_recipe, recipe_from_dict, train

cv2 = pytest.importorskip("cv2")

SMALL = {
    "data": {"dataset": "pairs", "batch_size": 4},
    "pairs": {"per_sequence": 4, "measured": 2},
    "model": {"name": "siamfc", "widths": [4, 6, 6, 6, 4]},
    "training": {"epochs": 2, "threads": 1, "accelerator": "cpu"},
}
FLOAT = {"name": "float", **SMALL, "method": {"name": "real"}, "teacher": {"source": "none"}}
GUIDED = {
    "name": "guided",
    **SMALL,
    "method": {"name": "rbcn"},
    "adversarial": {"enabled": True, "widths": [8], "probe_every": 1, "attach": "per_layer", "pool": 2},
    "features": {"weight": 0.1},
    "distillation": {"weight": 0.1},
    "refresh": {"enabled": True, "fraction": 0.5},
    "training": {**SMALL["training"], "ema": 0.5, "keep_every": 1, "precision": "bf16-mixed"},
}


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two lone folders of four frames, each with one annotation file."""
    root, rng = tmp_path_factory.mktemp("videos"), np.random.default_rng(0)
    for number, name in enumerate(("one", "two")):
        (root / name).mkdir()
        rows = []
        for i in range(4):
            image = rng.integers(0, 90, (120, 160, 3), np.uint8)
            x, y = 30 + 5 * i, 40 + 3 * number
            image[y : y + 30, x : x + 30] = 255
            cv2.imwrite(str(root / name / f"{i + 1:04}.png"), image)
            rows.append(f"{x},{y},30,30\n")
        (root / name / "groundtruth.txt").write_text("".join(rows))
    return [root / "one", root / "two"]


@pytest.fixture(scope="module")
def teacher(data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher") / "run"
    train_tracker(recipe_from_dict(FLOAT), data, run_dir=folder, quiet=True)
    return folder


def guided(teacher, **training):
    table = {**GUIDED, "teacher": {"source": "load", "checkpoint": str(teacher)}}
    return recipe_from_dict({**table, "training": {**table["training"], **training}})


def records(folder):
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == "epoch"]


def test_a_run_leaves_recipe_metrics_checkpoints_and_figures(teacher):
    kept = {"recipe.toml", "environment.json", "metrics.jsonl", "evaluation.json", "kernels.npz", "train.log"}
    assert kept <= {path.name for path in teacher.iterdir()}
    evaluation = json.loads((teacher / "evaluation.json").read_text())
    assert evaluation["split"] == "train_sample"
    assert evaluation["n"] == 4
    assert 0 <= evaluation["top1"] <= evaluation["top5"] <= 100
    assert records(teacher)[-1]["train_sample"]["loss"] == pytest.approx(evaluation["loss"], rel=1e-4)
    network = load_network(teacher)
    assert isinstance(network, SiamFC)
    assert not network.training
    assert load_checkpoint(teacher / "checkpoints" / "last.pt")["data"]["sequences"] == ["one", "two"]
    page = write_report(teacher)
    assert page.stat().st_size > 1000
    told = page.read_text()
    assert "of the train_sample pairs" in told
    assert f"{evaluation['n']} pairs" in told
    assert f"{evaluation['n']} images" not in told


def test_everything_at_once_and_a_resume_bit_by_bit(data, teacher, tmp_path):
    said = []
    recipe = guided(teacher)
    recipe.pairs.holdout = ("two",)
    whole = train_tracker(recipe, data, run_dir=tmp_path / "whole", quiet=True, say=said.append)
    assert any("one" in line or "folder" in line for line in said)
    last = records(tmp_path / "whole")[-1]
    assert {"task", "kernel", "adversarial", "features", "distillation"} <= last["train"].keys()
    assert last["before_refresh"] is not None
    assert last["holdout"]["n"] == 2
    assert set(last["discriminators"]) == {f"{branch}.{i}" for branch in ("exemplar", "search") for i in range(5)}
    assert whole.evaluation["teacher"]["n"] == 2
    assert {p.name for p in (tmp_path / "whole/checkpoints").iterdir()} >= {"epoch-001.pt", "epoch-002.pt", "last.pt"}

    # A run that was cut off after its first epoch: its checkpoint is that of a run of one epoch, but for the recipe's length.
    cut = tmp_path / "cut"
    shutil.copytree(tmp_path / "whole", cut)
    for name in ("last.pt", "best.pt", "epoch-002.pt"):
        (cut / "checkpoints" / name).unlink(missing_ok=True)
    (cut / "evaluation.json").unlink()
    again = train_tracker(recipe, data, run_dir=cut, resume=True, quiet=True)
    assert same_state(again.model, whole.model)
    stopped = tmp_path / "stopped"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("onebit.training.fit.Fit._run_epoch", stop_after_first())
        with pytest.raises(KeyboardInterrupt):
            train_tracker(recipe, data, run_dir=stopped, quiet=True)
    assert load_checkpoint(stopped / "checkpoints/last.pt")["epoch"] == 1
    resumed = train_tracker(recipe, data, run_dir=stopped, resume=True, quiet=True)
    assert same_state(resumed.model, whole.model)
    figures = [(r["train"], r["holdout"]) for r in records(stopped)]
    assert figures == [(r["train"], r["holdout"]) for r in records(tmp_path / "whole")]


def stop_after_first():
    from onebit.training.fit import Fit

    run_epoch = Fit._run_epoch

    def stopping(self, progress):
        if self.epoch == 2:
            raise KeyboardInterrupt
        return run_epoch(self, progress)

    return stopping


def same_state(one, other):
    states = one.state_dict(), other.state_dict()
    return all(torch.equal(a, b) for a, b in zip(*(s.values() for s in states), strict=True))


def test_stills_serve_where_no_sequence_can(data, tmp_path):
    """The boxes are too small for training: pairs of stills are learned from, measured and told."""
    (tmp_path / "stills").mkdir()
    for number in range(4):
        shutil.copy(data[0] / "0001.png", tmp_path / "stills" / f"{number}.png")
    recipe = recipe_from_dict({**FLOAT, "pairs": {"min_size": 40}, "training": {**SMALL["training"], "epochs": 1}})
    done = train_tracker(recipe, data, [tmp_path / "stills"], run_dir=tmp_path / "run", quiet=True)
    assert done.evaluation["n"] == 4
    assert done.evaluation["note"].startswith("pairs of still images; top-1")


def test_a_tracker_is_called_as_its_run_however_the_folder_is_written(teacher, monkeypatch):
    monkeypatch.chdir(teacher / "checkpoints")
    assert named_tracker("..").name == named_tracker(str(teacher)).name == "run"


def test_a_trained_tracker_tracks(teacher):
    tracker = load_tracker(teacher)
    frame = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    tracker.init(frame, (30, 30, 25, 25))
    box, score = tracker.update(frame)
    assert np.isfinite(box).all()
    assert 0 < score < 1


def test_published_weights_are_a_teacher_and_a_tracker(tmp_path):
    from onebit import create_model

    torch.manual_seed(0)
    network = create_model("siamfc", "real")
    torch.save(network.state_dict(), tmp_path / "siamfc_alexnet_e50.pth")
    assert same_state(load_network(tmp_path / "siamfc_alexnet_e50.pth"), network)
    from onebit.training.teacher import load_teacher

    recipe = load_recipe("rb-sf")
    recipe.teacher.checkpoint = str(tmp_path / "siamfc_alexnet_e50.pth")
    assert same_state(load_teacher(recipe, {"num_classes": 1, "in_channels": 3, "image_size": 239}), network)


def test_what_cannot_be_loaded(tmp_path, teacher):
    with pytest.raises(CheckpointError, match="there is no run folder or checkpoint"):
        load_tracker(tmp_path / "none.pt")
    with pytest.raises(UsageError, match="did you mean 'opencv-mil'"):
        load_tracker("opencv-mill")
    for device in ("toaster", "meta"):
        with pytest.raises(UsageError, match=f"device '{device}' cannot be had here"):
            load_tracker(teacher, device=device)
    torch.save({"a": torch.zeros(2)}, tmp_path / "other.pth")
    with pytest.raises(CheckpointError, match=r"other.pth do not fit this network: 30 missing"):
        load_tracker(tmp_path / "other.pth")


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"training": {"label_smoothing": 0.1}}, "training.label_smoothing = 0.1 is for classes"),
        ({"method": {"name": "rbcn"}, "apprentice": {"enabled": True}, "teacher": {"source": "joint"}}, "apprentice"),
        ({"pairs": {"per_sequence": 0}}, "pairs.per_sequence = 0"),
        ({"pairs": {"stretch": 1.5}}, "pairs.stretch"),
    ],
)
def test_recipes_that_cannot_be(changes, words):
    with pytest.raises(UsageError, match=words):
        recipe_from_dict({**FLOAT, **changes})


def test_each_kind_of_recipe_has_its_command(data, tmp_path):
    with pytest.raises(UsageError, match="onebit track train"):
        train("siamfc-cpu", run_dir=tmp_path / "a")
    with pytest.raises(UsageError, match="which is no tracker"):
        train_tracker("digits-demo", data, run_dir=tmp_path / "b")
    recipe = recipe_from_dict(FLOAT)
    recipe.pairs.holdout = ("three",)
    with pytest.raises(UsageError, match="matches no sequence; there are: one, two"):
        train_tracker(recipe, data, run_dir=tmp_path / "c", quiet=True)


def test_a_teacher_of_another_kind_is_refused(data, tmp_path):
    recipe = guided("unused")
    with pytest.raises(UsageError, match="cannot take a pair"):
        train_tracker(recipe, data, run_dir=tmp_path / "d", teacher=torch.nn.Flatten(), quiet=True)
