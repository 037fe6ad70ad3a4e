"""Wrong usage gets one sentence on stderr, nothing on stdout, status 2; what failed gets status 1."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("tarin small.toml", "unknown command 'tarin'; did you mean 'train'"),
        ("list modles", "unknown kind of thing 'modles'; did you mean 'models'"),
        ("train rbcn-cifar10-cup", "did you mean 'rbcn-cifar10-cpu'"),
        ("train none.toml", "there is no recipe file none.toml"),
        ("train small.toml --rum-dir x", "unknown option '--rum-dir'; did you mean '--run-dir'"),
        ("train small.toml --data.dataset digit", "unknown data set 'digit'; did you mean 'digits'"),
        ("train small.toml --model.name lennet", "did you mean 'lenet'"),
        ("train small.toml --method.name rbnc", "did you mean 'rbcn'"),
        ("train small.toml --method.options kernel_grda full", "did you mean 'kernel_grad'"),
        ("train small.toml --training.epochs 0", "training.epochs = 0: it must be at least 1"),
        ("train small.toml --run-dir small.toml", "small.toml is a file; name a folder"),
        ("train broken.toml", "is not valid TOML"),
        ("train misspelt.toml", "unknown recipe key 'optimizer.lrr'; did you mean 'optimizer.lr'"),
        ("train small.toml --model.widths 1", "widths"),
        ("reproduce rbcn-ablation --recipe small.toml --columns Bi R+B", "unknown column 'R+B'"),
        ("reproduce rbcn-ablation --recipe small.toml --method.name bireal --columns R", 'method "rbcn"'),
        ("reproduce rbcn-ablation --seed 1", "unknown option '--seed'; did you mean '--seeds'"),
    ],
)
def test_status_2_and_one_sentence(onebit: Callable, words: str, message: str) -> None:
    Path("broken.toml").write_text("[training\n")
    Path("misspelt.toml").write_text("[optimizer]\nlrr = 1\n")
    before = sorted(Path().iterdir())
    done = onebit(*words.split())
    assert done.status == 2
    assert message in done.error
    assert sorted(Path().iterdir()) == before


@pytest.mark.parametrize(
    "words",
    [
        "train",
        "list",
        "evaluate",
        "report",
        "reproduce",
        "reproduce rbcn-ablaton",
        "train small.toml --training.epoch 3",
        "train small.toml --training.epochs three",
        "train small.toml --optimizer.name adm",
        "evaluate run --split tset",
        "evaluate run --nonsense",
        "demo --fast",
    ],
)
def test_status_2_from_the_parser(onebit: Callable, words: str) -> None:
    done = onebit(*words.split())
    assert done.status == 2
    assert done.out == ""
    assert done.err
    assert "Traceback" not in done.err


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("evaluate nothing", "there is no checkpoint nothing"),
        ("evaluate empty", "holds no last checkpoint"),
        ("evaluate foreign.pt", "not a onebit checkpoint"),
        ("evaluate small.toml", "cannot be read as a checkpoint"),
        ("train small.toml --resume --run-dir nothing", "holds no run to resume"),
        ("train small.toml --run-dir small.toml/run", "cannot make the folder"),
        ("train small.toml --data.dataset mnist --data-dir empty", "empty"),
    ],
)
def test_status_1_and_one_sentence(onebit: Callable, words: str, message: str) -> None:
    Path("empty").mkdir()
    torch.save({"weight": torch.zeros(2)}, "foreign.pt")
    done = onebit(*words.split())
    assert done.status == 1
    assert message in done.error


def test_a_report_of_nothing(onebit: Callable) -> None:
    done = onebit("report", "nothing")
    assert done.status in (1, 2)
    assert "nothing" in done.error


def test_training_twice_into_a_folder(onebit: Callable, finished: tuple[Path, object]) -> None:
    folder, _ = finished
    done = onebit("train", "small.toml", "--run-dir", folder)
    assert done.status == 2
    assert "holds a run already; add --resume" in done.error
    done = onebit("train", "small.toml", "--run-dir", folder, "--resume", "--optimizer.lr", "0.5")
    assert done.status == 2
    assert "optimizer.lr = 0.002, this recipe has 0.5" in done.error


def test_a_split_that_was_not_kept(onebit: Callable) -> None:
    words = "--run-dir run --no-report --quiet --teacher.source none --adversarial.no-enabled --data.holdout 0"
    assert onebit("train", "small.toml", *words.split()).status == 0
    done = onebit("evaluate", "run", "--split", "holdout")
    assert done.status == 2
    assert "holdout is 0" in done.error


def test_stopping_by_hand(onebit: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from onebit.training import run

    monkeypatch.setattr(run, "train", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt))
    done = onebit("train", "small.toml")
    assert done.status == 130
    assert "--resume" in done.err


def test_what_the_system_refuses_is_one_line_too(onebit: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    from onebit.training import run

    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device", "somewhere")

    monkeypatch.setattr(run, "train", refuse)
    done = onebit("train", "small.toml")
    assert done.status == 1
    assert "No space left on device: 'somewhere'" in done.error
