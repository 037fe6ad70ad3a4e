"""Line 17 of Algorithm 1: after an epoch batch norm learns on, and W and C stay as they are, bit for bit."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F

from onebit.training import Recipe
from onebit.training.fit import Fit
from onebit.training.processes import average_values
from onebit.training.recipe import RefreshConfig
from onebit.training.refresh import refresh_batch_norm, refreshed_parameters

NORMS = {"stem.2", "norm", "hidden_norm"}


@pytest.mark.parametrize("scope", ["bn", "other"])
def test_what_moves_and_what_stays(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], scope: str) -> None:
    fit = make_fit(recipe())
    before = {name: value.clone() for name, value in fit.model.state_dict().items()}
    config = RefreshConfig(True, scope, fraction=1.0, lr=0.1)
    steps = refresh_batch_norm(fit.fabric, fit.model, fit.refresh, 0, config)
    assert steps == len(fit.refresh) == 4
    moved = {name for name, value in fit.model.state_dict().items() if not torch.equal(value, before[name])}
    expected = {name for name in before if name.rpartition(".")[0] in NORMS}
    if scope == "other":
        expected |= {"stem.0.weight", "classifier.weight", "classifier.bias"}
    assert moved == expected


def test_parameters_learn_again_afterwards(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> None:
    fit = make_fit(recipe())
    fit.model.classifier.bias.requires_grad_(False)
    refresh_batch_norm(fit.fabric, fit.model, fit.refresh, 0, RefreshConfig(True, "bn"))
    for name, parameter in fit.model.named_parameters():
        assert parameter.grad is None
        assert parameter.requires_grad == (name != "classifier.bias")


def test_it_survives_an_exception(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> None:
    fit = make_fit(recipe())

    class Broken:
        def __len__(self) -> int:
            return 4

        def epoch(self, _epoch: int):
            yield next(iter(fit.refresh.epoch(0)))
            raise RuntimeError("the disk went away")

    with pytest.raises(RuntimeError, match="went away"):
        refresh_batch_norm(fit.fabric, fit.model, Broken(), 0, RefreshConfig(True, "bn", fraction=1.0))
    assert all(parameter.requires_grad for parameter in fit.model.parameters())


def test_one_step_is_sgd_on_the_task_loss_alone(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> None:
    fit = make_fit(recipe())
    twin = copy.deepcopy(fit.model).train()
    images, labels = next(iter(fit.refresh.epoch(3)))
    F.cross_entropy(twin(images), labels).backward()
    refresh_batch_norm(fit.fabric, fit.model, fit.refresh, 3, RefreshConfig(True, "bn", fraction=0.01, lr=0.2))
    for name in NORMS:
        ours, theirs = fit.model.get_submodule(name), twin.get_submodule(name)
        for kind in ("weight", "bias"):
            parameter = theirs.get_parameter(kind)
            assert parameter.grad is not None
            torch.testing.assert_close(ours.get_parameter(kind), parameter - 0.2 * parameter.grad)
        for kind in ("running_mean", "running_var"):
            torch.testing.assert_close(ours.get_buffer(kind), theirs.get_buffer(kind))


@pytest.mark.parametrize(("fraction", "steps"), [(0.01, 1), (0.25, 1), (0.3, 2), (1.0, 4)])
def test_the_share_of_an_epoch(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], fraction: float, steps: int
) -> None:
    fit = make_fit(recipe())
    got = refresh_batch_norm(fit.fabric, fit.model, fit.refresh, 0, RefreshConfig(True, "bn", fraction=fraction))
    assert got == steps
    assert int(fit.model.get_buffer("norm.num_batches_tracked")) == steps


def test_the_scopes_name_every_parameter_but_w_and_c(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]
) -> None:
    model = make_fit(recipe()).model
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    other = {names[id(parameter)] for parameter in refreshed_parameters(model, "other")}
    assert set(names.values()) - other == {"conv.weight", "conv.matrix", "hidden.weight", "hidden.matrix"}


def test_the_record_shows_both_sides_of_the_refresh(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]
) -> None:
    fit = make_fit(recipe({"refresh": {"enabled": True, "lr": 0.5, "fraction": 1.0}}))
    fit.epoch = 1
    record = fit._run_epoch(type("Silent", (), {"step": lambda *_: None})())
    assert record["before_refresh"]["n"] == record["holdout"]["n"] == 120
    assert record["before_refresh"]["loss"] != record["holdout"]["loss"]


def test_means_over_one_process_are_the_values_without_gradient() -> None:
    value = torch.tensor(2.0, requires_grad=True)
    means = average_values(type("One", (), {"world_size": 1})(), {"loss": value})
    assert means["loss"].item() == 2.0
    assert not means["loss"].requires_grad
