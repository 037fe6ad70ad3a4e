"""``onebit reproduce rbcn-ablation``: ours beside the paper's, run once, read afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onebit.training import ablation

pytest.importorskip("onebit.reports.ablation")
WORDS = "reproduce rbcn-ablation --recipe small.toml --out table --seeds 0 1 --quiet --teacher.epochs 1"


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    names: list[str] = []
    train = ablation.train

    def counted(recipe: Any, **arguments: Any) -> Any:
        names.append(recipe.name)
        return train(recipe, **arguments)

    monkeypatch.setattr(ablation, "train", counted)
    return names


def test_the_table_is_run_once_and_read_afterwards(onebit: Callable, trained: list[str]) -> None:
    first = onebit(*WORDS.split(), "--json", "--csv", "table.csv", "--markdown", "table.md")
    assert first.status == 0, first.err
    table = first.json
    minutes = table["columns"].index("minutes") if "minutes" in table["columns"] else -1

    def figures(done: Any) -> list[list[Any]]:
        """The rows without the time that the runs took."""
        rows = done.json["rows"]
        return [row[:minutes] if minutes == -1 else row[:minutes] + row[minutes + 1 :] for row in rows]

    assert set(table) >= {"title", "columns", "rows"}
    assert len(trained) == 1 + 2 * 4
    for file in ("table.csv", "table.md"):
        text = Path(file).read_text()
        assert all(column in text for column in ("Bi", "R+G", "R+G+B"))

    trained.clear()
    second = onebit(*WORDS.split(), "--json")
    assert second.json == table
    ours = figures(second)
    assert trained == []
    assert sorted(path.name for path in Path("table").iterdir() if path.is_dir())[0] == "bi-seed0"

    shutil.rmtree("table/rg-seed1")
    assert figures(onebit(*WORDS.split(), "--json")) == ours
    assert trained == ["small-rg-seed1"]

    printed = onebit(*WORDS.split(), "--columns", "Bi", "R+G+B")
    assert printed.status == 0
    assert "R+G+B" in printed.out
    assert len(trained) == 1

    other = onebit(*WORDS.split(), "--optimizer.lr", "0.1")
    assert other.status == 2
    assert "optimizer.lr" in other.error
