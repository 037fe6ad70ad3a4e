"""Every command does what its help says; with --json stdout holds one JSON value and nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from onebit.cli import COMMANDS

EVALUATION = {"dataset", "split", "n", "top1", "top5", "loss"}


def test_help_is_quick_and_loads_nothing_heavy(surroundings: dict[str, str]) -> None:
    code = (
        "import sys, onebit.cli\n"
        "assert onebit.cli.main(['--help']) == 0\n"
        "heavy = {'torch', 'numpy', 'tyro', 'rich', 'matplotlib', 'lightning_fabric'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    started = time.perf_counter()
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False, env=surroundings)
    assert done.returncode == 0, done.stderr
    assert all(command in done.stdout for command in COMMANDS)
    assert time.perf_counter() - started < 10


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_explains_itself_with_an_example_and_without_torch(
    command: str, surroundings: dict[str, str]
) -> None:
    code = (
        "import sys, onebit.cli\n"
        "try:\n"
        f"    onebit.cli.main([{command!r}, '--help'])\n"
        "except SystemExit as stop:\n"
        "    assert not stop.code, stop.code\n"
        "assert 'torch' not in sys.modules\n"
    )
    call = [sys.executable, "-c", code]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False, env=surroundings)
    assert done.returncode == 0, done.stderr
    assert f"usage: onebit {command}" in done.stdout
    assert f"onebit {command}" in done.stdout.partition("usage")[2][len(command) + 10 :]
    several_actions = "ACTION" in done.stdout.splitlines()[0]  # each has a help of its own
    assert several_actions or "--json" in done.stdout


def test_a_recipes_help_lists_its_keys(onebit: Callable) -> None:
    done = onebit("train", "small.toml", "--help")
    assert done.status == 0
    for key in ("--optimizer.lr", "--training.epochs", "--adversarial.weight", "--data.augment.flip"):
        assert key in done.out


def test_version_and_usage(onebit: Callable) -> None:
    import onebit as package

    assert onebit("--version").out == f"onebit {package.__version__}\n"
    nothing = onebit()
    assert nothing.status == 2
    assert "usage: onebit COMMAND" in nothing.out


@pytest.mark.parametrize(
    ("kind", "some"),
    [
        ("models", {"lenet", "resnet18", "wrn22"}),
        ("methods", {"real", "xnor", "bireal", "rbcn"}),
        ("objectives", {"adversarial", "apprentice", "distillation", "features"}),
        ("datasets", {"digits", "mnist", "cifar10"}),
        ("recipes", {"rbcn-cifar10-cpu"}),
    ],
)
def test_list(onebit: Callable, kind: str, some: set[str]) -> None:
    names = onebit("list", kind, "--json").json
    assert some <= set(names)
    assert names == sorted(names)
    assert onebit("list", kind).out.splitlines() == names


def test_train_prints_json_alone_and_leaves_a_run(finished: tuple[Path, object]) -> None:
    folder, done = finished
    assert done.status == 0, done.err
    figures = done.json
    assert set(figures) >= EVALUATION | {"holdout", "teacher"}
    written = json.loads((folder / "evaluation.json").read_text())
    assert figures["top1"] == written["top1"]
    assert figures["teacher"]["top1"] == written["teacher"]["top1"]
    assert "student epoch 1/1" in done.err
    assert "teacher epoch 1/1" in done.err
    assert (folder / "report.html").is_file()
    assert str(folder.name) in done.err


def test_train_prints_a_table(onebit: Callable) -> None:
    done = onebit("train", "small.toml", "--run-dir", "run", "--no-report", "--quiet", "--teacher.source", "none",
                  "--adversarial.no-enabled")  # fmt: skip
    assert (done.status, done.err) == (0, "")
    assert "student" in done.out
    assert "digits" in done.out
    assert not Path("run/report.html").exists()


def test_train_with_overrides(onebit: Callable) -> None:
    words = (
        "--model.widths 4 5 6 --method.options kernel_grad full kernel_weight 1e-3 --training.epochs 2 --teacher.epochs 1"
        " --optimizer.lr 0.01 --refresh.no-enabled --json --no-report"
    )
    done = onebit("train", "small.toml", "--run-dir", "run", *words.split())
    assert done.status == 0, done.err
    from onebit.training import load_model, load_recipe

    recipe = load_recipe("run/recipe.toml")
    assert recipe.method.options == {"kernel_grad": "full", "kernel_weight": 1e-3}
    assert (recipe.model.widths, recipe.training.epochs, recipe.optimizer.lr) == ((4, 5, 6), 2, 0.01)
    assert not recipe.refresh.enabled
    layer = load_model("run")[0].get_submodule("conv")
    assert (layer.kernel_grad, layer.kernel_weight, layer.out_channels) == ("full", 1e-3, 5)
    assert done.json["n"] == 360


def test_train_takes_its_name_for_the_folder(onebit: Callable) -> None:
    done = onebit(
        "train", "small.toml", "--teacher.source", "none", "--adversarial.no-enabled", "--no-report", "--json"
    )
    assert done.status == 0, done.err
    assert Path("runs/small/evaluation.json").is_file()


def test_resume_after_a_kill_from_outside(
    process: Callable, finished: tuple[Path, object], tmp_path: Path, surroundings: dict[str, str]
) -> None:
    """kill -9 while the command runs, then --resume: the result is that of the run that was left in peace."""
    command = [sys.executable, "-m", "onebit", "train", "small.toml", "--run-dir", "run", "--no-report"]
    silent = subprocess.DEVNULL
    running = subprocess.Popen(command, stdout=silent, stderr=silent, env=surroundings)
    deadline = time.monotonic() + 120
    while not (tmp_path / "run" / "teacher" / "checkpoints" / "last.pt").exists():
        assert time.monotonic() < deadline
        assert running.poll() is None
        time.sleep(0.002)
    running.kill()
    assert running.wait() == -9
    done = process("train", "small.toml", "--run-dir", "run", "--resume", "--json", "--no-report")
    assert done.status == 0, done.err
    assert done.json == finished[1].json


def test_evaluate(onebit: Callable, finished: tuple[Path, object]) -> None:
    folder, trained = finished
    result = onebit("evaluate", folder, "--json").json
    assert list(result) == ["dataset", "split", "n", "top1", "top5", "loss"]
    assert result["top1"] == trained.json["top1"]
    checkpoint = onebit("evaluate", folder / "checkpoints" / "best.pt", "--split", "holdout", "--json").json
    assert (checkpoint["split"], checkpoint["n"]) == ("holdout", 120)
    assert onebit("evaluate", folder / "teacher", "--json").json["top1"] == trained.json["teacher"]["top1"]
    table = onebit("evaluate", folder, "--which", "best")
    assert table.status == 0
    assert "360" in table.out


def test_report(onebit: Callable, finished: tuple[Path, object]) -> None:
    folder, _ = finished
    (folder / "report.html").unlink(missing_ok=True)
    done = onebit("report", folder, "--json")
    assert done.json == {"report": str(folder / "report.html")}
    assert (folder / "report.html").stat().st_size > 10000


def test_two_processes(process: Callable, tmp_path: Path) -> None:
    """``python -m onebit train`` with two processes: one JSON value, one run, an orderly end."""
    words = "--training.devices 2 --json --no-report"
    done = process("train", "small.toml", "--run-dir", "run", *words.split())
    assert done.status == 0, done.err
    assert "Traceback" not in done.err
    assert done.json["n"] == 360
    records = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    assert [record["event"] for record in records] == ["start", "epoch", "end"]
    assert len((tmp_path / "run" / "train.log").read_text().splitlines()) == 1


def test_a_reader_who_leaves_early_is_no_error(surroundings: dict[str, str]) -> None:
    command = f"{sys.executable} -m onebit list recipes | true; echo ${{PIPESTATUS[0]}}"
    call = ["bash", "-c", command]
    done = subprocess.run(call, capture_output=True, text=True, timeout=60, check=False, env=surroundings)
    assert done.stderr == ""
    assert done.stdout.strip() in ("0", "1")


def test_demo(onebit: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's own length is not for every test run: the same command, on the small recipe."""
    from onebit.training import load_recipe, recipe_files

    monkeypatch.setattr(recipe_files, "load_recipe", lambda _: load_recipe("small.toml"))
    Path("runs/demo").mkdir(parents=True)
    done = onebit("demo", "--json", "--quiet")
    assert done.status == 0, done.err
    figures = done.json
    assert set(figures) >= EVALUATION | {"teacher", "seconds", "report"}
    assert figures["report"] == "runs/demo-2/report.html"
    assert Path(figures["report"]).is_file()
    table = onebit("demo", "--run-dir", "mine", "--seed", "1", "--quiet")
    assert "teacher" in table.out
    assert "report" in table.err
