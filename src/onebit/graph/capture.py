"""Capture: run a module's forward on tensors without memory and write down every operation."""

from __future__ import annotations

import functools
import inspect
import re
import sys
from collections.abc import Generator, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import fields, is_dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import UninitializedBuffer, UninitializedParameter

from onebit.errors import OnebitError, UsageError
from onebit.graph.graph import Graph, Shape
from onebit.graph.recorder import NeedsDataError, Recorder
from onebit.graph.source import code_line, source_of_traceback
from onebit.nn import BinaryLayer


def capture(module: nn.Module, *inputs: Shape | Tensor) -> Graph:
    """The operations of one forward pass of ``module`` in evaluation mode, as a graph.

    Nothing is computed: parameters, buffers and inputs are replaced by tensors of their shape without memory (device
    "meta"), so that the largest network is captured in well under a second. Functional calls are seen as much as
    modules, in-place operations are followed through views, a module that is called twice appears twice, and every
    :class:`~onebit.nn.BinaryLayer` is one node. The module is left as it was: its attributes, training flags
    included, are put back, also after an error.

    Args:
        module: any module whose path through ``forward`` does not depend on the values of tensors.
        inputs: one for every argument of ``forward``: a shape with the batch dimension, which takes the dtype of the
            module's first float parameter, or an example tensor, of which only shape and dtype are read.
    Raises:
        UsageError: if ``forward`` needs the values of tensors, takes other arguments, or fails by itself; with the
            line of the user's code that did it.

    >>> graph = capture(nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU()), (1, 3, 4, 4))
    >>> print(graph)
    %0 = input() -> (1, 3, 4, 4) [input]
    %1 = conv2d(%0) -> (1, 8, 4, 4) [conv]  # 0
    %2 = relu(%1) -> (1, 8, 4, 4) [activation]  # 1
    """
    module = bare_module(module)
    _check_arguments(module, inputs)
    # Gradients are enabled, though none are computed, so that a forward's own no_grad shows.
    with torch.inference_mode(), torch.enable_grad():
        state, names = _without_memory(module)
        examples = [_example(given, _float_dtype(module)) for given in inputs]
        recorder = Recorder(names)
        taken = tuple(recorder.add_input(example) for example in examples)
        try:
            with _not_compiled(), _watched(module, recorder), recorder:
                result = functional_call(module, state, tuple(examples))
        except Exception as error:
            raise _explain(error, module, examples, recorder) from error
        found = [recorder.node_of(tensor) for tensor in _tensors(result)]
    if not found:
        raise UsageError(
            f"{type(module).__name__}.forward returns no tensor, but {result!r}; there is nothing to capture"
        )
    return Graph(tuple(recorder.nodes), taken, tuple(found))


def bare_module(module: nn.Module) -> nn.Module:
    """The module inside ``torch.compile``, ``DataParallel`` and ``DistributedDataParallel``: the one that is captured.

    Raises:
        UsageError: for what is no module, and for a scripted one.

    >>> bare_module(nn.DataParallel(nn.ReLU()))
    ReLU()
    """
    if not isinstance(module, nn.Module):
        raise UsageError(f"what is captured is a torch.nn.Module, got {module!r}")
    if isinstance(module, torch.jit.ScriptModule):
        raise UsageError(f"a scripted {module.original_name} cannot be captured; give the module it was scripted from")
    inner = getattr(module, "_orig_mod", None)
    if isinstance(module, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
        inner = module.module
    return bare_module(inner) if isinstance(inner, nn.Module) else module


def _check_arguments(module: nn.Module, inputs: tuple[Shape | Tensor, ...]) -> None:
    for given in inputs:
        sizes = isinstance(given, (tuple, list)) and all(type(size) is int and size > 0 for size in given)
        if not sizes and not isinstance(given, Tensor):
            raise UsageError(
                f"an input is a tensor or a shape of positive whole numbers such as (1, 3, 224, 224), got {given!r}"
            )
    signature = inspect.signature(module.forward)
    try:
        signature.bind(*inputs)
    except TypeError as error:
        raise UsageError(
            f"{type(module).__name__}.forward{signature} does not take {len(inputs)} inputs ({error}); "
            "give one shape or example tensor for each of its arguments"
        ) from None


def _float_dtype(module: nn.Module) -> torch.dtype:
    floats = (p.dtype for p in module.parameters() if p.is_floating_point())
    return next(floats, torch.get_default_dtype())


def _example(given: Shape | Tensor, dtype: torch.dtype) -> Tensor:
    if isinstance(given, Tensor):
        return _empty_like(given)
    return torch.empty(tuple(given), dtype=dtype, device="meta")


def _empty_like(tensor: Tensor) -> Tensor:
    if tensor.layout != torch.strided:
        return torch.empty_like(tensor, device="meta")
    return torch.empty_strided(tensor.shape, tensor.stride(), dtype=tensor.dtype, device="meta")


def _without_memory(module: nn.Module) -> tuple[dict[str, Tensor], list[tuple[Tensor, str]]]:
    """A tensor on "meta" for every parameter and buffer; tied ones stay tied, under their first name."""
    state: dict[str, Tensor] = {}
    made: dict[int, Tensor] = {}
    names = []
    for read in (module.named_parameters, module.named_buffers):
        for name, tensor in read(remove_duplicate=False):
            if isinstance(tensor, (UninitializedBuffer, UninitializedParameter)):
                raise UsageError(
                    f"{name!r} has no shape yet; run {type(module).__name__} once on an example, then capture it"
                )
            if id(tensor) not in made:
                made[id(tensor)] = _empty_like(tensor)
                names.append((made[id(tensor)], name))
            state[name] = made[id(tensor)]
    return state, names


def _not_compiled() -> AbstractContextManager[Any]:
    """Parts that torch.compile has wrapped run as they were written."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


@contextmanager
def _watched(module: nn.Module, recorder: Recorder) -> Generator[None]:
    """Every submodule tells the recorder when it runs; all attributes are put back afterwards."""
    before = [(part, dict(part.__dict__)) for part in module.modules()]
    # functional_call forgets the tensors of a module that is registered under two names.
    tensors: list[tuple[dict[str, Any], dict[str, Any]]] = [
        (held, dict(held))
        for part, _ in before
        if not isinstance(part, torch.jit.ScriptModule)
        for held in (part._parameters, part._buffers)
    ]
    try:
        for path, part in module.named_modules():
            part.__dict__["training"] = False
            if not isinstance(part, torch.jit.ScriptModule):
                part.__dict__["forward"] = _telling(part, path, recorder)
        yield
    finally:
        for part, attributes in before:
            part.__dict__.clear()
            part.__dict__.update(attributes)
        for held, values in tensors:
            held.clear()
            held.update(values)


def _telling(part: nn.Module, path: str, recorder: Recorder) -> Any:
    """The part's own forward, around which the recorder knows that the part is running."""
    forward = part.forward

    @functools.wraps(forward)
    def run(*arguments: Any, **named: Any) -> Any:
        with recorder.inside(path, part):
            if isinstance(part, BinaryLayer) and not recorder.silent:
                return recorder.leaf(part, forward, arguments, named)
            return forward(*arguments, **named)

    return run


def _tensors(result: Any) -> Iterator[Tensor]:
    """Tensors of an output, through lists, mappings and dataclasses."""
    if isinstance(result, Tensor):
        yield result
    elif isinstance(result, Mapping):
        for value in result.values():
            yield from _tensors(value)
    elif isinstance(result, (list, tuple)):
        for value in result:
            yield from _tensors(value)
    elif is_dataclass(result) and not isinstance(result, type):
        for field in fields(result):
            yield from _tensors(getattr(result, field.name))


def _explain(error: Exception, module: nn.Module, examples: list[Tensor], recorder: Recorder) -> UsageError:
    filename, number = source_of_traceback(error.__traceback__)
    place = f" at {code_line(filename, number)}" if filename else ""
    inside = f" in module {recorder.failed!r}" if recorder.failed else ""
    shapes = ", ".join(str(tuple(example.shape)) for example in examples)
    text = " ".join(str(error).split())
    if unknown := _needs_data_for_shape(error, text):
        reason = (
            f"torch cannot tell the shape of the result of {unknown} without data; where it depends on values, select with "
            "torch.where or by settings instead; where the operation is your own, register a fake implementation of it"
        )
    elif _takes_a_value(error, text):
        reason = (
            f"it takes a value out of a tensor ({text}), so that what it computes depends on data; "
            "decide by shapes or settings instead, or with torch.where, and keep checks of values out of forward"
        )
    else:
        named = "" if isinstance(error, OnebitError) else f"{type(error).__name__}: "
        reason = f"{named}{text if len(text) <= 400 else text[:400] + ' ...'}"
        if "scalar type" in text or "used as indices" in text:
            reason += "; an input of another dtype than the module's is given as an example tensor instead of a shape"
    return UsageError(
        f"cannot capture {type(module).__name__} on inputs of shape {shapes}: stopped{place}{inside}: {reason}"
    )


def _takes_a_value(error: Exception, text: str) -> bool:
    if isinstance(error, NeedsDataError):
        return True
    return isinstance(error, (TypeError, NotImplementedError, RuntimeError)) and any(told in text for told in _NO_VALUE)


_NO_VALUE = (
    "meta device type tensor to numpy",
    "Cannot copy out of meta",
    "unallocated storage",
    "unsupported format string passed to Tensor",
)
_NO_SHAPE = ("data-independent implementation", "no fake impl or Meta kernel", "tensor without output_size")


def _needs_data_for_shape(error: Exception, text: str) -> str:
    """The operation whose result torch cannot shape without data, or "" if the error is another."""
    if not isinstance(error, (NotImplementedError, RuntimeError)) or not any(told in text for told in _NO_SHAPE):
        return ""
    named = re.search(r"\w+::\w+|torch\.\w+|repeat_interleave", text)
    return named.group() if named else "an operation"
