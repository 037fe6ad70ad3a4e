"""The command as a user runs it, in a folder of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

# Nothing to collect here; several files of this name would be in each other's way.
collect_ignore = ["conftest.py"]

RECIPE = """
name = "small"
[data]
dataset = "digits"
batch_size = 64
limit = 256
holdout = 120
[model]
name = "lenet"
widths = [6, 8, 16]
[method]
name = "rbcn"
[adversarial]
enabled = true
widths = [8]
probe_every = 2
[refresh]
enabled = true
[training]
epochs = 1
threads = 1
accelerator = "cpu"
"""


@dataclass
class Done:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What stdout holds, which must be one JSON value and nothing else."""
        assert self.out.count("\n") == 1
        assert self.out.endswith("\n")
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The one sentence that a refused command owes its user."""
        lines = [line for line in self.err.splitlines() if line.startswith("onebit: error: ")]
        assert len(lines) == 1, self.err
        assert "Traceback" not in self.err
        assert self.out == ""
        return lines[0].removeprefix("onebit: error: ")


@pytest.fixture(scope="session")
def surroundings() -> dict[str, str]:
    """Environment variables for processes that run this package from any folder, outside any launcher."""
    import onebit

    launcher = ("LOCAL_RANK", "RANK", "WORLD_SIZE", "MASTER_PORT", "ONEBIT_DATA")
    kept = {key: value for key, value in os.environ.items() if key not in launcher}
    home = str(Path(onebit.__file__).parents[1])
    return {**kept, "PYTHONPATH": os.pathsep.join(filter(None, [home, kept.get("PYTHONPATH", "")]))}


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ONEBIT_DATA", raising=False)
    (tmp_path / "small.toml").write_text(RECIPE)


@pytest.fixture(scope="session")
def process(surroundings: dict[str, str]) -> Callable[..., Done]:
    """``python -m onebit ...`` in a process of its own."""

    def run(*arguments: object, cwd: Path | None = None, timeout: float = 240) -> Done:
        command = [sys.executable, "-m", "onebit", *map(str, arguments)]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=timeout, check=False, cwd=cwd, env=surroundings
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


@pytest.fixture
def onebit(capsys: pytest.CaptureFixture) -> Callable[..., Done]:
    """The same without the process: quicker by the time that torch takes to load."""
    from onebit.cli import main

    def run(*arguments: object) -> Done:
        capsys.readouterr()
        try:
            status = main([str(argument) for argument in arguments])
        except SystemExit as stop:
            status = stop.code if isinstance(stop.code, int) else 1
        captured = capsys.readouterr()
        return Done(status, captured.out, captured.err)

    return run


@pytest.fixture(scope="session")
def finished(process: Callable[..., Done], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Done]:
    """A finished run, trained by the command in a process of its own, and what that printed."""
    folder = tmp_path_factory.mktemp("finished")
    (folder / "small.toml").write_text(RECIPE)
    done = process("train", "small.toml", "--run-dir", "run", "--json", cwd=folder)
    return folder / "run", done
