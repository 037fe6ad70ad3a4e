"""Synthetic run folders: what a training run writes, without the training."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

CIFAR10 = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
LAYERS = [f"stages.{stage}.{block}.conv" for stage in range(4) for block in range(4)]

RECIPE = """\
name = "rbcn-cifar10-short"

[data]
dataset = "cifar10"
batch_size = 128
holdout = 5000

[data.augment]
pad = 4
flip = true

[model]
name = "resnet18"
widths = [32, 32, 64, 128]

[method]
name = "rbcn"

[method.options]
kernel_weight = 1e-4

[training]
epochs = {epochs}
seed = 3
"""


def start_line(role: str, epochs: int, **extra: Any) -> dict[str, Any]:
    binary = 670_000 if role == "student" else 0
    return {
        "event": "start",
        "role": role,
        "epochs": epochs,
        "steps_per_epoch": 351,
        "parameters": 695_178,
        "binary_parameters": binary,
        "time": "2025-11-20T12:00:00",
        **extra,
    }


def epoch_line(
    epoch: int, epochs: int, role: str, rng: np.random.Generator, discriminators: int = 4, layers: int = 16
) -> dict[str, Any]:
    """A plausible epoch: the losses fall, the accuracies rise, the flips die out with a cosine learning rate."""
    t = epoch / epochs
    rate = 0.5 * (1 + math.cos(math.pi * (epoch - 1) / epochs))
    top = 92 if role == "teacher" else 84
    top1 = top - 45 * math.exp(-4 * t) + rng.normal(0, 0.5) * rate
    task = 0.35 + 1.6 * math.exp(-3.5 * t) + (0.25 if role == "student" else 0.0)
    line: dict[str, Any] = {
        "event": "epoch",
        "epoch": epoch,
        "step": 351 * epoch,
        "time": "2025-11-20T12:00:00",
        "seconds": 41.0 + rng.normal(0, 0.6),
        "images_per_second": 1080 + rng.normal(0, 15),
        "step_ms": 117.0,
        "lr": {"real": 2e-3 * rate, "binary": 2e-3 * rate, "matrix": 2e-5 * rate},
        "train": {"loss": task, "task": task, "top1": top1 + 1 - 3 * (1 - t)},
        "holdout": {"loss": task * 0.95 + 0.08, "top1": top1, "top5": 90 + 9 * t},
    }
    if role == "teacher":
        return line
    line["train"] |= {
        "kernel": 2e-3 * math.exp(-t),
        "adversarial": 0.25 + 0.1 * t,
        "distillation": 1.5 * math.exp(-2 * t),
    }
    line["train"]["loss"] = sum(v for k, v in line["train"].items() if k not in ("loss", "top1"))
    line["before_refresh"] = {"loss": task, "top1": top1 - 4.5 * rate - 0.2, "top5": 90 + 8 * t}
    line["flips"] = 0.36 * rate**1.2 * math.exp(-1.5 * t)
    line["flips_per_layer"] = {
        layer: line["flips"] * (1.5 - i / len(LAYERS)) * rng.uniform(0.9, 1.1)
        for i, layer in enumerate(LAYERS[:layers])
    }
    line["discriminators"] = {
        f"stage{i + 1}" if discriminators <= 4 else f"stages.{i // 4}.{i % 4}": {
            "accuracy": min(0.99, 0.62 + 0.4 * i / max(discriminators, 4) + 0.12 * t + rng.normal(0, 0.012)),
            "loss": 1.1 - 0.5 * t,
            "real": 0.6 + 0.08 * i * 4 / discriminators + 0.05 * t,
            "fake": 0.42 - 0.09 * i * 4 / discriminators - 0.04 * t,
            "update_share": 0.6,
        }
        for i in range(discriminators)
    }
    line["gradient_ratio"] = 0.04 * math.exp(-t) * rng.uniform(0.85, 1.15)
    line["adversarial_weight"] = 0.1 * (1 - 0.5 * t)
    line["matrix"] = {"min": 0.0009 + 0.001 * rate, "mean": 0.031 + 0.002 * t, "negative_share": 0.0}
    return line


def confusion_of(classes: int, per_class: int, rng: np.random.Generator) -> np.ndarray:
    counts = np.zeros((classes, classes), dtype=int)
    for true in range(classes):
        answers = 0.02 * rng.dirichlet(np.full(classes, 0.6)) + 0.12 * rng.dirichlet(np.full(classes, 0.15))
        answers[true] += 1 - answers.sum()
        counts[true] = rng.multinomial(per_class, answers / answers.sum())
    return counts


def write_evaluation(folder: Path, classes: list[str], rng: np.random.Generator, teacher: float | None) -> None:
    counts = confusion_of(len(classes), 10_000 // len(classes), rng)
    record = {
        "dataset": "cifar10",
        "split": "test",
        "note": "the test batch is a JPEG copy, not the official file",
        "n": int(counts.sum()),
        "top1": 100 * float(np.trace(counts) / counts.sum()),
        "top5": 98.9,
        "loss": 0.5123,
        "classes": classes,
        "confusion": counts.tolist(),
        "teacher": None if teacher is None else {"top1": teacher, "top5": 99.6, "loss": 0.3211},
    }
    (folder / "evaluation.json").write_text(json.dumps(record))


def write_arrays(folder: Path, rng: np.random.Generator, classes: int, layers: int = 16, filters: int = 0) -> None:
    """examples.npz and kernels.npz; ``filters`` > 0 gives one scale per filter instead of one per layer."""
    labels = rng.integers(0, classes, 24)
    predictions = np.where(np.arange(24) % 2 == 0, labels, (labels + 1 + rng.integers(0, classes - 1, 24)) % classes)
    y, x = np.mgrid[0:32, 0:32] / 31
    waves = np.stack([np.sin((3 + k) * x + (2 + c) * y + c + k) for k in range(24) for c in range(3)]).reshape(
        24, 3, 32, 32
    )
    images = np.clip(127 + 100 * waves + rng.normal(0, 9, waves.shape), 0, 255).astype(np.uint8)
    np.savez(
        folder / "examples.npz",
        images=images,
        labels=labels,
        predictions=predictions,
        probabilities=rng.uniform(0.3, 1, 24).astype(np.float32),
    )
    arrays: dict[str, np.ndarray] = {}
    for i, layer in enumerate(LAYERS[:layers]):
        key = layer.replace(".", "/")
        scale = 0.05 / (1 + i / 4)
        counts, edges = np.histogram(rng.normal(0, scale, 20_000), bins=61, range=(-4 * scale, 4 * scale))
        alpha = scale * rng.uniform(0.5, 1.5, filters) if filters else np.array([scale])
        arrays |= {
            f"{key}:edges": edges.astype(np.float32),
            f"{key}:counts": counts,
            f"{key}:scaled_levels": np.concatenate([-alpha, alpha]).astype(np.float32),
            f"{key}:positive": np.float32(rng.uniform(0.485, 0.52)),
        }
    np.savez(folder / "kernels.npz", **arrays)


def write_log(folder: Path, lines: list[dict[str, Any]]) -> None:
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)


@pytest.fixture(scope="session")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One finished run with everything in it, to be read and reported on but not changed."""
    return build_run(tmp_path_factory.mktemp("whole") / "run", np.random.default_rng(7), epochs=6, layers=4)


@pytest.fixture
def make_run(tmp_path: Path, rng: np.random.Generator) -> Callable[..., Path]:
    """A builder of run folders; see :func:`build_run` for what can be asked."""

    def make(**options: Any) -> Path:
        return build_run(tmp_path / "run", rng, **options)

    return make


def build_run(
    folder: Path,
    rng: np.random.Generator,
    *,
    epochs: int = 12,
    done: int | None = None,
    teacher: bool = True,
    discriminators: int = 4,
    layers: int = 16,
    filters: int = 0,
    classes: list[str] | None = None,
    complete: bool = True,
    arrays: bool = True,
) -> Path:
    """A run of ``done`` out of ``epochs`` epochs; ``complete`` adds what is written after the last one.

    ``arrays=False`` leaves out examples and kernels, which take most of the time to draw.
    """
    classes = classes or CIFAR10
    done = epochs if done is None else done
    folder.mkdir(parents=True)
    (folder / "recipe.toml").write_text(RECIPE.format(epochs=epochs))
    environment = {
        "onebit": "0.1.0",
        "python": "3.11.2",
        "torch": "2.13.0+cpu",
        "platform": "Linux-6.1-x86_64",
        "processor": "2 cores",
        "threads": 2,
        "device": "cpu",
        "git": None,
        "started": "2025-11-20T12:00:00",
        "command": ["onebit", "train", "rbcn-cifar10-short", "--seed", "3"],
    }
    (folder / "environment.json").write_text(json.dumps(environment))
    lines = [start_line("student", epochs)]
    for epoch in range(1, done + 1):
        line = epoch_line(epoch, epochs, "student", rng, discriminators or 1, layers)
        if not discriminators:
            for absent in ("discriminators", "gradient_ratio", "adversarial_weight"):
                del line[absent]
        lines.append(line)
    if complete:
        lines.append(
            {"event": "end", "status": "finished", "best_epoch": done, "best_top1": 83.1, "seconds": 41.5 * done}
        )
        write_evaluation(folder, classes, rng, 91.87 if teacher else None)
        if arrays:
            write_arrays(folder, rng, len(classes), layers, filters)
    write_log(folder, lines)
    if teacher:
        (folder / "teacher").mkdir()
        write_log(
            folder / "teacher",
            [
                start_line("teacher", epochs),
                *(epoch_line(epoch, epochs, "teacher", rng) for epoch in range(1, epochs + 1)),
                {
                    "event": "end",
                    "status": "finished",
                    "best_epoch": epochs,
                    "best_top1": 91.9,
                    "seconds": 20.0 * epochs,
                },
            ],
        )
    return folder
