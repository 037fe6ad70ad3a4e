"""The command line that trains what a row of a table is about."""

from __future__ import annotations

import functools
import shlex
from collections.abc import Mapping

from onebit.errors import unknown_name
from onebit.reports.subjects import METHOD_NAMES, Subject, subject_of

_UNGUIDED = ("--adversarial.no-enabled", "--refresh.no-enabled", "--teacher.source", "none")


@functools.cache
def _cards() -> dict[Subject, str]:
    """The shipped card of each subject; where two have the same, the one with the paper's own settings."""
    from onebit.training.recipe_files import list_recipes, load_recipe

    cards: dict[Subject, str] = {}
    for name in sorted(list_recipes(), key=lambda name: ("-paper-" not in name, len(name))):
        recipe = load_recipe(name)
        subject = subject_of(recipe)
        if subject is not None and "-cpu" not in name:  # those are cut short for small machines
            cards.setdefault(subject, name)
    return cards


def training_command(subject: Subject, settings: Mapping[str, str] | None = None) -> str:
    """The command that trains ``subject``: a shipped card, or the nearest one with what differs overridden.

    Args:
        settings: recipe keys to set where no card is shipped, such as ``{"optimizer.lr": "1e-3"}``.
    Raises:
        UsageError: for a method that no recipe trains under that name.

    >>> training_command(Subject("CIFAR-10", "wrn22", (64, 64, 128, 256), "RBCN"))
    'onebit train rbcn-paper-cifar10-wrn22'
    >>> training_command(Subject("CIFAR-10", "wrn22", (64, 64, 128, 256), "XNOR"))
    'onebit train rbcn-paper-cifar10-wrn22 --method.name xnor --adversarial.no-enabled --refresh.no-enabled --teacher.source none'
    """
    cards = _cards()
    if subject in cards:
        return f"onebit train {cards[subject]}"
    same = Subject(subject.data, subject.network, subject.widths, "RBCN")
    words = [cards.get(same, "")]
    if not words[0]:
        words = [_nearest(subject.data, cards), "--model.name", subject.network]
        words += ["--model.widths", *map(str, subject.widths)] if subject.widths else ["--model.widths"]
    words += [word for key, value in (settings or {}).items() for word in (f"--{key}", value)]
    if subject.method != "RBCN":
        names = {label: name for name, label in METHOD_NAMES.items()}
        if subject.method not in names:
            raise unknown_name("method of a paper", subject.method, names)
        words += ["--method.name", names[subject.method], *_UNGUIDED]
    return shlex.join(["onebit", "train", *words])


def _nearest(data: str, cards: dict[Subject, str]) -> str:
    return next(name for subject, name in cards.items() if subject.data == data and subject.method == "RBCN")
