"""Whole runs: precision, reproducibility, evaluation in several shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from onebit.data import Batches, load_dataset
from onebit.training import Recipe, evaluate, evaluate_model, load_checkpoint, train
from onebit.training.evaluation_files import example_predictions, kernel_histograms


def test_half_precision_trains_with_everything_on(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    changes = {
        "training": {"precision": "bf16-mixed", "epochs": 4, "ema": 0.0, "strict_alternation": True},
        "data": {"limit": 1024},
        "model": {"widths": [16, 16, 64]},
        "optimizer": {"lr": 0.01},
    }
    result = train(recipe(changes, full=True), run_dir=tmp_path, quiet=True)
    assert result.evaluation["top1"] > 50
    assert all(parameter.dtype == torch.float32 for parameter in result.model.parameters())


def test_the_same_seed_gives_the_same_bits_and_another_does_not(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    states = []
    for number, seed in enumerate((0, 0, 1)):
        torch.manual_seed(1000 + number)  # what came before a run is of no matter
        changes = {"training": {"seed": seed}}
        states.append(train(recipe(changes, full=True), run_dir=tmp_path / str(number), quiet=True).model.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert not torch.equal(states[0]["conv.weight"], states[2]["conv.weight"])


def test_a_run_by_name_and_by_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(
        'name = "mine"\n[data]\nlimit = 64\nbatch_size = 32\n[model]\nname = "lenet"\nwidths = [2, 2, 2]\n'
        '[teacher]\nsource = "none"\n[training]\nepochs = 1\nthreads = 1\naccelerator = "cpu"\n'
    )
    result = train("mine.toml", quiet=True)
    assert result.folder == Path("runs/mine")
    assert result.evaluation["teacher"] is None
    assert "holdout" not in result.evaluation
    assert load_checkpoint(result.folder / "checkpoints" / "last.pt")["best"]["epoch"] == 1
    assert evaluate("runs/mine")["n"] == 360


def test_a_data_set_smaller_than_a_batch(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    result = train(recipe({"data": {"limit": 20, "batch_size": 64}}), run_dir=tmp_path, quiet=True)
    assert result.evaluation["n"] == 360


class Fixed(nn.Module):
    """Answers by the mean brightness alone, so that everything can be counted by hand."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.classes = classes
        self.anything = nn.Parameter(torch.zeros(1))

    def forward(self, images: Tensor) -> Tensor:
        place = (images.mean((1, 2, 3), keepdim=False) * 10).round().long().remainder(self.classes)
        return nn.functional.one_hot(place, self.classes).float() * 3 + torch.arange(self.classes) * 1e-3


def test_evaluation_equals_a_count_by_hand() -> None:
    dataset = load_dataset("digits", "test")
    batches = Batches(dataset, 100, seed=0, train=False)
    model = Fixed(10).train()
    result = evaluate_model(model, batches, confusion=True)
    images = torch.cat([images for images, _ in batches.epoch(0)])
    logits = model(images)
    order = logits.argsort(1, descending=True)
    hits = order == dataset.labels[:, None]
    assert result["n"] == 360
    assert result["top1"] == pytest.approx(100 * hits[:, 0].double().mean().item())
    assert result["top5"] == pytest.approx(100 * hits[:, :5].any(1).double().mean().item())
    loss = -logits.log_softmax(1).gather(1, dataset.labels[:, None]).double().mean().item()
    assert result["loss"] == pytest.approx(loss, rel=1e-6)
    table = np.zeros((10, 10), dtype=int)
    for label, guess in zip(dataset.labels.tolist(), order[:, 0].tolist(), strict=True):
        table[label, guess] += 1
    assert result["confusion"] == table.tolist()
    assert model.training


def test_examples_are_half_right_and_half_wrong() -> None:
    batches = Batches(load_dataset("digits", "test"), 100, seed=0, train=False)
    examples = example_predictions(Fixed(10), batches, count=10)
    right = examples["labels"] == examples["predictions"]
    assert (int(right.sum()), len(right)) == (5, 10)
    assert examples["images"].dtype == torch.uint8
    assert examples["images"].shape == (10, 1, 8, 8)


def test_kernel_histograms_count_every_weight(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    model = train(recipe(), run_dir=tmp_path, quiet=True).model
    arrays = kernel_histograms(model)
    stored = np.load(tmp_path / "kernels.npz")
    assert set(stored.files) == set(arrays)
    for name in ("conv", "hidden"):
        weight = model.get_submodule(name).get_parameter("weight").detach()
        assert arrays[f"{name}:counts"].sum() == weight.numel()
        assert len(arrays[f"{name}:edges"]) == len(arrays[f"{name}:counts"]) + 1
        assert float(arrays[f"{name}:positive"]) == pytest.approx((weight >= 0).float().mean().item())
        matrix = model.get_submodule(name).get_parameter("matrix").mean().item()
        assert arrays[f"{name}:scaled_levels"].tolist() == pytest.approx([-matrix, matrix])
