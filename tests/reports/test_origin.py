"""What the figures of several runs stand on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from onebit.reports.origin import origin

STATED = ["2 cores, 2 thread(s), cpu", "torch 2.13.0+cpu", "None", "2025-11-20"]


@pytest.mark.parametrize("damaged", ["", '{"torch": ', '{"torch": "2.6"}', "[]"])
def test_runs_share_what_is_said_and_need_not_say_it(
    make_run: Callable[..., Path], tmp_path: Path, damaged: str
) -> None:
    first = make_run(epochs=1, layers=1, arrays=False)
    second, third = (shutil.copytree(first, tmp_path / name) for name in ("second", "third"))
    assert origin([first, second, third]) == STATED
    (first / "environment.json").write_text(damaged)
    (second / "environment.json").unlink()
    assert origin([first, second, third]) == STATED
    assert origin([first, second]) == [""] * 4
