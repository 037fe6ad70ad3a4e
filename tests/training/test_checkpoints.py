"""Checkpoints: what is not whole or not ours is refused with one sentence, and nothing in a file is ever executed."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from onebit.errors import CheckpointError
from onebit.training import Recipe, evaluate, load_checkpoint, load_model, train
from onebit.training.checkpoints import find_checkpoint, read_tensors, save_checkpoint


@pytest.fixture(scope="module")
def run(recipe: Callable[..., Recipe], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(recipe(), run_dir=tmp_path_factory.mktemp("run"), quiet=True).folder


def refused(path: Path) -> str:
    with pytest.raises(CheckpointError) as caught:
        load_model(path)
    message = str(caught.value)
    assert "\n" not in message
    assert str(path) in message
    return message


def test_a_run_loads_from_its_folder_and_its_files(run: Path) -> None:
    images = torch.randn(4, 1, 8, 8)
    answers = [load_model(path)[0](images) for path in (run, str(run), run / "checkpoints" / "last.pt")]
    assert all(torch.equal(answers[0], answer) for answer in answers)
    model, checkpoint = load_model(run, "best")
    assert not model.training
    assert checkpoint["epoch"] == 1
    assert checkpoint["data"]["num_classes"] == 10


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.999])
def test_truncated(run: Path, tmp_path: Path, share: float) -> None:
    whole = (run / "checkpoints" / "last.pt").read_bytes()
    (tmp_path / "cut.pt").write_bytes(whole[: int(share * len(whole))])
    assert "truncated, damaged" in refused(tmp_path / "cut.pt")


def test_a_flipped_bit_in_a_tensor(run: Path, tmp_path: Path) -> None:
    checkpoint = load_checkpoint(run / "checkpoints" / "last.pt")
    needle = checkpoint["model"]["hidden.weight"].numpy().tobytes()
    content = bytearray((run / "checkpoints" / "last.pt").read_bytes())
    content[content.index(needle) + 40] ^= 1
    (tmp_path / "bad.pt").write_bytes(content)
    assert "damaged" in refused(tmp_path / "bad.pt")


@pytest.mark.parametrize("content", [b"", b"\x89PNG\r\n", b"PK\x03\x04 no zip", pickle.dumps([1, 2])])
def test_not_a_torch_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "strange.pt").write_bytes(content)
    refused(tmp_path / "strange.pt")


class Bomb:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("how", ["torch", "pickle"])
def test_code_in_a_checkpoint_is_not_executed(run: Path, tmp_path: Path, how: str) -> None:
    content = {**load_checkpoint(run / "checkpoints" / "last.pt"), "extra": Bomb(tmp_path / "executed")}
    if how == "torch":
        torch.save(content, tmp_path / "bomb.pt")
    else:
        (tmp_path / "bomb.pt").write_bytes(pickle.dumps(content))
    assert "more than tensors and plain values" in refused(tmp_path / "bomb.pt")
    assert not (tmp_path / "executed").exists()


def test_foreign_and_future_files(tmp_path: Path, run: Path) -> None:
    torch.save(torch.nn.Linear(2, 2).state_dict(), tmp_path / "foreign.pt")
    assert "not a onebit checkpoint (it has no format mark" in refused(tmp_path / "foreign.pt")
    torch.save([torch.zeros(2)], tmp_path / "list.pt")
    assert "holds a list, not a dictionary" in refused(tmp_path / "list.pt")
    content = load_checkpoint(run / "checkpoints" / "last.pt")
    torch.save({**content, "version": 99}, tmp_path / "future.pt")
    assert "of version 99; this onebit reads version 1" in refused(tmp_path / "future.pt")
    torch.save({"format": content["format"], "version": 1, "model": {}}, tmp_path / "part.pt")
    assert "not a whole onebit checkpoint: recipe, data, epoch missing" in refused(tmp_path / "part.pt")
    weights = {name: value for name, value in content["model"].items() if name != "conv.matrix"}
    torch.save({**content, "model": weights}, tmp_path / "less.pt")
    assert "1 missing (first: conv.matrix)" in refused(tmp_path / "less.pt")


def test_missing_files_and_folders(tmp_path: Path) -> None:
    assert "there is no checkpoint" in refused(tmp_path / "nothing.pt")
    assert "holds no last checkpoint" in refused(tmp_path)
    with pytest.raises(CheckpointError, match="holds no best checkpoint"):
        find_checkpoint(tmp_path, "best")


def test_saving_replaces_in_one_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "last.pt"
    save_checkpoint(path, {"epoch": 1})
    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            save_checkpoint(path, {"epoch": 2})
    assert read_tensors(path)["epoch"] == 1
    assert [item.name for item in tmp_path.iterdir()] == ["last.pt"]


def test_evaluate_agrees_with_the_runs_own_evaluation(run: Path) -> None:
    import json

    written = json.loads((run / "evaluation.json").read_text())
    again = evaluate(run)
    assert {key: again[key] for key in ("dataset", "split", "n", "top1", "top5")} == {
        key: written[key] for key in ("dataset", "split", "n", "top1", "top5")
    }
    assert again["loss"] == pytest.approx(written["loss"], rel=1e-6)
    held_out = evaluate(run, split="holdout")
    assert (held_out["n"], held_out["top1"]) == (120, written["holdout"]["top1"])
    assert evaluate(run, split="train")["n"] == 256
