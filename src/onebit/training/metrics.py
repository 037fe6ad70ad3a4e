"""What a run writes down while it goes on: JSON lines, TensorBoard where it is installed, and meters for means."""

from __future__ import annotations

import datetime
import importlib.util
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from onebit.errors import OnebitError
from onebit.files import write_text
from onebit.nn import BinaryLayer


def now() -> str:
    """The time in UTC, ISO 8601, to the second."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


class Mean:
    """Running means of named values; tensors are summed where they are and read once."""

    def __init__(self) -> None:
        self.sums: dict[str, Any] = {}
        self.counts: dict[str, float] = {}

    def add(self, values: dict[str, Any], weight: float = 1.0) -> None:
        for name, value in values.items():
            value = value.detach() if isinstance(value, Tensor) else value
            self.sums[name] = self.sums.get(name, 0.0) + value * weight
            self.counts[name] = self.counts.get(name, 0.0) + weight

    def read(self) -> dict[str, float]:
        return {name: float(total) / self.counts[name] for name, total in self.sums.items() if self.counts[name]}


def start_record(model: nn.Module, role: str, epochs: int, steps: int) -> dict[str, Any]:
    """The first line of a log: whose it is, how large the network and how long the run."""
    binary = sum(module.weight.numel() for module in model.modules() if isinstance(module, BinaryLayer))
    total = sum(p.numel() for p in model.parameters())
    sizes = {"parameters": total, "binary_parameters": binary, "epochs": epochs, "steps_per_epoch": steps}
    return {"event": "start", "role": role, **sizes, "time": now()}


def flips(layers: dict[str, BinaryLayer], before: dict[str, Tensor]) -> dict[str, Any]:
    """The share of latent weights whose sign (``weight >= 0``) is no longer what ``before`` has, in all and per layer."""
    if not before:
        return {}
    changed = {n: ((layers[n].weight.detach() >= 0) != signs).sum().item() for n, signs in before.items()}
    sizes = {name: signs.numel() for name, signs in before.items()}
    per_layer = {name: changed[name] / sizes[name] for name in before}
    return {"flips": sum(changed.values()) / sum(sizes.values()), "flips_per_layer": per_layer}


def matrix_figures(layers: dict[str, BinaryLayer]) -> dict[str, float] | None:
    """Least, mean and share of negative entries of all learnable matrices C together; None where there is none."""
    matrices = [p.detach().flatten() for m in layers.values() if (p := getattr(m, "matrix", None)) is not None]
    if not matrices:
        return None
    every = torch.cat(matrices)
    share = (every < 0).float().mean().item()
    return {"min": every.min().item(), "mean": every.mean().item(), "negative_share": share}


class MetricsLog:
    """``metrics.jsonl`` of a run folder: one JSON object a line, each line on disk before training goes on."""

    def __init__(self, folder: Path, tensorboard: bool = True) -> None:
        self.path = folder / "metrics.jsonl"
        self._board = None
        if tensorboard and importlib.util.find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self._board = SummaryWriter(str(folder / "tensorboard"))

    def rewind(self, epoch: int) -> None:
        """Drop what was written after ``epoch`` (a run that was killed is resumed from its last checkpoint); 0 drops all."""
        if not self.path.exists():
            return
        kept = []
        for line in self.path.read_text().splitlines():
            try:
                record = json.loads(line)
            except json.JSONDecodeError:
                continue
            if epoch and record.get("event") != "end" and record.get("epoch", 0) <= epoch:
                kept.append(json.dumps(record))
        write_text(self.path, "".join(line + "\n" for line in kept))

    def write(self, record: dict[str, Any]) -> None:
        try:
            with self.path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(_plain(record)) + "\n")
        except OSError as error:
            raise OnebitError(
                f"cannot write {self.path}: {error.strerror or error}; the last checkpoint is untouched. "
                "Make room and continue with --resume."
            ) from error
        if self._board is not None and record.get("event") == "epoch":
            for name, value in _scalars(record):
                self._board.add_scalar(name, value, record["epoch"])
            self._board.flush()

    def close(self) -> None:
        if self._board is not None:
            self._board.close()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, float):
        return float(f"{value:.6g}") if math.isfinite(value) else None
    return value


def _scalars(record: dict[str, Any], prefix: str = "") -> list[tuple[str, float]]:
    found = []
    for key, value in record.items():
        if isinstance(value, dict):
            found += _scalars(value, f"{prefix}{key}/")
        elif isinstance(value, (int, float)) and not isinstance(value, bool) and key not in ("epoch", "step"):
            found.append((prefix + key, float(value)))
    return found
