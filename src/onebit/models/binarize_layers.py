"""The layers of a user's network: which of them can become binary, and what is then put in their place."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.modules.lazy import LazyModuleMixin

from onebit.methods import Method
from onebit.nn import BinaryLayer

Init = Literal["copy", "draw"]

_PADDINGS = {"reflect": nn.ReflectionPad2d, "replicate": nn.ReplicationPad2d, "circular": nn.CircularPad2d}
_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
# These read the weights of the linear layers inside them without calling the layers.
_READERS = (nn.MultiheadAttention, nn.TransformerEncoderLayer)
_FORWARDS = ("forward", "_conv_forward")
_REMOVE = "make it plain first (parametrize.remove_parametrizations, remove_weight_norm, prune.remove)"


class Bias(nn.Module):
    """``x + bias``, one real number for each channel: what a layer's bias becomes, since binary layers have none.

    Shapes:
        (N, C, H, W) for a convolution's bias, (..., C) for a linear layer's -> the same
    """

    def __init__(self, bias: Tensor, dimensions: int) -> None:
        super().__init__()
        self.bias = nn.Parameter(bias)
        self.dimensions = dimensions

    def forward(self, x: Tensor) -> Tensor:
        return x + self.bias.view(-1, *([1] * self.dimensions))

    def extra_repr(self) -> str:
        return str(self.bias.numel())


@dataclass
class Layer:
    """A convolution or linear layer of the user's network: all its paths, and where it is registered."""

    module: nn.Module
    paths: list[str] = field(default_factory=list)
    owners: list[tuple[nn.Module, str]] = field(default_factory=list)
    reason: str = ""  # why it stays real; empty: it becomes binary

    @property
    def path(self) -> str:
        return self.paths[0]


def find_layers(network: nn.Module, linear: bool) -> list[Layer]:
    """Every convolution and linear layer below ``network``, in order of registration, with the reason if it must stay real."""
    found: dict[int, Layer] = {}
    for path, module in network.named_modules(remove_duplicate=False):
        if is_layer(module):
            found.setdefault(id(module), Layer(module, reason=obstacle(module, linear))).paths.append(path)
    for parent in network.modules():
        for name, child in parent._modules.items():
            if id(child) in found:
                layer = found[id(child)]
                layer.owners.append((parent, name))
                if isinstance(parent, _READERS):
                    layer.reason = f"{type(parent).__name__} reads its weight without calling it"
    return list(found.values())


def is_layer(module: nn.Module) -> bool:
    kind = type(module)
    quantised = ".quantized" in kind.__module__ and any(word in kind.__name__ for word in ("Conv", "Linear"))
    return quantised or isinstance(module, (nn.modules.conv._ConvNd, nn.Linear, nn.Bilinear, BinaryLayer))


def obstacle(module: nn.Module, linear: bool) -> str:
    """Why this layer can't become binary, or an empty string."""
    if isinstance(module, BinaryLayer):
        return "binary already"
    if isinstance(module, LazyModuleMixin):
        return "lazy, its shape is not known yet: run the network once before"
    kind = next((kind for kind in (nn.Conv2d, nn.Linear) if isinstance(module, kind)), None)
    if kind is None:
        return f"there is no binary {type(module).__name__}"
    if kind is nn.Linear and not linear:
        return "linear layers become binary on request (linear=True)"
    weight = module._parameters.get("weight")
    if weight is None:
        return f"its weight is computed (weight_norm, spectral_norm, pruning, a parametrization): {_REMOVE}"
    changed = any(getattr(type(module), name, None) is not getattr(kind, name, None) for name in _FORWARDS)
    if changed or "forward" in vars(module):
        return f"this {type(module).__name__} has a forward of its own"
    return "" if weight.is_floating_point() else f"its weight is {weight.dtype}"


def settle_ties(network: nn.Module, layers: list[Layer]) -> None:
    """Keep real what shares a parameter with something that stays real: one tensor can't be both."""
    holders: dict[int, list[tuple[str, nn.Module]]] = {}
    for path, module in network.named_modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                holders.setdefault(id(parameter), []).append((f"{path}.{name}" if path else name, module))
    becoming = {id(layer.module) for layer in layers if not layer.reason}
    changed = True
    while changed:
        changed = False
        for layer in layers:
            names = [
                name
                for parameter in layer.module._parameters.values()
                for name, holder in holders.get(id(parameter), ())
                if id(holder) not in becoming
            ]
            if not layer.reason and names:
                layer.reason = f"it shares a parameter with {names[0]}, which stays real"
                becoming.discard(id(layer.module))
                changed = True


def lost_hooks(module: nn.Module) -> bool:
    """Whether the user has registered hooks on this layer or its parameters, which its replacement will not have."""
    on_parameters = any(parameter._backward_hooks for parameter in module.parameters(recurse=False))
    return on_parameters or any(getattr(module, name, None) for name in _HOOKS)


class Maker:
    """Makes the replacements of a network's layers; parameters that the layers share are shared by the new ones."""

    def __init__(self, method: Method, init: Init) -> None:
        self.method, self.init = method, init
        self._weights: dict[int, tuple[nn.Parameter, Tensor]] = {}
        self._biases: dict[int, nn.Parameter] = {}

    def make(self, old: nn.Module, norm_dimensions: int = 0) -> nn.Module:
        """The binary layer in place of ``old``: alone, or in a Sequential ``norm -> pad -> conv -> crop -> bias``.

        A padding with values of the image (reflect, replicate, circular) stands before the layer: the signs of copied values
        are not the zeros that a binary convolution pads with. The ``same`` padding of an even kernel, one wider below and
        right, is the symmetric one with the result cropped above and left.

        Args:
            norm_dimensions: to put a norm in front, the dimensions of the layer's input; 0 for no norm.
        """
        weight, bias = old.get_parameter("weight"), old._parameters.get("bias")
        parts: dict[str, nn.Module] = {}
        with torch.device(weight.device):
            if norm_dimensions:
                parts["norm"] = _norm(old, norm_dimensions).to(weight.dtype)
            if isinstance(old, nn.Conv2d):
                parts |= self._convolution(old)
            else:
                parts["linear"] = self.method.linear(weight.shape[1], weight.shape[0])
        layer = parts["conv" if "conv" in parts else "linear"]
        factor = self._fill(layer, weight)
        if bias is not None:
            parts["bias"] = added = Bias(bias.detach() * factor, weight.dim() - 2)
            added.bias.requires_grad_(bias.requires_grad)
            added.bias = self._biases.setdefault(id(bias), added.bias)
        new = layer if len(parts) == 1 else nn.Sequential(OrderedDict(parts))
        return new.train(old.training)

    def _convolution(self, old: nn.Conv2d) -> dict[str, nn.Module]:
        (top, bottom), (left, right) = _paddings(old)
        parts: dict[str, nn.Module] = {}
        padding = bottom, right
        if old.padding_mode != "zeros" and any((top, bottom, left, right)):
            parts["pad"] = _PADDINGS[old.padding_mode]((left, right, top, bottom))
            padding = 0, 0
        parts["conv"] = self.method.conv(
            old.in_channels,
            old.out_channels,
            old.kernel_size,  # ty: ignore[invalid-argument-type]
            stride=old.stride,
            padding=padding,
            dilation=old.dilation,
            groups=old.groups,
        )
        if "pad" not in parts and (top, left) != padding:
            parts["crop"] = nn.ZeroPad2d((left - right, 0, top - bottom, 0))
        return parts

    def _fill(self, layer: nn.Module, weight: nn.Parameter) -> Tensor:
        """Give the new layer dtype, weight and settings of the old one; returns the factor on weight and bias."""
        layer.to(weight.dtype)
        if not weight.requires_grad:
            layer.requires_grad_(False)
        if weight.dim() == 4 and not weight.is_contiguous() and weight.is_contiguous(memory_format=torch.channels_last):
            layer.to(memory_format=torch.channels_last)  # ty: ignore[no-matching-overload]
        if id(weight) in self._weights:
            layer.weight, factor = self._weights[id(weight)]
            if isinstance(layer, BinaryLayer):
                layer.reset_scale()
            return factor
        factor = weight.new_tensor(float(self.init == "copy"))
        if self.init == "copy" and isinstance(layer, BinaryLayer):
            factor = layer.take_weight(weight.detach())
        elif self.init == "copy":
            layer.load_state_dict({"weight": weight}, strict=False)
        self._weights[id(weight)] = layer.get_parameter("weight"), factor
        return factor


def _paddings(old: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """Rows (above, below) and columns (left, right) that this convolution adds to its input."""
    if isinstance(old.padding, str):
        totals = [
            d * (k - 1) if old.padding == "same" else 0 for d, k in zip(old.dilation, old.kernel_size, strict=True)
        ]
        rows, columns = ((total // 2, total - total // 2) for total in totals)
        return rows, columns
    return (old.padding[0], old.padding[0]), (old.padding[1], old.padding[1])


def _norm(old: nn.Module, dimensions: int) -> nn.Module:
    if isinstance(old, nn.Conv2d):
        return nn.BatchNorm2d(old.in_channels)
    features = old.get_parameter("weight").shape[1]
    return nn.BatchNorm1d(features) if dimensions == 2 else nn.LayerNorm(features)
