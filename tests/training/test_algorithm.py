"""One step of Algorithm 1: what is updated, in which order, from what, and what stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from onebit.nn import BinaryLayer
from onebit.training import Recipe
from onebit.training.fit import Fit
from onebit.training.guidance import Guidance


def state_of(module: torch.nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def changed(module: torch.nn.Module, before: dict[str, Tensor]) -> set[str]:
    return {name for name, value in module.state_dict().items() if not torch.equal(value, before[name])}


@pytest.fixture
def fit(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> Fit:
    return make_fit(recipe(full=True))


def members(fit: Fit) -> tuple[Guidance, torch.nn.Module]:
    assert fit.guidance is not None
    assert fit.guidance.discriminators is not None
    return fit.guidance, fit.guidance.discriminators


def test_discriminators_are_updated_first_then_weights_and_matrix(fit: Fit, batch: Callable[..., Any]) -> None:
    guidance, discriminators = members(fit)
    seen: list[str] = []
    theirs, ours = state_of(discriminators), state_of(fit.model)
    d_step, g_loss, w_step = guidance.optimizer.step, discriminators.generator_loss, fit.optimizer.step

    def after_d(*_: Any) -> Any:
        result = d_step()
        # Only the discriminators have moved: no weight of the student, though its statistics have seen the batch.
        assert not {n for n in changed(fit.model, ours) if "running" not in n and "num_batches" not in n}
        assert changed(discriminators, theirs)
        seen.append("D")
        return result

    def generator(maps: Any) -> Tensor:
        seen.append("generator term")
        return g_loss(maps)

    def after_w(*arguments: Any) -> Any:
        seen.append("W and C")
        return w_step(*arguments)

    guidance.optimizer.step = after_d
    discriminators.generator_loss = generator
    fit.optimizer.step = after_w
    fit._train_step(*batch(fit), 0)
    assert seen == ["D", "generator term", "W and C"]
    moved = changed(fit.model, ours)
    assert {"conv.weight", "conv.matrix", "hidden.weight", "hidden.matrix", "classifier.weight"} <= moved


def test_the_discriminators_update_sends_nothing_to_the_student(fit: Fit, batch: Callable[..., Any]) -> None:
    guidance, discriminators = members(fit)
    images, _ = batch(fit)
    fit.model.train()
    fit.model(images)
    _, real = guidance.look(images)
    fake = guidance.student_maps.read()
    assert all(maps.requires_grad for maps in fake)
    assert not any(maps.requires_grad for maps in real)
    guidance.train_discriminators(real, fake, 0)
    assert all(parameter.grad is None for parameter in fit.model.parameters())
    assert all(parameter.grad is not None for parameter in discriminators.parameters())


def test_the_generator_term_reaches_the_student_alone(fit: Fit, batch: Callable[..., Any]) -> None:
    guidance, discriminators = members(fit)
    images, _ = batch(fit)
    guidance.optimizer.zero_grad()
    fit.model(images)
    discriminators.generator_loss(guidance.student_maps.read()).backward()
    assert all(parameter.grad is None for parameter in discriminators.parameters())
    assert all(parameter.requires_grad for parameter in discriminators.parameters())
    for layer in fit.layers.values():
        assert layer.weight.grad is not None
        assert layer.weight.grad.abs().sum() > 0


def test_the_teacher_is_unchanged_bit_for_bit(fit: Fit) -> None:
    assert fit.teacher is not None
    before = state_of(fit.teacher)
    fit.run()
    assert not changed(fit.teacher, before)
    assert not fit.teacher.training


def test_the_terms_add_up_and_the_step_follows_their_sum(fit: Fit, batch: Callable[..., Any]) -> None:
    figures, ratio = fit._train_step(*batch(fit), 0)
    parts = ("task", "kernel", "distillation", "adversarial")
    assert set(figures) == {"loss", "top1", *parts}
    assert figures["loss"].item() == pytest.approx(sum(figures[part].item() for part in parts), rel=1e-6)
    assert ratio is not None
    assert ratio > 0


def test_gradient_ratio_equals_an_independent_computation(fit: Fit, batch: Callable[..., Any]) -> None:
    guidance, _ = members(fit)
    images, labels = batch(fit)
    seen = guidance.look(images)
    fit.model.train()
    terms, _ = fit._terms(images, labels, seen, 0, train_discriminators=False)
    ratio = fit._probe(terms, 0)
    norms = []
    for name in ("adversarial", "task"):
        fit.model.zero_grad()
        again, _ = fit._terms(images, labels, seen, 0, train_discriminators=False)
        again[name].backward()
        norms.append(sum(layer.weight.grad.square().sum() for layer in fit.layers.values()).sqrt().item())
    assert ratio == pytest.approx(norms[0] / norms[1], rel=1e-4)


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_the_probe_changes_no_gradient(
    recipe: Callable[..., Recipe],
    make_fit: Callable[..., Fit],
    batch: Callable[..., Any],
    precision: str,
    tmp_path: Any,
) -> None:
    states = []
    for every in (1, 0):
        changes = {"adversarial": {"probe_every": every, "max_ratio": 0.0}, "training": {"precision": precision}}
        fit = make_fit(recipe(changes, full=True), folder=tmp_path / str(every))
        fit.model.train()
        for step in range(2):
            fit._train_step(*batch(fit, step), step)
        states.append(state_of(fit.model))
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_strict_alternation_moves_c_by_the_gradient_after_w_has_moved(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any], tmp_path: Any
) -> None:
    changes = {
        "optimizer": {"name": "sgd", "lr": 0.5, "momentum": 0.0, "matrix_lr": 0.5, "clip_norm": 0.0},
        "schedule": {"name": "constant"},
        "adversarial": {"throttle_interval": 1},
    }
    fits = {}
    for strict in (False, True):
        table = {**changes, "training": {"strict_alternation": strict}}
        fits[strict] = make_fit(recipe(table, full=True), folder=tmp_path / str(strict))
        fits[strict].model.train()
    start = state_of(fits[True].model)
    images, labels = batch(fits[True])
    for fit in fits.values():
        fit._train_step(images, labels, 0)
    loose, strict = (state_of(fits[key].model) for key in (False, True))
    for name, value in strict.items():
        if name.endswith("weight") or name.endswith("bias"):
            assert torch.equal(value, loose[name]), name  # W and the rest take the first gradient, as without
    assert any(not torch.equal(strict[name], loose[name]) for name in strict if name.endswith("matrix"))

    # Independently: the gradient on C at the new W and the old C. The batch statistics are those of the batch, either way.
    check = fits[True]
    guidance, _ = members(check)
    with torch.no_grad():
        for name, value in check.model.state_dict().items():
            value.copy_(start[name] if name.endswith("matrix") else strict[name])
    check.model.zero_grad()
    terms, _ = check._terms(images, labels, guidance.look(images), 0, train_discriminators=False)
    torch.stack(list(terms.values())).sum().backward()
    for name, layer in check.layers.items():
        stepped = start[f"{name}.matrix"] - 0.5 * layer.get_parameter("matrix").grad
        floor = layer.get_buffer("matrix_floor")
        torch.testing.assert_close(strict[f"{name}.matrix"], torch.maximum(stepped, floor))


def test_the_matrix_stays_above_its_floor(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any]
) -> None:
    fit = make_fit(
        recipe({"optimizer": {"name": "sgd", "lr": 0.01, "matrix_lr": 100.0}, "schedule": {"name": "constant"}})
    )
    fit.model.train()
    for step in range(3):
        fit._train_step(*batch(fit, step), step)
        for layer in fit.layers.values():
            floor = layer.get_buffer("matrix_floor")
            assert floor > 0
            assert (layer.get_parameter("matrix") >= floor).all()
    assert any(
        (layer.get_parameter("matrix") == layer.get_buffer("matrix_floor")).any() for layer in fit.layers.values()
    )


def test_flips_equal_an_independent_count(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> None:
    fit = make_fit(recipe({"training": {"epochs": 2}, "optimizer": {"lr": 0.02}}))
    progress = type("Silent", (), {"step": lambda *_: None})()
    for epoch in (1, 2):
        before = {name: layer.binary_weight().detach() for name, layer in fit.layers.items()}
        fit.epoch = epoch
        record = fit._run_epoch(progress)
        count = {name: int((layer.binary_weight() != before[name]).sum()) for name, layer in fit.layers.items()}
        total = sum(signs.numel() for signs in before.values())
        assert record["flips"] == pytest.approx(sum(count.values()) / total)
        for name, signs in before.items():
            assert record["flips_per_layer"][name] == pytest.approx(count[name] / signs.numel())
        assert record["flips"] > 0


def test_hooks_leave_both_networks_when_a_run_ends_or_breaks(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], tmp_path: Any
) -> None:
    for number, breaks in enumerate((False, True)):
        fit = make_fit(recipe(full=True), folder=tmp_path / str(number))
        if breaks:
            fit._train_step = lambda *_: (_ for _ in ()).throw(RuntimeError("broken"))
            with pytest.raises(RuntimeError, match="broken"):
                fit.run()
        else:
            fit.run()
        assert fit.teacher is not None
        for network in (fit.model, fit.teacher):
            assert not [name for name, module in network.named_modules() if module._forward_hooks]


@pytest.mark.parametrize("method", ["bireal", "xnor", "real"])
def test_networks_without_a_matrix_train_too(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], method: str
) -> None:
    fit = make_fit(recipe({"method": {"name": method}}))
    fit.run()
    assert fit.epoch == 1
    assert any(isinstance(module, BinaryLayer) for module in fit.model.modules()) == (method != "real")
