"""The teacher: trained by the loop, loaded from whatever a user has, or handed over as a module; misfits are refused."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from onebit.errors import CheckpointError, UsageError
from onebit.models import create_model
from onebit.training import Recipe, train
from onebit.training.checkpoints import build_model
from onebit.training.fit import Fit
from onebit.training.teacher import call_factory, copy_teacher, load_teacher, teacher_recipe

DATA = {"num_classes": 10, "in_channels": 1, "image_size": 8}
SHAPES = {"widths": [6, 8, 16]}


class Several(nn.Module):
    """A module that returns more than one thing, as attention does."""

    def forward(self, features: torch.Tensor) -> tuple[torch.Tensor, None]:
        return features, None


class Own(nn.Module):
    """A network of the user's: other names, feature maps of the student's shapes."""

    def __init__(self, channels: int = 8, hidden: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(1, channels, 3, stride=4, padding=1), nn.BatchNorm2d(channels))
        self.second = nn.Linear(channels * 4, hidden)
        self.last = nn.Linear(hidden, classes)
        self.unused = nn.Identity()
        self.several = Several()

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.last(self.several(self.second(self.first(images).flatten(1)))[0])


@pytest.fixture
def twin() -> nn.Module:
    torch.manual_seed(7)
    return create_model("lenet", "real", in_channels=1, image_size=8, widths=(6, 8, 16)).eval()


@pytest.fixture
def loads(recipe: Callable[..., Recipe]) -> Callable[..., Recipe]:
    def make(path: Path | str, **teacher: Any) -> Recipe:
        table = {"source": "load", "checkpoint": str(path), "epochs": 0, **teacher}
        return recipe({"teacher": table, "training": {"ema": 0.0}}, full=True)

    return make


def test_the_twins_recipe(recipe: Callable[..., Recipe]) -> None:
    changes = {"teacher": {"lr": 0.5, "weight_decay": 0.25, "epochs": 7}, "training": {"strict_alternation": True}}
    original = recipe(changes, full=True)
    twin = teacher_recipe(original)
    assert (twin.method.name, twin.optimizer.lr, twin.optimizer.weight_decay, twin.training.epochs) == (
        "real",
        0.5,
        0.25,
        7,
    )
    assert not twin.needs_teacher()
    assert not twin.refresh.enabled
    assert not twin.training.strict_alternation
    assert original.method.name == "rbcn"  # a copy
    same = teacher_recipe(recipe({"teacher": {"source": "train"}}))
    assert (same.optimizer, same.training.epochs) == (recipe().optimizer, recipe().training.epochs)


def test_trained_by_the_loop_then_loaded_from_folder_and_checkpoint(
    recipe: Callable[..., Recipe], loads: Callable[..., Recipe], tmp_path: Path
) -> None:
    result = train(recipe(full=True), run_dir=tmp_path / "run", quiet=True)
    assert result.evaluation["teacher"]["n"] == 360
    folder = tmp_path / "run" / "teacher"
    for path in (folder, folder / "checkpoints" / "best.pt"):
        teacher = load_teacher(loads(path), DATA)
        assert not teacher.training
        assert teacher(torch.zeros(2, 1, 8, 8)).shape == (2, 10)
    second = train(loads(folder), run_dir=tmp_path / "second", quiet=True)
    assert second.evaluation["teacher"]["top1"] == result.evaluation["teacher"]["top1"]
    assert not (tmp_path / "second" / "teacher" / "recipe.toml").exists()


@pytest.mark.parametrize("wrap", ["plain", "module", "state_dict", "model", "compiled"])
def test_loaded_from_a_plain_state_dict(
    twin: nn.Module, loads: Callable[..., Recipe], tmp_path: Path, wrap: str
) -> None:
    state: dict[str, Any] = dict(twin.state_dict())
    prefix = {"module": "module.", "compiled": "_orig_mod."}.get(wrap, "")
    state = {prefix + name: value for name, value in state.items()}
    content = {wrap: state, "epoch": 3} if wrap in ("state_dict", "model") else state
    torch.save(content, tmp_path / "teacher.pt")
    teacher = load_teacher(loads(tmp_path / "teacher.pt"), DATA)
    images = torch.randn(3, 1, 8, 8)
    assert torch.equal(teacher(images), twin(images))


def test_ones_own_network_through_a_factory(
    loads: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules[__name__], "build_own", Own, raising=False)
    torch.save(Own().state_dict(), tmp_path / "own.pt")
    ours = loads(tmp_path / "own.pt", factory=f"{__name__}:build_own", taps=["first", "second"])
    result = train(ours, run_dir=tmp_path / "run", quiet=True)
    assert result.evaluation["teacher"] is not None


def test_ones_own_module_as_teacher(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    own = Own()
    before = {name: value.clone() for name, value in own.state_dict().items()}
    ours = recipe({"teacher": {"source": "none", "taps": ["first", "second"]}, "adversarial": {"weight": 0.1}})
    ours.adversarial.enabled, ours.teacher.source = True, "train"
    result = train(ours, run_dir=tmp_path, teacher=own, quiet=True)
    assert result.evaluation["teacher"]["n"] == 360
    assert all(torch.equal(value, before[name]) for name, value in own.state_dict().items())
    assert not [module for module in own.modules() if module._forward_hooks]


@pytest.mark.parametrize(
    ("own", "taps", "message"),
    [
        (Own(channels=4), ["first", "second"], r"do not match at 'norm': student \(8, 2, 2\), teacher \(4, 2, 2\)"),
        (Own(hidden=12), ["first", "second"], r"do not match at 'hidden_norm': student \(16,\), teacher \(12,\)"),
        (Own(), ["first"], "the student has 2 matched feature maps, the teacher 1; set teacher.taps"),
        (Own(), ["frist", "second"], "unknown module to tap 'frist'; did you mean 'first'"),
        (Own(), [], "the teacher has no module 'norm', .* in teacher.taps, one for each of norm, hidden_norm"),
        (Own(), ["first", "unused"], "the tapped module 'unused' was not run"),
        (Own(), ["several", "second"], "the tapped module 'several' returned a tuple, not a tensor"),
        (
            Own(classes=7),
            ["first", "second"],
            r"the teacher answers \(2, 7\) to two images, not \(2, 10\): .* 10 classes",
        ),
        (nn.Conv2d(3, 8, 3), ["first", "second"], r"the teacher cannot take images of shape \(1, 8, 8\)"),
    ],
)
def test_a_misfit_gets_one_sentence_and_keeps_no_hooks(
    recipe: Callable[..., Recipe], tmp_path: Path, own: nn.Module, taps: list[str], message: str
) -> None:
    ours = recipe({"teacher": {"source": "train", "taps": taps}, "adversarial": {"enabled": True}})
    with pytest.raises(UsageError, match=message):
        train(ours, run_dir=tmp_path, teacher=own, quiet=True)
    assert not [module for module in own.modules() if module._forward_hooks]


def test_a_loaded_teacher_of_other_classes_or_widths(
    twin: nn.Module, loads: Callable[..., Recipe], recipe: Callable[..., Recipe], tmp_path: Path
) -> None:
    torch.save(twin.state_dict(), tmp_path / "teacher.pt")
    wider = loads(tmp_path / "teacher.pt")
    wider.model.widths = (6, 9, 16)
    with pytest.raises(
        CheckpointError, match=r"of another shape \(first: .*\(8,\) not \(9,\)\)|\(8, 6, 5, 5\) not \(9, 6, 5, 5\)"
    ):
        load_teacher(wider, DATA)
    train(recipe(), run_dir=tmp_path / "run", quiet=True)
    with pytest.raises(UsageError, match="knows 10 classes, the data set has 4"):
        load_teacher(loads(tmp_path / "run"), {**DATA, "num_classes": 4})
    names = [str(number) for number in range(10)]
    load_teacher(loads(tmp_path / "run"), {**DATA, "classes": names})
    names[3:5] = names[4], names[3]
    with pytest.raises(
        UsageError, match="knows class 3 as '3', the data set as '4'; use a teacher of the same classes"
    ):
        load_teacher(loads(tmp_path / "run"), {**DATA, "classes": names})


def test_a_state_dict_of_something_else(loads: Callable[..., Recipe], tmp_path: Path) -> None:
    torch.save(nn.Linear(3, 3).state_dict(), tmp_path / "linear.pt")
    with pytest.raises(
        CheckpointError, match=r"do not fit this network: \d+ missing \(first: .*\), 2 unexpected \(first: bias\)"
    ):
        load_teacher(loads(tmp_path / "linear.pt"), DATA)
    torch.save({"epoch": 3, "lr": 0.1}, tmp_path / "numbers.pt")
    with pytest.raises(CheckpointError, match="neither a onebit checkpoint nor a plain state_dict"):
        load_teacher(loads(tmp_path / "numbers.pt"), DATA)
    with pytest.raises(CheckpointError, match="there is no checkpoint"):
        load_teacher(loads(tmp_path / "missing.pt"), DATA)


def text() -> str:
    return "not a network"


def failing() -> nn.Module:
    raise RuntimeError("no weights today")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no.such.module:build", "No module named 'no'"),
        ("torch.nn:Liner", "has no attribute 'Liner'"),
        ("torch.nn:Linear", "missing 2 required"),
        ("torch", "cannot be called"),
        (f"{__name__}:failing", r"cannot be called \(RuntimeError: no weights today\)"),
        (f"{__name__}:text", "returned a str, not a torch.nn.Module"),
    ],
)
def test_a_factory_that_is_none(name: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        call_factory(name)


def test_copying_the_twin(twin: nn.Module, recipe: Callable[..., Recipe]) -> None:
    student = build_model(recipe(), DATA)
    drawn = {name: value.clone() for name, value in student.state_dict().items()}
    copied = copy_teacher(student, twin)
    theirs, ours = twin.state_dict(), student.state_dict()
    assert copied == len(theirs)
    for name, value in ours.items():
        if name in ("conv.weight", "hidden.weight"):
            assert torch.equal(value >= 0, theirs[name] >= 0)
            assert value.abs().mean().item() == pytest.approx(drawn[name].abs().mean().item(), rel=1e-5)
        elif name.endswith("matrix"):
            mean = ours[name.replace("matrix", "weight")].abs().mean()
            torch.testing.assert_close(value, mean.expand_as(value))
        elif not name.endswith("matrix_floor"):
            assert torch.equal(value, theirs[name])


def test_copying_a_stranger_is_refused(recipe: Callable[..., Recipe]) -> None:
    with pytest.raises(UsageError, match="has no tensor of the student's names"):
        copy_teacher(build_model(recipe(), DATA), nn.Sequential(nn.Linear(2, 2)))


def test_a_student_that_starts_from_the_twin_does_not_look_at_it_in_every_step(
    recipe: Callable[..., Recipe], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    teachers = []
    build = Fit.__init__
    monkeypatch.setattr(Fit, "__init__", lambda self, *args: (teachers.append(args[3]), build(self, *args))[1])
    train(recipe({"model": {"copy_teacher": True}, "teacher": {"source": "train"}}), run_dir=tmp_path, quiet=True)
    assert teachers == [None, None]
