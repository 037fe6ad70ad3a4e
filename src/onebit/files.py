"""Writing files so that a crash, a full disk or a kill never leaves a half-written one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import BinaryIO

from onebit.errors import OnebitError


@contextlib.contextmanager
def atomic_write(path: str | os.PathLike[str]) -> Generator[BinaryIO]:
    """Open a temporary file beside ``path``; on success sync it and rename it over ``path``.

    Until the rename, whatever stood at ``path`` stays as it was. If the body raises, the temporary file is removed.
    Raises OnebitError, naming the file and the cause, when the file system refuses (full disk, no permission).
    """
    path = Path(path)
    temporary: str | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
        with os.fdopen(descriptor, "wb") as stream:
            yield stream
            stream.flush()
            os.fsync(stream.fileno())
        put_in_place(temporary, path)
        temporary = None
    except OSError as error:
        kept = "the file that was there is untouched" if path.exists() else "nothing was left behind"
        raise OnebitError(
            f"cannot write {path}: {error.strerror or error}; {kept}. Make room or choose another folder."
        ) from error
    finally:
        if temporary is not None:
            with contextlib.suppress(OSError):
                os.unlink(temporary)


def put_in_place(temporary: str | os.PathLike[str], path: Path) -> None:
    """Rename a finished temporary file over ``path`` beside it, with the permissions that a new file has."""
    os.chmod(temporary, 0o666 & ~_umask())
    os.replace(temporary, path)
    _sync_directory(path.parent)


def write_bytes(path: str | os.PathLike[str], data: bytes) -> None:
    """Write ``data`` to ``path`` in one atomic step."""
    with atomic_write(path) as stream:
        stream.write(data)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write ``text`` as UTF-8 to ``path`` in one atomic step."""
    write_bytes(path, text.encode())


def called(path: str | os.PathLike[str]) -> str:
    """The name of a file or folder however it is written, ``.`` and ``..`` among it.

    >>> called("runs/one/../two/.")
    'two'
    """
    return os.path.basename(os.path.abspath(path))


def checksum(path: str | os.PathLike[str], algorithm: str = "sha256") -> str:
    """Hexadecimal digest of a file's bytes."""
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, algorithm).hexdigest()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_directory(folder: Path) -> None:
    if os.name == "posix":
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
