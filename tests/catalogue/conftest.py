"""Every registered architecture in a small size, and every registered method: what the catalogue runs over."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from onebit.functional import hard_sign, reference_binary_conv2d
from onebit.methods import get_method, list_methods
from onebit.models import create_model, list_models, model_options

METHODS = list_methods()
BINARY_METHODS = [name for name in METHODS if name != "real"]
# Every binary method as it is registered, and the options that change how many terms or filters a layer has.
VARIANTS = [
    *map(get_method, BINARY_METHODS),
    get_method("abcnet", weight_bases=3, activation_bases=2),
    get_method("abcnet", weight_bases=2, share="filter"),
    get_method("pcnn", projections=2),
    get_method("pcnn", projections=2, projected="matrix", eta=0.1),
]
MODELS = list_models()
CHANNELS, SIZE, CLASSES, BATCH = 2, 12, 5, 6


def small_options(model: str) -> dict[str, object]:
    """The architecture's own options with its widths divided by 16."""
    options: dict[str, object] = {}
    for name, default in model_options(model).items():
        if name in ("base_width", "growth", "init_features"):
            options[name] = max(4, default // 16)
        elif name in ("layers", "blocks"):
            options[name] = tuple(1 + (i == 0) for i in range(len(default)))
        elif name == "widths" and default:
            options[name] = tuple(max(4, width // 16) for width in default)
    return options


def build(model: str, method: str, seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    return create_model(model, method, CLASSES, CHANNELS, image_size=SIZE, **small_options(model))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """``model``, ``method`` and ``binary_method`` run over the registries: a newcomer is tested by existing.

    ``binary_variant`` are methods as objects, some of them with options; ``any_variant`` has ``real`` too.
    """
    for argument, names in (("model", MODELS), ("method", METHODS), ("binary_method", BINARY_METHODS)):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names)
    for argument, variants in (("binary_variant", VARIANTS), ("any_variant", [get_method("real"), *VARIANTS])):
        if argument in metafunc.fixturenames:
            ids = ["-".join(map(str, (v.name, *v.options.values()))) for v in variants]
            metafunc.parametrize(argument, variants, ids=ids)


def bits_of(method: str, weight: torch.Tensor, channels: int) -> torch.Tensor:
    """The bits of a layer of one weight basis, by each method's definition, from the latent weight."""
    weight = weight.detach()
    if method == "abcnet":
        weight = weight - weight.mean()
    return hard_sign(weight).repeat_interleave(channels // len(weight), 0)


def packed_response(layer: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """What a layer gives in evaluation, by its packed terms in their order and the exact integer sums."""
    total = torch.zeros(())
    for term in layer.packed():
        shifted = x if term.shift is None else x + term.shift
        if isinstance(layer, nn.Linear):
            sums = reference_binary_conv2d(shifted[:, :, None, None], term.weight[:, :, None, None])[:, :, 0, 0]
        else:
            geometry = layer.stride, layer.padding, layer.dilation, layer.groups
            sums = reference_binary_conv2d(shifted, term.weight, *geometry)
        total = total + sums.to(x.dtype) * term.scale
    return total


@pytest.fixture(scope="session")
def definition() -> Callable[..., torch.Tensor]:
    return bits_of


@pytest.fixture(scope="session")
def response() -> Callable[..., torch.Tensor]:
    return packed_response


@pytest.fixture
def make() -> Callable[..., nn.Module]:
    return build


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(BATCH, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.arange(BATCH) % CLASSES
