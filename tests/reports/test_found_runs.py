"""Finished runs: found, recognised, and averaged only with what they repeat."""

from __future__ import annotations

from pathlib import Path

import pytest

from finished_runs import write_run
from onebit.errors import UsageError
from onebit.reports.found_runs import find_runs
from onebit.reports.subjects import Subject, subject_of
from onebit.training import load_recipe

CARD = "rbcn-cifar10-32-32-64-128"
RBCN = Subject("CIFAR-10", "resnet18", (32, 32, 64, 128), "RBCN")


def test_seeds_of_one_recipe_are_one_mean(tmp_path: Path) -> None:
    for seed, top1 in ((2, 84.0), (0, 83.0), (1, 85.0)):
        write_run(tmp_path / "deep" / f"seed{seed}", CARD, seed=seed, top1=top1, training__threads=seed)
    (repeats,) = find_runs([tmp_path]).of(RBCN)
    mean = repeats.score("top1")
    assert mean is not None
    assert (mean.mean, mean.std, mean.n) == (84.0, 1.0, 3)
    assert repeats.description() == (
        "cifar10: all but 5,000 training images at 32x32, 10,000 test images; 200 epochs, batch 128, adam 0.002 cosine, "
        "32-true; seeds 0 1 2"
    )


def test_other_settings_are_another_mean_and_say_what_differs(tmp_path: Path) -> None:
    write_run(tmp_path / "a", CARD, seed=0, top1=80.0)
    write_run(tmp_path / "b", CARD, seed=1, top1=70.0, data__limit=1000, training__epochs=5, optimizer__clip_norm=2.0)
    two = find_runs([tmp_path]).of(RBCN)
    assert [str(repeats.score("top1")) for repeats in two] == ["80.0 (n=1)", "70.0 (n=1)"]
    assert two[0].description().endswith("32-true; optimizer.clip_norm 0.0; seed 0")
    assert two[1].description() == (
        "cifar10: 1,000 training images at 32x32, 10,000 test images; 5 epochs, batch 128, adam 0.002 cosine, 32-true; "
        "optimizer.clip_norm 2.0; seed 1"
    )


def test_the_same_seed_twice_counts_once(tmp_path: Path) -> None:
    write_run(tmp_path / "a", CARD, seed=0, top1=80.0)
    write_run(tmp_path / "b", CARD, seed=0, top1=10.0)
    found = find_runs([tmp_path, tmp_path / "b"])
    assert [str(repeats.score("top1")) for repeats in found.of(RBCN)] == ["80.0 (n=1)"]
    assert found.total == 2


def test_unfinished_and_damaged_runs_are_no_figures(tmp_path: Path) -> None:
    write_run(tmp_path / "good", CARD, seed=0, top1=80.0)
    (write_run(tmp_path / "unfinished", CARD, seed=1, top1=1.0) / "evaluation.json").unlink()
    (write_run(tmp_path / "damaged", CARD, seed=2, top1=2.0) / "evaluation.json").write_text('{"top1": 8')
    (write_run(tmp_path / "strange", CARD, seed=3, top1=3.0) / "recipe.toml").write_text("[model]\nwidht = 3\n")
    found = find_runs([tmp_path])
    assert [str(repeats.score("top1")) for repeats in found.of(RBCN)] == ["80.0 (n=1)"]
    assert len(found.problems) == 2
    assert "evaluation.json is damaged" in found.problems[0]
    assert "widht" in found.problems[1]


def test_folders_that_lead_nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"nowhere does not exist"):
        find_runs([tmp_path / "nowhere"])
    with pytest.raises(UsageError, match=r"holds no finished run"):
        find_runs([tmp_path])
    monkeypatch.chdir(tmp_path)
    assert find_runs().total == 0
    write_run(tmp_path / "runs" / "a", CARD, seed=0, top1=80.0)
    assert find_runs().total == 1


@pytest.mark.parametrize(
    ("changes", "method"),
    [
        ({}, "RBCN"),
        ({"refresh.enabled": False}, "R+G"),
        ({"refresh.enabled": False, "adversarial.enabled": False}, "R"),
        ({"adversarial.enabled": False}, None),
        ({"distillation.weight": 0.5}, None),
        ({"model.copy_teacher": True}, None),
        ({"method.name": "bireal"}, None),
    ],
)
def test_what_is_rbcn_and_what_is_not(changes: dict[str, object], method: str | None) -> None:
    recipe = load_recipe(CARD)
    for key, value in changes.items():
        part, _, name = key.partition(".")
        setattr(getattr(recipe, part), name, value)
    subject = subject_of(recipe)
    assert (subject.method if subject else None) == method


@pytest.mark.parametrize(
    ("name", "widths", "options", "network"),
    [
        ("bireal_resnet18", (), {}, ("resnet18", (64, 128, 256, 512))),
        ("resnet18", (8, 8, 16, 16), {"shortcut": "unit"}, ("resnet18", (8, 8, 16, 16))),
        ("resnet18", (), {"shortcut": "block"}, None),
        ("wrn22", (), {"base_width": 16}, ("wrn22", (16, 16, 32, 64))),
        ("igp_densenet51", (), {}, ("igp_densenet51", ())),
        ("igp_densenet51", (), {"growth": 16}, None),
        ("no_such_network", (), {}, None),
    ],
)
def test_structures(
    name: str, widths: tuple[int, ...], options: dict[str, object], network: tuple[str, tuple[int, ...]] | None
) -> None:
    recipe = load_recipe("rbcn-imagenet")
    recipe.model.name, recipe.model.widths, recipe.model.options = name, widths, options  # ty: ignore[invalid-assignment]
    subject = subject_of(recipe)
    assert (None if subject is None else (subject.network, subject.widths)) == network


def test_more_bits_are_another_method() -> None:
    recipe = load_recipe("abcnet-mnist-cpu")
    recipe.data.dataset = "cifar10"
    recipe.method.options = {}
    subjects = [subject_of(recipe)]
    recipe.method.options = {"weight_bases": 3, "activation_bases": 2}
    subjects.append(subject_of(recipe))
    assert [subject.method for subject in subjects if subject] == ["ABC-Net", "ABC-Net (3/2 bits)"]


def test_imagenet_has_a_thousand_classes() -> None:
    recipe = load_recipe("rbcn-imagenet")
    assert (
        subject_of(recipe, 1000) == subject_of(recipe) == Subject("ImageNet", "resnet18", (64, 128, 256, 512), "RBCN")
    )
    assert subject_of(recipe, 20) is None
