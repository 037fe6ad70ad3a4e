"""The full-precision teacher: our twin or the user's own network, from a run, a checkpoint or a plain state_dict."""

from __future__ import annotations

import copy
import importlib
import os
import sys
from pathlib import Path
from typing import Any

import torch
from torch import nn

from onebit.errors import CheckpointError, UsageError
from onebit.nn import BinaryLayer
from onebit.training.checkpoints import FORMAT, build_model, find_checkpoint, load_model, load_weights, read_tensors
from onebit.training.recipe import (
    AdversarialConfig,
    ApprenticeConfig,
    DistillationConfig,
    FeaturesConfig,
    MethodConfig,
    Recipe,
    RefreshConfig,
)


def teacher_recipe(recipe: Recipe) -> Recipe:
    """The recipe that trains the twin: the student's, with method ``real``, its own rate and length, and no guidance.

    A joint teacher has no moving average: its student learns from it as it stands.
    """
    twin = copy.deepcopy(recipe)
    twin.name = f"{recipe.name}-teacher"
    twin.method = MethodConfig("real")
    twin.model.copy_teacher = False
    twin.adversarial, twin.distillation, twin.features = AdversarialConfig(), DistillationConfig(), FeaturesConfig()
    twin.apprentice, twin.refresh = ApprenticeConfig(), RefreshConfig()
    twin.training.strict_alternation = False
    if recipe.teacher.source == "joint":
        twin.training.ema = 0.0
    twin.teacher.source, twin.teacher.checkpoint = "none", ""
    if recipe.teacher.epochs:
        twin.training.epochs = recipe.teacher.epochs
    if recipe.teacher.lr:
        twin.optimizer.lr = recipe.teacher.lr
    if recipe.teacher.weight_decay >= 0:
        twin.optimizer.weight_decay = recipe.teacher.weight_decay
    return twin


def load_teacher(recipe: Recipe, data: dict[str, Any]) -> nn.Module:
    """The teacher that ``recipe.teacher`` names, in evaluation mode.

    ``checkpoint`` is a run folder or checkpoint of ours, or a plain state_dict: then ``factory`` ("package.module:function")
    builds the network it belongs to, and without a factory it belongs to the student's twin.

    Raises:
        CheckpointError: if the file cannot be read, or its weights do not fit the network.
        UsageError: if the factory cannot be found or called, or the teacher knows other classes than the data set.
    """
    config = recipe.teacher
    if not Path(config.checkpoint).exists():
        raise CheckpointError(
            f"there is no checkpoint {config.checkpoint} for the teacher; train it first, or name a run or checkpoint with "
            "--teacher.checkpoint"
        )
    file = find_checkpoint(config.checkpoint)
    content = read_tensors(file)
    if content.get("format") == FORMAT:
        model, checkpoint = load_model(file)
        if checkpoint["data"]["num_classes"] != data["num_classes"]:
            raise UsageError(
                f"the teacher in {file} knows {checkpoint['data']['num_classes']} classes, the data set has {data['num_classes']}"
            )
        theirs, ours = checkpoint["data"].get("classes") or [], data.get("classes") or []
        for number, (their, our) in enumerate(zip(theirs, ours, strict=False)):
            if their != our:
                raise UsageError(
                    f"the teacher in {file} knows class {number} as {their!r}, the data set as {our!r}; "
                    "use a teacher of the same classes in the same order"
                )
        return model
    state = next((content[key] for key in ("state_dict", "model") if isinstance(content.get(key), dict)), content)
    if not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise CheckpointError(
            f"{file} is neither a onebit checkpoint nor a plain state_dict (not all its values are tensors)"
        )
    model = call_factory(config.factory) if config.factory else build_model(teacher_recipe(recipe), data)
    load_weights(model, state, str(file))
    return model.eval()


def call_factory(name: str) -> nn.Module:
    """The network that ``"package.module:function"`` returns.

    Raises:
        UsageError: if there is no such function, it fails, or it returns something else.
    """
    module_name, _, function = name.partition(":")
    here = os.getcwd()  # a console script does not look into the folder it is called from
    try:
        if here not in sys.path:
            sys.path.append(here)
        model = getattr(importlib.import_module(module_name), function)()
    except Exception as error:  # the user's own code may fail in any way
        raise UsageError(
            f'teacher.factory = "{name}" cannot be called ({type(error).__name__}: {error}); '
            'write "package.module:function", taking no arguments'
        ) from error
    if not isinstance(model, nn.Module):
        raise UsageError(f'teacher.factory = "{name}" returned a {type(model).__name__}, not a torch.nn.Module')
    return model


@torch.no_grad()
def check_teacher(teacher: nn.Module, data: dict[str, Any], device: Any = "cpu") -> None:
    """Refuse a teacher that cannot take the data set's images or does not answer for its classes.

    Raises:
        UsageError: with the shapes.
    """
    images = torch.zeros(2, data["in_channels"], data["image_size"], data["image_size"], device=device)
    try:
        answer = teacher(images)
    except Exception as error:  # the user's own network may fail in any way
        raise UsageError(f"the teacher cannot take images of shape {tuple(images.shape[1:])}: {error}") from error
    got = tuple(getattr(answer, "shape", ())) if isinstance(answer, torch.Tensor) else type(answer).__name__
    wanted = (2, data["num_classes"])
    if got != wanted:
        raise UsageError(
            f"the teacher answers {got} to two images, not {wanted}: the data set has {data['num_classes']} classes"
        )


@torch.no_grad()
def copy_teacher(student: nn.Module, teacher: nn.Module) -> int:
    """Start the student from its twin: same names, same shapes; returns how many tensors were copied.

    Latent binary weights keep the twin's signs and proportions but get the mean magnitude they were drawn with, so that they
    can still flip; what is derived from them (RBCN's C) is set anew.
    """
    layers = {name: module for name, module in student.named_modules() if isinstance(module, BinaryLayer)}
    latent = {f"{name}.weight" for name in layers}
    theirs = teacher.state_dict()
    copied = 0
    for name, value in student.state_dict().items():
        source = theirs.get(name)
        layer = layers[name.removesuffix(".weight")] if name in latent else None
        # The twin has one filter for every output channel; a latent weight may have fewer (PCNN).
        shape = value.shape if layer is None else layer.binary_weight().shape[-value.dim() :]
        if source is None or source.shape != shape:
            continue
        if layer is not None:
            layer.take_weight(source)
        else:
            value.copy_(source)
        copied += 1
    if not copied:
        raise UsageError(
            "model.copy_teacher: the teacher has no tensor of the student's names and shapes; use a twin as teacher"
        )
    for layer in layers.values():
        layer.reset_scale()
    return copied
