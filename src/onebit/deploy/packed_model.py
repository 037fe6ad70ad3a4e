"""Packed networks at work: loading, calling, measuring, looking inside."""

from __future__ import annotations

import functools
import os
import threading
import warnings
from pathlib import Path
from typing import Any, overload

import numpy as np
import torch
from torch import Tensor

from onebit import files
from onebit.deploy import engine
from onebit.deploy.engine import Model, Session, Step
from onebit.deploy.file import HEADER_SIZE, parse_metadata, read_bytes, read_program
from onebit.deploy.program import Program
from onebit.deploy.reference import as_tensor, run_program
from onebit.deploy.shapes import is_vector
from onebit.errors import PackedFileError, UsageError, unknown_name

#: the kernel that is no part of the engine: docs/file-format.md followed in torch, slowly
PYTHON = "python"
# Not by name: numpy takes longer to spell a type's name than the engine takes for a small network.
_TYPES = (torch.float32, torch.uint8, np.dtype(np.float32), np.dtype(np.uint8))


class PackedModel:
    """A packed network, called as ``model(images)``; made by :func:`onebit.pack` and :func:`onebit.load`.

    Images are (N, C, H, W): float32, normalised as in training, or uint8 pixels, which the packed normalisation applies to. Tensors
    give a tensor, numpy arrays an array; both are read where they lie, whatever their strides. A classifier returns
    (N, classes). The same file gives the same bits on every kernel and with every number of threads.

    Any number of threads may call one PackedModel at the same time: each gets a working memory of its own with its first call.

    Attributes:
        kernel: what runs it: a kernel of the engine, or ``python`` where the engine was not built.
        threads: how many threads one call uses.
        metadata: what the file says about itself; see docs/file-format.md.
    """

    def __init__(self, source: bytes | Path, kernel: str | None, threads: int) -> None:
        if type(threads) is not int or not 1 <= threads <= engine.MOST_THREADS:
            raise UsageError(f"threads is a whole number from 1 to {engine.MOST_THREADS}, got {threads!r}")
        if kernel is not None and not isinstance(kernel, str):
            raise UsageError(f"kernel is the name of one, or None, got {kernel!r}")
        self.threads = threads
        self._source = source
        self._header = source[:HEADER_SIZE] if isinstance(source, bytes) else read_bytes(source, HEADER_SIZE)
        self._own = threading.local()
        self._model: Model | None = None
        wanted = kernel or os.environ.get("ONEBIT_KERNEL") or None
        if wanted != PYTHON and engine.library() is not None:
            self._model = Model(source, kernel)
            self.kernel = self._model.kernel
            self.metadata: dict[str, Any] = parse_metadata(self._model.metadata)
        else:
            if wanted not in (None, PYTHON):
                raise UsageError(
                    f"there is no kernel {wanted!r}: the engine was not built; build it, or take {PYTHON!r}"
                )
            if wanted is None:
                _warn_once()
            self.kernel = PYTHON
            self.metadata = dict(self.program.metadata)

    @overload
    def __call__(self, images: Tensor) -> Tensor: ...
    @overload
    def __call__(self, images: np.ndarray) -> np.ndarray: ...
    def __call__(self, images: Tensor | np.ndarray) -> Tensor | np.ndarray:
        """The network's output for a batch of images.

        Raises:
            UsageError: for another type, number of dimensions or of channels, a size that the network cannot take, a tensor that
                is not on the CPU, and for a NaN.
        """
        return self._answer(images, self._session())

    def profile(self, images: Tensor | np.ndarray, repeats: int = 1) -> list[Step]:
        """What every step costs, measured on ``images``; empty where the engine was not built.

        A step is an operation with what is fused into it. The first run, which lays out memory, is not counted.
        """
        if self._model is None:
            return []
        session = self._model.session(self.threads)
        self._answer(images, session)
        session.profile(True)
        for _ in range(repeats):
            self._answer(images, session)
        return session.steps()

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the .onebit file in one atomic step."""
        files.write_bytes(path, self._bytes())

    def using(self, *, kernel: str | None = None, threads: int = 1) -> PackedModel:
        """The same network with another kernel or another number of threads."""
        return PackedModel(self._source, kernel, threads)

    @functools.cached_property
    def program(self) -> Program:
        """Its operations and tensors."""
        return read_program(self._bytes())

    @property
    def num_bytes(self) -> int:
        """The size of its file."""
        return int.from_bytes(self._header[16:24], "little")

    def binary_weight(self, path: str) -> Tensor:
        """The weights of the binary layer of that module path, +1 and -1 as float32, in torch's order.

        Returns:
            (C_out, C_in / groups, kH, kW); with a leading dimension where the layer has several bases. A linear layer's
            kernel is 1 x 1.
        Raises:
            UsageError: if no binary layer has that path, with the nearest that do.
        """
        program = self.program
        layers = {program.path(i): i for i, op in enumerate(program.operations) if op.kind == "binary_conv"}
        if path not in layers:
            raise unknown_name("binary layer", path, layers)
        bits = torch.from_numpy(program.required_tensor(layers[path], "weight"))
        weight = torch.where(bits, 1.0, -1.0).permute(0, 1, 4, 2, 3).contiguous()
        return weight if len(weight) > 1 else weight[0]

    def __repr__(self) -> str:
        named = " ".join(str(self.metadata[key]) for key in ("model", "method") if key in self.metadata)
        return f"<PackedModel {named or 'of a network'}, {self.num_bytes} bytes, kernel {self.kernel}, threads {self.threads}>"

    def __reduce__(self) -> tuple[Any, ...]:
        return PackedModel, (self._bytes(), None if self.kernel != PYTHON else PYTHON, self.threads)

    def _answer(self, images: Tensor | np.ndarray, session: Session | None) -> Tensor | np.ndarray:
        array = _as_array(images)
        result = (
            run_program(self.program, as_tensor(array)).contiguous().numpy() if session is None else session.run(array)
        )
        if is_vector(self.metadata, result.shape[1:]):
            result = result[:, :, 0, 0]
        return torch.from_numpy(result) if isinstance(images, Tensor) else result

    def _session(self) -> Session | None:
        if self._model is None:
            return None
        session: Session | None = getattr(self._own, "session", None)
        if session is None or session.process != os.getpid():
            session = self._own.session = self._model.session(self.threads)
        return session

    def _bytes(self) -> bytes:
        if isinstance(self._source, bytes):
            return self._source
        data = read_bytes(self._source)
        if data[:HEADER_SIZE] != self._header:
            raise PackedFileError(f"{self._source} has changed since it was loaded; load it again")
        return data


def load(
    source: str | os.PathLike[str] | bytes | bytearray | memoryview, *, kernel: str | None = None, threads: int = 1
) -> PackedModel:
    """Open a .onebit file, or the bytes of one.

    Args:
        kernel: what computes: ``avx512``, ``avx2``, ``neon``, ``portable``, ``reference``, as far as this build and this
            processor have them, or ``python``; default $ONEBIT_KERNEL, else the fastest.
        threads: how many threads one call uses.
    Raises:
        PackedFileError: for a file that cannot be read, is damaged, cut off, of another version, or no .onebit file.
        UsageError: for a kernel that there is not, and for fewer than 1 thread.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return PackedModel(bytes(source), kernel, threads)
    if Path(source).is_dir():
        raise PackedFileError(f"{source} is a folder; give a .onebit file in it, or pack a run folder with onebit pack")
    if not Path(source).is_file():
        raise PackedFileError(f"there is no file {source}")
    try:
        return PackedModel(Path(source).absolute(), kernel, threads)
    except PackedFileError as error:
        raise PackedFileError(f"{source}: {error}") from None


@functools.cache
def _warn_once() -> None:
    warnings.warn(
        "the onebit engine was not built with this installation, so that packed networks run in PyTorch: the same answers, slowly. "
        "Install a C++17 compiler and install onebit again.",
        RuntimeWarning,
        stacklevel=4,
    )


def _as_array(images: Tensor | np.ndarray) -> np.ndarray:
    if isinstance(images, Tensor):
        if images.layout != torch.strided:
            raise UsageError(f"images are dense tensors, got one of layout {images.layout}; give images.to_dense()")
        if images.device.type != "cpu":
            raise UsageError(f"a packed network runs on the CPU; got a tensor on {images.device}, give images.cpu()")
    elif not isinstance(images, np.ndarray):
        raise UsageError(f"images are a tensor or a numpy array, got {type(images).__name__}")
    if images.dtype not in _TYPES:
        kind = str(images.dtype).removeprefix("torch.")
        raise UsageError(f"images are float32 (normalised as in training) or uint8 (pixels), got {kind}")
    if images.ndim != 4 or 0 in images.shape[1:]:
        raise UsageError(f"images are (N, channels, height, width), got {tuple(images.shape)}")
    array = images.detach().resolve_neg().numpy() if isinstance(images, Tensor) else images
    odd = not array.flags.aligned or any(stride % array.itemsize for stride in array.strides)
    return array.copy() if odd else array
