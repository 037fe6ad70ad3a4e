"""A whole run: teacher, student, evaluation, files."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from onebit.data import Augment, Batches, load_dataset
from onebit.errors import CheckpointError, UsageError
from onebit.files import write_bytes, write_text
from onebit.training.checkpoints import build_model, load_model
from onebit.training.evaluation import evaluate_model, example_predictions
from onebit.training.fit import Fit, kernel_histograms
from onebit.training.metrics import now
from onebit.training.recipe import Recipe
from onebit.training.recipe_files import check_recipe, load_recipe, recipe_to_toml
from onebit.training.teacher import copy_teacher, load_teacher, teacher_recipe


@dataclass
class RunResult:
    """What a run came to: its folder, the student, and the figures that went into evaluation.json."""

    folder: Path
    model: nn.Module
    evaluation: dict[str, Any]
    main_process: bool = True


def train(
    recipe: Recipe | str,
    *,
    run_dir: str | Path | None = None,
    data_dir: str | Path | None = None,
    resume: bool = False,
    download: bool = False,
    teacher: nn.Module | None = None,
    quiet: bool = False,
) -> RunResult:
    """Train by a recipe: the teacher first if it has one to train, then the student; evaluate; leave a run folder.

    Args:
        recipe: a Recipe, a shipped name or a .toml file.
        run_dir: the run folder (default ``runs/NAME``); it must not hold a run already, unless ``resume``.
        data_dir: where data sets lie (default: $ONEBIT_DATA, then ./data); download: fetch what is missing.
        resume: go on from the last checkpoints in ``run_dir``; on a CPU the result is bit-identical to a run that never stopped.
        teacher: a full-precision network of your own, used as it is; recipe.teacher is not read then, except its ``taps``.
        quiet: nothing on stderr.
    Returns:
        the folder, the trained student and its evaluation on the test split (the hold-out where the recipe has one, too).
    Raises:
        UsageError, DataError, CheckpointError, NonFiniteLossError: see their docstrings.
    """
    recipe = recipe if isinstance(recipe, Recipe) else load_recipe(recipe)
    check_recipe(recipe)
    folder = Path(run_dir) if run_dir is not None else Path("runs") / recipe.name
    fabric = make_fabric(recipe)
    sets = load_splits(recipe, data_dir, download)
    data = describe(sets["train"], recipe)
    if fabric.is_global_zero:
        prepare_folder(folder, recipe, resume)
    fabric.barrier()
    seed = recipe.training.seed
    own_teacher = teacher is not None
    if teacher is None and recipe.teacher.source == "load":
        teacher = load_teacher(recipe, data)
    elif teacher is None and recipe.teacher.source == "train" and recipe.method.name != "real":
        twin = teacher_recipe(recipe)
        teacher = build_seeded(twin, data)
        fit_network(twin, fabric, teacher, None, sets, data, folder / "teacher", "teacher", quiet)
        save_evaluation(folder / "teacher", twin, teacher, sets, fabric)
    if teacher is not None:
        teacher = teacher.to(fabric.device).eval().requires_grad_(False)
        if own_teacher or recipe.teacher.source == "load":
            save_evaluation(folder / "teacher", recipe, teacher, sets, fabric, details=False)
    torch.manual_seed(seed)
    student = build_seeded(recipe, data)
    if recipe.model.copy_teacher and teacher is not None:
        copy_teacher(student, teacher.cpu())
        teacher.to(fabric.device)
    guide = teacher if recipe.needs_teacher() else None
    fit_network(recipe, fabric, student, guide, sets, data, folder, "student", quiet)
    evaluation = save_evaluation(folder, recipe, student, sets, fabric)
    fabric.barrier()
    return RunResult(folder, student.eval(), evaluation, fabric.is_global_zero)


def evaluate(
    path: str | Path,
    *,
    split: str = "test",
    data_dir: str | Path | None = None,
    which: str = "last",
    batch_size: int = 256,
) -> dict[str, Any]:
    """Measure the network of a run folder or checkpoint on a split of its data set.

    Returns:
        {"dataset", "split", "n", "top1", "top5", "loss", "note"}; percent, and what to know about the data.
    """
    from onebit.training.recipe_files import recipe_from_dict

    model, checkpoint = load_model(path, which)
    recipe = recipe_from_dict(checkpoint["recipe"])
    dataset = load_split(recipe, split, data_dir, False)
    if len(dataset.classes) != checkpoint["data"]["num_classes"]:
        raise UsageError(
            f"the network knows {checkpoint['data']['num_classes']} classes, {dataset.name} has {len(dataset.classes)}"
        )
    batches = Batches(dataset, batch_size, seed=0, train=False, augment=_evaluation_crop(recipe))
    result = evaluate_model(model, batches)
    return {"dataset": dataset.name, "split": split, **result, "note": dataset.note}


def make_fabric(recipe: Recipe) -> Any:
    """Lightning Fabric as the recipe asks, launched."""
    from lightning_fabric import Fabric

    config = recipe.training
    if config.threads:
        torch.set_num_threads(config.threads)
    fabric = Fabric(accelerator=config.accelerator, devices=config.devices, precision=config.precision)
    fabric.launch()
    return fabric


def load_split(recipe: Recipe, split: str, data_dir: str | Path | None, download: bool) -> Any:
    """One split of the recipe's data set."""
    config = recipe.data
    return load_dataset(
        config.dataset,
        split,
        data_dir=data_dir,
        holdout=config.holdout,
        limit=config.limit if split == "train" and config.limit else None,
        download=download,
        image_size=config.image_size or None,
        hub=config.hub or None,
    )


def load_splits(recipe: Recipe, data_dir: str | Path | None, download: bool) -> dict[str, Any]:
    """train, holdout (or None) and test of the recipe's data set."""
    holdout = load_split(recipe, "holdout", data_dir, download) if recipe.data.holdout else None
    return {
        "train": load_split(recipe, "train", data_dir, download),
        "holdout": holdout,
        "test": load_split(recipe, "test", data_dir, download),
    }


def describe(dataset: Any, recipe: Recipe) -> dict[str, Any]:
    """What a checkpoint keeps of its data set, enough to build the network and to feed it."""
    channels, height, width = Batches(dataset, 2, seed=0, train=True, augment=recipe.data.augment).shape
    if height != width:
        raise UsageError(
            f"{dataset.name} gives {height}x{width} images; set data.augment.crop or data.image_size to make them square"
        )
    return {
        "num_classes": len(dataset.classes),
        "in_channels": channels,
        "image_size": height,
        "classes": list(dataset.classes),
        "mean": list(dataset.mean),
        "std": list(dataset.std),
    }


def build_seeded(recipe: Recipe, data: dict[str, Any]) -> nn.Module:
    """The recipe's network, drawn from its seed alone."""
    torch.manual_seed(recipe.training.seed)
    return build_model(recipe, data)


def fit_network(
    recipe: Recipe,
    fabric: Any,
    model: nn.Module,
    teacher: nn.Module | None,
    sets: dict[str, Any],
    data: dict[str, Any],
    folder: Path,
    role: str,
    quiet: bool,
) -> None:
    """Train one network into its folder."""
    model.to(device=fabric.device, memory_format=torch.channels_last)
    common = {"device": fabric.device, "rank": fabric.global_rank, "world_size": fabric.world_size}
    config, seed = recipe.data, recipe.training.seed
    learn = {**common, "train": True, "augment": config.augment, "workers": config.workers}
    train = Batches(sets["train"], config.batch_size, seed=seed, **learn)
    # The refresh sees the same images in another order and with other crops.
    refresh = Batches(sets["train"], config.batch_size, seed=seed + 1_000_003, **learn)
    holdout = None
    if sets["holdout"] is not None:
        measure = {**common, "train": False, "augment": _evaluation_crop(recipe), "workers": config.workers}
        holdout = Batches(sets["holdout"], max(256, config.batch_size), seed=0, **measure)
    if fabric.is_global_zero:
        (folder / "checkpoints").mkdir(parents=True, exist_ok=True)
        write_text(folder / "recipe.toml", recipe_to_toml(recipe))
        write_text(folder / "environment.json", json.dumps(environment(fabric), indent=1) + "\n")
    fabric.barrier()
    Fit(recipe, fabric, model, teacher, train, holdout, refresh, data, folder, role, quiet).run()


def save_evaluation(
    folder: Path, recipe: Recipe, model: nn.Module, sets: dict[str, Any], fabric: Any, details: bool = True
) -> dict[str, Any]:
    """Measure the trained network on test and hold-out and write evaluation.json, examples.npz and kernels.npz."""
    result: dict[str, Any] = {}
    augment = _evaluation_crop(recipe)
    for split in ("test", "holdout"):
        if sets[split] is None:
            continue
        common = {"device": fabric.device, "rank": fabric.global_rank, "world_size": fabric.world_size}
        batches = Batches(sets[split], 256, seed=0, train=False, augment=augment, workers=recipe.data.workers, **common)
        figures = evaluate_model(model, batches, fabric=fabric, confusion=split == "test")
        if split == "test":
            note = sets[split].note
            result = {
                "dataset": sets[split].name,
                "split": split,
                "note": note,
                **figures,
                "classes": sets[split].classes,
            }
        else:
            result["holdout"] = figures
    teacher_file = folder / "teacher" / "evaluation.json"
    result["teacher"] = None
    if teacher_file.exists():
        known = json.loads(teacher_file.read_text())
        result["teacher"] = {key: known[key] for key in ("n", "top1", "top5", "loss", "holdout") if key in known}
    if fabric.is_global_zero:
        write_text(folder / "evaluation.json", json.dumps(result, indent=1) + "\n")
        if details:
            batches = Batches(sets["test"], 256, seed=0, train=False, augment=augment, device=fabric.device)
            examples = {key: value.numpy() for key, value in example_predictions(model, batches).items()}
            write_bytes(folder / "examples.npz", _npz(examples))
            write_bytes(folder / "kernels.npz", _npz(kernel_histograms(model)))
    return result


def prepare_folder(folder: Path, recipe: Recipe, resume: bool) -> None:
    """Refuse to write over a run, or to resume one that is not there.

    Raises:
        UsageError: if the folder holds a run (without resume) or is not a folder.
        CheckpointError: if there is nothing to resume.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file; name a folder for the run")
    started = (folder / "recipe.toml").exists() or (folder / "teacher" / "recipe.toml").exists()
    if started and not resume:
        raise UsageError(
            f"{folder} holds a run already; add --resume to go on with it, or choose another folder (--run-dir)"
        )
    if resume and not started:
        raise CheckpointError(f"{folder} holds no run to resume; leave --resume out to start one")


def environment(fabric: Any) -> dict[str, Any]:
    """What the run ran on."""
    import onebit

    return {
        "onebit": onebit.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "platform": platform.platform(),
        "processor": _processor(),
        "threads": torch.get_num_threads(),
        "processes": fabric.world_size,
        "device": torch.cuda.get_device_name(fabric.device) if fabric.device.type == "cuda" else str(fabric.device),
        "git": _commit(),
        "started": now(),
        "command": " ".join(sys.argv),
    }


def _evaluation_crop(recipe: Recipe) -> Augment:
    return Augment(crop=recipe.data.augment.crop)


def _npz(arrays: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def _commit() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
