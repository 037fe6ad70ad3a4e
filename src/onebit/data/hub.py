"""Image data sets of the Hugging Face hub, through the optional package ``datasets`` (extra ``hub``).

That package downloads and caches by its own rules (``HF_HOME``, ``HF_HUB_OFFLINE``); a local folder of parquet or image
files works in place of a name. Images are decoded here, like those of folders, by worker processes.
"""

from __future__ import annotations

import importlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from onebit.data.dataset import DATASETS, DatasetInfo, check_holdout, check_labels
from onebit.data.folder import IMAGE_SIZE, FolderDataset, choose
from onebit.errors import DataError, UsageError

_TEST_SPLITS = ("test", "validation", "valid", "val")
_LABELS = ("label", "labels", "fine_label", "class")


@dataclass
class HubDataset(FolderDataset):
    """Rows of a hub data set in place of files; ``paths`` are ``name[row]``, for messages."""

    rows: Any = None
    column: str = "image"

    def where(self, index: int) -> str:
        return self.paths[index]

    def open(self, index: int) -> Image.Image:
        cell = self.rows[index][self.column]
        if isinstance(cell, Image.Image):
            return cell
        return Image.open(io.BytesIO(cell["bytes"]) if cell.get("bytes") else cell["path"])


def load_hub(
    hub: str | None, split: str, *, holdout: int = 0, limit: int | None = None, image_size: int | None = None
) -> HubDataset:
    """Load one split of a hub data set: ``"owner/name"``, ``"owner/name:configuration"`` or a local folder.

    The column of images and the column of labels are found by their types. ``test`` is the first labelled one of test,
    validation, valid and val. Raises UsageError without a name, DataError for whatever cannot be loaded or understood.
    """
    if not hub:
        raise UsageError(
            "the data set 'hub' needs the name of one there: give hub='owner/name' (--data.hub owner/name)"
        )
    package = _package()
    parts = _load(package, hub)
    rows, image, label = _labelled_rows(parts, split, hub)
    labels, classes = _labels(parts.get("train", rows), rows, label, hub)
    if split != "test":
        check_holdout(holdout, len(labels), hub)
    chosen = choose([str(row) for row in range(len(labels))], split, holdout, limit)
    return HubDataset(
        name="hub",
        split=split,
        root=Path(hub),
        paths=[f"{hub}[{row}]" for row in chosen],
        labels=torch.from_numpy(labels[chosen]),
        classes=classes,
        image_size=image_size or IMAGE_SIZE,
        rows=rows.cast_column(image, package.Image(decode=False)).select(chosen),
        column=image,
    )


def _package() -> Any:
    try:
        return importlib.import_module("datasets")
    except ImportError as error:
        raise DataError(
            f"data sets of the hub need the package 'datasets' ({error}); install it with: pip install 'onebit[hub]'"
        ) from error


def _load(package: Any, hub: str) -> Mapping[str, Any]:
    name, _, configuration = (hub, "", "") if Path(hub).is_dir() else hub.partition(":")
    try:
        parts = package.load_dataset(name, configuration or None)
    # The package raises errors of its own, of the network's and of many libraries below it.
    except Exception as error:
        reason = str(error).strip().splitlines()
        raise DataError(
            f"the hub data set {hub!r} cannot be loaded ({type(error).__name__}: "
            f"{reason[0] if reason else 'no reason given'}); "
            "check its name on https://huggingface.co/datasets and the network"
        ) from error
    if not isinstance(parts, Mapping):
        raise DataError(f"the hub data set {hub!r} came as {type(parts).__name__}, expected a dictionary of splits")
    return parts


def _labelled_rows(parts: Mapping[str, Any], split: str, hub: str) -> tuple[Any, str, str]:
    names = [name for name in (_TEST_SPLITS if split == "test" else ("train",)) if name in parts]
    if not names:
        wanted = "test or validation" if split == "test" else "train"
        raise DataError(f"the hub data set {hub!r} has no {wanted} split; it has {', '.join(parts) or 'none'}")
    for name in names:
        rows = parts[name]
        image, label = _columns(rows, hub)
        # Competitions publish their test split with -1 for every label.
        if name == names[-1] or not len(rows) or rows[0][label] not in (-1, None):
            break
    return rows, image, label


def _columns(rows: Any, hub: str) -> tuple[str, str]:
    kinds = {name: type(feature).__name__ for name, feature in rows.features.items()}
    images = [name for name, kind in kinds.items() if kind == "Image"]
    labelled = [name for name in _LABELS if kinds.get(name) in ("ClassLabel", "Value")]
    labelled += [name for name, kind in kinds.items() if kind == "ClassLabel"]
    if not images or not labelled:
        listed = ", ".join(f"{name} ({kind})" for name, kind in kinds.items())
        raise DataError(f"the hub data set {hub!r} has no column of images with one of labels; its columns: {listed}")
    return images[0], labelled[0]


def _labels(train: Any, rows: Any, column: str, hub: str) -> tuple[np.ndarray, list[str]]:
    values = list(rows[column])
    if None in values:
        raise DataError(
            f"the hub data set {hub!r} has no label in row {values.index(None)} (None in the column {column!r}); "
            "use a split or a configuration in which every image has one"
        )
    names = getattr(rows.features[column], "names", None)
    if names is None:
        # Plain numbers or words: the classes are those of the train split, in order.
        known = sorted({value for value in train[column] if value is not None})
        numbers = {value: number for number, value in enumerate(known)}
        unknown = next((value for value in values if value not in numbers), None)
        if unknown is not None:
            raise DataError(f"the hub data set {hub!r} has the label {unknown!r}, which its train split does not have")
        return np.array([numbers[value] for value in values], np.int64), [str(value) for value in known]
    labels = np.array(values, np.int64)
    check_labels(labels, len(names), f"the hub data set {hub!r}")
    return labels, list(names)


DATASETS.add(
    "hub",
    DatasetInfo(
        name="hub",
        title="Any image data set of the Hugging Face hub (extra: hub)",
        source="https://huggingface.co/datasets",
    ),
)
