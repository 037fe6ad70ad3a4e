"""Cost and cheapest gradient paths of every network of the zoo with 1-bit layers, on 3x224x224 images and 1000 classes.

Claim: none; a record. Computed from the captured graphs, nothing is trained and nothing timed, so that hardware and repeats do
not matter.

    python benchmarks/zoo.py > results/zoo.csv
"""

from __future__ import annotations

import sys

import torch

from onebit.accounting import GradientPaths, gradient_paths, summarize
from onebit.graph import without_data
from onebit.models import create_model, list_models
from onebit.reports import Table

SHAPE, CLASSES, METHOD = (3, 224, 224), 1000, "bireal"


def main() -> None:
    rows = []
    for name in list_models():
        with without_data():
            network = create_model(name, METHOD, CLASSES, SHAPE[0], image_size=SHAPE[1])
        cost, paths = summarize(network, SHAPE), gradient_paths(network, SHAPE)
        first = [None] * 6
        if name != "lenet":
            entering = network.get_submodule("stem")(torch.empty(1, *SHAPE, device="meta")).shape[1:]
            first = levels(gradient_paths(network.get_submodule("stages.0"), tuple(entering)))
        rows.append([name, METHOD, cost.storage_bits, cost.computation, *levels(paths), *first])
    columns = "model method storage_bits computation N1 N2 N3 L1 L2 L3 stage1_N1 stage1_N2 stage1_N3 stage1_L1 stage1_L2 stage1_L3"
    sys.stdout.write(Table("zoo", columns.split(), rows).csv())


def levels(paths: GradientPaths) -> list[int | None]:
    """Three costs, then three lengths; None where there are fewer levels."""
    return [*[*paths.costs, None, None][:3], *[*paths.lengths, None, None][:3]]


if __name__ == "__main__":
    main()
