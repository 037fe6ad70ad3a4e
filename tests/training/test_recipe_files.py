"""Recipes from files: every wrong key, name, value and type gets one sentence with what is valid."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from onebit.errors import OnebitError, UsageError
from onebit.training import Recipe, list_recipes, load_recipe, recipe_from_dict, recipe_to_toml, train
from onebit.training.recipe_files import override_recipe, recipe_to_dict

JOINT = {"apprentice": {"enabled": True}, "teacher": {"source": "joint"}}


def refused(call: Callable[[], Any]) -> str:
    with pytest.raises(UsageError) as caught:
        call()
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("table", "nearest"),
    [
        ({"optimiser": {}}, "'optimizer'"),
        ({"trainig": {"epochs": 1}}, "'training'"),
        ({"training": {"epoch": 1}}, "'training.epochs'"),
        ({"data": {"batchsize": 1}}, "'data.batch_size'"),
        ({"data": {"augment": {"flp": True}}}, "'data.augment.flip'"),
        ({"adversarial": {"wieght": 1.0}}, "'adversarial.weight'"),
        ({"optimizer": {"name": "adm"}}, "'adam'"),
        ({"adversarial": {"attach": "per_leyer"}}, "'per_layer'"),
        ({"features": {"kind": "atention"}}, "'attention'"),
        ({"apprentise": {"enabled": True}}, "'apprentice'"),
        ({"teacher": {"source": "jont"}}, "'joint'"),
        ({"training": {"precision": "bf16"}}, "'bf16-mixed'"),
    ],
)
def test_misspelt_keys_and_choices(table: dict[str, Any], nearest: str) -> None:
    assert f"did you mean {nearest}" in refused(lambda: recipe_from_dict(table))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"training": {"epochs": "ten"}}, "'training.epochs' takes int, got 'ten'"),
        ({"training": {"epochs": 1.5}}, "'training.epochs' takes int, got 1.5"),
        ({"training": {"epochs": True}}, "'training.epochs' takes int, got True"),
        ({"optimizer": {"lr": "fast"}}, "'optimizer.lr' takes float, got 'fast'"),
        ({"optimizer": {"nesterov": 1}}, "'optimizer.nesterov' takes bool, got 1"),
        ({"model": {"widths": 32}}, "'model.widths' is a list, got 32"),
        ({"model": {"widths": [32, "x"]}}, "'model.widths' takes int, got 'x'"),
        ({"data": {"augment": {"scale": [0.1]}}}, "takes 2 values"),
        ({"method": "rbcn"}, "'method' is a table, got 'rbcn'"),
        ({"method": {"options": "full"}}, "'method.options' takes dict"),
    ],
)
def test_wrong_types(table: dict[str, Any], message: str) -> None:
    assert message in refused(lambda: recipe_from_dict(table))


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"training": {"epochs": 0}}, "training.epochs = 0: it must be at least 1"),
        ({"data": {"batch_size": 1}}, "data.batch_size = 1"),
        ({"data": {"batch_size": 3}, "training": {"devices": 2}}, "multiple"),
        ({"data": {"batch_size": 2}, "training": {"devices": 2}}, "at least two images"),
        ({"optimizer": {"lr": 0.0}}, "optimizer.lr = 0.0"),
        ({"optimizer": {"lr": math.nan}}, "optimizer.lr = nan"),
        ({"optimizer": {"momentum": 1.5}}, "optimizer.momentum = 1.5"),
        ({"optimizer": {"nesterov": True, "momentum": 0.0}}, "optimizer.nesterov needs"),
        ({"optimizer": {"weight_decay": -1.0}}, "optimizer.weight_decay = -1.0"),
        ({"optimizer": {"clip_norm": -1.0}}, "optimizer.clip_norm = -1.0"),
        ({"adversarial": {"throttle_interval": 0}}, "adversarial.throttle_interval = 0"),
        ({"adversarial": {"probe_every": -1}}, "adversarial.probe_every = -1"),
        ({"adversarial": {"max_ratio": 0.1, "probe_every": 0}}, "never measures"),
        ({"adversarial": {"widths": [8, 0]}}, "adversarial.widths"),
        ({"refresh": {"fraction": 0.0}}, "refresh.fraction = 0.0"),
        ({"refresh": {"lr": -0.1}}, "refresh.lr = -0.1"),
        ({"distillation": {"temperature": 0.0}}, "distillation.temperature = 0.0"),
        ({"teacher": {"epochs": -1}}, "teacher.epochs = -1"),
        ({"training": {"ema": 1.0}}, "training.ema = 1.0"),
        ({"training": {"threads": -1}}, "training.threads = -1"),
        ({"data": {"workers": -1}}, "data.workers = -1"),
        ({"adversarial": {"enabled": True}, "teacher": {"source": "none"}}, "learns from a teacher"),
        ({"teacher": {"source": "load"}}, "names no file"),
        ({"adversarial": {"enabled": True}, "method": {"name": "real"}}, "takes no teacher; switch off adversarial"),
        ({"features": {"weight": 1.0}, "method": {"name": "real"}}, "takes no teacher; switch off features"),
        ({"features": {"weight": -0.1}}, "features.weight = -0.1"),
        ({"features": {"weight": 0.1}, "teacher": {"source": "none"}}, 'set it to "train" or "load"'),
        ({"apprentice": {"gamma": -1.0}}, "apprentice.gamma = -1.0"),
        ({"apprentice": {"enabled": True}, "teacher": {"source": "none"}}, 'set it to "train", "load" or "joint"'),
        ({"apprentice": {"enabled": True}, "distillation": {"weight": 1.0}}, "both match the teacher's logits"),
        ({"apprentice": {"enabled": True, "beta": 0, "gamma": 0}}, "leave the student without labels"),
        ({"apprentice": {"enabled": True, "detach": False}}, 'stays as it is with teacher.source = "train"'),
        ({"teacher": {"source": "joint"}}, "nothing trains the teacher: set apprentice.enabled to true"),
        ({**JOINT, "apprentice": {"enabled": True, "alpha": 0.0}}, "alpha = 0 leaves the joint teacher untrained"),
        ({**JOINT, "model": {"copy_teacher": True}}, "a joint one is not trained by then"),
        (
            {**JOINT, "teacher": {"source": "joint", "epochs": 3}},
            "teacher.epochs = 3: a joint teacher trains for the student's 10",
        ),
        (
            {**JOINT, "teacher": {"source": "joint", "checkpoint": "a.pt"}},
            'teacher.checkpoint = "a.pt" names a network',
        ),
        ({**JOINT, "teacher": {"source": "joint", "factory": "a:b"}}, 'teacher.factory = "a:b" names a network'),
        ({**JOINT, "method": {"name": "real"}}, "takes no teacher; switch off apprentice"),
    ],
)
def test_impossible_values(table: dict[str, Any], message: str) -> None:
    assert message in refused(lambda: recipe_from_dict(table))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": {"name": "lennet"}}, "unknown model 'lennet'; did you mean 'lenet'"),
        ({"method": {"name": "rbnc"}}, "unknown method 'rbnc'; did you mean 'rbcn'"),
        ({"data": {"dataset": "digit"}}, "unknown data set 'digit'; did you mean 'digits'"),
        ({"model": {"options": {"widht": 3}}}, "option of model 'lenet': 'widht'; did you mean 'widths'"),
        (
            {"method": {"options": {"kernel_grd": "full"}}},
            "option of method 'rbcn': 'kernel_grd'; did you mean 'kernel_grad'",
        ),
        ({"method": {"options": {"kernel_grad": "ful"}}}, "kernel_grad is 'paper' or 'full', not 'ful'"),
        ({"method": {"options": {"kernel_weight": "heavy"}}}, "heavy"),
        ({"model": {"widths": [1, 2]}}, "three"),
        ({"data": {"holdout": 5000}}, "5000"),
        ({"data": {"augment": {"crop": 99}}}, "crop is 99"),
        (
            {"training": {"accelerator": "cuda", "devices": 32}},
            'training.accelerator = "cuda" with training.devices = 32',
        ),
    ],
)
def test_what_only_the_run_can_know_is_refused_before_the_teacher_is_trained(
    recipe: Callable[..., Recipe], tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    wrong = recipe({"teacher": {"source": "train"}, **changes})
    with pytest.raises(OnebitError) as caught:
        train(wrong, run_dir=tmp_path / "run", quiet=True)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_files(tmp_path: Path) -> None:
    assert "there is no recipe file" in refused(lambda: load_recipe(tmp_path / "no.toml"))
    assert "there is no recipe file missing.tml" in refused(lambda: load_recipe("missing.tml"))
    name = list_recipes()[0]
    assert f"did you mean {name!r}" in refused(lambda: load_recipe(f"{name}x"))
    (tmp_path / "broken.toml").write_text("[training\nepochs = 1\n")
    assert "is not valid TOML" in refused(lambda: load_recipe(tmp_path / "broken.toml"))
    (tmp_path / "latin.toml").write_bytes('description = "d\xe9faut"\n'.encode("latin-1"))
    assert "cannot be read as UTF-8" in refused(lambda: load_recipe(tmp_path / "latin.toml"))
    (tmp_path / "number.toml").write_text("extends = 3\n")
    assert "'extends' takes the name of a recipe, got 3" in refused(lambda: load_recipe(tmp_path / "number.toml"))
    (tmp_path / "orphan.toml").write_text('extends = "gone.toml"\n')
    assert "gone.toml" in refused(lambda: load_recipe(tmp_path / "orphan.toml"))


def test_extending_in_a_circle(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.toml").write_text('extends = "b.toml"\n')
    (tmp_path / "b.toml").write_text('extends = "sub/../a.toml"\n')
    assert "extends itself" in refused(lambda: load_recipe(tmp_path / "a.toml"))
    (tmp_path / "self.toml").write_text('extends = "self.toml"\n')
    assert "extends itself" in refused(lambda: load_recipe(tmp_path / "self.toml"))


def test_extending_fills_in_and_a_new_method_starts_its_options_anew(tmp_path: Path) -> None:
    (tmp_path / "base.toml").write_text(
        'name = "base"\n[method]\nname = "rbcn"\n[method.options]\nkernel_grad = "full"\n[training]\nepochs = 7\nseed = 3\n'
    )
    (tmp_path / "same.toml").write_text(
        'extends = "base.toml"\n[training]\nepochs = 2\n[method.options]\nkernel_weight = 0\n'
    )
    (tmp_path / "other.toml").write_text('extends = "base.toml"\n[method]\nname = "bireal"\n')
    same, other = load_recipe(tmp_path / "same.toml"), load_recipe(str(tmp_path / "other.toml"))
    assert (same.training.epochs, same.training.seed, same.name) == (2, 3, "base")
    assert same.method.options == {"kernel_grad": "full", "kernel_weight": 0}
    assert other.method.options == {}


def test_the_resolved_recipe_reads_back_equal(recipe: Callable[..., Recipe], tmp_path: Path) -> None:
    awkward = recipe(
        {"description": 'quotes " and \\ and\nlines, é', "optimizer": {"lr": 1e-7, "clip_norm": 1e22}}, full=True
    )
    awkward.method.options = {"kernel_weight": 1e-4, "keep_positive": False, "kernel_grad": "full"}
    for number, original in enumerate([awkward, Recipe()]):
        path = tmp_path / f"{number}.toml"
        path.write_text(recipe_to_toml(original), encoding="utf-8")
        assert recipe_to_dict(load_recipe(path)) == recipe_to_dict(original)


def test_overrides(recipe: Callable[..., Recipe]) -> None:
    given = recipe({"method": {"options": {"kernel_grad": "full"}}})
    words = "--training.epochs 3 --optimizer.lr 1e-3 --model.widths 4 5 6 --method.options kernel_weight 1e-3 keep_positive false"
    changed = override_recipe(given, words.split(), "onebit train small")
    assert (changed.training.epochs, changed.optimizer.lr, changed.model.widths) == (3, 1e-3, (4, 5, 6))
    assert changed.method.options == {"kernel_grad": "full", "kernel_weight": 1e-3, "keep_positive": False}
    assert given.training.epochs == 1
    other = override_recipe(given, ["--method.name", "bireal"], "onebit train small")
    assert other.method.options == {}
    assert override_recipe(given, [], "onebit train small") == given


@pytest.mark.parametrize(
    "words", ["--training.epoch 3", "--training.epochs three", "--optimizer.name adm", "--nonsense 1"]
)
def test_wrong_overrides_exit_with_status_2(
    recipe: Callable[..., Recipe], words: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit) as caught:
        override_recipe(recipe(), words.split(), "onebit train small")
    assert caught.value.code == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert words.split()[0] in captured.err
