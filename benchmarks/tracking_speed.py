"""Frames per second of the float tracker and its 1-bit twin, in PyTorch and packed, and their search pass alone.

Claim: none beyond the table; how many times faster the packed tracker is than the float one is what is looked for.
Data: the first 60 frames of OTB's David, 320 x 240. Networks: SiamFC at its published width, 96-256-384-384-256, and RB-SF,
conv2 to conv5 of it rectified binary. Weights are drawn: no time here depends on their values, while boxes do, so that every
tracker keeps the first size of its box and cuts crops of one size.
Repeats: --rounds interleaved rounds (default 20), a frame for every tracker in each, three crops of 255 x 255 for every engine.

    python benchmarks/tracking_speed.py DATA/OTB --csv results/tracking-speed.csv

One thread: all in one process, processor time, which other work on the machine changes little. More: a process for each, wall
time, on idle cores only. Ratios are taken round by round; their median, 10th and 90th percentile are given. Reading a frame is
timed in the same rounds and added to the tracker's time. int16 takes pixels, which is what crops are. The float network of ONNX
Runtime is SiamFC's backbone; int8 is its static QDQ, weights by channel, activations uint8.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import itertools
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from onebit.deploy import PackedModel, pack, read_program, write_program
from onebit.deploy.export_onnx import to_onnx
from onebit.deploy.float_twin import FloatNetwork
from onebit.deploy.peers import onnxruntime_contender, quantise_onnx
from onebit.deploy.timing import Call, Contender, Timing, measure
from onebit.files import write_text
from onebit.models import create_model
from onebit.models.siamfc import SiamFC
from onebit.reports import Column, Table
from onebit.tracking.boxes import Boxes
from onebit.tracking.crop import INSTANCE
from onebit.tracking.images import read_image
from onebit.tracking.layouts import load_sequences
from onebit.tracking.load import PackedNetwork
from onebit.tracking.opencv import load_cv2
from onebit.tracking.tracker import SiamTracker, TrackerSettings
from onebit.training.environment import processor_name

METHODS = {"float": "real", "1-bit": "rbcn"}
SEARCH = (3, 3, INSTANCE, INSTANCE)
COLUMNS = (
    "what", "ours", "peer", "threads", "ours_ms", "peer_ms", "ours_fps", "peer_fps", "ratio", "ratio_p10", "ratio_p90", "rounds",
    "load", "hardware", "date",
)  # fmt: skip


def network(bits: str) -> SiamFC:
    torch.manual_seed(0)
    made = create_model("siamfc", METHODS[bits])
    assert isinstance(made, SiamFC)
    return made.eval()


def packed(bits: str, precision: Literal["float32", "int16"] = "float32") -> PackedModel:
    """A tracker's network; with this mean and deviation pixels stay 0 to 255."""
    tracker, mean, std = network(bits), [0.0] * 3, [1 / 255] * 3
    return pack(tracker, SEARCH[1:], precision=precision, mean=mean, std=std, metadata=tracker.packed_metadata())


def crops() -> Tensor:
    """Three crops of noise, channels last in memory as the tracker's are."""
    pixels = np.random.default_rng(0).integers(0, 256, SEARCH)
    return torch.from_numpy(pixels).float().contiguous(memory_format=torch.channels_last)


def track_in_torch(bits: str, frames: Sequence[Path], box: Boxes, threads: int) -> Call:
    torch.set_num_threads(threads)
    return following(SiamTracker(network(bits), fixed_size()), frames, box, threads)


def track_packed(data: bytes, frames: Sequence[Path], box: Boxes, threads: int) -> Call:
    torch.set_num_threads(threads)
    return following(SiamTracker(PackedNetwork(data, threads), fixed_size()), frames, box, threads)


def fixed_size() -> TrackerSettings:
    return TrackerSettings(side_limits=(1.0, 1.0))


def following(tracker: SiamTracker, frames: Sequence[Path], box: Boxes, threads: int) -> Call:
    """A call tracks through one more frame, which is in memory; behind the last comes the second."""
    load_cv2().setNumThreads(threads)
    first, *others = [read_image(frame) for frame in frames]
    tracker.init(first, box)
    coming = itertools.cycle(others)
    return lambda: tracker.update(next(coming))


def reading(frames: Sequence[Path], threads: int) -> Call:
    coming = itertools.cycle(frames)
    return lambda: read_image(next(coming))


def search_in_torch(data: bytes, threads: int) -> Call:
    torch.set_num_threads(threads)
    return in_inference_mode(FloatNetwork(read_program(data)).eval())


def search_in_torch_binary(threads: int) -> Call:
    torch.set_num_threads(threads)
    return in_inference_mode(network("1-bit").backbone)


def in_inference_mode(backbone: Callable[[Tensor], Tensor]) -> Call:
    images = crops()

    def run() -> Tensor:
        with torch.inference_mode():
            return backbone(images)

    return run


def search_packed(data: bytes, threads: int) -> Call:
    return partial(PackedNetwork(data, threads).backbone, crops())


def in_onnxruntime(backbone: PackedModel) -> list[Contender]:
    """The float network in float32 and int8, for three crops at once."""
    model = to_onnx(backbone.program)
    models = {"float32": model, "int8": quantise_onnx(model, crops().numpy())}
    for made in models.values():
        made.graph.input[0].type.tensor_type.shape.dim[0].dim_value = SEARCH[0]
    return [onnxruntime_contender(made, f"onnxruntime {kind}", "SiamFC") for kind, made in models.items()]


def compared(what: str, timings: Sequence[Timing], threads: int, load: float) -> Iterator[list[Any]]:
    """A row for each 1-bit network against each before it that is not packed."""
    origin = (load, hardware(), date.today().isoformat())
    for peer, mine in itertools.combinations(timings, 2):
        if mine.model.startswith("1-bit") and not peer.engine.startswith("onebit"):
            names = f"{mine.engine}, {mine.model}", f"{peer.engine}, {peer.model}"
            times = mine.percentile(50), peer.percentile(50)
            ratios = [float(np.percentile(peer.ratios(mine), q)) for q in (50, 10, 90)]
            yield [what, *names, threads, *times, *(1e3 / ms for ms in times), *ratios, len(mine.rounds), *origin]


def with_reading(tracking: Timing, read: Timing) -> Timing:
    return Timing(tracking.engine, tracking.model, tuple(map(sum, zip(tracking.rounds, read.rounds, strict=True))))


def hardware() -> str:
    return f"{processor_name()}, torch {torch.__version__}, onnxruntime {importlib.metadata.version('onnxruntime')}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("data", type=Path, help="a folder of sequences, in any layout that onebit reads")
    parser.add_argument("--sequence", default="David")
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--csv", type=Path)
    arguments = parser.parse_args()
    sequence = load_sequences(arguments.data, names=[arguments.sequence]).sequences[0]
    frames, box = sequence.frames[: arguments.frames], sequence.boxes[0]

    binary = {precision: packed("1-bit", precision) for precision in ("float32", "int16")}
    files = {precision: write_program(model.program) for precision, model in binary.items()}
    engine = f"onebit {binary['float32'].kernel}"
    real = packed("float")
    trackers = [
        Contender("torch", "SiamFC", partial(track_in_torch, "float", frames, box)),
        Contender("torch", "1-bit", partial(track_in_torch, "1-bit", frames, box)),
        *(Contender(engine, f"1-bit {p}", partial(track_packed, f, frames, box)) for p, f in files.items()),
        Contender("reading", "", partial(reading, frames)),
    ]
    searches = [
        Contender("torch", "SiamFC", partial(search_in_torch, write_program(real.program))),
        *in_onnxruntime(real),
        Contender("torch", "1-bit", search_in_torch_binary),
        *(Contender(engine, f"1-bit {p}", partial(search_packed, f)) for p, f in files.items()),
    ]
    rows: list[list[Any]] = []
    for threads in arguments.threads:
        before = os.getloadavg()[0]
        *alone, read = measure(trackers, threads, arguments.rounds, seconds=0)
        rows += compared("tracker", alone, threads, before)
        rows += compared("tracker and reading", [with_reading(one, read) for one in alone], threads, before)
        passes = measure(searches, threads, arguments.rounds, seconds=0)
        rows += compared("search pass " + " x ".join(map(str, SEARCH)), passes, threads, before)
        print(f"{threads} thread(s): done, reading {read.percentile(50):.2f} ms a frame", file=sys.stderr)
    table = Table(
        "",
        [Column(name, ".3f" if name.startswith(("ours_", "peer_", "ratio", "load")) else "") for name in COLUMNS],
        rows,
    )
    print(table.markdown())
    if arguments.csv:
        write_text(arguments.csv, table.csv())


if __name__ == "__main__":
    main()
