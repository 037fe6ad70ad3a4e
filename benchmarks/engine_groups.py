"""What benchmarks/engine.py times: networks, ours and those of the others, and how many times faster ours are meant to be."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from onebit.deploy import PackedModel, pack
from onebit.deploy.engine import kernels
from onebit.deploy.export_onnx import to_onnx
from onebit.deploy.float_twin import float_twin
from onebit.deploy.peers import (
    images_for,
    onnxruntime_contender,
    openvino_contender,
    ours,
    quantise_onnx,
    torch_contender,
)
from onebit.deploy.program import Program
from onebit.deploy.timing import Contender
from onebit.models import create_model

MEAN, STD = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]


class Block(nn.Module):
    """Two convolutions and a shortcut, as in the ResNet paper."""

    def __init__(self, inside: int, channels: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(inside, channels, 3, stride, 1, bias=False), nn.BatchNorm2d(channels))
        self.second = nn.Sequential(nn.Conv2d(channels, channels, 3, 1, 1, bias=False), nn.BatchNorm2d(channels))
        same = stride == 1 and inside == channels
        shortcut = (nn.Conv2d(inside, channels, 1, stride, bias=False), nn.BatchNorm2d(channels))
        self.shortcut = nn.Identity() if same else nn.Sequential(*shortcut)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))) + self.shortcut(x))


def textbook_resnet18(widths: tuple[int, ...], size: int, classes: int) -> nn.Module:
    """ResNet18 of floats; 3x3 stem up to 64 pixels, else 7x7 with pooling."""
    small = size <= 64
    stem = [
        nn.Conv2d(3, widths[0], *((3, 1, 1) if small else (7, 2, 3)), bias=False),
        nn.BatchNorm2d(widths[0]),
        nn.ReLU(),
    ]
    pool = [] if small else [nn.MaxPool2d(3, 2, 1)]
    blocks, inside = [], widths[0]
    for stage, width in enumerate(widths):
        blocks += [Block(inside, width, 2 if stage else 1), Block(width, width, 1)]
        inside = width
    return nn.Sequential(*stem, *pool, *blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(inside, classes))


def resnet18_convolutions() -> nn.Module:
    """The 16 3x3 convolutions of ResNet18 alone, one behind the other, for a 56x56 map of 64 channels."""
    widths = [64] * 5 + [128] * 4 + [256] * 4 + [512] * 4
    pairs = itertools.pairwise(widths)
    return nn.Sequential(*(nn.Conv2d(a, b, 3, 1 if a == b else 2, 1) for a, b in pairs))


def packed(name: str, size: int, classes: int, precision: Any, **options: Any) -> PackedModel:
    torch.manual_seed(0)
    network = create_model(name, "bireal", classes, 3, image_size=size, **options).eval()
    made = pack(network, (3, size, size), precision=precision, mean=MEAN, std=STD, metadata={"model": name})
    assert isinstance(made, PackedModel)
    return made


def float_program(network: nn.Module, shape: tuple[int, int, int]) -> Program:
    made = pack(network.eval(), shape)
    assert isinstance(made, PackedModel)
    return made.program


def in_onnxruntime(program: Program, name: str) -> list[Contender]:
    model = to_onnx(program)
    int8 = quantise_onnx(model, images_for(program, 8))
    return [
        onnxruntime_contender(model, "onnxruntime float32", name),
        onnxruntime_contender(int8, "onnxruntime int8", name),
    ]


@dataclass(frozen=True)
class Target:
    """Our engine's row against a peer's, and how many times faster it is meant to be."""

    what: str
    ours: str
    peer: str
    times: float


@dataclass
class Group:
    """Contenders of one network, the targets between them, by label."""

    name: str
    contenders: dict[str, Contender]
    targets: list[Target]


def resnet18_group() -> Group:
    models = {p: packed("bireal_resnet18", 224, 1000, p) for p in ("float32", "int16", "int8")}
    book = float_program(textbook_resnet18((64, 128, 256, 512), 224, 1000), (3, 224, 224))
    found = {f"onebit {p}": ours(model, f"Bi-Real, {p} stem") for p, model in models.items()}
    if "avx2" in kernels() and models["float32"].kernel != "avx2":
        for precision in ("float32", "int8"):
            narrow = models[precision].using(kernel="avx2")
            found[f"onebit avx2 {precision}"] = ours(narrow, f"Bi-Real, {precision} stem")
    found["openvino binary"] = openvino_contender(models["float32"].program, "openvino binary", "Bi-Real, 1-bit")
    found |= {c.engine: c for c in in_onnxruntime(book, "resnet18")}
    found["torch float32"] = torch_contender(book, "resnet18")
    found["openvino float32"] = openvino_contender(book, "openvino float32", "resnet18")
    near, short = "onebit int16", "onebit int8"
    targets = [
        Target("Bi-Real ResNet18, float stem", "onebit float32", "openvino binary", 2.2),
        Target("Bi-Real ResNet18, near-lossless stem", near, "openvino binary", 2.2),
        Target("Bi-Real ResNet18, near-lossless stem", near, "onnxruntime int8", 3),
        Target("Bi-Real ResNet18, near-lossless stem", near, "onnxruntime float32", 10),
        Target("Bi-Real ResNet18, 8x8-bit stem", short, "onnxruntime int8", 3.8),
        Target("Bi-Real ResNet18, 8x8-bit stem", short, "onnxruntime float32", 13),
    ]
    if "onebit avx2 float32" in found:
        targets.append(Target("Bi-Real ResNet18, AVX2 only", "onebit avx2 float32", "onnxruntime float32", 4))
        targets.append(
            Target("Bi-Real ResNet18, AVX2 only, 8x8-bit stem", "onebit avx2 int8", "onnxruntime float32", 4)
        )
    return Group("bireal_resnet18 at 224", found, targets)


def cifar_group(widths: tuple[int, ...]) -> Group:
    name = "resnet18 " + "-".join(map(str, widths))
    book = float_program(textbook_resnet18(widths, 32, 10), (3, 32, 32))
    found = {"onebit": ours(packed("resnet18", 32, 10, "float32", widths=widths), f"{name}, float stem")}
    found["onebit int16"] = ours(packed("resnet18", 32, 10, "int16", widths=widths), f"{name}, int16 stem")
    found |= {c.engine: c for c in in_onnxruntime(book, name)}
    targets = [Target(f"{name} at 32x32", which, "onnxruntime int8", 3) for which in ("onebit", "onebit int16")]
    return Group(f"{name} at 32", found, targets)


def zoo_group(name: str, size: int, classes: int) -> Group:
    models = {p: packed(name, size, classes, p) for p in ("float32", "int16")}
    found = {f"onebit {p}": ours(model, f"{name}, {p} stem") for p, model in models.items()}
    found |= {c.engine: c for c in in_onnxruntime(float_twin(models["float32"].program), name)}
    targets = [
        Target(f"{name} at {size}x{size}", which, "onnxruntime int8", 2.5)
        for which in ("onebit float32", "onebit int16")
    ]
    return Group(f"{name} at {size}", found, targets)


GROUPS: dict[str, Callable[[], Group]] = {
    "resnet18-224": resnet18_group,
    "cifar-32": partial(cifar_group, (32, 32, 64, 128)),
    "cifar-64": partial(cifar_group, (64, 64, 128, 256)),
    "igp_resnet37": partial(zoo_group, "igp_resnet37", 224, 1000),
    "igp_densenet51": partial(zoo_group, "igp_densenet51", 224, 1000),
    "wrn22": partial(zoo_group, "wrn22", 32, 10),
}
