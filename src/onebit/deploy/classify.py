"""Image files through a packed classifier."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import torch

from onebit.deploy.images import read_pixels
from onebit.deploy.packed_model import PackedModel
from onebit.errors import UsageError


def classify(packed: PackedModel, paths: Sequence[str | os.PathLike[str]], top: int = 5) -> list[dict[str, Any]]:
    """The likeliest classes of image files, best first.

    Returns:
        for every file {"image", "classes": [{"index", "name", "score"}, ...], "ms"}: score is the softmax of the outputs, ms the
        wall time of the network alone, after a first run that does not count.
    Raises:
        UsageError: for a network that is no classifier or takes no pixels. DataError: for a file that is no image.
    """
    if not paths:
        raise UsageError("no image is named; give one or more image files")
    program = packed.program
    if not program.takes_pixels_only and "scale" not in program.operations[0].tensors:
        raise UsageError(
            "this network was packed without mean and std, so that it takes no image files; pack it with them"
        )
    names = packed.metadata.get("classes")
    found: list[dict[str, Any]] = []
    for path in paths:
        pixels = read_pixels(path, program)
        if not found:
            packed(pixels)
        started = time.perf_counter()
        outputs = packed(pixels)
        elapsed = time.perf_counter() - started
        if outputs.ndim != 2:
            raise UsageError(f"this network is no classifier: its output for an image has shape {outputs.shape[1:]}")
        scores = torch.from_numpy(outputs[0]).double().softmax(0)
        best = scores.topk(min(top, len(scores)))
        classes = [
            {"index": index, "name": names[index] if names else str(index), "score": score}
            for score, index in zip(best.values.tolist(), best.indices.tolist(), strict=True)
        ]
        found.append({"image": os.fspath(path), "classes": classes, "ms": 1e3 * elapsed})
    return found
