"""Reading the CIFAR pickles without executing anything.

A pickle is a small program that may call any function it names. The official files name four: three that rebuild a
numpy array and one that rebuilds bytes. Here those names are bound to inert stand-ins, and every other name is refused.
"""

from __future__ import annotations

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onebit.data.dataset import AGAIN
from onebit.errors import DataError


class _Dtype:
    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code.decode("latin1") if isinstance(code, bytes) else code

    def __setstate__(self, state: Any) -> None:
        """Byte order and the like: of no meaning for single bytes."""


class _Array:
    """Takes the place of a numpy array while unpickling: it holds what the file says, and checks it when asked."""

    shape: tuple[int, ...] = ()
    dtype: Any = None
    data: Any = None
    fortran: bool = False

    def __init__(self, *_: Any) -> None:
        """Whatever ``_reconstruct`` was to be called with: an empty array of a class."""

    def __setstate__(self, state: Any) -> None:
        _, self.shape, self.dtype, self.fortran, self.data = state

    def as_bytes(self) -> NDArray[np.uint8]:
        if not isinstance(self.dtype, _Dtype) or self.dtype.code != "u1" or not isinstance(self.data, bytes):
            raise ValueError(f"an array of {getattr(self.dtype, 'code', 'unknown type')!r}, not of unsigned bytes")
        flat = np.frombuffer(self.data, np.uint8)
        return flat.reshape(self.shape, order="F" if self.fortran else "C")


def _encode(text: Any, encoding: Any = "latin1") -> bytes:
    # How Python 3 writes bytes in protocol 2, which is what the official files use.
    if not isinstance(text, str):
        raise ValueError(f"bytes made of {type(text).__name__}")
    return text.encode("latin1")


_ALLOWED = {
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): _encode,
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module_name: str, global_name: str, /) -> Any:
        try:
            return _ALLOWED[module_name, global_name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"it names {module_name}.{global_name}, which a CIFAR file does not need"
            ) from None


def read_pickle(path: Path, data: bytes) -> dict[str, Any]:
    """The dictionary in ``data``, the bytes of the file ``path``: keys as text, arrays as uint8 arrays.

    Raises DataError, naming the file, for anything but a dictionary of plain values and byte arrays.
    """
    try:
        content = _Unpickler(io.BytesIO(data), encoding="bytes").load()
        if not isinstance(content, dict):
            raise ValueError(f"it holds a {type(content).__name__}, not a dictionary")
        return {_text(key): value.as_bytes() if isinstance(value, _Array) else value for key, value in content.items()}
    # A damaged pickle can raise nearly anything from the machine that reads it.
    except Exception as error:
        raise DataError(f"{path} is not a readable CIFAR pickle: {error or type(error).__name__}; {AGAIN}") from error


def _text(value: Any) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else str(value)
