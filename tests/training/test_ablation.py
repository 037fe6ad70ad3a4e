"""The ablation: four recipes that differ in what they switch on, one teacher, nothing run twice."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onebit.errors import UsageError
from onebit.training import Recipe
from onebit.training import ablation as rooms
from onebit.training.ablation import column_recipe, run_ablation


@pytest.fixture
def whole(recipe: Callable[..., Recipe]) -> Recipe:
    options = {"options": {"kernel_grad": "full", "scale_grad": "scaled", "init_scale": 0.2}}
    return recipe({"method": options, "distillation": {"weight": 0.0}, "teacher": {"epochs": 1}}, full=True)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of the runs that are really trained."""
    names: list[str] = []
    train = rooms.train

    def counted(recipe: Recipe, **arguments: Any) -> Any:
        names.append(recipe.name)
        return train(recipe, **arguments)

    monkeypatch.setattr(rooms, "train", counted)
    return names


def test_what_each_column_switches_on(whole: Recipe) -> None:
    switches = {}
    for column in ("XNOR", "Bi", "R", "R+G", "R+G+B"):
        made = column_recipe(whole, column, 4)
        assert made.training.seed == 4
        assert made.optimizer == whole.optimizer
        switches[column] = (made.method.name, made.adversarial.enabled, made.refresh.enabled)
        if column == "Bi":
            assert made.method.options == {"scale_grad": "scaled", "init_scale": 0.2}
    assert switches == {
        "XNOR": ("xnor", False, False),
        "Bi": ("bireal", False, False),
        "R": ("rbcn", False, False),
        "R+G": ("rbcn", True, False),
        "R+G+B": ("rbcn", True, True),
    }
    assert whole.training.seed == 0
    with pytest.raises(UsageError, match="unknown column 'R\\+B'; did you mean 'R\\+G\\+B'"):
        column_recipe(whole, "R+B", 0)
    whole.method.name = "bireal"
    with pytest.raises(UsageError, match='starts from a recipe with method "rbcn"'):
        column_recipe(whole, "R", 0)


def test_run_once_read_afterwards_and_run_again_where_missing(
    whole: Recipe, tmp_path: Path, trained: list[str]
) -> None:
    arguments: dict[str, Any] = {"seeds": (0, 1), "columns": ("Bi", "R+G"), "quiet": True}
    first = run_ablation(whole, tmp_path, **arguments)
    assert [(run.column, run.seed) for run in first] == [("Bi", 0), ("R+G", 0), ("Bi", 1), ("R+G", 1)]
    assert len(trained) == 5  # with the teacher
    assert {run.split for run in first} == {"holdout"}
    assert {run.n for run in first} == {120}
    assert len({run.teacher_top1 for run in first if run.column == "R+G"}) == 1

    trained.clear()
    assert run_ablation(whole, tmp_path, **arguments) == first
    assert trained == []

    (lost,) = (run.folder for run in first if (run.column, run.seed) == ("R+G", 1))
    shutil.rmtree(lost)
    again = run_ablation(whole, tmp_path, **arguments)
    assert len(trained) == 1
    assert [(run.top1, run.test_top1) for run in again] == [(run.top1, run.test_top1) for run in first]

    trained.clear()
    (lost / "evaluation.json").unlink()  # cut off before its end: resumed
    assert [run.top1 for run in run_ablation(whole, tmp_path, **arguments)] == [run.top1 for run in first]
    assert len(trained) == 1


def test_runs_of_another_recipe_are_not_taken_for_ours(whole: Recipe, tmp_path: Path, trained: list[str]) -> None:
    run_ablation(whole, tmp_path, seeds=(0,), columns=("Bi",), quiet=True)
    trained.clear()
    whole.training.epochs = 2
    with pytest.raises(UsageError, match=r"training\.epochs = 1, this recipe has 2"):
        run_ablation(whole, tmp_path, seeds=(0,), columns=("Bi",), quiet=True)
    assert trained == []
