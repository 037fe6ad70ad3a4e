"""onebit export RUN|CHECKPOINT|FILE --to onnx|openvino."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from onebit.cli.arguments import parse, print_json, print_table
from onebit.errors import UsageError


@dataclass
class Arguments:
    """Write a trained or packed network as ONNX (standard operators) or OpenVINO (its binary convolution), and check the answers.

    Example: onebit export runs/digits-demo --to onnx -o digits.onnx
    """

    path: Annotated[Path, tyro.conf.Positional]
    """A run folder, a checkpoint, or a .onebit file."""
    to: Literal["onnx", "openvino"]
    """The format."""
    output: Annotated[Path | None, tyro.conf.arg(aliases=["-o"])] = None
    """The file to write (default: the network's name with .onnx or .xml)."""
    precision: Literal["float32", "int16", "int8"] = "float32"
    """What real layers compute in, where there is something to pack; with integers the model takes uint8 pixels."""
    which: Literal["last", "best"] = "last"
    """Which checkpoint of a run folder."""
    images: int = 16
    """How many drawn images the answers are compared on; 0 leaves that out."""
    json: bool = False
    """Print what was written and checked as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "export", argv)
    ending = ".onnx" if arguments.to == "onnx" else ".xml"
    if arguments.output is not None and arguments.output.suffix != ending:
        raise UsageError(f"--to {arguments.to} writes a {ending} file, got {arguments.output}")
    from onebit.deploy.export_onnx import need
    from onebit.deploy.from_run import is_packed, open_packed

    if is_packed(arguments.path) and arguments.precision != "float32":
        raise UsageError(f"{arguments.path} is packed already; --precision is chosen when a network is packed")
    for package in ("onnx", "onnxruntime")[: 1 + (arguments.images > 0)] if arguments.to == "onnx" else ("openvino",):
        need(package, arguments.to)
    packed = open_packed(arguments.path, which=arguments.which, precision=arguments.precision)
    output = arguments.output or Path(f"{packed.metadata.get('model') or arguments.path.stem}{ending}")
    files, rows = (
        _onnx(packed, output, arguments.images)
        if arguments.to == "onnx"
        else _openvino(packed, output, arguments.images)
    )
    for path in files:
        print(f"written: {path}", file=sys.stderr)
    sizes = sum(path.stat().st_size for path in files)
    if arguments.json:
        print_json({"format": arguments.to, "files": list(map(str, files)), "bytes": sizes, "checked": rows})
        return
    from onebit.reports import Column, Table

    columns = ["in", "images", "same class", Column("largest difference", ".2g"), "binary layers"]
    keys = ("runtime", "images", "same_class", "largest_difference", "binary_layers")
    table = Table(f"{output}: {sizes:,} bytes", columns, [[row.get(key) for key in keys] for row in rows])
    print_table(table.without_empty_columns())


def _onnx(packed: Any, output: Path, images: int) -> tuple[list[Path], list[dict[str, Any]]]:
    from onebit.deploy.export_check import check_onnx, random_pixels
    from onebit.deploy.export_onnx import to_onnx
    from onebit.files import write_bytes

    write_bytes(output, to_onnx(packed.program).SerializeToString())
    return [output], check_onnx(output, packed, random_pixels(packed.program, images)) if images > 0 else []


def _openvino(packed: Any, output: Path, images: int) -> tuple[list[Path], list[dict[str, Any]]]:
    from onebit.deploy.export_check import check_openvino, random_pixels
    from onebit.deploy.export_openvino import save_openvino, to_openvino

    files = save_openvino(to_openvino(packed.program), output)
    return files, check_openvino(output, packed, random_pixels(packed.program, images)) if images > 0 else []
