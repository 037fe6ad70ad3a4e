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
import ctypes
import datetime
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from engine_groups import GROUPS, Group, float_program, in_onnxruntime, packed, resnet18_convolutions

from onebit.deploy import load
from onebit.deploy.peers import images_for, ours
from onebit.deploy.timing import Call, Contender, Timing, measure
from onebit.files import write_text
from onebit.reports import Column, Table
from onebit.reports.speed import speed_figure
from onebit.training.environment import processor_name

#: multiply-accumulates a cycle that one Zen 4 core can issue, by bits of the weights (avx512): 3 operations for 512 one-bit
#: products, 64 products of bytes, 32 of 16 bits, 16 of floats, at the issue rates that were measured
CEILINGS = {1: 341.3, 8: 64.0, 16: 32.0, 32: 16.0}

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


def binary_layers_rows(rounds: int) -> list[tuple[Any, ...]]:
    """The 16 binary layers inside Bi-Real ResNet18, everything fused, against the same 16 convolutions in ONNX Runtime."""
    model = packed("bireal_resnet18", 224, 1000, "float32")
    images = images_for(model.program)
    peers = in_onnxruntime(float_program(resnet18_convolutions(), (64, 56, 56)), "16 convolutions")
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
        single = Contender(one.engine, one.model, partial(open_with_one_thread, one.open))
        first, second = measure([two, single], 2, rounds)
        rows.append(compared(f"2 threads, {precision} stem", first, second, 2, 1.8))
    return rows


def open_with_one_thread(open_it: Callable[[int], Call], threads: int) -> Call:
    """Opens a contender with one thread whatever is asked."""
    return open_it(1)


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
    rows: list[tuple[Any, ...]] = []
    if arguments.threads == 1 and arguments.only in "layers":
        rows += [*binary_layers_rows(arguments.rounds), load_row(arguments.rounds)]
    if arguments.threads > 1:
        rows += threads_rows(arguments.rounds)
    for name, make in GROUPS.items():
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
    print(Table("", HEADINGS, rows).markdown())
    if arguments.csv:
        write_csv(arguments.csv, HEADINGS, rows)
    if arguments.profile:
        tables = [profile_table("bireal_resnet18", 224, p, arguments.rounds) for p in ("float32", "int8")]
        tables.append(profile_table("igp_resnet37", 224, "float32", arguments.rounds))
        for each in tables:
            print(each.markdown())
        write_csv(arguments.profile, tables[0].columns, [row for each in tables for row in each.rows])


def write_csv(path: Path, columns: Sequence[Column | str], rows: Sequence[tuple[Any, ...]]) -> None:
    """The rows with hardware and date behind each."""
    origin = hardware(), datetime.date.today().isoformat()
    write_text(path, Table("", [*columns, "hardware", "date"], [(*row, *origin) for row in rows]).csv())


def hardware() -> str:
    import onnxruntime
    import openvino

    peers = f"onnxruntime {onnxruntime.__version__}, openvino {openvino.__version__.partition('-')[0]}"
    return f"{processor_name()}, torch {torch.__version__}, {peers}"


if __name__ == "__main__":
    main()
