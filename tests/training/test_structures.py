"""Structures at equal cost: widths that the budget sets, runs that are read when they are there, figures in all forms."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest

from onebit.accounting import fit_width, summarize
from onebit.errors import CheckpointError, UsageError
from onebit.models import create_model
from onebit.reports.structures import compared_structures, structures_drawing, structures_table
from onebit.training import Recipe, structures
from onebit.training.structures import STRUCTURES, first_stage_paths, fit_structure, run_structures, structure_recipe

SHAPE, CLASSES = (1, 8, 8), 10


@pytest.fixture
def shared(recipe: Callable[..., Recipe]) -> Recipe:
    return recipe({"model": {"name": "bireal_resnet18", "widths": [6, 12, 24, 48]}, "method": {"name": "bireal"}})


def cost(name: str, options: dict) -> tuple[float, float]:
    summary = summarize(create_model(name, "bireal", CLASSES, SHAPE[0], image_size=SHAPE[-1], **options), SHAPE)
    return summary.storage_bits, summary.computation


@pytest.mark.parametrize("key", STRUCTURES)
def test_the_next_width_would_exceed_the_budget(key: str, shared: Recipe) -> None:
    budget = cost("bireal_resnet18", {"widths": (6, 12, 24, 48)})
    fitted = fit_structure(shared, STRUCTURES[key], SHAPE, CLASSES)
    assert (fitted.budget_storage_bits, fitted.budget_computation) == budget
    own = cost(fitted.model, dict(fitted.options))
    assert own == (fitted.storage_bits, fitted.computation)
    assert all(mine <= most for mine, most in zip(own, budget, strict=True))
    wider = fit_width(
        fitted.model,
        own,
        input_shape=SHAPE,
        num_classes=CLASSES,
        slack=10.0,
        largest=fitted.width + 1,
        **fitted.options,
    )
    assert wider.width == fitted.width + 1
    assert wider.storage_bits > budget[0] or wider.computation > budget[1]


def test_first_stages_have_the_papers_levels(shared: Recipe) -> None:
    widths = {}
    for key in ("resnet", "bireal", "ebireal", "igp3", "igp7"):
        fitted = fit_structure(shared, STRUCTURES[key], SHAPE, CLASSES)
        paths = first_stage_paths(fitted, "bireal", SHAPE, CLASSES)
        one = 9 * fitted.width**2 * SHAPE[1] * SHAPE[2]
        expected = ([0, 2 * one, 4 * one], [0, 2, 4]) if key == "resnet" else ([0, one, 2 * one], [0, 1, 2])
        assert (list(paths.costs), list(paths.lengths)) == expected, key
        widths[key] = fitted.width
    assert widths["igp7"] < widths["igp3"] < widths["bireal"] == widths["ebireal"] == widths["resnet"]


def test_impossible_budgets() -> None:
    small = {"input_shape": SHAPE, "num_classes": CLASSES}
    with pytest.raises(
        UsageError, match=r"igp_resnet37 at width 1 needs \d+ bits .* more than the budget of 10 and 10"
    ):
        fit_width("igp_resnet37", (10, 10), **small)
    with pytest.raises(UsageError, match=r"a budget is positive storage .* got 0 and 5"):
        fit_width("igp_resnet37", (0, 5), **small)
    with pytest.raises(UsageError, match="slack is a share of the budget, 0 or more, got -1"):
        fit_width("igp_resnet37", "bireal_resnet18", slack=-1, **small)
    with pytest.raises(UsageError, match="unknown option of model 'igp_resnet37': 'joint'; did you mean 'join'"):
        fit_width("igp_resnet37", "bireal_resnet18", joint="sum", **small)


def test_a_comparison_is_run_once_and_read_afterwards(
    shared: Recipe, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared.data.limit, shared.data.holdout = 128, 64
    options = {"structures": ("resnet", "igp3"), "methods": ("bireal", "rbcn"), "seeds": (0, 1), "quiet": True}
    results = run_structures(shared, tmp_path, **options)
    assert [(r.structure.label, r.method, len(r.runs)) for r in results] == [
        ("ResNet", "bireal", 2),
        ("ResNet", "rbcn", 2),
        ("IGP-ResNet, M = 3", "bireal", 2),
        ("IGP-ResNet, M = 3", "rbcn", 2),
    ]
    assert len({run.folder for r in results for run in r.runs}) == 8
    monkeypatch.setattr(
        "onebit.training.ablation.train", lambda *_, **__: pytest.fail("a finished run was trained again")
    )
    again = run_structures(shared, tmp_path, **options)
    assert [[run.top1 for run in r.runs] for r in again] == [[run.top1 for run in r.runs] for r in results]

    table = structures_table(shared, results)
    assert table.rows[0][8].n == 2
    assert table.rows[0][8].mean == pytest.approx(sum(run.top1 for run in results[0].runs) / 2)
    written = compared_structures(shared, results)
    written.write(
        csv=tmp_path / "a.csv", markdown=tmp_path / "a.md", html=tmp_path / "a.html", figure=tmp_path / "a.png"
    )
    assert (tmp_path / "a.csv").read_text().count("\n") == 5
    assert b"IGP-ResNet, M = 3" in structures_drawing(shared, results, "svg")
    assert table.notes[0].startswith("digits, 128 training images, 1 epoch, ")

    first = results[0].runs[0].folder
    (first / "environment.json").unlink()
    hardware = compared_structures(shared, results).csv().splitlines()[1]
    assert "thread(s)" in hardware
    for file in ("metrics.jsonl", "evaluation.json"):
        for damage in ("", '{"top1": 1'):
            whole = (first / file).read_text()
            (first / file).write_text(damage)
            with pytest.raises(CheckpointError, match=r"resnet-bireal-seed0 is damaged: .* remove the folder"):
                run_structures(shared, tmp_path, **options)
            (first / file).write_text(whole)


def test_marks_and_names_of_close_structures_stand_apart() -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    from onebit.reports.figures.structures import structures_figure
    from onebit.reports.figures.style import styled

    close = [("ResNet", 4.7), ("Bi-Real", 2.36), ("EBi-Real", 2.36), ("M = 3", 2.3), ("M = 7", 1.1), ("Dense", 1.13)]
    points = [(name, method, n2, [52.4, 52.6]) for method in ("bireal", "rbcn") for name, n2 in close]
    with styled():
        figure = structures_figure(points, "top-1 (%)", "what was run")
        FigureCanvasAgg(figure).draw()
    means = [line for line in figure.axes[0].lines if line.get_markersize() == 7]
    places = sorted(line.get_transform().transform(line.get_xydata())[0][0] / figure.dpi * 72 for line in means)
    assert len(places) == len(points)
    assert min(b - a for a, b in itertools.pairwise(places)) > 9
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [*(name for name, _ in close), "bireal", "rbcn"]
    boxes = [text.get_window_extent() for text in figure.legends[0].get_texts()]
    assert not any(one.overlaps(other) for one, other in itertools.combinations(boxes, 2))
    assert not any(box.overlaps(figure.axes[0].get_window_extent()) for box in boxes)


def test_methods_and_seeds_reach_the_recipe(shared: Recipe) -> None:
    shared.method.options = {"estimator": "clip"}
    fitted = fit_structure(shared, STRUCTURES["igp7"], SHAPE, CLASSES)
    same = structure_recipe(shared, fitted, "igp7", "bireal", 3)
    other = structure_recipe(shared, fitted, "igp7", "rbcn", 3)
    assert same.method.options == {"estimator": "clip"}
    assert other.method.options == {}
    assert (same.training.seed, same.name) == (3, "small-igp7-bireal-seed3")
    assert same.model.widths == fitted.options["widths"]
    assert same.model.options == {"stage_shortcut": False}
    assert shared.model.name == "bireal_resnet18"


def test_what_cannot_be_compared(shared: Recipe, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="unknown structure 'igp'; did you mean 'igp"):
        run_structures(shared, tmp_path, structures=("igp",))
    with pytest.raises(UsageError, match="nothing to run"):
        run_structures(shared, tmp_path, seeds=())
    with pytest.raises(UsageError, match="unknown method 'rbnc'"):
        run_structures(shared, tmp_path, structures=("resnet",), methods=("bireal", "rbnc"), quiet=True)
    assert list(tmp_path.iterdir()) == []
    shared.distillation.weight = 1.0
    with pytest.raises(UsageError, match="compared without a teacher, which recipe 'small' needs"):
        run_structures(shared, tmp_path)
    assert structures.STRUCTURES is STRUCTURES
