"""The compiled engine through its C API (engine/include/onebit.h), without copies; calls release the interpreter's lock."""

from __future__ import annotations

import ctypes
import functools
import os
from collections.abc import Callable
from ctypes import POINTER, Structure, byref, c_char_p, c_double, c_int, c_int32, c_int64, c_size_t, c_void_p
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from onebit import __version__
from onebit.errors import OnebitError, PackedFileError, UsageError

_ERRORS: dict[int, type[OnebitError]] = {1: UsageError, 2: PackedFileError, 3: UsageError, 4: UsageError}
#: of one session, as in engine/src/api.cpp
MOST_THREADS = 1024
_TYPES = {np.dtype(np.float32): 0, np.dtype(np.uint8): 1}


class _Images(Structure):
    _fields_ = (
        ("data", c_void_p),
        ("type", c_int),
        *((name, c_int64) for name in ("batch", "channels", "height", "width")),
        *((name, c_int64) for name in ("stride_batch", "stride_channel", "stride_row", "stride_column")),
    )


class _Step(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("macs", c_int64),
        ("weight_bits", c_int32),
        ("runs", c_int64),
        ("seconds", c_double),
    )


@dataclass(frozen=True)
class Step:
    """What one step of a network costs: an operation with everything that is fused into it.

    ``macs``: multiply-accumulates of one image; ``weight_bits``: 1 binary, 8 or 16 integers, 32 float, 0 no weights;
    ``seconds``: in all of ``runs`` images.
    """

    name: str
    macs: int
    weight_bits: int
    runs: int
    seconds: float


_SIGNATURES = {
    "onebit_version": (c_char_p, ()),
    "onebit_last_error": (c_char_p, ()),
    "onebit_kernels": (c_char_p, ()),
    "onebit_model_open": (c_int, (c_char_p, c_char_p, POINTER(c_void_p))),
    "onebit_model_read": (c_int, (c_char_p, c_size_t, c_char_p, POINTER(c_void_p))),
    "onebit_model_free": (None, (c_void_p,)),
    "onebit_model_metadata": (c_void_p, (c_void_p, POINTER(c_size_t))),
    "onebit_model_kernel": (c_char_p, (c_void_p,)),
    "onebit_session_create": (c_int, (c_void_p, c_int, POINTER(c_void_p))),
    "onebit_session_free": (None, (c_void_p,)),
    "onebit_session_shape": (c_int, (c_void_p, c_int64, c_int64, POINTER(c_int64))),
    "onebit_session_run": (c_int, (c_void_p, POINTER(_Images), c_void_p, c_size_t)),
    "onebit_session_profile": (c_int, (c_void_p, c_int)),
    "onebit_session_steps": (c_int, (c_void_p,)),
    "onebit_session_step": (c_int, (c_void_p, c_int, POINTER(_Step))),
}


@functools.cache
def library() -> ctypes.CDLL | None:
    """The engine's shared library in the package, or None where it was not built, does not load or is of another version."""
    for file in sorted(Path(__file__).parent.parent.glob("_engine*")):
        if file.suffix not in (".so", ".pyd", ".dylib", ".dll"):
            continue
        try:
            found = ctypes.CDLL(str(file))
            for name, (result, arguments) in _SIGNATURES.items():
                function = getattr(found, name)
                function.restype, function.argtypes = result, arguments
        except (OSError, AttributeError):
            continue
        if found.onebit_version().decode() == __version__:
            return found
    return None


def kernels() -> list[str]:
    """Names of the engine's kernels that this processor runs, best first; empty where the engine was not built."""
    engine = library()
    return engine.onebit_kernels().decode().split() if engine else []


def _check(status: int) -> None:
    if status:
        engine = library()
        assert engine is not None
        raise _ERRORS.get(status, OnebitError)(engine.onebit_last_error().decode(errors="replace"))


class Model:
    """A packed network in the engine: immutable, and shared by any number of sessions and threads.

    Args:
        source: the path of a .onebit file, which is mapped into memory, or its bytes.
        kernel: a name of :func:`kernels`; None takes $ONEBIT_KERNEL, else the best.
    """

    def __init__(self, source: bytes | Path, kernel: str | None) -> None:
        engine = library()
        if engine is None:
            raise UsageError("the engine was not built with this installation")
        self._engine, self._handle = engine, c_void_p()
        name = None if kernel is None else kernel.encode()
        if isinstance(source, bytes):
            _check(engine.onebit_model_read(source, len(source), name, byref(self._handle)))
        else:
            _check(engine.onebit_model_open(os.fsencode(source), name, byref(self._handle)))

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            self._engine.onebit_model_free(self._handle)

    @property
    def kernel(self) -> str:
        return self._engine.onebit_model_kernel(self._handle).decode()

    @property
    def metadata(self) -> bytes:
        size = c_size_t()
        return ctypes.string_at(self._engine.onebit_model_metadata(self._handle, byref(size)), size.value)

    def session(self, threads: int) -> Session:
        return Session(self._engine, self._handle, threads)


class Session:
    """A model's working memory and threads; one thread at a time may use it, in the process that made it."""

    def __init__(self, engine: ctypes.CDLL, model: c_void_p, threads: int) -> None:
        self._engine, self._handle, self.process = engine, c_void_p(), os.getpid()
        _check(engine.onebit_session_create(model, threads, byref(self._handle)))

    def __del__(self, getpid: Callable[[], int] = os.getpid) -> None:  # when Python ends, `os` may be gone already
        # A forked process has a copy of the memory, but none of the threads that would have to be waited for.
        if getattr(self, "_handle", None) and self.process == getpid():
            self._engine.onebit_session_free(self._handle)

    def run(self, images: np.ndarray) -> np.ndarray:
        """(N, C, H, W) of float32 or uint8, in memory of any strides that are whole elements -> (N, C, H, W) float32, new."""
        batch, channels, height, width = images.shape
        shape = (c_int64 * 3)()
        _check(self._engine.onebit_session_shape(self._handle, height, width, shape))
        output = np.empty((batch, *shape), np.float32)
        given = _Images(
            images.ctypes.data,
            _TYPES[images.dtype],
            batch,
            channels,
            height,
            width,
            *(stride // images.itemsize for stride in images.strides),
        )
        if not output.size:
            return output
        _check(self._engine.onebit_session_run(self._handle, byref(given), output.ctypes.data, output.size))
        return output

    def profile(self, on: bool) -> None:
        """Time every step from now on, from zero."""
        _check(self._engine.onebit_session_profile(self._handle, int(on)))

    def steps(self) -> list[Step]:
        """The steps of the image size that ran last."""
        found, step = [], _Step()
        for index in range(max(0, self._engine.onebit_session_steps(self._handle))):
            _check(self._engine.onebit_session_step(self._handle, index, byref(step)))
            found.append(Step(step.name.decode(), step.macs, step.weight_bits, step.runs, step.seconds))
        return found
