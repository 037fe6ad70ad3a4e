"""Reading a run folder leniently: a killed run, a truncated line or a missing file still gives what is there."""

from __future__ import annotations

import json
import math
import os
import tomllib
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from onebit.errors import CheckpointError
from onebit.reports.metrics import Log, read_log, scores
from onebit.reports.records import Evaluation, Examples, Kernel, Role, Run
from onebit.reports.values import clean, integer, number, numbers, table, text

_MARKS = ("metrics.jsonl", "recipe.toml")


def read_run(run_dir: str | os.PathLike[str], *, role: Role = "student", arrays: bool = True) -> Run:
    """Everything a run folder holds; ``role`` is assumed where the log does not say it.

    ``arrays=False`` leaves example images and kernels alone, which take most of the time.
    Damaged files are left out and named in ``Run.problems``; missing ones are simply missing.
    Raises CheckpointError when ``run_dir`` does not exist or is not a run folder.
    """
    path = Path(run_dir)
    if not path.is_dir():
        what = "is a file, not a run folder" if path.exists() else "does not exist"
        raise CheckpointError(f"{path} {what}; give the folder that `onebit train` wrote (it holds metrics.jsonl).")
    if not any((path / mark).is_file() for mark in _MARKS):
        raise CheckpointError(
            f"{path} is not a run folder: it holds neither metrics.jsonl nor recipe.toml; "
            "give the folder that `onebit train` wrote."
        )
    return _read(path, role, arrays)


def _read(path: Path, role: Role, arrays: bool) -> Run:
    problems: list[str] = []
    log = read_log(path / "metrics.jsonl", problems) if (path / "metrics.jsonl").is_file() else Log()
    recipe_text = clean((path / "recipe.toml").read_bytes()) if (path / "recipe.toml").is_file() else ""
    evaluation = table(_json(path / "evaluation.json", problems))
    teacher = _teacher(path, evaluation, arrays)
    return Run(
        path=path,
        role=log.role or role,
        epochs=log.epochs,
        planned_epochs=log.planned_epochs,
        parameters=log.parameters,
        binary_parameters=log.binary_parameters,
        status=log.status,
        total_seconds=log.seconds,
        recipe=_recipe(recipe_text, problems),
        recipe_text=recipe_text,
        environment=table(_json(path / "environment.json", problems)),
        evaluation=_evaluation(evaluation),
        examples=_examples(path / "examples.npz", problems) if arrays else None,
        kernels=_kernels(path / "kernels.npz", problems) if arrays else (),
        teacher=teacher,
        problems=(*problems, *(f"teacher: {problem}" for problem in (teacher.problems if teacher else ()))),
    )


def _teacher(path: Path, evaluation: dict[str, Any], arrays: bool) -> Run | None:
    """The teacher's own folder; without it, a run that consists of the teacher's scores in the student's evaluation."""
    folder = path / "teacher"
    if any((folder / mark).is_file() for mark in (*_MARKS, "evaluation.json")):
        run = _read(folder, "teacher", arrays)
        if run.evaluation is not None:
            return run
    else:
        run = Run(path=folder, role="teacher")
    same = {key: evaluation.get(key) for key in ("dataset", "split", "n")}
    known = _evaluation(same | table(evaluation.get("teacher"))) if table(evaluation.get("teacher")) else None
    if known is not None:
        return replace(run, evaluation=known)
    return run if run.epochs or run.parameters else None


def _recipe(recipe: str, problems: list[str]) -> dict[str, Any]:
    try:
        return tomllib.loads(recipe)
    except tomllib.TOMLDecodeError as error:
        problems.append(f"recipe.toml is not valid TOML ({error}); it is shown as it stands.")
        return {}


def _json(path: Path, problems: list[str]) -> object:
    if not path.is_file():
        return None
    try:
        return json.loads(path.read_bytes().decode("utf-8", "replace"))
    except (ValueError, RecursionError):
        problems.append(f"{path.name} is damaged and was left out.")
        return None


def _evaluation(record: dict[str, Any]) -> Evaluation | None:
    if not record:
        return None
    classes = record.get("classes")
    return Evaluation(
        dataset=text(record.get("dataset")),
        split=text(record.get("split")),
        note=text(record.get("note")),
        n=integer(record.get("n")),
        scores=scores(record),
        holdout=scores(record.get("holdout")),
        classes=tuple(clean(name) for name in classes) if isinstance(classes, list) else (),
        confusion=_confusion(record.get("confusion")),
    )


def _confusion(rows: object) -> np.ndarray | None:
    if not isinstance(rows, list) or not rows:
        return None
    values = [numbers(row) for row in rows]
    if any(len(row) != len(rows) or not all(math.isfinite(v) and v >= 0 for v in row) for row in values):
        return None
    return np.array(values, dtype=float)


def _arrays(path: Path, problems: list[str]) -> dict[str, np.ndarray]:
    if not path.is_file():
        return {}
    try:
        with path.open("rb") as stream, np.load(stream, allow_pickle=False) as stored:
            return {name: stored[name] for name in stored.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError, zipfile.BadZipFile, zlib.error):
        problems.append(f"{path.name} is damaged and was left out.")
        return {}


def _examples(path: Path, problems: list[str]) -> Examples | None:
    arrays = _arrays(path, problems)
    if not arrays:
        return None
    try:
        images = arrays["images"]
        labels, predictions, probabilities = (
            arrays[name].reshape(-1) for name in ("labels", "predictions", "probabilities")
        )
        if images.ndim != 4 or not len(images) == len(labels) == len(predictions) == len(probabilities):
            raise ValueError(f"images {images.shape} and labels {labels.shape}")
        pixels = np.clip(images, 0, 255).astype(np.uint8)
        pixels = pixels.transpose(0, 2, 3, 1) if pixels.shape[1] == 3 else pixels[:, 0]
        return Examples(pixels, labels.astype(int), predictions.astype(int), probabilities.astype(float))
    except (KeyError, ValueError, IndexError, TypeError) as error:
        problems.append(f"examples.npz does not hold what a run writes there and was left out ({clean(error)}).")
        return None


def _kernels(path: Path, problems: list[str]) -> tuple[Kernel, ...]:
    arrays = _arrays(path, problems)
    kernels = []
    for layer in dict.fromkeys(name.rpartition(":")[0] for name in arrays):
        parts = {part: arrays.get(f"{layer}:{part}") for part in ("edges", "counts", "scaled_levels", "positive")}
        try:
            edges, counts = (np.asarray(parts[part], dtype=float).reshape(-1) for part in ("edges", "counts"))
            levels = parts["scaled_levels"]
            levels = np.empty(0) if levels is None else np.asarray(levels, dtype=float).reshape(-1)
            positive = (
                None if parts["positive"] is None else number(float(np.asarray(parts["positive"]).reshape(-1)[0]))
            )
            if len(edges) != len(counts) + 1 or not len(counts) or not np.isfinite([*edges, *counts]).all():
                raise ValueError("edges and counts do not fit")
        except (ValueError, TypeError, IndexError):
            problems.append(f"kernels.npz: layer {clean(layer)!r} is incomplete and was left out.")
            continue
        kernels.append(Kernel(clean(layer.replace("/", ".")), edges, counts, levels[np.isfinite(levels)], positive))
    return tuple(kernels)
