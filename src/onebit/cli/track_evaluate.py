"""onebit track evaluate DATA --tracker TRACKER."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from onebit.cli.arguments import parse, print_json, print_table
from onebit.errors import UsageError
from onebit.files import called

if TYPE_CHECKING:
    from onebit.tracking.layouts import SequenceSet


@dataclass
class DataArguments:
    """Which sequences."""

    data: Annotated[Path, tyro.conf.Positional]
    """Folder of sequences: GOT-10k (or one split), OTB, UAV123 (or UAV20L, UAV123_10fps), or images with one annotation file."""
    layout: str | None = None
    """got10k, otb, uav123 or folder; found by looking when left out."""
    subset: str | None = None
    """train, val or test of GOT-10k; OTB2013, TB50 or TB100; UAV123, UAV20L or UAV123_10fps."""
    sequences: tuple[str, ...] | None = None
    """Only these sequences."""
    protocol: str = "got10k"
    """Whose rules the scores follow: got10k, or pysot (OTB and UAV123; frames without a target count differently)."""

    def load(self) -> SequenceSet:
        """The sequences; what was found is said on stderr."""
        from onebit.tracking.layouts import load_sequences
        from onebit.tracking.protocols import check_protocol

        found = load_sequences(self.data, self.layout, self.subset, self.sequences)
        check_protocol(found, self.protocol)
        for line in found.facts():
            print(line, file=sys.stderr)
        return found


@dataclass
class Arguments(DataArguments):
    """Run a tracker over a benchmark's sequences, or score result files that are there, and print the scores.

    Result files go to RESULTS/<data set>/<name> as the benchmark's toolkit writes them. Sequences that are finished are passed
    over, so that the same command goes on after a stop.

    Example: onebit track evaluate data/OTB --tracker runs/siamfc-rbsf --subset OTB2013 --workers 4

    Example: onebit track evaluate data/GOT-10k --subset val --tracker opencv-mil

    Example: onebit track evaluate data/OTB --scores-of ../pysot/results/OTB100/siamrpn --protocol pysot

    Example: onebit track evaluate data/GOT-10k --subset test --tracker runs/siamfc-rbsf --submission rbsf.zip
    """

    tracker: str | None = None
    """What to run: a run folder, a checkpoint, one packed by `onebit pack` (.onebit), published siamfc weights, or a baseline:
    first-box, opencv-mil."""
    scores_of: Path | None = None
    """Run nothing: score the result files in this folder, ours or another toolkit's."""
    name: str | None = None
    """What the tracker is called in results and tables (default: the name of its folder or file)."""
    results: Path = Path("results")
    """Where result files go."""
    workers: int = 1
    """Processes, each with its sequence. Several make each sequence slower: measure speed with one."""
    threads: int = 1
    """Threads of each process."""
    repetitions: int = 1
    """Runs of each sequence, for trackers that draw random numbers (GOT-10k)."""
    seed: int = 0
    """For opencv-mil, which draws random numbers."""
    device: str = "cpu"
    """Where the network runs: cpu, cuda, cuda:1 ..."""
    overwrite: bool = False
    """Run finished sequences again, and replace results of other settings."""
    submission: Path | None = None
    """Also check the results of GOT-10k's test split and pack them into this .zip for its server."""
    json: bool = False
    """Print the scores as JSON."""


def run(argv: Sequence[str]) -> None:
    arguments = parse(Arguments, "track evaluate", argv)
    if (arguments.tracker is None) == (arguments.scores_of is None):
        raise UsageError("give one of --tracker (what to run) and --scores-of (a folder of result files)")
    data = arguments.load()
    from onebit.tracking.submission import check_submission, write_submission

    if arguments.submission is not None:
        check_submission(data, arguments.submission)  # before hours of tracking
    name, folder = _results(arguments, data)
    if arguments.submission is not None:
        count = write_submission(data, folder, arguments.submission)
        print(f"written: {arguments.submission}, {count} files of {len(data)} sequences", file=sys.stderr)
    if not all(sequence.annotated for sequence in data.sequences):
        print(
            f"{data.name} {data.subset} has no ground truth beyond the first frames: nothing is scored", file=sys.stderr
        )
        if arguments.json:
            print_json({"dataset": data.name, "subset": data.subset, "tracker": name, "results": str(folder)})
        return
    from onebit.tracking.evaluate import read_record
    from onebit.tracking.protocols import score_tracker
    from onebit.tracking.score_tables import scores_table

    scores = score_tracker(data, folder, name, arguments.protocol)
    if arguments.json:
        print_json(scores.to_dict())
    else:
        print_table(scores_table([scores], data, {name: read_record(folder)}))


def _results(arguments: Arguments, data: SequenceSet) -> tuple[str, Path]:
    """The tracker's name and the folder of its results, which are made first where something is to be run."""
    if arguments.scores_of is not None:
        return arguments.name or called(arguments.scores_of), arguments.scores_of
    from onebit.tracking.evaluate import run_tracker
    from onebit.tracking.named import named_tracker
    from onebit.tracking.results import results_folder

    assert arguments.tracker is not None
    tracker = named_tracker(arguments.tracker, arguments.name, arguments.device, arguments.seed, arguments.threads)
    folder = results_folder(arguments.results, data, tracker.name)
    run_tracker(
        data,
        tracker.make,
        folder,
        tracker.settings,
        workers=arguments.workers,
        threads=arguments.threads,
        repetitions=arguments.repetitions,
        overwrite=arguments.overwrite,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )
    print(f"results: {folder}", file=sys.stderr)
    return tracker.name, folder
