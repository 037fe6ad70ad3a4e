"""Parameter groups by role, schedules against their formulas, clipping, averaging, smoothing."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from onebit.models import create_model, list_models
from onebit.nn import BinaryLayer
from onebit.training import Recipe
from onebit.training.average import MovingAverage
from onebit.training.fit import Fit
from onebit.training.optimization import (
    anneal_factor,
    make_optimizer,
    parameter_groups,
    schedule_factor,
    set_learning_rates,
)
from onebit.training.recipe import OptimizerConfig, ScheduleConfig


@pytest.mark.parametrize("model", list_models())
@pytest.mark.parametrize("method", ["rbcn", "bireal", "xnor", "real"])
def test_every_parameter_is_in_one_group_of_its_role(model: str, method: str) -> None:
    network = create_model(model, method, in_channels=1, image_size=8)
    config = OptimizerConfig(lr=0.1, weight_decay=0.02, binary_lr_scale=3.0, binary_weight_decay=0.01, matrix_lr=0.004)
    groups = {group["name"]: group for group in parameter_groups(network, config)}
    members = [id(p) for group in groups.values() for p in group["params"]]
    assert len(members) == len(set(members))
    assert set(members) == {id(p) for p in network.parameters()}

    expected: dict[str, set[int]] = {"binary": set(), "matrix": set(), "real": set(), "norm": set()}
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            if isinstance(module, BinaryLayer):
                expected["matrix" if name == "matrix" else "binary"].add(id(parameter))
            else:
                expected["real" if parameter.dim() > 1 else "norm"].add(id(parameter))
    assert {name: {id(p) for p in group["params"]} for name, group in groups.items()} == {
        k: v for k, v in expected.items() if v
    }
    rates = {"real": (0.1, 0.02), "norm": (0.1, 0.0), "binary": (0.3, 0.01), "matrix": (0.004, 0.0)}
    for name, group in groups.items():
        assert (group["lr"], group["weight_decay"]) == pytest.approx(rates[name])
        assert group["base_lr"] == group["lr"]


@pytest.mark.parametrize(
    ("name", "kind"), [("sgd", torch.optim.SGD), ("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_named_optimiser(name: Any, kind: type) -> None:
    optimizer = make_optimizer(nn.Linear(2, 2), OptimizerConfig(name=name, lr=0.1, momentum=0.7, nesterov=True))
    assert type(optimizer) is kind
    if name == "sgd":
        assert optimizer.param_groups[0]["momentum"] == 0.7
        assert optimizer.param_groups[0]["nesterov"]
    assert set_learning_rates(optimizer, 0.5) == pytest.approx({"real": 0.05, "norm": 0.05})
    assert set_learning_rates(optimizer, 0.5) == pytest.approx(
        {"real": 0.05, "norm": 0.05}
    )  # of the base, not compounded


STEPS, EPOCHS = 7, 10


def factors(**config: Any) -> list[float]:
    return [schedule_factor(ScheduleConfig(**config), step, STEPS, EPOCHS) for step in range(STEPS * EPOCHS)]


def test_schedules_follow_their_formulas() -> None:
    total = STEPS * EPOCHS
    assert factors(name="constant") == [1.0] * total
    assert factors(name="cosine") == pytest.approx([(1 + math.cos(math.pi * s / total)) / 2 for s in range(total)])
    assert factors(name="linear") == pytest.approx([1 - s / total for s in range(total)])
    expected = [0.1 ** (s // STEPS // 3) for s in range(total)]
    assert factors(name="step", step_epochs=3) == pytest.approx(expected)
    assert factors(name="step", step_epochs=4, gamma=0.5)[-1] == pytest.approx(0.25)


@pytest.mark.parametrize("name", ["constant", "cosine", "linear", "step"])
def test_warm_up_rises_in_equal_steps_to_the_whole_rate(name: str) -> None:
    rates = factors(name=name, warmup_epochs=2.0, step_epochs=60)
    warm = 2 * STEPS
    assert rates[:warm] == pytest.approx([(s + 1) / (warm + 1) for s in range(warm)])
    assert rates[warm] == pytest.approx(1.0)
    assert 0 < rates[0] < rates[1]
    if name == "cosine":
        assert rates[warm:] == pytest.approx([(1 + math.cos(math.pi * s / 56)) / 2 for s in range(56)])


def test_the_ends_of_annealing() -> None:
    for name, end in (("cosine", 0.0), ("linear", 0.0), ("constant", 1.0), ("none", 1.0)):
        assert anneal_factor(name, 0.0) == 1.0
        assert anneal_factor(name, 1.0) == pytest.approx(end)


def test_the_loop_sets_the_rates_of_the_schedule(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> None:
    fit = make_fit(recipe({"schedule": {"name": "linear"}, "optimizer": {"lr": 0.1, "matrix_lr": 0.01}}))
    fit.epoch = 1
    record = fit._run_epoch(type("Silent", (), {"step": lambda *_: None})())
    assert record["lr"] == pytest.approx({"real": 0.025, "norm": 0.025, "binary": 0.025, "matrix": 0.0025})


def test_clipping_bounds_the_whole_gradient(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any], tmp_path: Any
) -> None:
    moved = []
    for number, limit in enumerate((0.0, 1e-3)):
        table = {"optimizer": {"name": "sgd", "momentum": 0.0, "lr": 1.0, "matrix_lr": 1.0, "clip_norm": limit}}
        fit = make_fit(recipe({**table, "schedule": {"name": "constant"}}), folder=tmp_path / str(number))
        before = [p.detach().clone() for p in fit.model.parameters()]
        fit.model.train()
        for group in fit.optimizer.param_groups:
            group["lr"] = 1.0
        for layer in fit.layers.values():
            layer.keep_positive = False
        fit._train_step(*batch(fit), 0)
        steps = [(p.detach() - b).flatten() for p, b in zip(fit.model.parameters(), before, strict=True)]
        moved.append(torch.cat(steps).norm().item())
    assert moved[0] > 0.01
    assert moved[1] == pytest.approx(1e-3, rel=1e-2)


def test_label_smoothing_is_in_the_task_loss(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any]
) -> None:
    fit = make_fit(recipe({"training": {"label_smoothing": 0.2}}))
    images, labels = batch(fit)
    fit.model.train()
    terms, logits = fit._terms(images, labels, None, 0, train_discriminators=True)
    log = F.log_softmax(logits.detach().double(), 1)
    target = torch.full_like(log, 0.02).scatter_(1, labels[:, None], 0.82)
    assert terms["task"].item() == pytest.approx(-(target * log).sum(1).mean().item(), rel=1e-5)


def test_the_moving_average_is_the_written_one() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
    average = MovingAverage(model, 0.9)
    expected = {name: value.clone() for name, value in model.state_dict().items()}
    for _ in range(3):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.add_(torch.randn_like(parameter))
        model(torch.randn(4, 3))
        average.update()
        for name, value in model.state_dict().items():
            expected[name] = 0.9 * expected[name] + 0.1 * value if value.is_floating_point() else value.clone()
    for name, value in expected.items():
        torch.testing.assert_close(average.state[name], value)
    own = {name: value.clone() for name, value in model.state_dict().items()}

    def fail_inside() -> None:
        with average.applied():
            assert torch.equal(model.state_dict()["0.weight"], average.state["0.weight"])
            raise RuntimeError("inside")

    with pytest.raises(RuntimeError, match="inside"):
        fail_inside()
    assert all(torch.equal(value, own[name]) for name, value in model.state_dict().items())


def test_the_average_is_what_is_measured_saved_and_handed_over(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]
) -> None:
    from onebit.training import evaluate_model, load_model

    fit = make_fit(recipe({"training": {"ema": 0.5, "epochs": 2}}))
    fit.run()
    assert fit.average is not None
    assert all(torch.equal(value, fit.average.state[name]) for name, value in fit.model.state_dict().items())
    loaded, checkpoint = load_model(fit.folder)
    assert any(not torch.equal(checkpoint["model"][name], value) for name, value in checkpoint["ema"].items())
    assert evaluate_model(loaded, fit.measure)["top1"] == evaluate_model(fit.model, fit.measure)["top1"]
