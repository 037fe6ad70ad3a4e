"""Fetching files over HTTP: checked, atomic, with several addresses and a progress bar."""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.error
import urllib.request
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from onebit.errors import DataError, UsageError
from onebit.files import atomic_write, checksum

_PIECE = 1 << 18


@dataclass(frozen=True)
class Remote:
    """A file on the network: the name it gets here, its addresses in order of preference, and what it must hash to."""

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None


class _Failed(Exception):
    """One address did not deliver; the message says why, without the address."""


def download(
    url: str | Sequence[str],
    path: str | os.PathLike[str],
    *,
    sha256: str | None = None,
    md5: str | None = None,
    progress: bool = True,
    timeout: float = 30.0,
) -> Path:
    """Fetch ``url`` (or the first of several mirrors that delivers) to ``path``, and return the path.

    The file appears under its name only when it is complete and its checksum is right; whatever was there before stays
    until then. ``progress`` shows a bar on stderr. ``timeout``: seconds without a byte before an address is given up.
    Raises DataError naming every address with its failure, OnebitError when the disk refuses, UsageError without a URL.
    """
    urls = [url] if isinstance(url, str) else list(url)
    path = Path(path)
    if not urls:
        raise UsageError(f"no address to download {path.name} from")
    failures = []
    for address in urls:
        try:
            _fetch(address, path, sha256, md5, progress, timeout)
            return path
        except _Failed as failure:
            failures.append(f"{address}: {failure}")
    raise DataError(
        f"cannot download {path.name} ({'; '.join(failures)}); nothing was written: try again, "
        f"or put the file at {path} yourself"
    )


def fetch_all(files: Sequence[Remote], folder: Path, *, progress: bool = True) -> None:
    """Download those of ``files`` that are missing in ``folder`` or whose checksum is wrong."""
    for file in files:
        path = folder / file.name
        if not path.is_file() or not _matches(path, file):
            download(file.urls, path, sha256=file.sha256, md5=file.md5, progress=progress)


def _matches(path: Path, file: Remote) -> bool:
    if file.sha256:
        return checksum(path, "sha256") == file.sha256
    return file.md5 is None or checksum(path, "md5") == file.md5


def _fetch(url: str, path: Path, sha256: str | None, md5: str | None, progress: bool, timeout: float) -> None:
    hashes = [
        (label, hashlib.new(label, usedforsecurity=False), want.lower())
        for label, want in (("sha256", sha256), ("md5", md5))
        if want
    ]
    with _network_failures():
        request = urllib.request.Request(url, headers={"User-Agent": "onebit"})
        response = urllib.request.urlopen(request, timeout=timeout)
    with response, atomic_write(path) as stream, _bar(path.name, _length(response), progress) as advance:
        received = 0
        while True:
            with _network_failures():
                piece = response.read(_PIECE)
            if not piece:
                break
            stream.write(piece)
            for _, state, _ in hashes:
                state.update(piece)
            received += len(piece)
            advance(len(piece))
        announced = _length(response)
        if announced is not None and received != announced:
            raise _Failed(f"the connection was cut after {received} of {announced} bytes")
        for label, state, want in hashes:
            if state.hexdigest() != want:
                raise _Failed(f"wrong {label} checksum, {state.hexdigest()} instead of {want}")


def _length(response: http.client.HTTPResponse) -> int | None:
    text = response.headers.get("Content-Length")
    return int(text) if text and text.isdigit() else None


@contextmanager
def _network_failures() -> Generator[None]:
    # Turned into one exception of ours at once: many of these are OSErrors, which atomic_write takes for the disk's.
    try:
        yield
    except urllib.error.HTTPError as error:
        error.close()
        raise _Failed(f"the server answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise _Failed(f"no connection ({error.reason})") from None
    except http.client.IncompleteRead as error:
        raise _Failed(f"the connection was cut after {len(error.partial)} more bytes") from None
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise _Failed(f"{type(error).__name__}: {error}") from None


@contextmanager
def _bar(name: str, total: int | None, show: bool) -> Generator[Callable[[int], None]]:
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    console = Console(stderr=True)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not show or not console.is_terminal, transient=True) as bar:
        task = bar.add_task(name, total=total)
        yield lambda count: bar.advance(task, count)
