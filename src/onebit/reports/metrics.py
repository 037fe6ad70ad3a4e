"""Reading ``metrics.jsonl``: one JSON object per line, the last of which a kill may have cut."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onebit.reports.records import Discriminator, Epoch, Matrix, Role, Scores
from onebit.reports.values import integer, number, number_table, table, text

_MOST_EPOCHS = 1_000_000  # a larger number is damage, and the figures reserve room by it


@dataclass(frozen=True)
class Log:
    """The events of one ``metrics.jsonl``, resumed pieces put together."""

    role: Role | None = None
    epochs: tuple[Epoch, ...] = ()
    planned_epochs: int | None = None
    parameters: int | None = None
    binary_parameters: int | None = None
    status: str | None = None
    seconds: float | None = None


def read_log(path: Path, problems: list[str]) -> Log:
    """The log at ``path``. An epoch that was logged twice (killed, then resumed) counts once, as logged last.

    A cut last line is what a kill leaves and is passed over; damaged lines elsewhere are counted in ``problems``.
    """
    lines = [line for line in path.read_bytes().decode("utf-8", "replace").split("\n") if line.strip()]
    start: dict[str, Any] = {}
    end: dict[str, Any] = {}
    epochs: dict[int, Epoch] = {}
    damaged = 0
    for line in lines:
        event = _event(line)
        kind = event.get("event")
        if kind == "start":
            start, end = event, {}  # a run that goes on after its end is unfinished again
        elif kind == "end":
            end = event
        elif kind == "epoch" and (epoch := _epoch(event)) is not None:
            epochs[epoch.number] = epoch
        elif not event and line is not lines[-1]:
            damaged += 1
    if damaged:
        problems.append(f"metrics.jsonl: {damaged} damaged {'line' if damaged == 1 else 'lines'} left out.")
    role = start.get("role")
    return Log(
        role=role if role in ("student", "teacher") else None,
        epochs=tuple(epochs[key] for key in sorted(epochs)),
        planned_epochs=integer(start.get("epochs")),
        parameters=integer(start.get("parameters")),
        binary_parameters=integer(start.get("binary_parameters")),
        status=text(end.get("status")),
        seconds=number(end.get("seconds")),
    )


def _event(line: str) -> dict[str, Any]:
    """The object on a line; where a resumed run wrote on from where the kill had cut, the last object on it."""
    begin = 0
    while begin >= 0:
        try:
            return table(json.loads(line[begin:]))
        except (ValueError, RecursionError):
            begin = line.find('{"event"', begin + 1)
    return {}


def _epoch(event: dict[str, Any]) -> Epoch | None:
    epoch = integer(event.get("epoch"))
    if epoch is None or not 0 <= epoch <= _MOST_EPOCHS:
        return None
    train = table(event.get("train"))
    terms = {name: value for name, value in number_table(train).items() if name not in ("loss", "top1", "top5")}
    matrix = table(event.get("matrix"))
    return Epoch(
        number=epoch,
        seconds=number(event.get("seconds")),
        images_per_second=number(event.get("images_per_second")),
        rates=number_table(event.get("lr")),
        train=scores(train),
        terms=terms,
        holdout=scores(event.get("holdout")),
        before_refresh=scores(event.get("before_refresh")),
        flips=number(event.get("flips")),
        flips_per_layer=number_table(event.get("flips_per_layer")),
        discriminators={name: _discriminator(part) for name, part in table(event.get("discriminators")).items()},
        gradient_ratio=number(event.get("gradient_ratio")),
        adversarial_weight=number(event.get("adversarial_weight")),
        matrix=Matrix(number(matrix.get("min")), number(matrix.get("mean")), number(matrix.get("negative_share"))),
    )


def scores(record: object) -> Scores:
    """Loss and accuracies out of a dictionary; whatever is not there is ``None``."""
    values = table(record)
    return Scores(number(values.get("loss")), number(values.get("top1")), number(values.get("top5")))


def _discriminator(record: object) -> Discriminator:
    values = table(record)
    return Discriminator(
        accuracy=number(values.get("accuracy")),
        loss=number(values.get("loss")),
        real=number(values.get("real")),
        fake=number(values.get("fake")),
        update_share=number(values.get("update_share")),
    )
