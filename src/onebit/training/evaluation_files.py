"""What a trained network leaves in its run folder: figures, example images with predictions, kernel histograms."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from onebit.data import Batches
from onebit.files import write_bytes, write_text
from onebit.functional import hard_sign
from onebit.nn import BinaryLayer
from onebit.training.evaluation import evaluate_model
from onebit.training.recipe import Recipe
from onebit.training.sets import evaluation_batches


def save_evaluation(
    folder: Path, recipe: Recipe, model: nn.Module, sets: dict[str, Any], fabric: Any, details: bool = True
) -> dict[str, Any]:
    """Measure the trained network on test and hold-out and write evaluation.json, examples.npz and kernels.npz."""
    result: dict[str, Any] = {}
    for split in ("test", "holdout"):
        if sets[split] is None:
            continue
        batches = evaluation_batches(recipe, sets[split], fabric)
        # In float32, whatever the training's precision: what `onebit evaluate` gives again.
        figures = evaluate_model(model, batches, fabric=fabric, confusion=split == "test", autocast=False)
        if split == "test":
            note = sets[split].note
            result = {
                "dataset": sets[split].name,
                "split": split,
                "note": note,
                **figures,
                "classes": sets[split].classes,
            }
        else:
            result["holdout"] = figures
    teacher_file = folder / "teacher" / "evaluation.json"
    result["teacher"] = None
    if teacher_file.exists():
        known = json.loads(teacher_file.read_text())
        result["teacher"] = {key: known[key] for key in ("n", "top1", "top5", "loss", "holdout") if key in known}
    if fabric.is_global_zero:
        if details:
            everything = evaluation_batches(recipe, sets["test"])
            examples = {key: value.numpy() for key, value in example_predictions(model, everything).items()}
            write_bytes(folder / "examples.npz", npz(examples))
            write_bytes(folder / "kernels.npz", npz(kernel_histograms(model)))
        # The last file of a run: where it stands, the run is finished.
        write_text(folder / "evaluation.json", json.dumps(result, indent=1) + "\n")
    return result


@torch.no_grad()
def example_predictions(model: nn.Module, batches: Batches, count: int = 24) -> dict[str, Tensor]:
    """Images with the network's answers, half of them right and half wrong as far as there are so many.

    Returns:
        images uint8 (K, C, H, W), labels (K,), predictions (K,), probabilities (K,).
    """
    model.eval()
    device = next(model.parameters()).device
    labels, predictions, probabilities = [], [], []
    for images, truth in batches.epoch(0):
        probability, prediction = model(images.to(device)).float().softmax(1).max(1)
        labels.append(truth.cpu())
        predictions.append(prediction.cpu())
        probabilities.append(probability.cpu())
    truth, prediction, probability = torch.cat(labels), torch.cat(predictions), torch.cat(probabilities)
    right, wrong = (truth == prediction).nonzero()[:, 0], (truth != prediction).nonzero()[:, 0]
    wrongs = min(len(wrong), max(count // 2, count - len(right)))
    chosen = torch.cat([right[: count - wrongs], wrong[:wrongs]])
    return {
        "images": batches.raw(chosen),
        "labels": truth[chosen],
        "predictions": prediction[chosen],
        "probabilities": probability[chosen],
    }


def kernel_histograms(model: nn.Module, bins: int = 60) -> dict[str, Any]:
    """Per binary layer: a histogram of the latent weights, the levels after sign and scale, and the share of +1."""
    arrays: dict[str, Any] = {}
    for name, layer in model.named_modules():
        if isinstance(layer, BinaryLayer):
            weight = layer.weight.detach().float().cpu()
            limit = max(weight.abs().max().item(), 1e-12)
            counts = torch.histc(weight, bins, -limit, limit)
            key = name.replace(".", "/")
            edges = torch.linspace(-limit, limit, bins + 1)
            scale = layer.scale().detach().float().cpu().flatten()
            positive = hard_sign(weight).gt(0).float().mean()
            arrays |= {f"{key}:edges": edges.numpy(), f"{key}:counts": counts.numpy()}
            arrays |= {f"{key}:scaled_levels": torch.cat([-scale, scale]).unique().numpy()}
            arrays[f"{key}:positive"] = positive.numpy()
    return arrays


def npz(arrays: dict[str, Any]) -> bytes:
    """The arrays as a compressed .npz file."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()
