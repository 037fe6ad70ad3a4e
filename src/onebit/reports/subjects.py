"""What a training run is about, so that it can be put beside the paper's row of the same network, method and data."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from onebit.errors import UsageError

if TYPE_CHECKING:
    from onebit.training.recipe import ModelConfig, Recipe

#: methods under the names that the papers use
METHOD_NAMES = {
    "real": "full precision",
    "bnn": "BinaryNet",
    "xnor": "XNOR",
    "bireal": "Bi-Real",
    "pcnn": "PCNN",
    "abcnet": "ABC-Net",
    "rbcn": "RBCN",
}
#: data sets under the names that the papers use; folders and hub sets are ImageNet if they have its 1000 classes
DATA_NAMES = {"cifar10": "CIFAR-10", "cifar100": "CIFAR-100"}
IMAGENET_CLASSES = 1000
# Two names of one structure.
_SAME = {"bireal_resnet18": "resnet18", "bireal_resnet34": "resnet34"}


@dataclass(frozen=True)
class Subject:
    """A network with its widths, a method as the papers name it, and the images: what a row of a table compares.

    ``widths`` is empty for networks that are not made of widths (the dense ones).
    """

    data: str
    network: str
    widths: tuple[int, ...]
    method: str


def subject_of(recipe: Recipe, classes: int | None = None) -> Subject | None:
    """What a recipe trains, or None where no row of a paper can mean it.

    A row means the published structure at its published widths (or others, but no further option changed), and the method
    with nothing beside it: a logits loss, the teacher's weights or a refresh that the method does not have make it
    another experiment. "RBCN" is the whole of it, with discriminators and refresh; without the refresh it is "R+G",
    without both "R". A method with more than one bit says so, as in "ABC-Net (5/3 bits)".

    Args:
        recipe: resolved; classes: of the data set, where it is known. Folders and hub sets count as ImageNet with
            1000 classes, and folders also while the number is not known.

    >>> from onebit.training import load_recipe
    >>> subject_of(load_recipe("rbcn-paper-cifar100-wrn22"))
    Subject(data='CIFAR-100', network='wrn22', widths=(64, 64, 128, 256), method='RBCN')
    """
    data = _data(recipe.data.dataset, classes)
    method = _method(recipe)
    network = _network(recipe.model)
    if data is None or method is None or network is None:
        return None
    return Subject(data, *network, method)


def _data(name: str, classes: int | None) -> str | None:
    if name in DATA_NAMES:
        return DATA_NAMES[name]
    wanted = (IMAGENET_CLASSES, None) if name == "folder" else (IMAGENET_CLASSES,)
    return "ImageNet" if name in ("folder", "hub") and classes in wanted else None


def _method(recipe: Recipe) -> str | None:
    from onebit.training.recipe import AdversarialConfig

    guided, refreshed = recipe.adversarial.enabled, recipe.refresh.enabled
    if replace(recipe, adversarial=AdversarialConfig()).needs_teacher():
        return None
    name = recipe.method.name
    if name == "rbcn":
        return {(False, False): "R", (True, False): "R+G", (True, True): "RBCN"}.get((guided, refreshed))
    if guided or refreshed:
        return None
    return METHOD_NAMES.get(name, name) + _bits(name, recipe.method.options)


def _bits(name: str, options: dict[str, Any]) -> str:
    from onebit.methods import get_method
    from onebit.nn import BinaryLayer

    try:
        layer = get_method(name, **options).conv(64, 64, 3)
    except UsageError:  # options that this version does not have, or that do not go with 64 channels
        return ""
    if not isinstance(layer, BinaryLayer) or layer.weight_bits == layer.activation_bits == 1:
        return ""
    return f" ({layer.weight_bits}/{layer.activation_bits} bits)"


def _network(model: ModelConfig) -> tuple[str, tuple[int, ...]] | None:
    from onebit.models import model_options

    try:
        defaults = model_options(model.name)
    except UsageError:  # a network that this version does not have
        return None
    options = dict(model.options)
    base = options.pop("base_width", defaults.get("base_width", 0))
    if any(_plain(defaults.get(key)) != _plain(value) for key, value in options.items()):
        return None
    widths = tuple(model.widths or defaults.get("widths", ()))
    if not widths and base:
        widths = (base, base, 2 * base, 4 * base)
    return canonical(model.name), widths


def canonical(network: str) -> str:
    """One name for networks that are the same by default.

    >>> canonical("bireal_resnet18")
    'resnet18'
    """
    return _SAME.get(network, network)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value
