"""What binarize's warnings are worth: three networks of others, on the shipped digits, with the warnings ignored or followed.

Claim: binarized as they are, networks written conv -> norm -> ReLU hardly train; with insert_norm=True they do.
Data: the 1,797 digits of the package at 16x16, their own train and test split. 12 epochs of Adam at 2e-3, cosine, batch 64.
Repeats: 3 seeds, mean and sample standard deviation of test top-1. One thread; minutes on one core. Seeds fix weights and batches.

    python benchmarks/binarize_digits.py > results/binarize-digits.csv
"""

from __future__ import annotations

import sys
import warnings
from datetime import date
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

import foreign_networks  # ty: ignore[import-not-found]
from onebit import BinarizeWarning, binarize, load_dataset
from onebit.data import Dataset
from onebit.reports import Table, spread
from onebit.training.environment import processor_name

SIDE, EPOCHS, BATCH, SEEDS = 16, 12, 64, (0, 1, 2)
NETWORKS = ("functional resnet", "vgg", "mobilenet")
WAYS: dict[str, dict[str, Any] | None] = {
    "real": None,
    "as it is": {},
    "insert_norm": {"insert_norm": True},
    "insert_norm, depthwise kept": {"insert_norm": True, "keep": ("first", "last", "shortcut", "depthwise")},
}


def prepared(split: str) -> tuple[Tensor, Tensor]:
    data = load_dataset("digits", split)
    assert isinstance(data, Dataset)
    return F.interpolate(data.images.float() / 255, size=SIDE).sub(0.3).div(0.35), data.labels


def train_and_test(network: nn.Module, seed: int) -> float:
    """Test top-1 in percent after training."""
    torch.manual_seed(seed)
    images, labels = prepared("train")
    optimizer = torch.optim.Adam(network.parameters(), 2e-3)
    steps = EPOCHS * (len(images) // BATCH)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    network.train()
    for _ in range(EPOCHS):
        order = torch.randperm(len(images))
        for batch in order[: len(images) // BATCH * BATCH].split(BATCH):
            optimizer.zero_grad()
            F.cross_entropy(network(images[batch]), labels[batch]).backward()
            optimizer.step()
            schedule.step()
    network.eval()
    images, labels = prepared("test")
    with torch.no_grad():
        return 100 * (network(images).argmax(1) == labels).float().mean().item()


def main() -> None:
    torch.set_num_threads(1)
    warnings.simplefilter("ignore", BinarizeWarning)
    foreign_networks.CHANNELS, foreign_networks.CLASSES = 1, 10
    hardware = f"{processor_name()}, 1 thread, torch {torch.__version__}"
    rows = []
    for name in NETWORKS:
        for way, options in WAYS.items():
            if "depthwise" in way and name != "mobilenet":
                continue
            values, count = [], 0
            for seed in SEEDS:
                network = foreign_networks.make(name, seed)
                if options is not None:
                    report = binarize(network, "bireal", input_shape=(1, 1, SIDE, SIDE), init="draw", **options)
                    count = len(report.warnings)
                values.append(train_and_test(network, seed))
            own = spread(values)
            assert own is not None
            each = " ".join(f"{value:.2f}" for value in values)
            seeds = " ".join(map(str, SEEDS))
            rows.append([name, way, count, seeds, own.n, own.mean, own.std, each, hardware, date.today().isoformat()])
            print(f"{name}, {way}: {each}", file=sys.stderr, flush=True)
    columns = "network way warnings seeds n mean_test_top1 std_test_top1 top1_per_seed hardware date"
    sys.stdout.write(Table("digits", columns.split(), rows).csv())


if __name__ == "__main__":
    main()
