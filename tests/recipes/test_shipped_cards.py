"""Every shipped recipe card: loads, means what its name says, and survives being written down."""

import re
import tomllib
from importlib import resources

import pytest

from onebit.data import DATASETS, list_datasets
from onebit.methods import list_methods
from onebit.models import list_models
from onebit.training import list_recipes, load_recipe, recipe_from_dict, recipe_to_toml
from onebit.training.checkpoints import build_model
from onebit.training.optimization import parameter_groups
from onebit.training.recipe_files import recipe_to_dict
from onebit.training.teacher import teacher_recipe

CARDS = list_recipes()
TRACKERS = [name for name in CARDS if "siamfc" in name or name.startswith("rb-sf")]
PAPER = [name for name in CARDS if name.startswith("rbcn-paper-")]
FULL = ["rbcn-paper-cifar100-32-32-64-128", "rbcn-cifar100-32-32-64-128", "rbcn-cifar10-cpu"]
WIDTHS = ["32-32-64-128", "32-64-128-256", "64-64-128-256"]


def flat(value, path=""):
    """The recipe as {"data.batch_size": 128, ...}, options of method and model among them."""
    if not isinstance(value, dict):
        return {path: value}
    return {k: v for key, item in value.items() for k, v in flat(item, f"{path}.{key}" if path else key).items()}


def differences(one, other):
    """Keys of two cards that differ; name and description aside."""
    a, b = (flat(recipe_to_dict(load_recipe(name))) for name in (one, other))
    return {key for key in a.keys() | b.keys() if a.get(key) != b.get(key)} - {"name", "description"}


_built = {}


def networks(recipe):
    """Student and twin of a card, built once for all cards of the same structure and method."""
    if recipe.data.dataset == "pairs":
        data = {"num_classes": 1, "in_channels": 3, "image_size": 239}
    else:
        info = DATASETS[recipe.data.dataset]
        size = recipe.data.augment.crop or recipe.data.image_size or info.shape[1]
        data = {"num_classes": 10, "in_channels": info.shape[0], "image_size": size}
    key = repr((recipe.model, recipe.method, data))
    if key not in _built:
        _built[key] = build_model(recipe, data), build_model(teacher_recipe(recipe), data)
    return _built[key]


@pytest.mark.parametrize("name", CARDS)
def test_a_card_is_known_by_its_own_name_and_says_what_it_is(name):
    recipe = load_recipe(name)
    assert recipe.name == name
    assert 20 < len(recipe.description) < 170
    assert "\n" not in recipe.description


@pytest.mark.parametrize("name", CARDS)
def test_a_card_names_registered_things(name):
    recipe = load_recipe(name)
    assert recipe.data.dataset in (["pairs"] if name in TRACKERS else list_datasets())
    assert recipe.model.name in list_models(kind="tracker" if name in TRACKERS else "classifier")
    assert recipe.method.name in list_methods()


@pytest.mark.parametrize("name", CARDS)
def test_a_card_survives_being_written_and_read(name, tmp_path):
    recipe = load_recipe(name)
    path = tmp_path / "recipe.toml"
    path.write_text(recipe_to_toml(recipe))
    assert load_recipe(path) == recipe
    assert recipe_from_dict(recipe_to_dict(recipe)) == recipe


@pytest.mark.parametrize("name", CARDS)
def test_a_card_builds_its_network_and_its_twin(name):
    recipe = load_recipe(name)
    student, twin = networks(recipe)
    assert [tap.module for tap in student.taps] == [tap.module for tap in twin.taps]
    roles = {group["name"] for group in parameter_groups(student, recipe.optimizer)}
    binary = {"binary"} if recipe.method.name != "real" else set()
    assert roles == {"real", "norm"} | binary | ({"matrix"} if recipe.method.name in ("rbcn", "pcnn") else set())


@pytest.mark.parametrize("name", CARDS)
def test_a_card_repeats_nothing_that_it_extends(name):
    card = tomllib.loads((resources.files("onebit.recipes") / f"{name}.toml").read_text())
    if parent := card.pop("extends", None):
        inherited = flat(recipe_to_dict(load_recipe(parent)))
        for key, value in flat(card).items():
            repeated = inherited.get(key) == value and not key.startswith("method.options")
            assert not repeated, f"{name} says {key} = {value!r}, as {parent} does"


@pytest.mark.parametrize("name", FULL)
def test_the_ablation_quartet_differs_in_one_line_each(name):
    assert differences(name, f"{name}-rg") == {"refresh.enabled"}
    assert differences(f"{name}-rg", f"{name}-r") == {"adversarial.enabled"}
    changed = differences(f"{name}-r", f"{name}-bi")
    # Options that only rbcn has go with it; those that the two share stay as they were.
    assert {key for key in changed if not key.startswith("method.options.")} == {"method.name"}
    before, after = (load_recipe(f"{name}-{part}").method.options for part in ("r", "bi"))
    assert after == {key: before[key] for key in before if key in {"scale_grad", "init", "init_scale", "estimator"}}
    for part in ("rg", "r", "bi"):
        text = (resources.files("onebit.recipes") / f"{name}-{part}.toml").read_text()
        tables = {key: value for key, value in tomllib.loads(text).items() if isinstance(value, dict)}
        assert len(tables) == 1


def test_siamfc_is_the_published_training_and_the_small_cards_its_size():
    recipe = load_recipe("siamfc")
    optimizer = recipe.optimizer
    assert (optimizer.name, optimizer.lr, optimizer.momentum, optimizer.weight_decay) == ("sgd", 0.01, 0.9, 5e-4)
    assert (recipe.data.batch_size, recipe.training.epochs, recipe.pairs.per_sequence) == (8, 50, 1)
    assert (recipe.model.widths, recipe.model.options) == ((), {})
    size = {
        "model.widths",
        "training.epochs",
        "training.precision",
        "pairs.per_sequence",
        "pairs.min_size",
        "data.workers",
    }
    # A few hundred steps of SGD hardly leave their start: the small card takes what the 1-bit ones take.
    adam = {"schedule.name", *(f"optimizer.{key}" for key in ("name", "lr", "weight_decay", "norm_weight_decay"))}
    assert adam <= differences("siamfc", "xnor-siamfc")
    assert not {key for key in differences("siamfc-cpu", "xnor-siamfc-cpu") if key.startswith(("opt", "sch"))}
    for name in ("siamfc", "xnor-siamfc", "rb-sf"):
        teacher = {"teacher.checkpoint"} if name == "rb-sf" else set()
        assert differences(name, f"{name}-cpu") == size | teacher | (adam if name == "siamfc" else set())
    guidance = {"method.name", "adversarial.enabled", "refresh.enabled", "teacher.source", "teacher.checkpoint"}
    assert differences("xnor-siamfc", "rb-sf") == guidance


def test_xnor_is_one_more_method_over_the_same_recipe():
    assert differences("rbcn-cifar10-cpu-r", "rbcn-cifar10-cpu-xnor") == {"method.name"}


@pytest.mark.parametrize("name", [n for n in PAPER if not n.endswith(("-rg", "-r", "-bi"))])
def test_the_paper_preset_has_the_published_values(name):
    recipe = load_recipe(name)
    imagenet = name == "rbcn-paper-imagenet"
    wide = recipe.model.name.startswith("wrn")

    optimizer = recipe.optimizer
    rate = 0.1 if imagenet else 0.01
    assert (optimizer.name, optimizer.momentum, optimizer.lr) == ("sgd", 0.9, rate)
    assert optimizer.matrix_lr == rate  # eta2 = eta1
    assert (optimizer.binary_lr_scale, optimizer.binary_weight_decay) == (1.0, 0.0)
    assert (optimizer.weight_decay, optimizer.nesterov) == ((5e-4, True) if wide else (1e-4, False))
    schedule = recipe.schedule
    assert (schedule.name, schedule.gamma, schedule.warmup_epochs) == ("step", 0.1, 0.0)
    assert (schedule.step_epochs, recipe.training.epochs) == ((20, 70) if imagenet else (60, 200))
    assert recipe.data.batch_size == (256 if imagenet else 128)

    assert recipe.method.name == "rbcn"
    assert recipe.method.options == {
        "kernel_weight": 1e-4,
        "kernel_grad": "paper",
        "scale_grad": "scaled",
        "keep_positive": False,
        "init_scale": 1.0,
    }
    adversarial = recipe.adversarial
    assert (adversarial.enabled, adversarial.weight) == (True, 1.0)
    assert (adversarial.anneal, adversarial.max_ratio) == ("none", 0.0)
    assert adversarial.generator_loss == "least-squares"
    assert adversarial.attach == ("per_stage" if imagenet else "per_layer")
    assert (adversarial.normalize, adversarial.throttle_accuracy) == (False, 1.0)
    assert len(adversarial.widths) + 1 == 4  # four blocks of Linear + LeakyReLU, the last ending in D itself
    refresh = recipe.refresh
    assert (refresh.enabled, refresh.fraction, refresh.scope) == (True, 1.0, "bn")
    assert recipe.distillation.weight == 0.0
    assert (recipe.data.holdout, recipe.data.limit) == (0, 0)
    assert (recipe.training.label_smoothing, recipe.training.ema) == (0.0, 0.0)


@pytest.mark.parametrize("family", ["rbcn-paper-", "rbcn-"])
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
@pytest.mark.parametrize("structure", [*WIDTHS, "wrn22", "wrn40"])
def test_every_cifar_experiment_of_the_paper_has_its_card(family, dataset, structure):
    recipe = load_recipe(f"{family}{dataset}-{structure}")
    assert recipe.data.dataset == dataset
    if structure in WIDTHS:
        assert recipe.model.name == "resnet18"
        assert "-".join(map(str, recipe.model.widths)) == structure
    else:
        assert (recipe.model.name, recipe.model.widths) == (structure, (64, 64, 128, 256))
    assert (recipe.data.augment.pad, recipe.data.augment.crop, recipe.data.augment.flip) == (4, 32, True)


@pytest.mark.parametrize("name", ["rbcn-paper-imagenet", "rbcn-imagenet"])
def test_imagenet_cards_read_folders_at_224(name):
    recipe = load_recipe(name)
    assert (recipe.data.dataset, recipe.model.name, recipe.model.widths) == ("folder", "resnet18", (64, 128, 256, 512))
    augment = recipe.data.augment
    assert (augment.crop, augment.random_resized, augment.flip, augment.pad) == (224, True, True, 0)
    assert networks(recipe)[0].stem[0].kernel_size == (7, 7)


@pytest.mark.parametrize("name", [n for n in CARDS if re.fullmatch(r"rbcn-(cifar|mnist|imagenet).*", n)])
def test_our_own_cards_leave_the_measured_defaults_alone(name):
    recipe = load_recipe(name)
    assert recipe.optimizer.name == "adam"
    assert (recipe.schedule.name, recipe.method.options) == ("cosine", {})
    assert (recipe.adversarial.weight, recipe.adversarial.attach) == (0.1, "per_stage")
    assert recipe.adversarial.normalize
