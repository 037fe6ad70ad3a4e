"""The recorder: sees every tensor operation of a running forward and keeps a node for each."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map

from onebit.graph.graph import Node, Shape
from onebit.graph.kinds import DECOMPOSED, KIND_OF, READS_DATA, plain_name
from onebit.graph.shapes import QuickMode, result_without_kernel
from onebit.graph.source import gradient_is_off, source_of_caller
from onebit.nn import BinaryLayer

_META = torch.device("meta")
# Where a result lies says nothing about the network.
_UNTOLD = frozenset(("device", "layout", "pin_memory", "memory_format", "generator", "non_blocking", "cudnn_enabled"))


class NeedsDataError(Exception):
    """A forward asked a tensor without memory for a value; the message is the operation that asked."""


@dataclass(frozen=True)
class _Value:
    """What a tensor holds: the result of a node or a parameter, as of so many writes to its storage."""

    node: int | None
    name: str
    writes: int


@dataclass
class _Storage:
    """Memory that tensors share: what it held first, then the nodes that wrote to it (all of it, or a part)."""

    first: _Value
    writes: list[tuple[int, bool]] = field(default_factory=list)


class Recorder(QuickMode):
    """Writes down the operations that run while it is active; ``names`` pairs tensors with their state_dict names."""

    def __init__(self, names: Sequence[tuple[Tensor, str]]) -> None:
        super().__init__()
        self.nodes: list[Node] = []
        self.silent = False
        self.failed = ""
        self._running: list[tuple[str, nn.Module | None]] = [("", None)]
        # Tensors are known by their id, so none may die while the recorder lives.
        self._alive: list[Tensor] = []
        self._values: dict[int, _Value] = {}
        self._storages: dict[int, _Storage] = {}
        self._twins: dict[int, Tensor] = {}
        self._twin_storages: dict[int, Tensor] = {}
        self._written: set[int] = set()
        for tensor, name in names:
            self._bind(tensor, _Value(None, name, 0))

    def add_input(self, tensor: Tensor) -> int:
        """An input of the graph."""
        self._keep("input", "input", tensor)
        return len(self.nodes) - 1

    def node_of(self, tensor: Tensor) -> int:
        """The node whose value ``tensor`` holds; a parameter, or a tensor from elsewhere, becomes a constant."""
        nodes, names = self._read([self._twin(tensor)])
        if not nodes:
            self._keep("constant", "parameter", tensor, names=names)
            return len(self.nodes) - 1
        return nodes[0]

    @contextmanager
    def inside(self, path: str, module: nn.Module) -> Generator[None]:
        """While a module runs, what it does bears its path."""
        self._running.append((path, module))
        try:
            yield
        except Exception:
            self.failed = self.failed or path
            raise
        finally:
            self._running.pop()

    def leaf(self, layer: BinaryLayer, forward: Callable[..., Any], arguments: tuple, named: dict) -> Any:
        """Run a layer as one node, whatever happens inside it."""
        given = [t for t in tree_leaves((arguments, named)) if isinstance(t, Tensor)]
        nodes, _ = self._read([self._twin(tensor) for tensor in given])
        self.silent = True
        try:
            result = forward(*arguments, **named)
        finally:
            self.silent = False
        path = self._running[-1][0]
        own = [name for name, _ in (*layer.named_parameters(), *layer.named_buffers())]
        geometry = ("kernel_size", "stride", "padding", "dilation", "groups")
        self._record(
            "binary_conv" if layer.weight.dim() > 2 else "binary_linear",
            type(layer).__name__,
            [t for t in tree_leaves(result) if isinstance(t, Tensor)],
            nodes,
            [f"{path}.{name}" if path else name for name in own],
            {name: getattr(layer, name) for name in geometry if hasattr(layer, name)},
            {**({"input": tuple(given[0].shape)} if given else {}), "weight": tuple(layer.weight.shape)},
        )
        return result

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        tensors = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        name = plain_name(func._schema.name)
        if not any(t.device == _META or _key(t) in self._written for t in tensors):
            # Constants that the forward makes for itself: they have values, and may be asked for them.
            result = func(*args, **kwargs)
            if not self.silent and not tensors:
                self._record("constant", name, [t for t in tree_leaves(result) if _is_meta(t)], [], [], {}, {})
            return result
        if name in READS_DATA:
            raise NeedsDataError(name)
        if name in DECOMPOSED and not self.silent:
            with self:
                parts = func.decompose(*args, **kwargs)
            if parts is not NotImplemented:
                return parts
        written = _bound(func, args, kwargs, written=True)
        self._written.update(_key(t) for t in written.values() if t.device != _META)
        args, kwargs = tree_map(self._without_memory, (args, kwargs))
        return _result(func, args, kwargs) if self.silent else self._record_call(func, name, args, kwargs)

    def _record_call(self, func: Any, name: str, args: Any, kwargs: Any) -> Any:
        tensors = _bound(func, args, kwargs)
        written = list(_bound(func, args, kwargs, written=True).values())
        kind = KIND_OF.get(name, "other")
        unread = [id(t) for t in written] if name == "copy" or "out" in kwargs else []
        read = [] if kind == "constant" else [t for t in tensors.values() if id(t) not in unread]
        nodes, names = self._read(read)
        self._read(
            [t for t in written if _key(t) not in self._storages]
        )  # what a part is written into was there before
        result = _result(func, args, kwargs)
        shapes = {key: tuple(tensor.shape) for key, tensor in tensors.items()}
        # A result that is an argument is no new tensor, unless it was written to.
        outputs = [t for t in tree_leaves(result) if isinstance(t, Tensor)]
        outputs = [t for t in outputs if all(t is not other for other in tensors.values())]
        arguments = _plain(func, args, kwargs)
        if written and "out" not in kwargs:
            arguments["in_place"] = True
        self._record(kind, name, outputs or written, nodes, names, arguments, shapes)
        for tensor in written:
            self._write(tensor)
        return result

    def _record(
        self,
        kind: str,
        op: str,
        outputs: Sequence[Tensor],
        nodes: Sequence[int],
        names: Sequence[str],
        arguments: Mapping[str, Any],
        operands: Mapping[str, Shape],
    ) -> None:
        """A node for every output; where numbers only move each reads the inputs, else the later ones read the first."""
        source, first = source_of_caller(), len(self.nodes)
        if gradient_is_off():
            arguments = {**arguments, "no_grad": True}
        for position, tensor in enumerate(outputs):
            numbered = {**arguments, "output": position} if len(outputs) > 1 else arguments
            if position and kind not in ("shape", "constant"):
                self._keep("shape", op, tensor, [first], (), numbered, operands, source)
            else:
                self._keep(kind, op, tensor, nodes, names, numbered, operands, source)

    def _keep(
        self,
        kind: str,
        op: str,
        tensor: Tensor,
        nodes: Sequence[int] = (),
        names: Sequence[str] = (),
        arguments: Mapping[str, Any] | None = None,
        operands: Mapping[str, Shape] | None = None,
        source: str = "",
    ) -> None:
        path, layer = self._running[-1]
        index, shape = len(self.nodes), tuple(tensor.shape)
        parameters = tuple(dict.fromkeys(names))
        self.nodes.append(
            Node(
                index,
                kind,
                op,
                tuple(nodes),
                shape,
                tensor.dtype,
                path,
                layer,
                parameters,
                arguments or {},
                source,
                operands or {},
            )
        )
        storage = self._storages.get(_key(tensor))
        self._bind(tensor, _Value(index, "", len(storage.writes) if storage else 0))

    def _bind(self, tensor: Tensor, value: _Value) -> None:
        self._alive.append(tensor)
        self._values[id(tensor)] = value
        self._storages.setdefault(_key(tensor), _Storage(value))

    def _write(self, tensor: Tensor) -> None:
        """The newest value of ``tensor`` is in its storage, where tensors that share it will find it."""
        node = self._values[id(tensor)].node
        storage = self._storages[_key(tensor)]
        if node is not None:
            whole = tensor.numel() * tensor.element_size() == tensor.untyped_storage().nbytes()
            storage.writes.append((node, whole))
            self._values[id(tensor)] = _Value(node, "", len(storage.writes))

    def _read(self, tensors: Sequence[Tensor]) -> tuple[list[int], list[str]]:
        """The nodes and the parameters whose values the tensors hold now."""
        values = [self._value(tensor) for tensor in tensors]
        return [v.node for v in values if v.node is not None], [v.name for v in values if v.node is None]

    def _value(self, tensor: Tensor) -> _Value:
        storage = self._storages.get(_key(tensor))
        if storage is None:
            self._keep("constant", "constant", tensor)
            return self._values[id(tensor)]
        value = self._values.get(id(tensor), storage.first)
        pending = storage.writes[value.writes :]
        if not pending and (id(tensor) in self._values or value.node is None):
            return value
        # Written through another view, or an alias that no operation made (x.data): it holds what was there and came since.
        whole = [i for i, (_, covers) in enumerate(pending) if covers]
        nodes = [node for node, _ in pending[whole[-1] if whole else 0 :]]
        if not whole and value.node is not None:
            nodes.insert(0, value.node)
        names = [value.name] if not whole and value.name else []
        self._keep("shape", "alias", tensor, nodes, names, source=source_of_caller())
        return self._values[id(tensor)]

    def _without_memory(self, argument: Any) -> Any:
        if isinstance(argument, torch.device):
            return _META
        return self._twin(argument) if isinstance(argument, Tensor) else argument

    def _twin(self, tensor: Tensor) -> Tensor:
        """The tensor on "meta" that stands for one with memory; views of one storage have twins of one storage."""
        if tensor.device == _META:
            return tensor
        if id(tensor) not in self._twins:
            key = _key(tensor)
            if key not in self._twin_storages:
                size = tensor.untyped_storage().nbytes() // tensor.element_size()
                self._twin_storages[key] = torch.empty(size, dtype=tensor.dtype, device=_META)
            flat = self._twin_storages[key]
            if flat.dtype != tensor.dtype:
                flat = flat.view(tensor.dtype)
            self._alive.append(tensor)
            self._twins[id(tensor)] = flat.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
        return self._twins[id(tensor)]


def _key(tensor: Tensor) -> int:
    return tensor.untyped_storage()._cdata if tensor.layout == torch.strided else id(tensor)


def _result(func: Any, args: Any, kwargs: Any) -> Any:
    made = result_without_kernel(func, args, kwargs)
    return func(*args, **kwargs) if made is None else made


def _is_meta(value: Any) -> bool:
    return isinstance(value, Tensor) and value.device == _META


def _bound(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any], written: bool = False) -> dict[str, Tensor]:
    """Tensor arguments by name, those of a list as name[0], name[1], ...; or only those that the operation writes to."""
    found: dict[str, Tensor] = {}
    for position, argument in enumerate(func._schema.arguments):
        value = args[position] if position < len(args) else kwargs.get(argument.name)
        if written and not (argument.alias_info is not None and argument.alias_info.is_write):
            continue
        if isinstance(value, Tensor):
            found[argument.name] = value
        elif isinstance(value, (list, tuple)):
            found |= {f"{argument.name}[{i}]": v for i, v in enumerate(value) if isinstance(v, Tensor)}
    return found


def _plain(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments other than tensors by name, defaults included."""
    plain = {}
    for position, argument in enumerate(func._schema.arguments):
        default = argument.default_value if argument.has_default_value() else None
        value = args[position] if position < len(args) else kwargs.get(argument.name, default)
        if argument.name not in _UNTOLD and not any(isinstance(leaf, Tensor) for leaf in tree_leaves(value)):
            plain[argument.name] = tuple(value) if isinstance(value, list) else value
    return plain
