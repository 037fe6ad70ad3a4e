import dataclasses
import gzip
import hashlib
import http.server
import io
import socket
import tarfile
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import onebit.data.mnist as mnist
from onebit.data import download, load_dataset
from onebit.data.cifar import CIFAR10
from onebit.data.fetch import Remote, fetch_all
from onebit.errors import DataError, OnebitError, UsageError

GOOD = bytes(range(256)) * 3000
SHA256, MD5 = hashlib.sha256(GOOD).hexdigest(), hashlib.md5(GOOD).hexdigest()


class Handler(http.server.BaseHTTPRequestHandler):
    files: dict[str, bytes]
    asked: list[str]

    def do_GET(self) -> None:
        name = self.path.lstrip("/")
        self.asked.append(name)
        if name == "unsized":
            self.send_response(200)
            self.end_headers()
            self.wfile.write(GOOD)
        elif name == "cut":
            self.send_response(200)
            self.send_header("Content-Length", str(len(GOOD)))
            self.end_headers()
            self.wfile.write(GOOD[:1000])
        elif name == "silent":
            self.send_response(200)
            self.send_header("Content-Length", str(len(GOOD)))
            self.end_headers()
            self.wfile.write(GOOD[:1000])
            self.wfile.flush()
            self.server.stop.wait(5)  # type: ignore[attr-defined]
        elif name in self.files:
            self.send_response(200)
            self.send_header("Content-Length", str(len(self.files[name])))
            self.end_headers()
            self.wfile.write(self.files[name])
        else:
            self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


class Server:
    def __init__(self) -> None:
        self.files = {"good": GOOD}
        self.asked: list[str] = []
        handler = type("Bound", (Handler,), {"files": self.files, "asked": self.asked})
        self.http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.http.stop = threading.Event()  # type: ignore[attr-defined]
        self.url = f"http://127.0.0.1:{self.http.server_address[1]}/"
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01})


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running = Server()
    running.thread.start()
    yield running
    running.http.stop.set()  # type: ignore[attr-defined]
    running.http.shutdown()
    running.http.server_close()
    running.thread.join()


@pytest.mark.parametrize("name", ["good", "unsized"])
def test_a_good_file_arrives_whole(server: Server, tmp_path: Path, name: str) -> None:
    path = download(server.url + name, tmp_path / "new" / "file", sha256=SHA256, md5=MD5.upper())
    assert path.read_bytes() == GOOD
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "the server answered 404 Not Found"),
        ("cut", "the connection was cut"),
        ("silent", "TimeoutError: timed out"),
    ],
)
def test_failures_leave_nothing(server: Server, tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as info:
        download(server.url + name, tmp_path / "file", sha256=SHA256, timeout=0.3)
    assert list(tmp_path.iterdir()) == []
    assert server.url + name in str(info.value)
    assert "\n" not in str(info.value)


@pytest.mark.parametrize("kind", ["sha256", "md5"])
def test_a_wrong_checksum_leaves_what_was_there(server: Server, tmp_path: Path, kind: str) -> None:
    (tmp_path / "file").write_bytes(b"old")
    with pytest.raises(DataError, match=f"wrong {kind} checksum, .* instead of 00ff"):
        download(server.url + "good", tmp_path / "file", **{kind: "00ff"})
    assert [(entry.name, entry.read_bytes()) for entry in tmp_path.iterdir()] == [("file", b"old")]


def test_no_server_and_no_such_address(tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}/x"
        with pytest.raises(DataError, match=r"no connection \("):
            download(address, tmp_path / "file")
    with pytest.raises(DataError, match=r"no connection|ValueError"):
        download("nonsense", tmp_path / "file")
    with pytest.raises(UsageError, match="no address to download file from"):
        download([], tmp_path / "file")
    assert list(tmp_path.iterdir()) == []


def test_mirrors_are_tried_in_order_and_all_named(server: Server, tmp_path: Path) -> None:
    server.files["bad"] = b"bad"
    urls = [server.url + name for name in ("nothing", "bad", "good")]
    assert download(urls, tmp_path / "file", sha256=SHA256).read_bytes() == GOOD
    assert server.asked == ["nothing", "bad", "good"]
    with pytest.raises(DataError, match=r"nothing: .*404.*; .*bad: wrong sha256"):
        download(urls[:2], tmp_path / "file", sha256=SHA256)


def test_a_disk_that_refuses_is_not_blamed_on_the_network(server: Server, tmp_path: Path) -> None:
    (tmp_path / "blocked").write_text("a file where a folder should be")
    with pytest.raises(OnebitError, match=r"cannot write .*blocked"):
        download(server.url + "good", tmp_path / "blocked" / "file")


def test_fetch_all_takes_only_what_is_missing_or_wrong(server: Server, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(GOOD)
    (tmp_path / "b").write_bytes(b"damaged")
    files = [Remote(name, (server.url + "good",), md5=MD5) for name in "abc"]
    fetch_all(files, tmp_path)
    assert server.asked == ["good", "good"]
    assert all((tmp_path / name).read_bytes() == GOOD for name in "abc")


def test_mnist_downloads_what_is_missing(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for names in mnist._NAMES.values():
        for name, array in zip(names, (np.zeros((2, 28, 28)), np.array([3, 4])), strict=True):
            header = bytes([0, 0, 8, array.ndim]) + b"".join(size.to_bytes(4, "big") for size in array.shape)
            server.files[f"{name}.gz"] = gzip.compress(header + array.astype(np.uint8).tobytes())
    monkeypatch.setattr(mnist, "MIRRORS", (server.url,))
    monkeypatch.setattr(mnist, "_MD5", {name: hashlib.md5(data).hexdigest() for name, data in server.files.items()})
    data = load_dataset("mnist", "train", data_dir=tmp_path, download=True)
    assert data.labels.tolist() == [3, 4]
    assert len(server.asked) == 4
    load_dataset("mnist", "test", data_dir=tmp_path, download=True)
    assert len(server.asked) == 4


def test_cifar_downloads_checks_and_unpacks(server: Server, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name in (*CIFAR10.binary.train, *CIFAR10.binary.test, CIFAR10.binary.meta):
            content = b"name " * 10 if name == CIFAR10.binary.meta else bytes([3]) + bytes(3072)
            info = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
    server.files[CIFAR10.archive] = buffer.getvalue()
    binary = dataclasses.replace(CIFAR10.binary, records=dict.fromkeys(CIFAR10.binary.records, 1))
    digest = hashlib.md5(buffer.getvalue()).hexdigest()
    cifar = dataclasses.replace(CIFAR10, binary=binary, archive_md5=digest, mirrors=(server.url,))
    cifar.fetch(tmp_path)
    assert cifar.read(tmp_path, "train").labels.tolist() == [3] * 5
    assert [entry.name for entry in tmp_path.iterdir()] == ["cifar-10-batches-bin"]
    cifar.fetch(tmp_path)
    assert server.asked == [CIFAR10.archive]
    (tmp_path / CIFAR10.binary.folder / "data_batch_2.bin").write_bytes(b"cut")
    cifar.fetch(tmp_path)
    assert server.asked == [CIFAR10.archive] * 2
    assert cifar.read(tmp_path, "train").labels.tolist() == [3] * 5
    with pytest.raises(DataError, match=r"cannot download cifar-10-binary\.tar\.gz .*wrong md5"):
        dataclasses.replace(cifar, archive_md5="0" * 32).fetch(tmp_path / "other")
    assert list((tmp_path / "other").iterdir()) == []
