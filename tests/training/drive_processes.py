"""Run by test_processes as a script of its own, which Fabric starts once more for the second rank.

Usage: python drive_processes.py RECIPE.toml FOLDER [poison]; every rank leaves FOLDER/rankN.json with a hash of what it trained.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path
from typing import Any


def gradient_difference(fabric: Any) -> float:
    """Largest difference between the gradients of two half batches on two ranks and of the whole batch on one.

    The network has no batch norm, so the two are equal but for rounding.
    """
    import torch
    import torch.nn.functional as F
    from torch import nn

    from onebit.methods import get_method
    from onebit.training.objective import kernel_penalty

    torch.manual_seed(0)
    method = get_method("rbcn", kernel_weight=0.1)
    layers = [nn.Conv2d(1, 4, 3), method.conv(4, 4, 3), nn.Flatten(), nn.Linear(64, 3)]
    net = nn.Sequential(*layers)
    images, labels = torch.randn(8, 1, 8, 8), torch.arange(8) % 3
    wrapped = fabric.setup_module(net)
    gradients = []
    for forward, part in ((wrapped, slice(4 * fabric.global_rank, 4 * fabric.global_rank + 4)), (net, slice(8))):
        net.zero_grad()
        penalty = kernel_penalty(net)
        assert penalty is not None
        fabric.backward(F.cross_entropy(forward(images[part]), labels[part]) + penalty)
        gradients.append([p.grad.clone() for p in net.parameters() if p.grad is not None])
    return max((a - b).abs().max().item() for a, b in zip(*gradients, strict=True))


def main(recipe: str, folder: Path, poison: bool) -> None:
    import torch

    from onebit.training import fit, train

    guidance: list[Any] = []
    build = fit.Guidance

    def keep(*arguments: Any) -> Any:
        guidance.append(build(*arguments))
        return guidance[-1]

    fit.Guidance = keep
    if poison:  # the second rank alone sees images that are not numbers
        look = fit.Fit._train_step

        def step(self: fit.Fit, images: torch.Tensor, labels: torch.Tensor, number: int) -> Any:
            bad = images * float("nan") if self.fabric.global_rank == 1 and number == 5 else images
            return look(self, bad, labels, number)

        fit.Fit._train_step = step
    result = train(recipe, run_dir=folder / "run", quiet=True)
    rank = torch.distributed.get_rank()
    judges = guidance[0].state_dict()["model"]
    teacher = guidance[0].teacher.state_dict()
    states = {"student": result.model.state_dict(), "teacher": teacher, "discriminators": judges}
    hashes = {
        name: {key: hashlib.sha256(value.contiguous().numpy().tobytes()).hexdigest() for key, value in state.items()}
        for name, state in states.items()
    }
    difference = gradient_difference(guidance[0].fabric)
    report = {**hashes, "evaluation": result.evaluation, "gradient_difference": difference}
    (folder / f"rank{rank}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), sys.argv[3:] == ["poison"])
