"""Training that cannot go on stops with one sentence and keeps what was good."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from onebit.errors import NonFiniteLossError, OnebitError, UsageError
from onebit.training import Recipe, load_model, recipe_to_toml, train
from onebit.training.fit import Fit
from onebit.training.objective import check_finite


def at_step(monkeypatch: pytest.MonkeyPatch, number: int, change: Callable[[Fit], None], after: bool = False) -> None:
    """Do something to the network at the number-th step of the run, counted from 0."""
    step = Fit._train_step

    def changed(self: Fit, images: torch.Tensor, labels: torch.Tensor, overall: int) -> Any:
        if overall == number and not after:
            change(self)
        result = step(self, images, labels, overall)
        if overall == number and after:
            change(self)
        return result

    monkeypatch.setattr(Fit, "_train_step", changed)


def poison(fit: Fit, name: str = "classifier.weight") -> None:
    with torch.no_grad():
        fit.model.get_parameter(name).fill_(float("nan"))


def events(folder: Path) -> list[str]:
    return [json.loads(line)["event"] for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_a_loss_that_is_no_number_names_its_term_and_keeps_the_last_checkpoint(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 6, poison)
    with pytest.raises(NonFiniteLossError) as caught:
        train(recipe({"training": {"epochs": 3}}), run_dir=tmp_path, quiet=True)
    assert "the task loss became nan in epoch 2, step 3; training stopped, the checkpoint of epoch 1 is kept" in str(
        caught.value
    )
    model, checkpoint = load_model(tmp_path)
    assert checkpoint["epoch"] == 1
    assert all(torch.isfinite(value).all() for value in model.state_dict().values())
    assert events(tmp_path) == ["start", "epoch"]


def test_weights_that_break_in_the_last_step_of_an_epoch_are_not_saved(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_step(monkeypatch, 7, poison, after=True)
    with pytest.raises(NonFiniteLossError, match=r"classifier\.weight holds NaN or infinity at the end of epoch 2"):
        train(recipe({"training": {"epochs": 2}}), run_dir=tmp_path, quiet=True)
    assert load_model(tmp_path)[1]["epoch"] == 1


def test_what_the_sign_hides_from_the_loss_is_found_at_the_end_of_the_epoch(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The sign of NaN is a bit like any other, so a network that is broken before its first sign has a finite loss."""
    at_step(monkeypatch, 5, lambda fit: poison(fit, "stem.0.weight"))
    with pytest.raises(NonFiniteLossError, match=r"stem\.0\.weight holds NaN or infinity at the end of epoch 2"):
        train(recipe({"training": {"epochs": 2}}), run_dir=tmp_path, quiet=True)
    assert load_model(tmp_path)[1]["epoch"] == 1


def test_a_rate_that_no_network_survives(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    rates = {"name": "sgd", "lr": 1e30, "matrix_lr": 1e30}
    with pytest.raises(NonFiniteLossError, match=r"training stopped, before its first checkpoint") as caught:
        train(recipe({"optimizer": rates}), run_dir=tmp_path, quiet=True)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "checkpoints").iterdir())


@pytest.mark.parametrize("name", ["task", "kernel", "adversarial", "distillation"])
@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_the_broken_term_is_named(name: str, value: float) -> None:
    terms = {part: torch.tensor(1.0) for part in ("task", "kernel", "adversarial", "distillation")}
    check_finite(terms, 1, 1)
    terms[name] = torch.tensor(value)
    with pytest.raises(NonFiniteLossError, match=f"the {name} loss became {value} in epoch 4, step 2"):
        check_finite(terms, 4, 2)


def test_clipping_a_broken_gradient_ends_in_the_same_sentence(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def break_gradient(fit: Fit) -> None:
        fit.model.classifier.weight.register_hook(lambda gradient: gradient * float("nan"))

    at_step(monkeypatch, 1, break_gradient)
    with pytest.raises(NonFiniteLossError, match="the task loss became nan in epoch 1, step 3"):
        train(recipe({"optimizer": {"clip_norm": 1.0}}), run_dir=tmp_path, quiet=True)


def full_disk(monkeypatch: pytest.MonkeyPatch, when: Callable[[str], bool]) -> None:
    """From now on files are refused as by a full disk where ``when(name)`` says so."""
    fsync = os.fsync

    def refuse(descriptor: int) -> None:
        name = os.readlink(f"/proc/self/fd/{descriptor}")
        if when(name):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", refuse)


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs /proc")
@pytest.mark.parametrize("file", ["last.pt", "best.pt"])
def test_a_full_disk_keeps_the_old_checkpoint_and_the_run_goes_on_with_room(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: str
) -> None:
    two = recipe({"training": {"epochs": 2}, "optimizer": {"lr": 0.02}})
    whole = train(two, run_dir=tmp_path / "whole", quiet=True)
    with monkeypatch.context() as patch:
        at_step(patch, 5, lambda _: full_disk(patch, lambda name: f".{file}." in name))
        with pytest.raises(OnebitError) as caught:
            train(two, run_dir=tmp_path / "run", quiet=True)
    message = str(caught.value)
    assert f"{file}: No space left on device; the file that was there is untouched" in message
    assert load_model(tmp_path / "run")[1]["epoch"] == 1
    assert not list((tmp_path / "run").rglob("*.part"))
    again = train(two, run_dir=tmp_path / "run", resume=True, quiet=True)
    assert again.evaluation == whole.evaluation


def test_a_disk_that_is_full_for_the_metrics(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Path.open

    def refuse(self: Path, mode: str = "r", *arguments: Any, **named: Any) -> Any:
        if self.name == "metrics.jsonl" and "a" in mode and (tmp_path / "checkpoints" / "last.pt").exists():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return opened(self, mode, *arguments, **named)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(OnebitError, match=r"cannot write .*metrics\.jsonl: No space left on device; .*--resume"):
        train(recipe({"training": {"epochs": 2}}), run_dir=tmp_path, quiet=True)
    assert load_model(tmp_path)[1]["epoch"] == 1


@pytest.mark.skipif(sys.platform == "win32", reason="needs limits on file sizes")
def test_a_file_the_system_refuses_to_let_grow(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    """The real thing: the system itself refuses the write, in a process of its own."""
    (tmp_path / "recipe.toml").write_text(recipe_to_toml(recipe()))
    script = (
        "import resource, signal, sys\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (20000, 20000))\n"
        "from onebit.cli import main\n"
        f"sys.exit(main(['train', {str(tmp_path / 'recipe.toml')!r}, '--run-dir', {str(tmp_path / 'run')!r}, '--quiet']))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 1
    assert done.stdout == ""
    error = done.stderr.strip().splitlines()[-1]
    assert error.startswith("onebit: error: cannot write")
    assert "best.pt: File too large; nothing was left behind" in error
    assert "Traceback" not in done.stderr
    assert not list((tmp_path / "run").rglob("*.part"))


def test_a_run_folder_that_cannot_be(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="is a file; name a folder"):
        train(recipe(), run_dir=tmp_path / "file", quiet=True)
    with pytest.raises(OnebitError, match=r"cannot make the folder .*Not a directory"):
        train(recipe(), run_dir=tmp_path / "file" / "run", quiet=True)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_without_permission(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o500)
    with pytest.raises(OnebitError, match=r"cannot make the folder .*Permission denied"):
        train(recipe(), run_dir=tmp_path / "locked" / "run", quiet=True)
