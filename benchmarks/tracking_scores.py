"""The float tracker, its 1-bit versions and two baselines on sequences that no training saw.

Claim: float > RB-SF > XNOR in the mean over three runs; what the discriminators and longer training change is beside it.
Data: OTB's David, Couple and Skiing (success and precision, protocol got10k), GOT-10k's football (AO, SR). Trained on what else
there is at hand: six more sequences of OTB, UAV123_10fps' wakeboard7, and pairs made of still images.
Repeats: a folder of results per run, called <tracker>-<run>; mean and sample standard deviation over runs. first-box is
deterministic and has one.

    onebit track evaluate DATA/OTB --sequences David Couple Skiing --tracker runs/rbsf-0
    onebit track evaluate DATA/GOT-10k --tracker runs/rbsf-0
    python benchmarks/tracking_scores.py DATA results > results/tracking.csv
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

from onebit.reports import Column, Table, spread
from onebit.tracking.evaluate import read_record
from onebit.tracking.layouts import SequenceSet, load_sequences
from onebit.tracking.protocols import Scores, score_tracker
from onebit.training.environment import processor_name

HELD_OUT = {"OTB": ("David", "Couple", "Skiing"), "GOT-10k": ("football",)}
RECIPES = {
    "float": "siamfc-cpu",
    "xnor": "xnor-siamfc-cpu",
    "xnorl": "xnor-siamfc-cpu, training.epochs = 60",
    "rbsf": "rb-sf-cpu",
    "rbsfl": "rb-sf-cpu, training.epochs = 60",
    "rbsfr": "rb-sf-cpu, adversarial.enabled = false",
}
COLUMNS = ("tracker", "recipe", "data", "sequence", "measure", "runs", "n", "mean", "std", "each", "hardware", "date")


def runs_by_tracker(data: SequenceSet, results: Path) -> dict[str, list[Scores]]:
    """The scores of every folder of finished results, the runs of one tracker together, in the order of their numbers."""
    groups: dict[str, list[Scores]] = {}
    for folder in sorted((results / data.name).iterdir()):
        if {one.name for one in data.sequences} <= set(read_record(folder).get("sequences", ())):
            tracker = re.sub(r"-\d+$", "", folder.name)
            groups.setdefault(tracker, []).append(score_tracker(data, folder, folder.name))
    return groups


def rows(data: SequenceSet, groups: dict[str, list[Scores]]) -> Iterator[list[object]]:
    """A row per tracker, sequence (and all of them) and measure."""
    for tracker, runs in groups.items():
        every = [run.to_dict() for run in runs]
        for name in (None, *(one.name for one in data.sequences)) if len(data) > 1 else (None,):
            for measure in runs[0].headline():
                values = [run[measure] if name is None else run["sequences"][name][measure] for run in every]
                found = spread(values)
                assert found is not None
                each = " ".join(f"{value:.4f}" for value in values)
                numbers = [run.tracker.removeprefix(tracker).lstrip("-") for run in runs]
                what = name or ("all" if len(data) > 1 else data.sequences[0].name)
                start = [tracker, RECIPES.get(tracker), data.title, what, measure, " ".join(numbers), found.n]
                yield [*start, found.mean, found.std, each, processor_name(), date.today().isoformat()]


def main() -> None:
    root, results = map(Path, sys.argv[1:])
    lines = []
    for folder, names in HELD_OUT.items():
        data = load_sequences(root / folder, names=names)
        lines += rows(data, runs_by_tracker(data, results))
    formats = {"mean": ".4f", "std": ".4f"}
    print(Table("", [Column(name, formats.get(name, "")) for name in COLUMNS], lines).csv(), end="")


if __name__ == "__main__":
    main()
