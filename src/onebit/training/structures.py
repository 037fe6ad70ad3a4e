"""Structures compared at equal cost: one recipe, the widths fitted to its own network's budget, several seeds."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from onebit.accounting import FittedWidth, GradientPaths, fit_width, gradient_paths, summarize
from onebit.errors import UsageError, unknown_name
from onebit.graph import without_data
from onebit.models import create_model
from onebit.training.ablation import AblationRun, read_run, run_or_read
from onebit.training.recipe import MethodConfig, Recipe
from onebit.training.sets import describe, load_split


@dataclass(frozen=True)
class Structure:
    """What is compared: a structure with its fixed options, and how it is written in tables."""

    label: str
    model: str
    options: Mapping[str, Any] = field(default_factory=dict)
    like_stem: bool = False
    """The stem is as wide as the reference network's (dense networks, whose growth does not set it)."""


_PLAIN_REDUCTIONS = (2.7, 2.7, 2.2)

#: key -> structure. IGP-ResNet by the plain rule for every M, and both dense networks with BinaryDenseNet's reductions.
STRUCTURES: dict[str, Structure] = {
    "resnet": Structure("ResNet", "resnet18", {"shortcut": "block"}),
    "bireal": Structure("Bi-Real ResNet", "bireal_resnet18"),
    "ebireal": Structure("EBi-Real ResNet", "ebireal_resnet18"),
    "igp3": Structure("IGP-ResNet, M = 3", "igp_resnet21", {"stage_shortcut": False}),
    "igp7": Structure("IGP-ResNet, M = 7", "igp_resnet37", {"stage_shortcut": False}),
    "densenet": Structure("BinaryDenseNet", "binary_densenet51", {"reductions": _PLAIN_REDUCTIONS}, like_stem=True),
    "igp_densenet": Structure("IGP-DenseNet", "igp_densenet51", {"reductions": _PLAIN_REDUCTIONS}, like_stem=True),
}


@dataclass(frozen=True)
class StructureResult:
    """One structure with one method: its width and cost, the gradient paths of its first stage, and its runs."""

    structure: Structure
    method: str
    fitted: FittedWidth
    paths: GradientPaths
    runs: tuple[AblationRun, ...]


def fit_structure(recipe: Recipe, structure: Structure, image_shape: Sequence[int], classes: int) -> FittedWidth:
    """The structure at the largest width within the budget of the recipe's own network."""
    budget = _network(recipe.model.name, _options(recipe), recipe.method.name, image_shape, classes)
    summary = summarize(budget, tuple(image_shape))
    options = dict(structure.options)
    if structure.like_stem:
        options["init_features"] = budget.get_parameter("stem.0.weight").shape[0]
    return fit_width(
        structure.model, summary, method=recipe.method.name, input_shape=image_shape, num_classes=classes, **options
    )


def first_stage_paths(fitted: FittedWidth, method: str, image_shape: Sequence[int], classes: int) -> GradientPaths:
    """The cheapest gradient paths through the network's first stage, whose image size all structures share."""
    network = _network(fitted.model, fitted.options, method, image_shape, classes)
    entering = network.get_submodule("stem")(torch.empty(1, *image_shape, device="meta"))
    return gradient_paths(network.get_submodule("stages.0"), tuple(entering.shape[1:]))


def structure_recipe(recipe: Recipe, fitted: FittedWidth, key: str, method: str, seed: int) -> Recipe:
    """The recipe with the fitted structure and a method in it; a reference's own method options go with its own method."""
    changed = copy.deepcopy(recipe)
    options = dict(fitted.options)
    changed.model.name, changed.model.widths = fitted.model, options.pop("widths", ())
    changed.model.options = options
    if method != recipe.method.name:
        changed.method = MethodConfig(method)
    changed.name = f"{recipe.name}-{key}-{method}-seed{seed}"
    changed.training.seed = seed
    changed.teacher.source, changed.teacher.checkpoint = "none", ""
    return changed


def run_structures(
    recipe: Recipe,
    folder: str | Path,
    *,
    structures: Sequence[str] = tuple(STRUCTURES),
    methods: Sequence[str] = ("bireal",),
    seeds: Sequence[int] = (0, 1, 2),
    data_dir: str | Path | None = None,
    download: bool = False,
    quiet: bool = False,
) -> list[StructureResult]:
    """Run every structure and method for every seed, skipping finished runs and resuming broken ones.

    ``recipe.model`` is the reference whose storage and computation none exceeds.

    Raises:
        UsageError: for an unknown structure, an empty list, or a recipe that needs a teacher.
    """
    if not structures or not methods or not seeds:
        raise UsageError(f"nothing to run: structures {structures}, methods {methods}, seeds {seeds}")
    for key in structures:
        if key not in STRUCTURES:
            raise unknown_name("structure", key, STRUCTURES)
    if recipe.needs_teacher():
        raise UsageError(f"structures are compared without a teacher, which recipe {recipe.name!r} needs")
    data = describe(load_split(recipe, "test", data_dir, download), recipe)
    shape = (data["in_channels"], data["image_size"], data["image_size"])
    classes = data["num_classes"]
    results: dict[tuple[str, str], tuple[FittedWidth, GradientPaths, list[AblationRun]]] = {}
    for key in dict.fromkeys(structures):  # all of them before the first run: what is impossible is refused at once
        fitted = fit_structure(recipe, STRUCTURES[key], shape, classes)
        for method in dict.fromkeys(methods):
            results[key, method] = fitted, first_stage_paths(fitted, method, shape, classes), []
    for seed in dict.fromkeys(seeds):
        for (key, method), (fitted, _, runs) in results.items():
            item = structure_recipe(recipe, fitted, key, method, seed)
            path = Path(folder) / item.name.removeprefix(f"{recipe.name}-")
            runs.append(read_run(run_or_read(item, path, data_dir, download, quiet), f"{key} {method}", seed))
    return [
        StructureResult(STRUCTURES[key], method, fitted, paths, tuple(runs))
        for (key, method), (fitted, paths, runs) in results.items()
    ]


def _options(recipe: Recipe) -> dict[str, Any]:
    widths = {"widths": tuple(recipe.model.widths)} if recipe.model.widths else {}
    return {**recipe.model.options, **widths}


def _network(name: str, options: Mapping[str, Any], method: str, shape: Sequence[int], classes: int) -> torch.nn.Module:
    with without_data():
        return create_model(name, method, classes, shape[0], image_size=shape[-1], **options)
