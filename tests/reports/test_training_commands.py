"""Every command line that a table prints trains what its row is about."""

from __future__ import annotations

import shlex

import pytest

from onebit.errors import UsageError
from onebit.reports.paper_costs import IGP_BUILDS
from onebit.reports.paper_tables import IGP_SETTINGS
from onebit.reports.subjects import METHOD_NAMES, Subject, subject_of
from onebit.reports.training_commands import training_command
from onebit.training import load_recipe
from onebit.training.recipe_files import override_recipe
from onebit.training.recipe_rules import check_recipe

STRUCTURES = [
    ("CIFAR-10", "resnet18", (32, 64, 128, 256)),
    ("CIFAR-100", "wrn40", (16, 16, 32, 64)),
    ("CIFAR-10", "igp_resnet37", (8, 16, 32, 64)),
    ("ImageNet", "resnet18", (64, 128, 256, 512)),
]
SUBJECTS = [Subject(*structure, method) for structure in STRUCTURES for method in METHOD_NAMES.values()]
SUBJECTS += [subject for builds in IGP_BUILDS.values() for build in builds if (subject := build.subject())]


@pytest.mark.parametrize("subject", SUBJECTS, ids=str)
def test_the_command_trains_its_subject(subject: Subject) -> None:
    onebit, train, card, *overrides = shlex.split(training_command(subject, IGP_SETTINGS))
    assert (onebit, train) == ("onebit", "train")
    recipe = override_recipe(load_recipe(card), overrides, "onebit train")
    check_recipe(recipe)
    assert subject_of(recipe) == subject
    assert recipe.needs_teacher() or recipe.teacher.source == "none" or not overrides


def test_a_method_without_a_recipe() -> None:
    with pytest.raises(UsageError, match=r"unknown method of a paper 'XNOR\+\+'; did you mean 'XNOR'\?"):
        training_command(Subject("CIFAR-10", "resnet18", (8, 8, 8, 8), "XNOR++"))
