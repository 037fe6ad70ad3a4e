"""Discriminators: losses against the written formulas, pooling, throttle, scores; the weight of their pull on the student."""

from __future__ import annotations

import math
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from onebit.models import Tap
from onebit.training import Recipe
from onebit.training.discriminators import Discriminator, Discriminators
from onebit.training.fit import Fit
from onebit.training.guidance import Guidance
from onebit.training.objective import distillation_loss
from onebit.training.recipe import AdversarialConfig
from onebit.training.taps import select_taps

SHAPES = [(3, 5, 5), (4,)]


@pytest.fixture
def maps() -> Callable[[int], list[torch.Tensor]]:
    def make(seed: int) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(seed)
        return [torch.randn(6, *shape, generator=generator) for shape in SHAPES]

    return make


def make(**changes: Any) -> Discriminators:
    torch.manual_seed(0)
    return Discriminators(["a", "b"], SHAPES, AdversarialConfig(enabled=True, widths=(8, 4), **changes))


def test_a_discriminator_is_four_blocks_on_the_pooled_map() -> None:
    member = Discriminator((16, 9, 9), AdversarialConfig())
    sizes = [(layer.in_features, layer.out_features) for layer in member.layers if isinstance(layer, torch.nn.Linear)]
    assert sizes == [(16 * 16, 256), (256, 128), (128, 64), (64, 1)]
    assert {layer.negative_slope for layer in member.layers if isinstance(layer, torch.nn.LeakyReLU)} == {0.2}
    assert member(torch.randn(5, 16, 9, 9)).shape == (5,)


@pytest.mark.parametrize(
    ("shape", "pool", "features"), [((3, 8, 8), 4, 48), ((3, 3, 3), 4, 3), ((3, 5, 5), 0, 75), ((7,), 4, 7)]
)
def test_pooling(shape: tuple[int, ...], pool: int, features: int) -> None:
    member = Discriminator(shape, AdversarialConfig(pool=pool, widths=(2,)))
    first = member.layers[0]
    assert isinstance(first, torch.nn.Linear)
    assert first.in_features == features
    assert member(torch.randn(4, *shape)).shape == (4,)


def test_normalising_makes_scale_and_offset_of_a_channel_invisible() -> None:
    torch.manual_seed(0)
    images = torch.randn(8, 3, 5, 5)
    moved = images * torch.tensor([2.0, 3.0, 10.0]).view(3, 1, 1) + torch.tensor([1.0, -5.0, 2.0]).view(3, 1, 1)
    for normalize in (True, False):
        torch.manual_seed(1)
        member = Discriminator((3, 5, 5), AdversarialConfig(normalize=normalize))
        assert torch.allclose(member(images), member(moved), atol=1e-3) == normalize


def test_the_losses_are_the_written_ones(maps: Callable[[int], list[torch.Tensor]]) -> None:
    real, fake = maps(1), maps(2)
    for generator_loss in ("least-squares", "log"):
        judges = make(generator_loss=generator_loss)
        loss, scores = judges.loss(real, fake, [0, 1])
        expected_d, expected_g = 0.0, 0.0
        for index, member in enumerate(judges.members):
            logit_real, logit_fake = member(real[index]), member(fake[index])
            d_real, d_fake = 1 / (1 + torch.exp(-logit_real)), 1 / (1 + torch.exp(-logit_fake))
            own = -d_real.log().mean() - (1 - d_fake).log().mean()
            expected_d += own
            expected_g += ((1 - d_fake) ** 2).mean() if generator_loss == "least-squares" else -d_fake.log().mean()
            accuracy = ((d_real > 0.5).double().mean() + (d_fake < 0.5).double().mean()) / 2
            wanted = torch.stack([accuracy, own.detach(), d_real.mean(), d_fake.mean()]).detach()
            torch.testing.assert_close(scores[index].double(), wanted, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(loss.double(), torch.as_tensor(expected_d).double(), rtol=1e-5, atol=1e-6)
        got = judges.generator_loss(fake).double()
        torch.testing.assert_close(got, torch.as_tensor(expected_g).double(), rtol=1e-5, atol=1e-6)


def test_a_good_discriminator_rests_until_its_turn() -> None:
    judges = make(throttle_accuracy=0.8, throttle_interval=5)
    judges.accuracy.copy_(torch.tensor([0.81, 0.79]))
    assert [judges.due(step) for step in range(6)] == [[0, 1], [1], [1], [1], [1], [0, 1]]
    judges.accuracy.fill_(1.0)
    assert make(throttle_accuracy=1.0).due(3) == [0, 1]
    assert judges.due(3) == []


def test_resting_discriminators_keep_their_weights_and_scores_say_how_often_they_moved(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any]
) -> None:
    changes = {"adversarial": {"throttle_accuracy": 0.0, "throttle_interval": 4}}
    fit = make_fit(recipe(changes, full=True))
    guidance = fit.guidance
    assert guidance is not None
    assert guidance.discriminators is not None
    fit.model.train()
    before = [p.detach().clone() for p in guidance.discriminators.parameters()]
    moved = []
    for step in range(4):
        guidance.discriminators.accuracy.fill_(1.0)
        fit._train_step(*batch(fit, step), step)
        now = [p.detach().clone() for p in guidance.discriminators.parameters()]
        moved.append(not all(torch.equal(a, b) for a, b in zip(before, now, strict=True)))
        before = now
    assert moved == [True, False, False, False]
    scores = guidance.read_scores()
    assert set(scores) == {"norm", "hidden_norm"}
    for score in scores.values():
        assert score["update_share"] == 0.25
        assert 0 <= score["accuracy"] <= 1
        assert 0 < score["real"] < 1
    assert guidance.read_scores() == {}


def guidance_with(**changes: Any) -> Guidance:
    """A Guidance without networks, for what it computes from numbers alone."""
    guidance = Guidance.__new__(Guidance)
    guidance.adversarial = AdversarialConfig(enabled=True, **changes)
    guidance.cap = math.inf
    guidance.fabric = SimpleNamespace(world_size=1)
    return guidance


@pytest.mark.parametrize(
    ("anneal", "expected"),
    [("none", [0.3, 0.3, 0.3]), ("linear", [0.3, 0.15, 0.0]), ("cosine", [0.3, 0.15, 0.0])],
)
def test_the_weight_anneals(anneal: str, expected: list[float]) -> None:
    guidance = guidance_with(weight=0.3, anneal=anneal)
    assert [guidance.weight(share) for share in (0.0, 0.5, 1.0)] == pytest.approx(expected, abs=1e-12)


def test_the_gradient_ratio_bounds_the_weight() -> None:
    guidance = guidance_with(weight=1.0, max_ratio=0.05)
    guidance.note_ratio(0.4, guidance.weight(0.0))  # the term's gradient is 0.4 of the task's at weight 1
    assert guidance.weight(0.0) == pytest.approx(0.125)  # so 0.05 is reached at 1/8
    guidance.note_ratio(0.05, guidance.weight(0.0))
    assert guidance.weight(0.0) == pytest.approx(0.125)  # a fixed point
    guidance.note_ratio(0.001, guidance.weight(0.0))
    assert guidance.weight(0.0) == 1.0  # never above the recipe's
    free = guidance_with(weight=1.0, max_ratio=0.0)
    free.note_ratio(100.0, 1.0)
    assert free.weight(0.0) == 1.0


def test_the_bound_holds_in_training(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any]
) -> None:
    changes = {"adversarial": {"weight": 50.0, "max_ratio": 0.1, "probe_every": 1, "anneal": "none"}}
    fit = make_fit(recipe(changes, full=True))
    fit.model.train()
    ratios = [fit._train_step(*batch(fit, step), step)[1] for step in range(3)]
    assert ratios[0] is not None
    assert ratios[0] > 0.5
    assert all(ratio is not None and ratio < 0.2 for ratio in ratios[1:])


def test_taps_by_attachment() -> None:
    taps = [Tap("a", 0), Tap("b", 0), Tap("c", 1), Tap("d", 2)]
    names = {kind: [tap.module for tap in select_taps(taps, kind)] for kind in ("per_layer", "per_stage", "last")}
    assert names == {"per_layer": ["a", "b", "c", "d"], "per_stage": ["b", "c", "d"], "last": ["d"]}


def test_distillation_against_a_hand_computation() -> None:
    student, teacher, t = torch.tensor([[1.0, -1.0], [0.5, 2.0]]), torch.tensor([[2.0, 0.0], [1.0, 1.0]]), 2.0
    expected = 0.0
    for ours, theirs in zip(student.tolist(), teacher.tolist(), strict=True):
        q = [math.exp(v / t) / sum(math.exp(w / t) for w in ours) for v in ours]
        p = [math.exp(v / t) / sum(math.exp(w / t) for w in theirs) for v in theirs]
        expected += t * t * sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)) / 2
    assert distillation_loss(student, teacher, t).item() == pytest.approx(expected, rel=1e-6)


def test_distillation_gradient_is_t_times_the_difference_of_the_softened_answers() -> None:
    student = torch.randn(4, 5, dtype=torch.float64, requires_grad=True)
    teacher = torch.randn(4, 5, dtype=torch.float64)
    distillation_loss(student, teacher, 4.0).backward()
    expected = 4.0 * ((student / 4).softmax(1) - (teacher / 4).softmax(1)) / 4
    torch.testing.assert_close(student.grad, expected.detach())
