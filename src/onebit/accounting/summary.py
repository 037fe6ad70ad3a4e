"""What a network costs: storage, computation and memory, layer by layer and in total."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from onebit.accounting.conventions import Convention, get_convention
from onebit.accounting.macs import multiply_accumulates
from onebit.accounting.memory import buffers, kept_for_backward, peak_bytes, tensor_bytes
from onebit.accounting.parameters import ParameterCount
from onebit.errors import UsageError
from onebit.graph import Node, bare_module, capture
from onebit.methods.registry import METHODS
from onebit.nn import BinaryLayer

if TYPE_CHECKING:
    from onebit.reports.table import Table

Shape = Sequence[int]
BINARY_PER_REAL = 64


@dataclass(frozen=True)
class LayerCost:
    """One operation of the network.

    Attributes:
        path, op, kind: the module that ran it, what ran, and its kind (see :class:`onebit.graph.Node`).
        output_shape: batch of 1 included; () for parameters that the forward does not read (op "not read").
        parameters: numbers by bits each, such as ``{1: 36864}``; storage_bits: what they take together.
        macs: multiply-accumulates by precision in bits; computation: real MACs plus one-bit MACs / 64.
        activation_bytes: its output (0 for a view and for what is overwritten in place).
        kept_bytes: what it adds to what training keeps for an image; kept_fixed_bytes: the same whatever the batch.
    """

    path: str
    op: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: dict[int, int]
    storage_bits: int
    macs: dict[int, int]
    computation: float
    activation_bytes: int
    kept_bytes: int
    kept_fixed_bytes: int

    def to_dict(self) -> dict[str, Any]:
        """As plain data, bit-widths as text."""
        plain = dict(self.__dict__)
        plain["output_shape"] = list(self.output_shape)
        return plain | {"parameters": _text_keys(self.parameters), "macs": _text_keys(self.macs)}


@dataclass(frozen=True)
class Summary:
    """The cost of a network on one image, layer by layer; totals are properties.

    ``peak_activation_bytes`` is the most that lives at once in a forward pass, ``deployed_bits`` the size with packed weights
    and folded norms, whatever the convention.
    """

    model: str
    method: str
    input_shape: tuple[int, ...]
    convention: Convention
    layers: tuple[LayerCost, ...]
    peak_activation_bytes: int
    deployed_bits: int

    @cached_property
    def parameters(self) -> dict[int, int]:
        """Numbers by bits each, such as ``{1: 10985472, 32: 694440}``."""
        return _total(layer.parameters for layer in self.layers)

    @cached_property
    def macs(self) -> dict[int, int]:
        """Multiply-accumulates by precision in bits."""
        return _total(layer.macs for layer in self.layers)

    @property
    def storage_bits(self) -> int:
        """Bits of all parameters that the convention counts."""
        return sum(layer.storage_bits for layer in self.layers)

    @property
    def computation(self) -> float:
        """Real multiplications, 64 binary ones counting as one."""
        return sum(layer.computation for layer in self.layers)

    @property
    def kept_bytes(self) -> int:
        """What training keeps for the backward pass, for every image of the batch."""
        return sum(layer.kept_bytes for layer in self.layers)

    @property
    def kept_fixed_bytes(self) -> int:
        """What training keeps whatever the batch: effective weights and statistics of norms."""
        return sum(layer.kept_fixed_bytes for layer in self.layers)

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "model": self.model,
            "method": self.method,
            "input_shape": list(self.input_shape),
            "convention": self.convention.name,
            "parameters": _text_keys(self.parameters),
            "storage_bits": self.storage_bits,
            "macs": _text_keys(self.macs),
            "computation": self.computation,
            "peak_activation_bytes": self.peak_activation_bytes,
            "kept_bytes": self.kept_bytes,
            "kept_fixed_bytes": self.kept_fixed_bytes,
            "deployed_bits": self.deployed_bits,
            "layers": [layer.to_dict() for layer in self.layers],
        }

    def to_json(self) -> str:
        """:meth:`to_dict` as JSON text."""
        return json.dumps(self.to_dict(), indent=1)

    def table(self) -> Table:
        """The parts of the network as a table: ``rich.print(summary.table().rich())``."""
        from onebit.reports.costs import stage_table

        return stage_table(self)

    def to_csv(self) -> str:
        """A line for every layer, numbers in full."""
        from onebit.reports.costs import layer_table

        return layer_table(self).csv()

    def to_markdown(self) -> str:
        """The totals and the layers as Markdown tables."""
        from onebit.reports.costs import layer_table, totals_table

        return f"{totals_table(self).markdown()}\n\n{layer_table(self).markdown()}\n"


def summarize(
    module: nn.Module,
    input_shape: Shape | Tensor | Sequence[Shape | Tensor],
    *,
    convention: str | Convention = "paper",
    model: str = "",
) -> Summary:
    """Count what ``module`` costs on one image; nothing runs on real memory, and the module stays as it is.

    Storage: bits of all parameters, a binary layer's weights at ``weight_bits`` each, others at the bits of their dtype; norms
    and scales as the convention says. Computation: ``real MACs + one-bit MACs / 64``, where a product of a binary layer is
    ``weight_bits * activation_bits`` one-bit MACs (bit-serial: binary weights and ternary inputs give MACs / 32).

    Args:
        input_shape: (C, H, W), or with the batch, which counts as 1: (N, C, H, W), (N, F); (F,) is one vector; an example
            tensor, taken as it is; or a list of these, one for each argument of ``forward``.
        convention: see :data:`onebit.accounting.CONVENTIONS`: ``paper``, ``paper-scales``, ``float``, ``larq``, ``deployed``.
        model: its name in tables (default: its class).
    Raises:
        UsageError: for an unknown convention, and where :func:`onebit.graph.capture` raises it.

    >>> net = nn.Sequential(nn.Conv2d(3, 8, 3, bias=False), nn.BatchNorm2d(8), nn.Flatten(), nn.Linear(32, 10))
    >>> costs = summarize(net, (3, 4, 4))
    >>> costs.parameters, costs.storage_bits, costs.macs, costs.computation
    ({32: 546}, 17472, {32: 1184}, 1184.0)
    """
    counted_by = get_convention(convention)
    inputs, module = _inputs(input_shape), bare_module(module)
    graph = capture(module, *inputs)
    learned = {name for name, parameter in module.named_parameters() if parameter.requires_grad}
    kept, owner = kept_for_backward(graph, learned), buffers(graph)
    count, packed = ParameterCount(module, graph, counted_by), ParameterCount(module, graph, get_convention("deployed"))
    held: set[int] = set()
    layers, deployed_bits = [], 0
    for node, keeps in zip(graph.nodes, kept, strict=True):
        numbers, bits = count.of(node)
        deployed_bits += packed.of(node)[1]
        fresh = keeps.tensors - held
        held |= fresh
        kept_bytes = keeps.codes + sum(tensor_bytes(graph.nodes[i]) for i in fresh)
        made = tensor_bytes(node) if owner[node.index] == node.index else 0
        macs, computation = _macs(node, counted_by)
        if node.kind == "input" or not (made or bits or kept_bytes or keeps.fixed or macs):
            continue
        layers.append(
            LayerCost(
                node.path,
                node.op,
                node.kind,
                node.shape,
                dict(numbers),
                bits,
                macs,
                computation,
                made,
                kept_bytes,
                keeps.fixed,
            )
        )
    for path, (numbers, bits) in count.unread().items():
        layers.append(LayerCost(path, "not read", "other", (), dict(numbers), bits, {}, 0.0, 0, 0, 0))
    deployed_bits += sum(bits for _, bits in packed.unread().values())
    shape = graph.nodes[graph.inputs[0]].shape if graph.inputs else ()
    name = model or type(module).__name__
    return Summary(name, method_of(module), shape, counted_by, tuple(layers), peak_bytes(graph), deployed_bits)


def method_of(module: nn.Module) -> str:
    """The method of a network's binary layers by its registered name, "real" if it has none; several joined by "+".

    >>> method_of(nn.Linear(2, 2))
    'real'
    """
    kinds = {type(layer) for layer in module.modules() if isinstance(layer, BinaryLayer)}
    names = {
        kind: [name for name in METHODS if kind in (METHODS[name].conv_class, METHODS[name].linear_class)]
        for kind in kinds
    }
    found = {found[0] if found else kind.__name__ for kind, found in names.items()}
    return "+".join(sorted(found)) or "real"


def _inputs(given: Any) -> list[tuple[int, ...] | Tensor]:
    if isinstance(given, Tensor) or (
        isinstance(given, Sequence) and len(given) > 0 and all(isinstance(size, int) for size in given)
    ):
        return [_with_batch(given)]
    several = isinstance(given, Sequence) and len(given) > 0 and not isinstance(given, str)
    if not several or not all(isinstance(each, (Tensor, Sequence)) and not isinstance(each, str) for each in given):
        raise UsageError(f"input_shape is (C, H, W), (N, C, H, W), a tensor, or a list of these, got {given!r}")
    return [_with_batch(each) for each in given]


def _with_batch(given: Any) -> tuple[int, ...] | Tensor:
    """Three numbers are one image, one is a vector; of any other count the first is the batch, which counts as 1."""
    if isinstance(given, Tensor):
        return given
    return (1, *given) if len(given) in (1, 3) else (1, *given[1:])


def _macs(node: Node, convention: Convention) -> tuple[dict[int, int], float]:
    macs = multiply_accumulates(node)
    real_bits = 8 * node.dtype.itemsize
    if not (isinstance(node.layer, BinaryLayer) and node.kind.startswith("binary")):
        return ({real_bits: macs} if macs else {}), float(macs)
    layer = node.layer
    serial = macs * layer.weight_bits * layer.activation_bits
    real = layer.real_macs(node.shape)
    found = {1: serial} if convention.bit_serial else {max(layer.weight_bits, layer.activation_bits): macs}
    return found | ({real_bits: real} if real else {}), real + serial / BINARY_PER_REAL


def _total(counts: Any) -> dict[int, int]:
    total: Counter[int] = Counter()
    for count in counts:
        total.update(count)
    return dict(sorted(total.items()))


def _text_keys(counts: dict[int, int]) -> dict[str, int]:
    return {str(bits): number for bits, number in sorted(counts.items())}
