"""A server that trickles, never stops, falls silent, lies or sends elsewhere: each download ends, and nothing is
kept of it."""

from __future__ import annotations

import contextlib
import hashlib
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from clipiqa_pyiqa.weights import download, hub
from clipiqa_pyiqa.weights.download import check_scheme, from_url
from clipiqa_pyiqa.weights.published import release

BODY = b"weights" * 1000
HASH = hashlib.sha256(BODY).hexdigest()
Behaviour = Callable[[socket.socket], None]


def head(connection: socket.socket, length: int | None = len(BODY), status: str = "200 OK", more: str = "") -> None:
    lines = [f"HTTP/1.1 {status}", "Connection: close", *([f"Content-Length: {length}"] if length is not None else [])]
    connection.sendall(("\r\n".join(lines + ([more] if more else [])) + "\r\n\r\n").encode())


def trickle(connection: socket.socket) -> None:
    head(connection, 900_000)
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def endless(connection: socket.socket) -> None:
    head(connection, None)
    while True:
        connection.sendall(bytes(1 << 16))


def silent(connection: socket.socket) -> None:
    head(connection)
    connection.sendall(BODY[:100])
    time.sleep(5)


def mute(connection: socket.socket) -> None:
    time.sleep(5)


def longer(connection: socket.socket) -> None:
    head(connection, 10**12)
    connection.sendall(BODY)


def shorter(connection: socket.socket) -> None:
    head(connection, len(BODY) * 2)
    connection.sendall(BODY)


def elsewhere(connection: socket.socket) -> None:
    head(connection, 0, "302 Found", "Location: http://example.com/weights")


def around(connection: socket.socket) -> None:
    head(connection, 0, "302 Found", "Location: /")


def garbage(connection: socket.socket) -> None:
    connection.sendall(b"\x00\xff" * 200 + b"\r\n\r\n")


def other(connection: socket.socket) -> None:
    head(connection)
    connection.sendall(BODY[::-1])


def good(connection: socket.socket) -> None:
    head(connection)
    connection.sendall(BODY)


@contextlib.contextmanager
def serving(behaviour: Behaviour) -> Iterator[str]:
    def serve(connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            connection.recv(10_000)
            behaviour(connection)

    def accept() -> None:
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_TIMEOUT", 0.5)
    monkeypatch.setattr(download, "_GRACE", 0.5)


@pytest.mark.parametrize(
    ("behaviour", "said"),
    [
        (trickle, "too slow"),
        (endless, "more than the"),
        (silent, "timed out"),
        (mute, "timed out"),
        (longer, "but 1,000,000 at most were expected"),
        (shorter, "broke off"),
        (elsewhere, "only https"),
        (around, "redirect"),
        (garbage, ""),
        (other, "it was not kept"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_downloads_end(behaviour: Behaviour, said: str, tmp_path: Path) -> None:
    target = tmp_path / "weights.pt"
    start = time.monotonic()
    with serving(behaviour) as url, pytest.raises(Exception, match=f"(?i){said}"):
        from_url(url, target, HASH, 1_000_000)
    assert time.monotonic() - start < 5
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == []


def test_a_good_one_is_kept(tmp_path: Path) -> None:
    with serving(good) as url:
        assert from_url(url, tmp_path / "weights.pt", HASH, len(BODY)).read_bytes() == BODY


def test_nothing_without_a_hash_and_nothing_by_http(tmp_path: Path) -> None:
    with serving(good) as url, pytest.raises(OSError, match="nobody says which hash"):
        from_url(url, tmp_path / "weights.pt", "")
    for url in ("http://example.com/x", "ftp://127.0.0.1/x", "file:///etc/passwd", "http://127.0.0.1.example.com/x"):
        with pytest.raises(OSError, match="only https"):
            from_url(url, tmp_path / "weights.pt", HASH)
    check_scheme("https://example.com/x")
    assert not list(tmp_path.glob("*.pt"))


def test_the_hubs_client_is_not_waited_for_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hub, "hf_hub_download", lambda *_, **__: time.sleep(30))
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="too slow: 0 bytes"):
        hub._fetched("a/b", "c", "")


def test_the_hubs_client_is_not_followed_without_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(*_: object, **__: object) -> None:
        blobs = tmp_path / "models--a--b/blobs"
        blobs.mkdir(parents=True)
        with open(blobs / "x.incomplete", "wb") as file:
            for _ in range(100):
                file.write(bytes(1 << 20))
                time.sleep(0.05)

    monkeypatch.setattr(hub, "hf_hub_download", endless)
    monkeypatch.setattr(hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(OSError, match="more than the 5,000,000 bytes"):
        hub._fetched("a/b", "c", "", 5_000_000)


def test_known_files_have_bounds_of_their_own() -> None:
    for backbone, size in {"RN50": 408_291_932, "ViT-B/32": 605_143_284, "ViT-L/14": 1_710_517_724}.items():
        assert size <= release(backbone, "openai").file.most < size * 1.05
    assert release("ViT-B/32", "laion2b_s34b_b79k").file.most == download.MOST_BYTES
