"""Apprentice: what its three terms are and whom they reach, and a teacher that trains beside its student, run and all."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from onebit.errors import CheckpointError, NonFiniteLossError, UsageError
from onebit.reports.run_files import read_run
from onebit.training import Recipe, evaluate, load_checkpoint, train
from onebit.training.fit import Fit
from onebit.training.joint import clip_gradients
from onebit.training.teacher import teacher_recipe

#: the loss alone: no discriminators, no kernel loss, weights that tell the terms apart
ALONE: dict[str, Any] = {
    "method": {"name": "xnor"},
    "apprentice": {"enabled": True, "alpha": 1.5, "beta": 0.6, "gamma": 0.4},
    "teacher": {"source": "joint"},
}


def gradients(network: nn.Module) -> dict[str, Tensor]:
    return {name: p.grad.clone() for name, p in network.named_parameters() if p.grad is not None}


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """- sum_k target_k * log softmax(logits)_k, batch mean, written out."""
    log_p = logits - logits.exp().sum(1, keepdim=True).log()
    return -(target * log_p).sum() / len(logits)


@pytest.mark.parametrize("detach", [True, False])
def test_a_step_follows_the_three_terms_in_float64(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any], detach: bool
) -> None:
    fit = make_fit(recipe({**ALONE, "apprentice": {**ALONE["apprentice"], "detach": detach}}))
    assert fit.teacher is not None
    images, labels = batch(fit)
    student, teacher = (copy.deepcopy(network).train() for network in (fit.model, fit.teacher))
    fit.model.train()
    fit.teacher.train()
    figures, _ = fit._train_step(images, labels, 0)

    z_student, z_teacher = student(images).double(), teacher(images).double()
    y = torch.eye(10, dtype=torch.float64)[labels]
    answers = z_teacher.exp() / z_teacher.exp().sum(1, keepdim=True)
    own = 1.5 * cross_entropy(z_teacher, y)
    hard, soft = 0.6 * cross_entropy(z_student, y), 0.4 * cross_entropy(z_student, answers.detach())
    assert set(figures) == {"loss", "task", "apprentice", "top1"}
    assert figures["task"].item() == pytest.approx(hard.item(), rel=1e-4)
    assert figures["apprentice"].item() == pytest.approx(soft.item(), rel=1e-4)
    assert figures["loss"].item() == pytest.approx((hard + soft).item(), rel=1e-4)
    assert fit.joint is not None
    assert fit.joint.means.read()["loss"] == pytest.approx(own.item(), rel=1e-4)

    (hard + soft).backward(retain_graph=True)
    for name, gradient in gradients(student).items():
        torch.testing.assert_close(gradients(fit.model)[name], gradient, rtol=1e-4, atol=1e-7)
    assert teacher.classifier.weight.grad is None  # nothing has reached it so far
    (own if detach else own + 0.4 * cross_entropy(z_student.detach(), answers)).backward()
    assert len(gradients(teacher)) == len(list(teacher.parameters()))
    for name, gradient in gradients(teacher).items():
        torch.testing.assert_close(gradients(fit.teacher)[name], gradient, rtol=1e-4, atol=1e-7)


def test_whom_the_third_term_moves(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any]
) -> None:
    moved = {}
    for gamma, detach in ((0.4, True), (0.0, True), (0.4, False)):
        table = {**ALONE, "apprentice": {**ALONE["apprentice"], "gamma": gamma, "detach": detach}}
        fit = make_fit(recipe(table))
        assert fit.teacher is not None
        fit.model.train()
        fit.teacher.train()
        fit._train_step(*batch(fit), 0)
        moved[gamma, detach] = gradients(fit.model), gradients(fit.teacher)
    (student, teacher), (without, same), (_, pulled) = moved.values()
    assert all(torch.equal(teacher[name], same[name]) for name in teacher)  # detached: the teacher learns as if alone
    assert not torch.equal(student["classifier.weight"], without["classifier.weight"])
    assert not torch.equal(pulled["classifier.weight"], same["classifier.weight"])


def test_a_frozen_teacher_gives_the_last_two_terms_alone(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any]
) -> None:
    fit = make_fit(recipe({**ALONE, "teacher": {"source": "train"}}))
    assert fit.teacher is not None
    assert fit.joint is None
    before = {name: value.clone() for name, value in fit.teacher.state_dict().items()}
    fit.model.train()
    figures, _ = fit._train_step(*batch(fit), 0)
    assert set(figures) == {"loss", "task", "apprentice", "top1"}
    assert not gradients(fit.teacher)
    assert all(torch.equal(value, before[name]) for name, value in fit.teacher.state_dict().items())


def test_the_teacher_has_its_own_rates_and_the_students_schedule(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any]
) -> None:
    teacher = {"source": "joint", "lr": 0.05, "weight_decay": 0.125}
    fit = make_fit(recipe({**ALONE, "teacher": teacher, "optimizer": {"name": "sgd", "lr": 0.1, "momentum": 0.0}}))
    groups = {group["name"]: group for group in fit.optimizer.param_groups}
    assert set(groups) == {"real", "norm", "binary", "teacher.real", "teacher.norm"}
    assert (groups["real"]["base_lr"], groups["teacher.real"]["base_lr"], groups["teacher.norm"]["base_lr"]) == (
        0.1,
        0.05,
        0.05,
    )
    assert (groups["real"]["weight_decay"], groups["teacher.real"]["weight_decay"]) == (0.0, 0.125)
    assert fit.teacher is not None
    before = fit.teacher.classifier.weight.detach().clone()
    statistics = fit.teacher.norm.running_mean.clone()
    fit.teacher.train()
    fit._train_step(*batch(fit), 0)
    gradient = fit.teacher.classifier.weight.grad  # weight decay does not enter it
    torch.testing.assert_close(fit.teacher.classifier.weight, before - 0.05 * (gradient + 0.125 * before))
    assert not torch.equal(fit.teacher.norm.running_mean, statistics)


def test_looking_at_the_shapes_moves_no_statistics(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> None:
    fit = make_fit(recipe(joint=True))
    for network in (fit.model, fit.teacher):
        assert network is not None
        assert all(int(v) == 0 for n, v in network.state_dict().items() if n.endswith("num_batches_tracked"))


def test_both_networks_train_in_training_mode(recipe: Callable[..., Recipe], make_fit: Callable[..., Fit]) -> None:
    fit = make_fit(recipe({**ALONE, "training": {"epochs": 2}}))
    assert fit.teacher is not None
    assert not fit.teacher.training
    fit.run()
    for network in (fit.model, fit.teacher):
        counts = [int(v) for n, v in network.state_dict().items() if n.endswith("num_batches_tracked")]
        assert counts == [2 * fit.steps] * 3


def test_each_network_is_clipped_by_its_own_norm() -> None:
    groups: list[dict[str, Any]] = []
    for name, size in (("real", 3.0), ("binary", 4.0), ("teacher.real", 0.5), ("teacher.norm", 12.0)):
        parameter = nn.Parameter(torch.zeros(1))
        parameter.grad = torch.tensor([size])
        groups.append({"name": name, "params": [parameter]})
    clip_gradients(groups, 10.0)  # the student's norm is 5, the teacher's just above 12
    clipped = [group["params"][0].grad.item() for group in groups]
    scale = 10 / (0.5**2 + 12**2) ** 0.5
    assert clipped == pytest.approx([3.0, 4.0, 0.5 * scale, 12 * scale], rel=1e-5)


def test_strict_alternation_steps_the_teacher_once(
    recipe: Callable[..., Recipe], make_fit: Callable[..., Fit], batch: Callable[..., Any], tmp_path: Path
) -> None:
    states = []
    for strict in (False, True):
        changes = {"training": {"strict_alternation": strict}, "apprentice": {"detach": False}}
        fit = make_fit(recipe(changes, joint=True), folder=tmp_path / str(strict))
        assert fit.teacher is not None
        fit.model.train()
        fit.teacher.train()
        fit._train_step(*batch(fit), 0)
        states.append(fit.teacher.state_dict())
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


@pytest.fixture(scope="module")
def run(recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("run")
    train(recipe({"training": {"epochs": 2}}, joint=True), run_dir=folder, quiet=True)
    return folder


def test_the_teachers_folder_is_that_of_a_trained_one(run: Path) -> None:
    files = {path.relative_to(run / "teacher").as_posix() for path in (run / "teacher").rglob("*.*")}
    kept = {"recipe.toml", "environment.json", "metrics.jsonl", "evaluation.json", "examples.npz", "kernels.npz"}
    assert kept | {"checkpoints/last.pt", "checkpoints/best.pt"} <= files
    written = json.loads((run / "teacher" / "evaluation.json").read_text())
    again = evaluate(run / "teacher")
    assert (again["top1"], again["n"]) == (written["top1"], 360)
    assert json.loads((run / "evaluation.json").read_text())["teacher"]["top1"] == written["top1"]
    theirs = load_checkpoint(run / "teacher" / "checkpoints" / "last.pt")
    mine = load_checkpoint(run / "checkpoints" / "last.pt")
    assert theirs["epoch"] == mine["epoch"] == 2
    assert all(torch.equal(value, mine["teacher"]["model"][name]) for name, value in theirs["model"].items())
    for name in theirs["model"]:  # two networks, not one
        assert (
            name not in mine["model"]
            or name.endswith("tracked")
            or not torch.equal(theirs["model"][name], mine["model"][name])
        ), name


def test_the_report_sees_a_teacher_that_learned(run: Path) -> None:
    read = read_run(run)
    assert read.teacher is not None
    assert (read.teacher.role, len(read.teacher.epochs), read.teacher.finished) == ("teacher", 2, True)
    assert all(epoch.holdout.top1 is not None and epoch.train.loss for epoch in read.teacher.epochs)
    assert set(read.teacher.epochs[0].rates) == {"real", "norm"}
    assert set(read.epochs[0].rates) == {"real", "norm", "binary", "matrix"}
    assert set(read.epochs[0].terms) == {"task", "kernel", "apprentice", "features", "adversarial"}
    assert read.teacher.binary_parameters == 0
    assert not read.problems


def test_neither_average_nor_refresh_is_the_teachers(recipe: Callable[..., Recipe]) -> None:
    joint = recipe(joint=True)
    assert (joint.training.ema, joint.refresh.enabled) == (0.9, True)
    twin = teacher_recipe(joint)
    assert (twin.training.ema, twin.refresh.enabled, twin.objectives()) == (0.0, False, [])
    assert (twin.optimizer.lr, twin.training.epochs) == (0.004, joint.training.epochs)


def test_a_joint_teacher_does_not_go_on_alone(run: Path, recipe: Callable[..., Recipe]) -> None:
    twin = teacher_recipe(recipe({"training": {"epochs": 2}}, joint=True))
    with pytest.raises(
        CheckpointError, match="is of a joint teacher, which cannot go on alone; resume its student's run"
    ):
        train(twin, run_dir=run / "teacher", resume=True, quiet=True)


def test_a_teacher_of_ones_own_is_not_trained(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a teacher of your own was given, which is used as it is"):
        train(recipe(joint=True), run_dir=tmp_path / "run", teacher=nn.Linear(2, 2), quiet=True)
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("parameter", "message"),
    [
        ("classifier.weight", "the teacher loss became nan in epoch 1, step 3"),
        ("norm.running_mean", r"the teacher's norm\.running_mean holds NaN"),
    ],
)
def test_a_teacher_that_breaks_stops_the_run(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, parameter: str, message: str
) -> None:
    step = Fit._train_step

    def poisoned(self: Fit, images: Tensor, labels: Tensor, number: int) -> Any:
        if number == 2:
            assert self.teacher is not None
            with torch.no_grad():
                self.teacher.state_dict()[parameter].fill_(float("nan"))
        return step(self, images, labels, number)

    monkeypatch.setattr(Fit, "_train_step", poisoned)
    with pytest.raises(NonFiniteLossError, match=message):
        train(recipe(ALONE), run_dir=tmp_path, quiet=True)
    assert not list(tmp_path.glob("**/*.pt"))


def test_half_precision(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    result = train(recipe({"training": {"precision": "bf16-mixed"}}, joint=True), run_dir=tmp_path, quiet=True)
    assert all(p.dtype == torch.float32 for p in result.model.parameters())
    teacher = load_checkpoint(tmp_path / "teacher" / "checkpoints" / "last.pt")["model"]
    assert all(v.dtype == torch.float32 for n, v in teacher.items() if not n.endswith("tracked"))
