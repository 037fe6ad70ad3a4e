"""Every registered architecture in a small size, and every registered method: what the catalogue runs over."""

from collections.abc import Callable

import pytest
import torch
from torch import nn

from onebit.methods import list_methods
from onebit.models import create_model, list_models, model_options

METHODS = list_methods()
BINARY_METHODS = [name for name in METHODS if name != "real"]
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
    """``model``, ``method`` and ``binary_method`` run over the registries: a newcomer is tested by existing."""
    for argument, names in (("model", MODELS), ("method", METHODS), ("binary_method", BINARY_METHODS)):
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names)


@pytest.fixture
def make() -> Callable[..., nn.Module]:
    return build


@pytest.fixture
def images() -> torch.Tensor:
    return torch.randn(BATCH, CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(7))


@pytest.fixture
def labels() -> torch.Tensor:
    return torch.arange(BATCH) % CLASSES
