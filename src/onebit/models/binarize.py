"""binarize: turn the convolutions of a user's own network into binary ones, in place."""

from __future__ import annotations

import difflib
import fnmatch
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from onebit.errors import OnebitError, UsageError
from onebit.graph import Graph, capture
from onebit.methods import Method, get_method
from onebit.models.binarize_checks import check, is_depthwise, signs_by_chain, signs_by_graph
from onebit.models.binarize_layers import Init, Layer, Maker, find_layers, is_layer, lost_hooks, settle_ties
from onebit.models.binarize_order import WEIGHTED, Order, order_of_execution, order_of_registration
from onebit.models.binarize_report import BinarizeReport, BinarizeWarning, Kept, Replaced
from onebit.nn import BinaryLayer

KeepRule = str | Callable[[str, nn.Module], bool]
Shape = tuple[int, ...]

_WORDS = ("first", "last", "shortcut", "depthwise")
_NORM_KINDS = ("constant-sign", "no-norm")
_UNCHECKED = (
    "the order of layers was not checked: first and last are those registered first and last, shortcuts go by their names, "
    "and warnings see only inside nn.Sequential; pass input_shape, such as (1, 3, 224, 224), to check the forward itself"
)


def binarize(
    module: nn.Module,
    method: str | Method = "rbcn",
    *,
    keep: KeepRule | Sequence[KeepRule] = ("first", "last", "shortcut"),
    linear: bool = False,
    init: Init = "copy",
    insert_norm: bool = False,
    method_options: Mapping[str, Any] | None = None,
    input_shape: Shape | Tensor | Sequence[Shape | Tensor] | None = None,
) -> BinarizeReport:
    """Replace the convolutions of any network by a method's binary ones, in place.

    A replaced layer keeps its channels, groups, stride, dilation, padding (also in words, and by reflection, replication or
    wrapping), device, dtype, training flag and ``requires_grad``. Binary layers have no bias: an old one is added after the
    layer, as a real number per channel. A layer with such an addition, a padding other than zeros or an inserted norm
    becomes a small ``nn.Sequential`` with the parts ``norm``, ``pad``, ``conv``, ``crop``, ``bias``. Layers or weights used
    in several places stay shared. Either every layer is replaced or, after an error, none.

    Batch norm statistics belong to the old network; train, or refresh them, before evaluating. Make the optimiser after
    this call: it has to hold the new parameters.

    Args:
        module: any network; ``nn.Conv2d`` layers (and ``nn.Linear``, see below) inside it are replaced. What cannot be, such
            as transposed, lazy, quantised or weight-normed layers, stays real, and the report says so.
        method: see :func:`onebit.list_methods`, or a ``Method``.
        keep: what stays real: ``"first"``, ``"last"`` (one for each input and output of the network), ``"shortcut"`` (1x1
            convolutions past other layers to an addition), ``"depthwise"``; paths of layers or of what holds them, shell
            patterns of paths (``"encoder.*"``), and functions ``(path, module) -> bool``.
        linear: also replace linear layers.
        init: ``copy`` starts from the trained weights, their magnitude brought to the one that the method draws, biases
            with them; ``draw`` draws weights anew and starts biases at zero.
        insert_norm: put a norm in front of every binary layer whose signs would be constant or not balanced. Needs
            ``input_shape``.
        method_options: options of the method, such as ``{"kernel_grad": "full"}``.
        input_shape: shape with batch dimension, or example tensor, of the network's input; a list of them for several. With
            it, the forward is captured (nothing is computed) and first, last, shortcuts and warnings go by what it really
            does; without it, by the order of registration.
    Returns:
        a :class:`BinarizeReport` of what was replaced, what was kept and why, and the warnings.
    Warns:
        BinarizeWarning: once for each kind of layer that can hardly learn: its input's signs are all the same (a ReLU before
            it), nothing normalises its input, it sums few signs (depthwise), it is first or last; with the remedy.
    Raises:
        UsageError: for unknown names, a keep rule that fits nothing, a network in which nothing is left to replace or whose
            forward cannot be captured, and a module that is itself a layer.
        OnebitError: if the network's forward does not run with binary layers; the network is as it was.

    >>> net = nn.Sequential(nn.Conv2d(3, 16, 3), nn.BatchNorm2d(16), nn.Conv2d(16, 16, 3), nn.Flatten(), nn.Linear(16, 2))
    >>> report = binarize(net, "bireal", input_shape=(1, 3, 5, 5))
    >>> [replaced.path for replaced in report.replaced], [kept.path for kept in report.kept]
    (['2'], ['0', '4'])
    """
    bound = get_method(method, **(method_options or {}))
    _check_arguments(module, init, insert_norm, input_shape)
    layers = find_layers(module, linear)
    graph = None if input_shape is None else capture(module, *_inputs(input_shape))
    order = order_of_execution(module, graph, layers) if graph else order_of_registration(layers)
    for layer in layers:
        layer.reason = layer.reason or order.reasons.get(id(layer.module), "")
    for rule in (keep,) if isinstance(keep, str) or not isinstance(keep, Iterable) else tuple(keep):
        _keep(rule, module, layers, order)
    settle_ties(module, layers)
    chosen = [layer for layer in layers if not layer.reason]
    if not chosen:
        raise _nothing_left(module, layers)
    known = signs_by_graph(graph, chosen) if graph else signs_by_chain(module, chosen)
    findings = check(chosen, order, known, _binarises_at_zero(bound)) if _is_binary(bound) else ()
    normed: set[str] = set()
    if insert_norm:
        normed = {finding.path for finding in findings if finding.kind in _NORM_KINDS}
        findings = tuple(finding for finding in findings if finding.kind not in _NORM_KINDS)
    pairs = _make(bound, init, chosen, order, normed)
    report = BinarizeReport(
        method=bound.name,
        order="execution" if graph else "registration",
        replaced=tuple(Replaced(layer.path, _words(layer.module), _words(new)) for layer, new in pairs),
        kept=tuple(Kept(layer.path, type(layer.module).__name__, layer.reason) for layer in layers if layer.reason),
        warnings=findings,
        notes=_notes(chosen, graph),
    )
    try:
        for layer, new in pairs:
            for owner, name in layer.owners:
                setattr(owner, name, new)
        if graph and input_shape is not None:
            _check_forward(module, graph, _inputs(input_shape), pairs)
        for message in report.messages():
            warnings.warn(message, BinarizeWarning, stacklevel=2)
    except BaseException:
        for layer in chosen:
            for owner, name in layer.owners:
                setattr(owner, name, layer.module)
        raise
    return report


def _check_arguments(module: object, init: str, insert_norm: bool, input_shape: object) -> None:
    if not isinstance(module, nn.Module):
        raise UsageError(f"binarize takes a torch.nn.Module, got {module!r}")
    if is_layer(module):
        kind = type(module).__name__
        raise UsageError(
            f"a {kind} cannot be replaced in place by itself; binarize what holds it, or nn.Sequential(layer)"
        )
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError("a scripted module cannot be changed; binarize the module first, then script it")
    if any(isinstance(part, nn.parallel.DistributedDataParallel) for part in module.modules()):
        raise UsageError(
            "DistributedDataParallel holds on to the old parameters; binarize the network first, then wrap it"
        )
    if input_shape is not None and any(isinstance(part, nn.DataParallel) for part in module.modules()):
        raise UsageError(
            "DataParallel cannot be captured; binarize the network that it holds (its attribute module), it changes in place"
        )
    if init not in ("copy", "draw"):
        raise UsageError(f"init is 'copy' or 'draw', not {init!r}")
    if insert_norm and input_shape is None:
        raise UsageError("insert_norm needs input_shape, such as (1, 3, 224, 224), to see where a norm is missing")


def _inputs(given: Any) -> tuple[Any, ...]:
    several = isinstance(given, (tuple, list)) and not all(isinstance(size, int) for size in given)
    return tuple(given) if several else (given,)


def _keep(rule: Any, module: nn.Module, layers: list[Layer], order: Order) -> None:
    """Give the layers that a rule fits their reason to stay real."""
    if not isinstance(rule, str) and (isinstance(rule, type) or not callable(rule)):
        raise UsageError(f"keep takes words, paths, patterns and functions (path, module) -> bool, got {rule!r}")
    if callable(rule):
        fitting = [layer for layer in layers if any(rule(path, layer.module) for path in layer.paths)]
        reason = f"keep: {getattr(rule, '__name__', type(rule).__name__)}"
    elif rule in _WORDS:
        roles = {"first": order.first, "last": order.last, "shortcut": order.shortcut}
        roles["depthwise"] = {id(layer.module) for layer in layers if is_depthwise(layer.module)}
        fitting = [layer for layer in layers if id(layer.module) in roles[rule]]
        reason = {"shortcut": "1x1 convolution of a shortcut", "depthwise": "depthwise"}.get(rule, f"{rule} layer")
    else:
        fitting = [layer for layer in layers if any(_fits(path, rule) for path in layer.paths)]
        reason = f"keep: {rule}"
        if not fitting:
            raise _no_such_layer(rule, module, layers)
    for layer in fitting:
        layer.reason = layer.reason or reason


def _fits(path: str, pattern: str) -> bool:
    """Whether the pattern names this layer or something that holds it."""
    parts = path.split(".")
    return any(fnmatch.fnmatchcase(".".join(parts[: i + 1]), pattern) for i in range(len(parts)))


def _no_such_layer(rule: str, module: nn.Module, layers: list[Layer]) -> UsageError:
    if any(path and fnmatch.fnmatchcase(path, rule) for path, _ in module.named_modules()):
        return UsageError(f"keep: {rule!r} holds no convolution or linear layer")
    holders = [
        ".".join(path.split(".")[:i]) for layer in layers for path in layer.paths for i in range(1, path.count(".") + 2)
    ]
    near = difflib.get_close_matches(rule, [*_WORDS, *dict.fromkeys(holders)], n=3, cutoff=0.4)
    guess = f"did you mean {' or '.join(map(repr, near))}? " if near else ""
    return UsageError(
        f"keep: no layer is called {rule!r}; {guess}It takes {', '.join(map(repr, _WORDS))}, paths, patterns such as "
        f"'layer1.*', and functions (path, module) -> bool"
    )


def _nothing_left(module: nn.Module, layers: list[Layer]) -> UsageError:
    if not layers:
        return UsageError(f"{type(module).__name__} has no convolution or linear layer to make binary")
    reasons = "; ".join(f"{layer.path}: {layer.reason}" for layer in layers[:6])
    more = f"; and {len(layers) - 6} more" if len(layers) > 6 else ""
    return UsageError(
        f"nothing is left to make binary in {type(module).__name__} ({reasons}{more}); see keep and linear"
    )


def _is_binary(method: Method) -> bool:
    return issubclass(method.conv_class, BinaryLayer)


def _binarises_at_zero(method: Method) -> bool:
    """Whether all terms of the method's layers binarise sign(x); ABC-Net's shift x first."""
    try:
        terms = method.conv(1, 1, 1).packed()  # ty: ignore[not-callable]
    except OnebitError:
        return True
    return not any(term.shift is not None and bool(term.shift.any()) for term in terms)


def _make(
    method: Method, init: Init, chosen: list[Layer], order: Order, normed: set[str]
) -> list[tuple[Layer, nn.Module]]:
    maker, pairs = Maker(method, init), []
    for layer in chosen:
        dimensions = order.dimensions.get(id(layer.module), 0) if layer.path in normed else 0
        try:
            pairs.append((layer, maker.make(layer.module, dimensions)))
        except UsageError as error:
            raise UsageError(f"{layer.path}: {error}; to leave it real, add {layer.path!r} to keep") from error
    return pairs


def _words(module: nn.Module) -> str:
    if isinstance(module, nn.Sequential):
        return " -> ".join(type(part).__name__ for part in module)
    return type(module).__name__ if isinstance(module, BinaryLayer) else repr(module)


def _notes(chosen: list[Layer], graph: Graph | None) -> tuple[str, ...]:
    notes = [f"{layer.path} is used as {', '.join(layer.paths[1:])} too" for layer in chosen if len(layer.paths) > 1]
    notes += [
        f"the hooks of {layer.path} are lost; register them again" for layer in chosen if lost_hooks(layer.module)
    ]
    return (*notes, *(_unheld(graph) if graph else [_UNCHECKED]))


def _unheld(graph: Graph) -> Iterable[str]:
    """Layers that run on tensors which are neither parameters nor buffers, such as those of a plain list."""
    for node in graph.nodes:
        if node.kind in WEIGHTED and any(graph.nodes[i].kind == "constant" for i in node.inputs[1:2]):
            where = f" in {node.source}" if node.source else ""
            yield (
                f"{node.op}{where} runs on a weight that the network does not hold, so it stays real; layers in a plain list "
                "belong in nn.ModuleList"
            )


def _check_forward(
    module: nn.Module, before: Graph, inputs: tuple[Any, ...], pairs: list[tuple[Layer, nn.Module]]
) -> None:
    """Refuse a network whose forward needs what binary layers have not, or does not go through them."""
    try:
        graph = capture(module, *inputs)
    except OnebitError as error:
        raise OnebitError(f"the network does not run with binary layers, so nothing was changed: {error}") from error
    old, new = ([g.nodes[index].shape for index in g.outputs] for g in (before, graph))
    if old != new:
        raise OnebitError(f"with binary layers the network gives {new} instead of {old}, so nothing was changed")
    ran = {id(node.layer) for node in graph.nodes}
    for layer, replacement in pairs:
        parts = [part for part in replacement.modules() if isinstance(part, BinaryLayer)]
        if any(id(part) not in ran for part in parts):
            raise OnebitError(
                f"forward still runs the old layer at {layer.path!r} (it is held outside the registered modules), so nothing "
                f"was changed; add {layer.path!r} to keep"
            )
