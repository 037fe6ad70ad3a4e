"""Where a network would be binarized badly: signs that are all the same, inputs without a norm, sums of few signs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from onebit.graph import Graph, Node
from onebit.models.binarize_layers import Layer
from onebit.models.binarize_order import WEIGHTED, Order
from onebit.models.binarize_report import Finding
from onebit.nn import BinaryLayer

# A sum of fewer signs than this has fewer than 33 values, five bits.
FEW_SIGNS = 32

_ONE_SIGN = {
    "relu",
    "relu6",
    "sigmoid",
    "hardsigmoid",
    "softplus",
    "softmax",
    "_softmax",
    "exp",
    "sqrt",
    "rsqrt",
    "abs",
}
_ONE_SIGN |= {"square", "log_softmax", "_log_softmax", "logsigmoid", "log_sigmoid"}
_KEEP_SIGNS = {"leaky_relu", "rrelu", "prelu", "_prelu_kernel", "tanh", "gelu", "silu", "elu", "selu", "celu", "mish"}
_KEEP_SIGNS |= {"softsign", "hardswish", "hardshrink", "softshrink", "hardtanh", "clamp", "clamp_min", "clamp_max"}
_FIX = "put a norm directly before it, with no such activation between, or pass insert_norm=True and an input_shape"
_NORM = "put a norm directly before it, or pass insert_norm=True and an input_shape"


@dataclass(frozen=True)
class Signs:
    """What is known for sure about the signs of a tensor; empty texts: nothing.

    Attributes:
        constant: the activation because of which all its values have one sign.
        partly: the same, for some of its channels.
        bare: the layer or input since which nothing has normalised it.
    """

    constant: str = ""
    partly: str = ""
    bare: str = ""


def after(kind: str, op: str, arguments: Mapping[str, Any], given: Sequence[Signs], name: str) -> Signs:
    """What is known of an operation's result, from what is known of its inputs.

    Args:
        kind, op, arguments: as in :class:`onebit.graph.Node`.
        name: of the operation, for messages.
    """
    constants, bare = [g.constant for g in given], next((g.bare for g in given if g.bare), "")
    if kind in WEIGHTED or kind in ("input", "matmul"):
        return Signs(bare=name)
    if kind == "activation":
        low = next((arguments[key] for key in ("min_val", "min") if arguments.get(key) is not None), None)
        even = op == "pow" and arguments.get("exponent") in (2, 4)
        if op in _ONE_SIGN or even or (isinstance(low, (int, float)) and low >= 0):
            return Signs(constant=name, bare=bare)
        return given[0] if op in _KEEP_SIGNS and len(given) == 1 else Signs(bare=bare)
    if kind in ("pool", "shape", "concat") or op.startswith("upsample"):
        if all(constants) and constants:
            return Signs(constant=constants[0], bare=bare)
        return Signs(partly=next((g.constant or g.partly for g in given if g.constant or g.partly), ""), bare=bare)
    if kind == "add":
        same = op == "add" and len(given) > 1 and all(constants)
        return Signs(constant=constants[0] if same else "", bare=bare)
    if kind == "multiply":
        same = op == "mul" and len(given) > 1 and all(constants)
        # A gate does not change the signs of what it multiplies.
        return Signs(constant=constants[0] if same else "", bare=bare if all(g.bare for g in given) else "")
    return Signs()


def signs_by_graph(graph: Graph, layers: Iterable[Layer]) -> dict[int, list[Signs]]:
    """What is known of each layer's input, by ``id(module)``, for every time that it runs."""
    wanted = {id(layer.module) for layer in layers}
    known: list[Signs] = []
    found: dict[int, list[Signs]] = {}
    for node in graph.nodes:
        if node.kind in WEIGHTED and id(node.layer) in wanted and node.inputs:
            found.setdefault(id(node.layer), []).append(known[node.inputs[0]])
        known.append(after(node.kind, node.op, node.arguments, [known[i] for i in node.inputs], _name(node)))
    return found


def _name(node: Node) -> str:
    if node.kind == "input":
        return "the network's input"
    leaf = node.layer is not None and next(node.layer.children(), None) is None
    if leaf and node.path:
        return f"{type(node.layer).__name__} {node.path!r}"
    return f"{node.op} in {node.source}" if node.source else node.op


def signs_by_chain(network: nn.Module, layers: Iterable[Layer]) -> dict[int, list[Signs]]:
    """The same without a graph, which is sure only of what stands in one ``nn.Sequential``."""
    wanted = {id(layer.module) for layer in layers}
    found: dict[int, list[Signs]] = {}
    for path, module in network.named_modules():
        if type(module).forward is not nn.Sequential.forward:
            continue
        signs = Signs()
        for inner, part in _chain(module, path):
            if id(part) in wanted:
                found.setdefault(id(part), [signs])
            kind, op = _kind(part)
            signs = after(kind, op, vars(part), [signs], f"{type(part).__name__} {inner!r}")
    return found


def _chain(module: nn.Module, path: str) -> Iterable[tuple[str, nn.Module]]:
    """The modules that a Sequential runs one after the other, through those inside it."""
    for name, child in module._modules.items():
        inner = f"{path}.{name}" if path else name
        if child is not None and type(child).forward is nn.Sequential.forward:
            yield from _chain(child, inner)
        elif child is not None:
            yield inner, child


_ROOMS = {
    "pooling": "pool",
    "dropout": "shape",
    "padding": "shape",
    "flatten": "shape",
    "pixelshuffle": "shape",
    "upsampling": "shape",
    "batchnorm": "norm",
    "instancenorm": "norm",
    "normalization": "norm",
    "activation": "activation",
}


def _kind(module: nn.Module) -> tuple[str, str]:
    """Kind and operation of a module of torch's, as a graph would name them; "other" for the rest."""
    name = type(module).__name__.lower()
    if isinstance(module, (nn.modules.conv._ConvNd, nn.Linear, BinaryLayer)):
        return "conv", name
    if isinstance(module, nn.Identity):
        return "shape", name
    room, _, file = type(module).__module__.rpartition(".")
    kind = _ROOMS.get(file, "other") if room == "torch.nn.modules" else "other"
    return kind, {"leakyrelu": "leaky_relu", "logsoftmax": "log_softmax"}.get(name, name)


def check(
    layers: Sequence[Layer], order: Order, signs: Mapping[int, list[Signs]], zero_threshold: bool
) -> tuple[Finding, ...]:
    """What makes these layers, about to become binary, learn badly, and what to do about it.

    Args:
        zero_threshold: whether the method binarises at zero; where thresholds differ, inputs of one sign still have bits.
    """
    findings = []
    for layer in layers:
        module, key = layer.module, id(layer.module)
        known = signs.get(key, [])
        constant, partly, bare = (_first(known, lambda s, k=k: getattr(s, k)) for k in ("constant", "partly", "bare"))
        if constant and zero_threshold:
            text = f"its input comes from {constant}, so all its signs are the same"
            findings.append(Finding(layer.path, "constant-sign", text, _FIX))
        elif partly and zero_threshold:
            text = f"part of its input comes from {partly}, so the signs of those channels are all the same"
            findings.append(Finding(layer.path, "constant-sign", text, _FIX))
        elif bare:
            text = f"nothing normalises its input after {bare}, so its signs need not be balanced"
            findings.append(Finding(layer.path, "no-norm", text, _NORM))
        findings.extend(_few_signs(layer.path, module))
        for role, ids in (("first", order.first), ("last", order.last)):
            if key in ids:
                text = f"it is the {role} layer, where a 1-bit layer costs the most accuracy and saves the least"
                findings.append(Finding(layer.path, "first-or-last", text, f'keep it real: add "{role}" to keep'))
    return tuple(findings)


def _first(known: Iterable[Signs], read: Callable[[Signs], str]) -> str:
    return next((read(signs) for signs in known if read(signs)), "")


def is_depthwise(module: nn.Module) -> bool:
    """Whether every filter of this convolution sees a single channel of several."""
    return isinstance(module, nn.Conv2d) and 1 < module.in_channels == module.groups


def _few_signs(path: str, module: nn.Module) -> Iterable[Finding]:
    count = module.get_parameter("weight")[0].numel()
    if is_depthwise(module):
        text = f"depthwise: each of its outputs is a sum of only {count} signs"
        yield Finding(path, "few-signs", text, 'keep it real: add "depthwise" to keep')
    elif count < FEW_SIGNS:
        text = f"each of its outputs is a sum of only {count} signs"
        yield Finding(path, "few-signs", text, f'make it wider or keep it real: add "{path}" to keep')
