"""onebit bench FILE.onebit|RUN|MODEL."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from onebit.cli.arguments import parse, print_json, print_table
from onebit.errors import UsageError

if TYPE_CHECKING:
    from onebit.deploy.packed_model import PackedModel
    from onebit.reports import Table


@dataclass
class Arguments:
    """Time a packed network against other engines in interleaved rounds, one image at a time.

    The others run its float twin (ReLU and real convolutions in the same structure), ONNX Runtime in int8, too, and OpenVINO the
    same 1-bit network. With one thread processor time counts, with more wall time on otherwise idle cores.
    Example: onebit bench bireal_resnet18 --method bireal --against onnxruntime,openvino --figure times.svg
    """

    target: Annotated[str, tyro.conf.Positional]
    """A .onebit file, a run folder or checkpoint, or a model by name (see `onebit list models`), with drawn weights."""
    method: str = "bireal"
    """For a model by name: how its layers are binarised."""
    against: str | None = None
    """Engines, with commas between: torch, torch-compiled, onnxruntime, openvino, or none (default: all that are installed,
    without torch-compiled)."""
    threads: int = 1
    """Threads of every engine."""
    input: str = "3,224,224"
    """For a model by name: channels,height,width."""
    num_classes: int = 1000
    """For a model by name: of the classifier."""
    widths: tuple[int, ...] | None = None
    """For a model by name: widths, if not those of the papers."""
    option: tuple[str, ...] = ()
    """For a model by name: further options, such as growth=64."""
    precision: Literal["float32", "int16", "int8"] = "float32"
    """What real layers compute in, where there is something to pack."""
    kernel: str | None = None
    """Force our kernel: avx512, avx2, neon, portable, reference."""
    rounds: int = 15
    """How often every engine has its turn."""
    profile: bool = False
    """Also print where our engine's time goes, step by step."""
    json: bool = False
    """Print the times as JSON."""
    csv: Path | None = None
    """Also write them to this file, with the ratios' spread, as CSV."""
    figure: Path | None = None
    """Also draw them as bars: a file that ends in .svg or .png."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "bench", argv)
    from onebit.deploy.peers import contenders, installed_peers
    from onebit.deploy.timing import measure
    from onebit.files import write_bytes, write_text
    from onebit.reports.reproduction import figure_kind
    from onebit.reports.speed import speed_figure, speed_json, speed_table

    if arguments.profile and arguments.json:
        raise UsageError("--profile prints a second table, --json one object; leave one of them out")
    kind = figure_kind(arguments.figure) if arguments.figure is not None else ""
    wanted = installed_peers() if arguments.against is None else arguments.against.split(",")
    packed = _packed(arguments)
    name = str(packed.metadata.get("model") or Path(arguments.target).stem)
    found = contenders(packed, [peer for peer in wanted if peer not in ("", "none")], name=name)
    timings = measure(found, arguments.threads, arguments.rounds)
    table = speed_table(timings, arguments.threads)
    if arguments.csv is not None:
        write_text(arguments.csv, table.csv())
    if arguments.figure is not None:
        write_bytes(arguments.figure, speed_figure(timings, kind))
    for path in filter(None, (arguments.csv, arguments.figure)):
        print(f"written: {path}", file=sys.stderr)
    if arguments.json:
        print_json(speed_json(timings, arguments.threads))
    else:
        print_table(table)
    if arguments.profile:
        print_table(_profile(packed, arguments))


def _profile(packed: PackedModel, arguments: Arguments) -> Table:
    from onebit.deploy.peers import images_for
    from onebit.reports.speed import profile_table

    model = packed.using(kernel=arguments.kernel, threads=arguments.threads)
    return profile_table(model.profile(images_for(model.program), 10 * arguments.rounds), model.kernel)


def _packed(arguments: Arguments) -> PackedModel:
    from onebit.deploy.from_run import is_packed, open_packed
    from onebit.deploy.pack import pack
    from onebit.deploy.packed_model import PackedModel

    path, precision = Path(arguments.target), arguments.precision
    if is_packed(path) or path.exists():
        if is_packed(path) and precision != "float32":
            raise UsageError(f"{path} is packed already; --precision is chosen when a network is packed")
        return open_packed(path, precision=precision, kernel=arguments.kernel)
    from onebit.cli.networks import named_network, parse_shape

    shape = parse_shape(arguments.input)
    network = named_network(
        arguments.target, arguments.method, arguments.num_classes, shape, arguments.widths, arguments.option
    )
    names = {"model": arguments.target, "method": arguments.method}
    mean, std = [0.45] * shape[0], [0.225] * shape[0]
    packed = pack(network.eval(), shape, precision=precision, mean=mean, std=std, metadata=names)
    assert isinstance(packed, PackedModel)
    return packed.using(kernel=arguments.kernel)
