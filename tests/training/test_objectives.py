"""What a student takes from its teacher: each loss and its gradient against formulas written out in float64."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from onebit.training import Recipe, list_objectives, load_recipe
from onebit.training.fit import Fit
from onebit.training.objective import OBJECTIVES, answer_loss, feature_loss


def drawn(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def test_every_objective_is_a_table_of_the_recipe_and_can_be_switched_on(recipe: Callable[..., Recipe]) -> None:
    on = {
        "adversarial": {"enabled": True},
        "distillation": {"weight": 0.5},
        "features": {"weight": 0.5},
        "apprentice": {"enabled": True},
    }
    assert list_objectives() == sorted(on)
    assert all(name in {field.name for field in dataclasses.fields(Recipe)} for name in OBJECTIVES)
    for name, table in on.items():
        single = recipe({name: table, "teacher": {"source": "train"}})
        assert single.objectives() == [name]
        assert single.needs_teacher()
    assert recipe().objectives() == []


@pytest.mark.parametrize(
    ("card", "objective"),
    [
        ("distilled-mnist-cpu", "distillation"),
        ("features-mnist-cpu", "features"),
        ("apprentice-mnist-cpu", "apprentice"),
        ("apprentice-cifar10-cpu", "apprentice"),
    ],
)
def test_the_cards_have_one_objective_each_in_the_place_of_the_discriminators(card: str, objective: str) -> None:
    recipe = load_recipe(card)
    assert recipe.objectives() == [objective]
    assert (recipe.method.name, recipe.refresh.enabled) == ("xnor", False)
    assert recipe.teacher.source == ("joint" if objective == "apprentice" else "train")
    assert (recipe.apprentice.alpha, recipe.apprentice.beta, recipe.apprentice.gamma) == (1.0, 0.5, 0.5)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 6), classes=st.integers(2, 7), seed=st.integers(0, 1000))
def test_the_answers_as_labels(n: int, classes: int, seed: int) -> None:
    student, teacher = drawn(n, classes, seed=seed).requires_grad_(), drawn(n, classes, seed=seed + 1).requires_grad_()
    loss = answer_loss(student, teacher)
    q = student.detach().exp() / student.detach().exp().sum(1, keepdim=True)
    p = teacher.detach().exp() / teacher.detach().exp().sum(1, keepdim=True)
    torch.testing.assert_close(loss.detach(), -(p * q.log()).sum() / n)
    loss.backward()
    torch.testing.assert_close(student.grad, (q - p) / n)
    torch.testing.assert_close(teacher.grad, -p * (q.log() - (p * q.log()).sum(1, keepdim=True)) / n)


def normalised(maps: Tensor) -> Tensor:
    """Channel by channel: minus the mean, by the root of the biased variance and 1e-5."""
    channels = []
    for index in range(maps.shape[1]):
        values = maps[:, index]
        mean = values.sum() / values.numel()
        variance = ((values - mean) ** 2).sum() / values.numel()
        channels.append((values - mean) / (variance + 1e-5) ** 0.5)
    return torch.stack(channels, 1)


def attention(maps: Tensor) -> Tensor:
    """Image by image: the energy at each position, a vector of length 1."""
    vectors = []
    for image in maps:
        energy = torch.stack([channel**2 for channel in image]).sum(0).flatten() if image[0].numel() > 1 else image**2
        vectors.append(energy.flatten() / (energy**2).sum() ** 0.5)
    return torch.stack(vectors)


@pytest.mark.parametrize("shape", [(5, 3, 4, 2), (5, 3, 1, 1), (5, 6)])
@pytest.mark.parametrize("normalize", [True, False])
@pytest.mark.parametrize("kind", ["maps", "attention"])
def test_feature_matching(kind: str, normalize: bool, shape: tuple[int, ...]) -> None:
    student, teacher = drawn(*shape, seed=1).requires_grad_(), drawn(*shape, seed=2)
    again = student.detach().clone().requires_grad_()
    mine, its = (normalised(again), normalised(teacher)) if normalize else (again, teacher)
    if kind == "maps":
        expected = ((mine - its) ** 2).sum() / mine.numel()
    else:
        expected = ((attention(mine) - attention(its)) ** 2).sum() / len(mine)
    loss = feature_loss(student, teacher, kind, normalize)
    torch.testing.assert_close(loss, expected)
    assert loss > 0.01
    loss.backward()
    expected.backward()
    torch.testing.assert_close(student.grad, again.grad)


def test_the_gradient_of_raw_maps_is_twice_the_difference_over_their_size() -> None:
    student, teacher = drawn(4, 3, 2, 2, seed=1).requires_grad_(), drawn(4, 3, 2, 2, seed=2)
    feature_loss(student, teacher, "maps", normalize=False).backward()
    torch.testing.assert_close(student.grad, 2 * (student.detach() - teacher) / student.numel())


def test_what_feature_matching_does_not_see() -> None:
    maps = drawn(6, 3, 4, 4, seed=3)
    moved = maps * torch.tensor([2.0, 0.5, 3.0]).view(3, 1, 1) + torch.tensor([1.0, 0.0, -4.0]).view(3, 1, 1)
    assert feature_loss(moved, maps) < 1e-8  # scale and offset of a channel
    assert feature_loss(moved, maps, normalize=False) > 1
    swapped = -maps[:, [2, 0, 1]]
    assert feature_loss(swapped, maps, "attention", normalize=False) < 1e-12  # which channel, and its sign
    assert feature_loss(swapped, maps, normalize=False) > 1
    assert feature_loss(3 * maps, maps, "attention", normalize=False) < 1e-12  # how strong
    one = drawn(1, 3, 4, 4, seed=4)
    assert torch.isfinite(feature_loss(one, 2 * one))  # a single image has nothing to be normalised by


@pytest.mark.parametrize(("attach", "expected"), [("per_layer", [0, 1]), ("per_stage", [0, 1]), ("last", [1])])
@pytest.mark.parametrize("adversarial", [True, False])
def test_in_a_step_every_objective_sees_its_own_maps(
    recipe: Callable[..., Recipe],
    make_fit: Callable[..., Fit],
    batch: Callable[..., Any],
    attach: str,
    expected: list[int],
    adversarial: bool,
) -> None:
    changes = {
        "features": {"weight": 0.3, "attach": attach},
        "adversarial": {"enabled": adversarial, "attach": "per_layer"},
        "teacher": {"source": "train"},
    }
    fit = make_fit(recipe(changes))
    guidance = fit.guidance
    assert guidance is not None
    images, labels = batch(fit)
    fit.model.train()
    seen = guidance.look(images)
    assert not seen[0].requires_grad
    places = [0, 1] if adversarial else expected
    assert len(seen[1]) == len(places)
    assert guidance.attached == {"features": expected if adversarial else [*range(len(expected))]} | (
        {"adversarial": [0, 1]} if adversarial else {}
    )
    terms, _ = fit._terms(images, labels, seen, 0, train_discriminators=False)
    fit.model.zero_grad()
    terms["features"].backward()
    reached = {name for name, p in fit.model.named_parameters() if p.grad is not None and p.grad.abs().sum() > 0}
    assert {"conv.weight", "stem.0.weight"} <= reached
    assert not any(name.startswith("classifier") for name in reached)
    assert all(p.grad is None for p in guidance.teacher.parameters())

    maps = {}
    for network, side in ((fit.model, "student"), (guidance.teacher, "teacher")):
        names = ("norm", "hidden_norm")
        hooks = [
            network.get_submodule(n).register_forward_hook(lambda *a, k=(side, i): maps.__setitem__(k, a[2].detach()))
            for i, n in enumerate(names)
        ]
        network(images)
        for hook in hooks:
            hook.remove()
    pairs = [(normalised(maps["student", i].double()), normalised(maps["teacher", i].double())) for i in expected]
    wanted = 0.3 * sum(((mine - its) ** 2).mean() for mine, its in pairs)
    torch.testing.assert_close(terms["features"].detach().double(), wanted, rtol=1e-4, atol=1e-6)
