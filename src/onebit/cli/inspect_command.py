"""onebit inspect FILE.onebit."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from onebit.cli.arguments import parse, print_json, print_table
from onebit.errors import UsageError

if TYPE_CHECKING:
    from onebit.deploy.packed_model import PackedModel


@dataclass
class Arguments:
    """What is in a packed network: its size against float32, where it comes from, every layer with its bits and bytes.

    Nothing in the file is executed. Example: onebit inspect digits.onebit --weights stages.0.0.conv
    """

    file: Annotated[Path, tyro.conf.Positional]
    """A .onebit file."""
    weights: str | None = None
    """Print the +1 and -1 weights of the binary layer with this module path (see the table) instead."""
    save: Path | None = None
    """With --weights: write them to this .npy file instead, as int8, in torch's order."""
    json: bool = False
    """Print everything as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "inspect", argv)
    if arguments.save is not None and arguments.weights is None:
        raise UsageError("--save goes with --weights and the module path of a binary layer")
    if arguments.save is not None and arguments.save.suffix != ".npy":
        raise UsageError(f"--save writes a .npy file, got {arguments.save}")
    from onebit.deploy.packed_model import load

    packed = load(arguments.file, kernel="python")
    if arguments.weights is not None:
        _weights(packed, arguments.weights, arguments)
        return
    from onebit.deploy.inspection import inspection

    facts = {"file": str(arguments.file), **inspection(packed)}
    if arguments.json:
        print_json(facts)
        return
    print_table(_summary(facts))
    print_table(_layers(facts))


def _weights(packed: PackedModel, path: str, arguments: Arguments) -> None:
    import io

    import numpy as np

    from onebit.files import write_bytes

    weight = packed.binary_weight(path).numpy().astype(np.int8)
    if arguments.save is not None:
        stream = io.BytesIO()
        np.save(stream, weight)
        write_bytes(arguments.save, stream.getvalue())
        print(f"written: {arguments.save} {weight.shape}", file=sys.stderr)
    if arguments.json:
        print_json({"path": path, "shape": list(weight.shape), "weights": weight.tolist()})
    elif arguments.save is None:
        print(f"{path}: {' x '.join(map(str, weight.shape))}, + is +1 and - is -1, a filter's kernel a line")
        for index in np.ndindex(*weight.shape[:-2]):
            rows = ["".join("+" if value > 0 else "-" for value in row) for row in weight[index]]
            print(f"{','.join(map(str, index))}: {' '.join(rows)}")


def _summary(facts: dict[str, Any]) -> Any:
    from onebit.reports import Table

    run = facts["run"] or {}
    listed = facts["classes"] or []
    classes = ", ".join(listed[:8]) + (f", ... ({len(listed)})" if len(listed) > 8 else "")
    origin = ", ".join(f"{key} {run[key]}" for key in ("recipe", "folder", "seed", "epoch") if key in run)
    rows = [
        ("file", f"{facts['file']}, version {facts['version']}, made by {facts['creator'] or 'unknown'}"),
        ("network", " ".join(filter(None, (facts["model"], facts["method"]))) or "of its own"),
        ("images", _joined(facts["input_shape"])),
        (
            "normalisation",
            f"mean {facts['mean']}, std {facts['std']}" if facts["mean"] else "none: takes float32 images",
        ),
        ("real layers", facts["precision"] or "float32"),
        (
            "size",
            f"{facts['bytes']:,} bytes; {facts['float32_bytes']:,} in float32, {facts['ratio']:.1f} times as much",
        ),
        ("classes", classes or "not named"),
        ("trained", origin or "unknown"),
    ]
    return Table("", ["", "what"], rows)


def _layers(facts: dict[str, Any]) -> Any:
    from onebit.reports import Column, Table

    rows = [
        (
            layer["index"],
            layer["kind"],
            layer["path"],
            _joined(layer["output_shape"]),
            _geometry(layer),
            layer["bits"] or None,
            layer["weights"] or None,
            layer["bytes"] or None,
            layer["macs"] or None,
        )
        for layer in facts["layers"]
    ]
    counted = [sum(layer[key] or 0 for layer in facts["layers"]) for key in ("weights", "bytes", "macs")]
    rows.append((None, "all", "", "", "", None, *counted))
    columns = [
        "#",
        "kind",
        "module",
        "output",
        "kernel",
        "bits",
        *(Column(n, ",") for n in ("weights", "bytes", "MACs")),
    ]
    return Table("operations", columns, rows)


def _joined(shape: Sequence[int] | None) -> str:
    return "" if shape is None else "x".join(map(str, shape))


def _geometry(layer: dict[str, Any]) -> str:
    if tuple(layer["kernel"]) == (1, 1) and not layer["weights"]:
        return ""
    text = "x".join(map(str, layer["kernel"]))
    if tuple(layer["stride"]) != (1, 1):
        text += f" /{layer['stride'][0]}" if len(set(layer["stride"])) == 1 else f" /{_joined(layer['stride'])}"
    return text + (f", {layer['groups']} groups" if layer["groups"] > 1 else "")
