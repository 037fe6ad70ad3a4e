"""Time and memory of one training step of ResNet18: float, Bi-Real, RBCN, RBCN with its GAN.

Claim: a 1-bit training step takes at most 1.15 times a float step and keeps no more activation memory for the backward
pass; the idiom of detached sums and masks, which most published code uses, costs several times the memory.

    python benchmarks/training_step.py [--widths 64 128 256 512] [--batch 32] [--rounds 9] [--threads 1] [--csv FILE]

All variants run in one process, in turn, round after round; a ratio is the median over rounds of the variant's time over
the float step's time of the same round. Times are processor time of the process (divided by the threads), which other
programs on the machine disturb far less than wall time. Kept memory is counted tensor by tensor with saved-tensor
hooks, parameters left out and each storage once; peak memory is that of a fresh process that runs one variant alone.
"""

from __future__ import annotations

import argparse
import csv
import datetime
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from onebit.methods import METHODS, Method
from onebit.models import create_model
from onebit.nn import BinaryLayer
from onebit.training.environment import processor_name
from onebit.training.guidance import Guidance
from onebit.training.objective import kernel_penalty
from onebit.training.optimization import make_optimizer
from onebit.training.recipe import Recipe

VARIANTS = ("float", "bireal", "rbcn", "rbcn+gan", "detach idiom")


class DetachIdiomConv2d(nn.Conv2d):
    """The common spelling of Bi-Real's convolution: sign by detached differences of masked polynomials."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, bias=False, **options)

    def forward(self, input: Tensor) -> Tensor:
        out = torch.sign(input)
        below, left, right = input < -1, input < 0, input < 1
        part1 = -1 * below.float() + (input * input + 2 * input) * (1 - below.float())
        part2 = part1 * left.float() + (-input * input + 2 * input) * (1 - left.float())
        part3 = part2 * right.float() + 1 * (1 - right.float())
        signs = out.detach() - part3.detach() + part3
        scale = self.weight.abs().mean((1, 2, 3), keepdim=True).detach()
        hard = scale * torch.sign(self.weight)
        soft = self.weight.clamp(-1, 1)
        weight = hard.detach() - soft.detach() + soft
        return F.conv2d(signs, weight, None, self.stride, self.padding)


def make_step(
    variant: str, widths: tuple[int, ...], batch: int, size: int, precision: str
) -> tuple[nn.Module, Callable]:
    """The network of a variant and a function that runs one training step of it."""
    torch.manual_seed(0)
    recipe = Recipe()
    recipe.adversarial.enabled = variant == "rbcn+gan"
    recipe.adversarial.probe_every = 0
    name = {"float": "real", "bireal": "bireal"}.get(variant, "rbcn")
    if variant == "detach idiom":
        name = "detach idiom"
        if name not in METHODS:
            METHODS.add(name, Method(name, DetachIdiomConv2d, nn.Linear, ""))
    model = create_model("resnet18", name, image_size=size, widths=widths).train()
    model.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
    optimizer = make_optimizer(model, recipe.optimizer)
    images = torch.randn(batch, 3, size, size).to(memory_format=torch.channels_last)
    labels = torch.randint(0, 10, (batch,))

    def autocast() -> torch.autocast:
        return torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16")

    guidance = None
    if variant == "rbcn+gan":
        teacher = create_model("resnet18", "real", image_size=size, widths=widths)
        teacher.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
        fabric = SimpleNamespace(device=torch.device("cpu"), autocast=autocast, world_size=1)
        guidance = Guidance(recipe, model, teacher.eval().requires_grad_(False), images[:2], fabric)
    layers = [module for module in model.modules() if isinstance(module, BinaryLayer)]
    count = 0

    def step() -> None:
        nonlocal count
        optimizer.zero_grad(set_to_none=True)
        seen = guidance.look(images) if guidance else None
        with autocast():
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        penalty = kernel_penalty(model)
        if penalty is not None:
            loss = loss + penalty
        if guidance and seen:
            maps = guidance.student_maps.read()
            guidance.train_discriminators(seen[1], maps, count)
            for term in guidance.terms(logits, maps, seen, 0.0).values():
                loss = loss + term
        loss.backward()
        optimizer.step()
        for layer in layers:
            layer.constrain()
        count += 1

    return model, step


def kept_bytes(model: nn.Module, step: Callable, batch: int) -> tuple[int, int]:
    """Bytes that a step keeps for its backward pass: of activations, and of weight-sized copies.

    Parameters and buffers are left out and each storage counts once. Packed bits have lost their shape; they belong to an
    activation if they are larger than the largest weight's bits.
    """
    own = {t.untyped_storage().data_ptr() for t in [*model.parameters(), *model.buffers()]}
    seen: dict[int, Tensor] = {}
    weight_bits = max(p.numel() for p in model.parameters()) // 8 + 1

    def pack(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            # The tensor itself is held, so that no later storage can take its address.
            seen[storage.data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        step()
    is_activation = {
        key: (t.shape[0] == batch if t.dim() > 1 else t.dtype == torch.uint8 and t.numel() > weight_bits)
        for key, t in seen.items()
    }
    sizes = {key: t.untyped_storage().nbytes() for key, t in seen.items()}
    activations = sum(size for key, size in sizes.items() if is_activation[key])
    return activations, sum(sizes.values()) - activations


def peak_mebibytes(arguments: argparse.Namespace, variant: str) -> float:
    """Peak resident memory of a fresh process that runs two steps of one variant."""
    command = [
        sys.executable,
        __file__,
        "--alone",
        variant,
        "--batch",
        str(arguments.batch),
        "--size",
        str(arguments.size),
    ]
    command += [
        "--threads",
        str(arguments.threads),
        "--precision",
        arguments.precision,
        "--widths",
        *map(str, arguments.widths),
    ]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--widths", type=int, nargs=4, default=(64, 128, 256, 512))
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--csv", type=Path)
    parser.add_argument("--alone", choices=VARIANTS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = tuple(arguments.widths), arguments.batch, arguments.size, arguments.precision
    if arguments.alone:
        _, step = make_step(arguments.alone, *shape)
        step()
        step()
        # Not getrusage: its maximum survives from the parent process across fork and exec.
        status = Path("/proc/self/status").read_text()
        print(int(status.partition("VmHWM:")[2].split()[0]) / 1024)
        return
    made = {variant: make_step(variant, *shape) for variant in VARIANTS}
    kept = {variant: kept_bytes(*made[variant], arguments.batch) for variant in VARIANTS}
    seconds: dict[str, list[float]] = {variant: [] for variant in VARIANTS}
    for _ in range(arguments.rounds):
        for variant in VARIANTS:
            started = time.process_time()
            made[variant][1]()
            seconds[variant].append((time.process_time() - started) / arguments.threads)
    peak = {variant: peak_mebibytes(arguments, variant) for variant in VARIANTS}
    rows = []
    for variant in VARIANTS:
        ratios = sorted(a / b for a, b in zip(seconds[variant], seconds["float"], strict=True))
        row = {
            "variant": variant,
            "widths": "-".join(map(str, arguments.widths)),
            "batch": arguments.batch,
            "size": arguments.size,
            "precision": arguments.precision,
            "threads": arguments.threads,
            "rounds": arguments.rounds,
            "step_ms": round(1000 * statistics.median(seconds[variant]), 1),
            "time_ratio": round(statistics.median(ratios), 3),
            "time_ratio_low": round(ratios[0], 3),
            "time_ratio_high": round(ratios[-1], 3),
            "kept_activations_mib": round(kept[variant][0] / 2**20, 2),
            "kept_activations_ratio": round(kept[variant][0] / kept["float"][0], 3),
            "kept_weights_mib": round(kept[variant][1] / 2**20, 2),
            "peak_rss_mib": round(peak[variant], 1),
            "torch": torch.__version__,
            "processor": processor_name(),
            "date": datetime.date.today().isoformat(),
        }
        rows.append(row)
        print(
            f"{variant:<13} {row['step_ms']:8.1f} ms  x{row['time_ratio']:.3f} [{row['time_ratio_low']}, {row['time_ratio_high']}]"
            f"  kept {row['kept_activations_mib']:8.2f} MiB x{row['kept_activations_ratio']:.3f}"
            f" + weights {row['kept_weights_mib']:.2f} MiB  peak {row['peak_rss_mib']:.0f} MiB"
        )
    if arguments.csv:
        new = not arguments.csv.exists()
        with arguments.csv.open("a", newline="") as stream:
            writer = csv.DictWriter(stream, rows[0])
            if new:
                writer.writeheader()
            writer.writerows(rows)


if __name__ == "__main__":
    main()
