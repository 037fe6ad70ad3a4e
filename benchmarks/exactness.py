"""The packed network's answers against PyTorch's: every structure with every method, on whole test sets.

Claim: after a short real training, a packed network gives PyTorch's class for every one of 10,000 test images, and logits that
differ by float rounding; where a sign differs, the value before it was within rounding of 0.

    python benchmarks/exactness.py --work DIR [--only mnist-lenet ...] [--steps 200] [--csv results/exactness.csv]

Each network is trained for a few hundred steps, seed 0, and kept in DIR with what was measured, so that a second call goes on
where the first one stopped. A flipped sign changes sums by whole numbers, so that signs behind it in the same image may
differ at any distance from 0: these are counted apart, as later ones. Widths are small and most networks get the 7x7 stem,
because signs and roundings, not accuracy, are measured here.
"""

from __future__ import annotations

import argparse
import datetime
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.data import Augment, Batches, Dataset, load_dataset
from onebit.data.augment import Normalise
from onebit.deploy.agreement import compared_inputs, recorded_inputs
from onebit.deploy.pack import pack
from onebit.deploy.packed_model import PackedModel
from onebit.files import atomic_write, write_text
from onebit.methods import list_methods
from onebit.models import create_model, list_models, scale_options
from onebit.nn import BinaryLayer
from onebit.reports import Table
from onebit.training.environment import processor_name
from onebit.training.objective import kernel_penalty
from onebit.training.optimization import make_optimizer
from onebit.training.recipe import OptimizerConfig

SEED, BATCH = 0, 32
#: a difference of logits that roundings do not make, but another sign does
FLIPPED = 1e-4
#: light enough for the 3x3 stem, which keeps the maps four times as wide
SMALL_STEM = ("resnet18", "bireal_resnet18", "wrn22", "igp_resnet21")


@dataclass(frozen=True)
class Case:
    """A network to compare, by structure, method and data set."""

    structure: str
    method: str
    data: str

    @property
    def name(self) -> str:
        return f"{self.data}-{self.structure}-{self.method}"

    @property
    def options(self) -> dict[str, Any]:
        if self.structure == "lenet":
            return {"widths": (12, 20, 100)}
        if self.structure in SMALL_STEM:
            return scale_options(self.structure, 8)
        return {"stem": "imagenet", **scale_options(self.structure, 10)}

    def network(self, dataset: Dataset) -> nn.Module:
        channels, size, _ = dataset.shape
        return create_model(self.structure, self.method, 10, channels, image_size=size, **self.options)


def cases() -> list[Case]:
    """Every structure with every binary method on CIFAR-10, and the smallest one on MNIST."""
    methods = [name for name in list_methods() if name != "real"]
    small = [Case("lenet", method, "mnist") for method in methods]
    return small + [Case(structure, method, "cifar10") for method in methods for structure in list_models()]


def trained(case: Case, steps: int, folder: Path) -> nn.Module:
    """The network after ``steps`` steps, from the folder where it is there already."""
    train = load_dataset(case.data, "train")
    assert isinstance(train, Dataset)
    torch.manual_seed(SEED)
    network = case.network(train)
    kept = folder / f"{case.name}-{steps}.pt"
    if not kept.exists():
        fit(network, train, steps)
        with atomic_write(kept) as stream:
            torch.save(network.state_dict(), stream)
    network.load_state_dict(torch.load(kept, weights_only=True))
    return network.eval()


def fit(network: nn.Module, train: Dataset, steps: int) -> None:
    optimizer = make_optimizer(network, OptimizerConfig(lr=2e-3))
    layers = [module for module in network.modules() if isinstance(module, BinaryLayer)]
    pad = Augment() if train.name == "mnist" else Augment(pad=4, flip=True)
    batches = Batches(train, BATCH, seed=SEED, train=True, augment=pad)
    network.train()
    for _, (images, labels) in zip(range(steps), batches.epoch(0), strict=False):
        loss = F.cross_entropy(network(images), labels)
        penalty = kernel_penalty(network)
        if penalty is not None:
            loss = loss + penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        for layer in layers:
            layer.constrain()


@dataclass
class Flips:
    """Signs that the packed network reads otherwise than PyTorch, in images without and behind an earlier such sign."""

    signs: int = 0
    first: int = 0
    later: int = 0
    layers: int = 0
    #: the greatest distance from 0 of a first one's value in PyTorch, over the layer's root mean square
    distance: float = 0.0


@torch.inference_mode()
def count_flips(network: nn.Module, packed: PackedModel, pixels: Tensor, normalise: Normalise) -> Flips:
    """Compare the signs that every binary layer reads, image by image; the values are those of the run in torch, whose bits are
    the engine's."""
    with recorded_inputs(network) as read:
        network(normalise(pixels))
    found, clean = Flips(), torch.ones(len(pixels), dtype=torch.bool)
    for compared in compared_inputs(packed, pixels, read):
        touched = torch.zeros_like(clean)
        for theirs, ours in compared:
            differs = (theirs >= 0) != (ours >= 0)
            found.signs += differs.numel()
            found.first += int(differs[clean].sum())
            found.later += int(differs[~clean].sum())
            if bool(differs[clean].any()):
                spread = float(theirs.square().mean().sqrt())
                found.distance = max(found.distance, float(theirs[clean][differs[clean]].abs().max()) / spread)
            touched |= differs.any(1)
        found.layers += bool(touched.any())
        clean &= ~touched
    return found


def compare(case: Case, steps: int, folder: Path, flip_images: int) -> dict[str, object]:
    """One row of the result, kept in the folder."""
    kept = folder / f"{case.name}-{steps}.json"
    if kept.exists():
        return json.loads(kept.read_text())
    test = load_dataset(case.data, "test")
    assert isinstance(test, Dataset)
    network, normalise = trained(case, steps, folder), Normalise(test.mean, test.std, torch.device("cpu"))
    packed = {
        precision: pack(network, test.shape, precision=precision, mean=test.mean, std=test.std)
        for precision in ("float32", "int16", "int8")
    }
    right = dict.fromkeys(("torch", *packed), 0)
    same, largest, magnitude = 0, 0.0, 0.0
    rounding, apart = 0.0, []
    for start in range(0, len(test), 250):
        pixels, labels = test.images[start : start + 250], test.labels[start : start + 250]
        with torch.inference_mode():
            theirs = network(normalise(pixels))
        answers = {"torch": theirs, **{name: model(pixels) for name, model in packed.items()}}
        for name, logits in answers.items():
            right[name] += int((logits.argmax(1) == labels).sum())
        ours = answers["float32"]
        same += int((ours.argmax(1) == theirs.argmax(1)).sum())
        difference = (ours - theirs).abs().amax(1)
        largest = max(largest, float(difference.max()))
        flipped = difference > FLIPPED
        rounding = max(rounding, float(difference[~flipped].max()))
        apart += (start + flipped.nonzero().flatten()).tolist()
        magnitude = max(magnitude, float(theirs.abs().max()))
    shown = sorted({*range(flip_images), *apart[:flip_images]})
    flips = count_flips(network, packed["float32"], test.images[shown], normalise)
    row: dict[str, object] = {
        "data": case.data, "structure": case.structure, "method": case.method,
        "options": " ".join(f"{key}={value}".replace(" ", "") for key, value in case.options.items()),
        "steps": steps, "seed": SEED, "n": len(test), "same_class": same,
        "largest_difference": f"{largest:.3g}", "largest_logit": f"{magnitude:.3g}",
        "largest_rounding": f"{rounding:.3g}",
        "images_with_flips": len(apart), "flip_images": len(shown),
        "signs": flips.signs, "first_flips": flips.first, "later_flips": flips.later,
        "layers_with_flips": flips.layers, "first_flips_distance": f"{flips.distance:.2g}",
        **{f"top1_{name}": f"{100 * count / len(test):.2f}" for name, count in right.items()},
        "bytes": packed["float32"].num_bytes, "kernel": packed["float32"].kernel,
        "hardware": f"{processor_name()}, 1 thread, shared", "software": f"torch {torch.__version__}",
        "date": datetime.date.today().isoformat(),
    }  # fmt: skip
    write_text(kept, json.dumps(row))
    return row


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for networks and measurements")
    parser.add_argument("--only", nargs="*", default=[], help="parts of names of cases, such as cifar10-wrn22 or -rbcn")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument(
        "--flip-images",
        type=int,
        default=200,
        help="images on which signs are compared: the first ones and those whose logits differ",
    )
    parser.add_argument("--trained-only", action="store_true", help="leave out networks that are not in DIR")
    parser.add_argument("--csv", type=Path, help="where the table of everything measured in DIR goes")
    options = parser.parse_args(arguments)
    torch.set_num_threads(1)
    options.work.mkdir(parents=True, exist_ok=True)
    chosen = [case for case in cases() if not options.only or any(part in case.name for part in options.only)]
    if options.trained_only:
        chosen = [case for case in chosen if (options.work / f"{case.name}-{options.steps}.pt").exists()]
    for case in chosen:
        row = compare(case, options.steps, options.work, options.flip_images)
        print(" ".join(f"{key}={value}" for key, value in row.items()), flush=True)
    if options.csv:
        rows = [json.loads(kept.read_text()) for kept in sorted(options.work.glob("*.json"))]
        write_text(options.csv, Table("exactness", list(rows[0]), [list(row.values()) for row in rows]).csv())


if __name__ == "__main__":
    main()
