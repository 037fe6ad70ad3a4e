"""Checkpoints: atomic, loaded as data alone, and refused with one sentence when they are not whole or not ours."""

from __future__ import annotations

import io
import os
import zipfile
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onebit.errors import CheckpointError, UsageError
from onebit.files import write_bytes
from onebit.models import create_model
from onebit.training.recipe import Recipe
from onebit.training.recipe_files import recipe_from_dict, recipe_to_dict

FORMAT = "onebit-checkpoint"
VERSION = 1


def save_checkpoint(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint in one atomic step; what stood there before survives any failure."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, "version": VERSION, **state}, buffer)
    write_bytes(path, buffer.getvalue())


def read_tensors(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Whatever dictionary of tensors and plain values a torch file holds; nothing in it is executed.

    Raises:
        CheckpointError: if the file is missing, truncated, or holds anything but data.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"there is no checkpoint {path}")
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch.load does not look at the checksums
                if archive.testzip() is not None:
                    raise zipfile.BadZipFile
        content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror}") from error
    except Exception as error:
        raise CheckpointError(
            f"{path} ({path.stat().st_size} bytes) cannot be read as a checkpoint: it is truncated, damaged, or holds more than "
            "tensors and plain values. Take an earlier one (checkpoints/best.pt), or save a state_dict with torch.save."
        ) from error
    if not isinstance(content, dict):
        raise CheckpointError(
            f"{path} holds a {type(content).__name__}, not a dictionary of tensors; save model.state_dict()"
        )
    return content


def load_checkpoint(path: str | os.PathLike[str]) -> dict[str, Any]:
    """A checkpoint that :func:`save_checkpoint` wrote.

    Raises:
        CheckpointError: as :func:`read_tensors`, and for a foreign file or another version.
    """
    content = read_tensors(path)
    if content.get("format") != FORMAT:
        raise CheckpointError(f"{path} is a torch file, but not a onebit checkpoint (it has no format mark {FORMAT!r})")
    if content.get("version") != VERSION:
        raise CheckpointError(
            f"{path} is a onebit checkpoint of version {content.get('version')}; this onebit reads version {VERSION}"
        )
    missing = [key for key in ("recipe", "data", "epoch", "model") if key not in content]
    if missing:
        raise CheckpointError(f"{path} is not a whole onebit checkpoint: {', '.join(missing)} missing")
    return content


def find_checkpoint(path: str | os.PathLike[str], which: str = "last") -> Path:
    """The checkpoint file that a run folder or a file name stands for."""
    path = Path(path)
    if path.is_dir():
        file = path / "checkpoints" / f"{which}.pt"
        if not file.is_file():
            raise CheckpointError(f"{path} holds no {which} checkpoint ({file} is missing); was the run ever started?")
        return file
    return path


def build_model(recipe: Recipe, data: dict[str, Any]) -> nn.Module:
    """The network of a recipe; ``data`` says num_classes, in_channels and image_size (a checkpoint keeps them)."""
    options: dict[str, Any] = dict(recipe.model.options)
    if recipe.model.widths:
        options["widths"] = recipe.model.widths
    try:
        return create_model(
            recipe.model.name,
            recipe.method.name,
            num_classes=data["num_classes"],
            in_channels=data["in_channels"],
            image_size=data["image_size"],
            method_options=recipe.method.options,
            **options,
        )
    except (TypeError, ValueError) as error:  # an option of the wrong type
        given = {**options, **recipe.method.options}
        raise UsageError(
            f"model {recipe.model.name!r} with method {recipe.method.name!r} cannot be built with {given}: {error}"
        ) from error


def load_model(path: str | os.PathLike[str], which: str = "last") -> tuple[nn.Module, dict[str, Any]]:
    """The trained network of a run folder or checkpoint, in evaluation mode, and the checkpoint.

    Raises:
        CheckpointError: if the file cannot be read or its weights do not fit its recipe.
    """
    file = find_checkpoint(path, which)
    checkpoint = load_checkpoint(file)
    model = build_model(recipe_from_dict(checkpoint["recipe"]), checkpoint["data"])
    load_weights(model, checkpoint.get("ema") or checkpoint["model"], str(file))
    return model.eval(), checkpoint


def load_weights(model: nn.Module, state: dict[str, Any], origin: str) -> None:
    """Load a state_dict, or say in one sentence what does not fit.

    Raises:
        CheckpointError: with the first missing, unexpected or differently shaped tensors.
    """
    own = model.state_dict()
    # Networks saved from inside a wrapper carry its name in front of every key.
    for prefix in ("module.", "model.", "_orig_mod."):
        if state and all(key.startswith(prefix) for key in state) and not any(key.startswith(prefix) for key in own):
            state = {key.removeprefix(prefix): value for key, value in state.items()}
    missing = sorted(own.keys() - state.keys())
    unexpected = sorted(state.keys() - own.keys())
    shapes = [k for k in sorted(own.keys() & state.keys()) if getattr(state[k], "shape", None) != own[k].shape]
    if missing or unexpected or shapes:
        parts = [
            f"{len(names)} {label} (first: {names[0]})"
            for names, label in ((missing, "missing"), (unexpected, "unexpected"))
            if names
        ]
        if shapes:
            key = shapes[0]
            got = tuple(getattr(state[key], "shape", ()))
            parts.append(f"{len(shapes)} of another shape (first: {key}, {got} not {tuple(own[key].shape)})")
        raise CheckpointError(f"the weights in {origin} do not fit this network: {', '.join(parts)}")
    model.load_state_dict(state)


def resume_check(checkpoint: dict[str, Any], recipe: Recipe, origin: Path) -> None:
    """Refuse to continue a run under another recipe.

    Raises:
        UsageError: naming the first key that differs.
    """
    # Read as a recipe first, so that a key added since takes its default.
    old, new = (_flatten(recipe_to_dict(r)) for r in (recipe_from_dict(checkpoint["recipe"]), recipe))
    for key in sorted(new.keys() - {"description", "data.workers"}):
        if old[key] != new[key]:
            raise UsageError(
                f"{origin} was trained with {key} = {old.get(key)!r}, this recipe has {new.get(key)!r}; "
                "resume with the same recipe, or start in a new folder (--run-dir, --out)"
            )


def _flatten(table: dict[str, Any], path: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in table.items():
        flat |= _flatten(value, f"{path}{key}.") if isinstance(value, dict) else {f"{path}{key}": value}
    return flat
