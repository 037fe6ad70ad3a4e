"""The engine against the fastest others: every target row of the packed networks, measured.

Claim: packed 1-bit networks run faster on one core than any engine at hand runs them, or float and int8 networks of their shape.
Hardware: goes into every row of the CSV. Repeats: --rounds interleaved rounds (default 15), batch 1, one image a call.

    python benchmarks/engine.py --csv results/engine.csv --profile results/engine-profile.csv
    python benchmarks/engine.py --threads 2 --csv results/engine-2.csv      # on idle cores only

One thread: all engines in one process, processor time, which other work on the machine changes little. More: a process for each
engine, wall time. Ratios are taken round by round; their median, 10th and 90th percentile are printed. ResNets of the others are
the textbook's (a shortcut over two convolutions, ReLU behind the sum: fewer additions than Bi-Real's structure has), int8 is ONNX
Runtime's static QDQ, weights by channel, activations uint8. Weights are drawn: no time here depends on their values.
"""

from __future__ import annotations

import argparse
import csv
import ctypes
import datetime
import io
import itertools
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onebit.deploy import PackedModel, load, pack
from onebit.deploy.export_onnx import to_onnx
from onebit.deploy.float_twin import float_twin
from onebit.deploy.peers import (
    images_for,
    onnxruntime_contender,
    openvino_contender,
    ours,
    quantise_onnx,
    torch_contender,
)
from onebit.deploy.program import Program
from onebit.deploy.timing import Contender, Timing, measure
from onebit.files import write_text
from onebit.models import create_model
from onebit.reports import Column, Table
from onebit.reports.speed import speed_figure
from onebit.training.environment import processor_name

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
#: multiply-accumulates a cycle that one Zen 4 core can issue, by bits of the weights (avx512): 3 operations for 512 one-bit
#: products, 64 products of bytes, 32 of 16 bits, 16 of floats, at the issue rates that were measured
CEILINGS = {1: 341.3, 8: 64.0, 16: 32.0, 32: 16.0}


class Block(nn.Module):
    """Two convolutions and a shortcut, as in the ResNet paper."""

    def __init__(self, inside: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inside, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels))
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        same = stride == 1 and inside == channels
        shortcut = (nn.Conv2d(inside, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        self.shortcut = nn.Identity() if same else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def textbook_resnet18(widths: Sequence[int], size: int, classes: int) -> nn.Module:
    """ResNet18 of floats; 3x3 stem up to 64 pixels, else 7x7 with pooling."""
    small = size <= 64
    stem = [
        nn.Conv2d(3, widths[0], *((3, 1, 1) if small else (7, 2, 3)), bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    pool = [] if small else [nn.MaxPool2d(3, 2, 1)]
    blocks, inside = [], widths[0]
    for stage, width in enumerate(widths):
        blocks += [Block(inside, width, 2 if stage else 1), Block(width, width, 1)]
        inside = width
    return nn.Sequential(*stem, *pool, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))


def packed(name: str, size: int, classes: int, precision: Any, **options: Any) -> PackedModel:
    torch.manual_seed(0)
    network = create_model(name, "bireal", classes, 3, image_size=size, **options).eval()
    made = pack(network, (3, size, size), precision=precision, mean=MEAN, std=STD, metadata={"model": name})
    assert isinstance(made, PackedModel)
    return made


def float_program(network: nn.Module, size: int) -> Program:
    torch.manual_seed(0)
    made = pack(network.eval(), (3, size, size))
    assert isinstance(made, PackedModel)
    return made.program


def in_onnxruntime(program: Program, name: str) -> list[Contender]:
    model = to_onnx(program)
    int8 = quantise_onnx(model, images_for(program, 8))
    return [
        onnxruntime_contender(model, "onnxruntime float32", name),
        onnxruntime_contender(int8, "onnxruntime int8", name),
    ]


@dataclass(frozen=True)
class Target:
    """Our engine's row against a peer's, and how many times faster it is meant to be."""

    what: str
    ours: str
    peer: str
    times: float


@dataclass
class Group:
    """Contenders of one network, the targets between them, by label."""

    name: str
    contenders: dict[str, Contender]
    targets: list[Target]


def resnet18_group(kernels: Sequence[str]) -> Group:
    models = {p: packed("bireal_resnet18", 224, 1000, p) for p in ("float32", "int16", "int8")}
    book = float_program(textbook_resnet18((64, 128, 256, 512), 224, 1000), 224)
    found = {f"onebit {p}": ours(model, f"Bi-Real, {p} stem") for p, model in models.items()}
    if "avx2" in kernels and models["float32"].kernel != "avx2":
        for precision in ("float32", "int8"):
            narrow = models[precision].using(kernel="avx2")
            found[f"onebit avx2 {precision}"] = ours(narrow, f"Bi-Real, {precision} stem")
    found["openvino binary"] = openvino_contender(models["float32"].program, "openvino binary", "Bi-Real, 1-bit")
    found |= {c.engine: c for c in in_onnxruntime(book, "resnet18")}
    found["torch float32"] = torch_contender(book, "resnet18")
    found["openvino float32"] = openvino_contender(book, "openvino float32", "resnet18")
    near, short = "onebit int16", "onebit int8"
    targets = [
        Target("Bi-Real ResNet18, float stem", "onebit float32", "openvino binary", 2.2),
        Target("Bi-Real ResNet18, near-lossless stem", near, "openvino binary", 2.2),
        Target("Bi-Real ResNet18, near-lossless stem", near, "onnxruntime int8", 3),
        Target("Bi-Real ResNet18, near-lossless stem", near, "onnxruntime float32", 10),
        Target("Bi-Real ResNet18, 8x8-bit stem", short, "onnxruntime int8", 3.8),
        Target("Bi-Real ResNet18, 8x8-bit stem", short, "onnxruntime float32", 13),
    ]
    if "onebit avx2 float32" in found:
        targets.append(Target("Bi-Real ResNet18, AVX2 only", "onebit avx2 float32", "onnxruntime float32", 4))
        targets.append(
            Target("Bi-Real ResNet18, AVX2 only, 8x8-bit stem", "onebit avx2 int8", "onnxruntime float32", 4)
        )
    return Group("bireal_resnet18 at 224", found, targets)


def cifar_group(widths: tuple[int, ...]) -> Group:
    name = "resnet18 " + "-".join(map(str, widths))
    book = float_program(textbook_resnet18(widths, 32, 10), 32)
    found = {"onebit": ours(packed("resnet18", 32, 10, "float32", widths=widths), f"{name}, float stem")}
    found["onebit int16"] = ours(packed("resnet18", 32, 10, "int16", widths=widths), f"{name}, int16 stem")
    found |= {c.engine: c for c in in_onnxruntime(book, name)}
    targets = [Target(f"{name} at 32x32", which, "onnxruntime int8", 3) for which in ("onebit", "onebit int16")]
    return Group(f"{name} at 32", found, targets)


def zoo_group(name: str, size: int, classes: int) -> Group:
    models = {p: packed(name, size, classes, p) for p in ("float32", "int16")}
    found = {f"onebit {p}": ours(model, f"{name}, {p} stem") for p, model in models.items()}
    found |= {c.engine: c for c in in_onnxruntime(float_twin(models["float32"].program), name)}
    targets = [
        Target(f"{name} at {size}x{size}", which, "onnxruntime int8", 2.5)
        for which in ("onebit float32", "onebit int16")
    ]
    return Group(f"{name} at {size}", found, targets)


HEADINGS = (
    "what", "ours", "peer", "threads", "ours_ms", "peer_ms", "ratio", "ratio_p10", "ratio_p90", "target", "met", "rounds",
)  # fmt: skip


def compared(what: str, mine: Timing, peer: Timing, threads: int, target: float | None) -> tuple[Any, ...]:
    ratios = peer.ratios(mine)
    median, low, high = (float(np.percentile(ratios, q)) for q in (50, 10, 90))
    names = f"{mine.engine}, {mine.model}", f"{peer.engine}, {peer.model}"
    met = None if target is None else median >= target
    figures = mine.percentile(50), peer.percentile(50), median, low, high, target, met, len(mine.rounds)
    return (what, *names, threads, *figures)


def run_group(group: Group, threads: int, rounds: int) -> tuple[list[tuple[Any, ...]], dict[str, Timing]]:
    timings = measure(list(group.contenders.values()), threads, rounds)
    found = dict(zip(group.contenders, timings, strict=True))
    targets = {(target.ours, target.peer): target for target in group.targets}
    rows = []
    for mine, timing in found.items():
        for peer, other in found.items():
            if timing.engine.startswith("onebit") and not other.engine.startswith("onebit"):
                target = targets.get((mine, peer))
                what = target.what if target else group.name
                rows.append(compared(what, timing, other, threads, target.times if target else None))
    return rows, found


class Chain(nn.Module):
    """The 16 3x3 convolutions of ResNet18 alone, one behind the other, on a 56x56 map of 64 channels."""

    def __init__(self) -> None:
        super().__init__()
        widths = [64] * 5 + [128] * 4 + [256] * 4 + [512] * 4
        pairs = itertools.pairwise(widths)
        self.layers = nn.Sequential(*(nn.Conv2d(a, b, 3, 1 if a == b else 2, 1) for a, b in pairs))

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def binary_layers_rows(rounds: int) -> list[tuple[Any, ...]]:
    """The 16 binary layers inside Bi-Real ResNet18, everything fused, against the same 16 convolutions in ONNX Runtime."""
    model = packed("bireal_resnet18", 224, 1000, "float32")
    images = images_for(model.program)
    made = pack(Chain().eval(), (64, 56, 56))
    assert isinstance(made, PackedModel)
    chain = to_onnx(made.program)
    peers = [
        onnxruntime_contender(chain, "onnxruntime float32", "16 convolutions"),
        onnxruntime_contender(quantise_onnx(chain, images_for(made.program, 8)), "onnxruntime int8", "16 convolutions"),
    ]
    calls = [peer.open(1) for peer in peers]
    taken: list[list[float]] = [[] for _ in range(3)]
    for _ in range(rounds):
        steps = model.profile(images, 10)
        taken[0].append(1e3 * sum(step.seconds / step.runs for step in steps if step.weight_bits == 1))
        for place, call in enumerate(calls, start=1):
            call()
            start = time.process_time()
            call()
            call()
            taken[place].append(500 * (time.process_time() - start))
    mine = Timing(f"onebit {model.kernel}", "16 binary layers, fused", tuple(taken[0]))
    what = "16 binary layers of ResNet18 at 224, fused"
    return [
        compared(what, mine, Timing(peer.engine, peer.model, tuple(times)), 1, target)
        for peer, times, target in zip(peers, taken[1:], (20.0, 5.0), strict=True)
    ]


def load_row(rounds: int) -> tuple[Any, ...]:
    """Milliseconds from a path to a model that can be called."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "net.onebit"
        packed("bireal_resnet18", 224, 1000, "float32").save(file)
        times = []
        for _ in range(max(rounds, 9)):
            start = time.process_time()
            load(file)
            times.append(1e3 * (time.process_time() - start))
    median = float(np.median(times))
    return ("load of a packed ResNet18", "", "", 1, median, None, None, None, None, "< 5 ms", median < 5, len(times))


def threads_rows(rounds: int) -> list[tuple[Any, ...]]:
    """One thread against two of our own engine, wall time, each in a process of its own."""
    rows = []
    for precision in ("float32", "int8"):
        model = packed("bireal_resnet18", 224, 1000, precision)
        one, two = (ours(model, f"Bi-Real, {precision} stem, {n} thread(s)") for n in (1, 2))
        single = Contender(one.engine, one.model, _OneThread(one.open))
        first, second = measure([two, single], 2, rounds)
        rows.append(compared(f"2 threads, {precision} stem", first, second, 2, 1.8))
    return rows


@dataclass(frozen=True)
class _OneThread:
    """Opens a contender with one thread whatever is asked."""

    open: Callable[[int], Callable[[], object]]

    def __call__(self, threads: int) -> Callable[[], object]:
        return self.open(1)


_CLOCK = r"""
#include <time.h>
static double now() {
    timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return t.tv_sec + 1e-9 * t.tv_nsec;
}
extern "C" double hertz() {
    double best = 0;
    for (int repeat = 0; repeat < 20; repeat++) {
        unsigned long x = 1;
        const double start = now();
        for (long i = 0; i < 3200000; i += 8)
            asm volatile("add $1, %0\n add $1, %0\n add $1, %0\n add $1, %0\n"
                         "add $1, %0\n add $1, %0\n add $1, %0\n add $1, %0" : "+r"(x));
        const double rate = 3.2e6 / (now() - start);
        if (rate > best) best = rate;
    }
    return best;
}
"""


def cycles_per_second() -> float | None:
    """This core's clock from a loop of dependent additions, or None without a compiler."""
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "clock.so"
        build = ["c++", "-O2", "-shared", "-fPIC", "-x", "c++", "-", "-o", str(library)]
        try:
            subprocess.run(build, input=_CLOCK, text=True, check=True, capture_output=True)
            hertz = ctypes.CDLL(str(library)).hertz
        except (OSError, subprocess.SubprocessError):
            return None
        hertz.restype = ctypes.c_double
        return hertz()


def profile_table(name: str, size: int, precision: Any, rounds: int) -> Table:
    """Where the time of a network goes, step by step, and multiply-accumulates a cycle beside what the core can issue."""
    model = packed(name, size, 1000, precision)
    images = images_for(model.program)
    taken = [[step.seconds / step.runs for step in model.profile(images, 5)] for _ in range(rounds)]
    seconds, clock, rows = np.median(taken, axis=0), cycles_per_second(), []
    for step, spent in zip(model.profile(images), seconds, strict=True):
        rate = step.macs / (spent * clock) if clock and step.macs else None
        ceiling = CEILINGS.get(step.weight_bits) if rate else None
        share = 100 * spent / seconds.sum()
        rows.append((f"{name} {precision}", step.name, step.weight_bits, step.macs, 1e6 * spent, share, rate, ceiling))
    columns = ["network", "step", "bits", Column("MACs", ","), Column("us", ".1f"), Column("share (%)", ".1f")]
    columns += [Column("MAC/cycle", ".1f"), Column("ceiling", ".1f")]
    notes = [
        f"sum {1e3 * seconds.sum():.3f} ms, kernel {model.kernel}, clock {(clock or 0) / 1e9:.2f} GHz; ceilings: Zen 4, avx512"
    ]
    return Table(f"{name} at {size}, {precision}", columns, rows, notes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=1, help="2: the rows of several threads alone")
    parser.add_argument("--only", default="", help="groups whose name holds this text")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--profile", type=Path, help="also profile Bi-Real ResNet18 and IGP-ResNet37 into this CSV")
    parser.add_argument("--figure", type=Path, help="bars of ResNet18, .svg or .png")
    arguments = parser.parse_args()
    from onebit.deploy.engine import kernels

    groups: list[Callable[[], Group]] = [
        lambda: resnet18_group(kernels()),
        lambda: cifar_group((32, 32, 64, 128)),
        lambda: cifar_group((64, 64, 128, 256)),
        lambda: zoo_group("igp_resnet37", 224, 1000),
        lambda: zoo_group("igp_densenet51", 224, 1000),
        lambda: zoo_group("wrn22", 32, 10),
    ]
    names = ("resnet18-224", "cifar-32", "cifar-64", "igp_resnet37", "igp_densenet51", "wrn22")
    rows: list[tuple[Any, ...]] = []
    if arguments.threads == 1 and arguments.only in "layers":
        rows += [*binary_layers_rows(arguments.rounds), load_row(arguments.rounds)]
    if arguments.threads > 1:
        rows += threads_rows(arguments.rounds)
    for name, make in zip(names, groups, strict=True):
        if arguments.only not in name:
            continue
        found, timings = run_group(make(), arguments.threads, arguments.rounds)
        rows += found
        print(f"{name}: done", file=sys.stderr)
        if arguments.figure and name == "resnet18-224":
            shown = ("onebit int8", "onebit int16", "onebit float32", "openvino binary", "onnxruntime int8",
                     "openvino float32", "onnxruntime float32", "torch float32")  # fmt: skip
            figure = speed_figure([timings[label] for label in shown], arguments.figure.suffix[1:])
            arguments.figure.write_bytes(figure)
    table = Table("", list(HEADINGS), rows)
    print(table.markdown())
    hardware = f"{processor_name()}, torch {torch.__version__}, {machine_versions()}"
    if arguments.csv:
        write_text(arguments.csv, with_origin(table, hardware))
    if arguments.profile:
        tables = [profile_table("bireal_resnet18", 224, p, arguments.rounds) for p in ("float32", "int8")]
        tables.append(profile_table("igp_resnet37", 224, "float32", arguments.rounds))
        for each in tables:
            print(each.markdown())
        whole = Table("", tables[0].columns, [row for each in tables for row in each.rows])
        write_text(arguments.profile, with_origin(whole, hardware))


def machine_versions() -> str:
    import onnxruntime
    import openvino

    return f"onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__.partition('-')[0]}"


def with_origin(table: Table, hardware: str) -> str:
    """The table as CSV with hardware and date in every row."""
    read = list(csv.reader(io.StringIO(table.csv())))
    today = datetime.date.today().isoformat()
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerows([[*read[0], "hardware", "date"], *([*row, hardware, today] for row in read[1:])])
    return stream.getvalue()


if __name__ == "__main__":
    main()
