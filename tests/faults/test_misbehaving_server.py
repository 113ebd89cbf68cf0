"""A server, or a hub, that trickles, never stops, falls silent or lies: every download ends, and leaves nothing."""

import contextlib
import dataclasses
import hashlib
import socket
import threading
import time
from collections.abc import Callable

import pytest
from weights_fakes import set_hub

from clipiqa_pyiqa.weights import download
from clipiqa_pyiqa.weights.published import release

BODY = b"weights" * 1000
HASH = hashlib.sha256(BODY).hexdigest()
Behaviour = Callable[[socket.socket], None]
REQUESTS = []

pytest_plugins = ["weights_fakes"]


def head(connection, length=7000, status="200 OK", more=""):
    lines = [f"HTTP/1.1 {status}", "Connection: close", *([f"Content-Length: {length}"] if length is not None else [])]
    connection.sendall(("\r\n".join(lines + ([more] if more else [])) + "\r\n\r\n").encode())


def trickle(connection):
    head(connection, 900_000)
    while True:
        connection.sendall(b"x")
        time.sleep(0.05)


def endless(connection):
    head(connection, None)
    while True:
        connection.sendall(bytes(1 << 16))


def silent(connection):
    head(connection)
    connection.sendall(BODY[:100])
    time.sleep(5)


def longer(connection):
    head(connection, 10**12)
    connection.sendall(BODY)


def redirecting(connection):
    head(connection, 0, "302 Found", "Location: /")


def another_file(connection):
    head(connection)
    connection.sendall(BODY[::-1])


def good(connection):
    head(connection)
    connection.sendall(BODY)


def interrupted(connection):
    if b"bytes=100-" in REQUESTS[-1]:
        head(connection, len(BODY) - 100, "206 Partial Content", f"Content-Range: bytes 100-6999/{len(BODY)}")
        connection.sendall(BODY[100:])
    else:
        head(connection)
        connection.sendall(BODY[:100])


@contextlib.contextmanager
def serving(behaviour):

    def serve(connection):
        with connection, contextlib.suppress(OSError):
            REQUESTS.append(connection.recv(10_000))
            behaviour(connection)

    def accept():
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listening.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
        listening.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name, value in {"_ANSWER": 1, "_SILENCE": 0.5, "_GRACE": 0.5, "_MOST_BYTES": 1_000_000}.items():
        monkeypatch.setattr(download, name, value)


BEHAVIOURS = [
    (trickle, "slow"),
    (endless, "bytes"),
    (silent, "timed out|slow"),
    (longer, "bytes"),
    (redirecting, "redirect"),
    (another_file, "not kept"),
]


@pytest.mark.parametrize(("behaviour", "said"), BEHAVIOURS, ids=lambda value: getattr(value, "__name__", ""))
@pytest.mark.parametrize("who", ["publisher", "hub"])
def test_a_download_from_a_misbehaving_server_ends(home, monkeypatch, behaviour, said, who):
    file = dataclasses.replace(release("ViT-B/32", "laion2b_s34b_b79k"), hub_sha256=HASH)
    start, threads = time.monotonic(), {*threading.enumerate()}
    with (
        serving(behaviour) as url,
        pytest.raises(Exception, match=None if who == "hub" else f"(?i){said}"),
    ):
        if who == "hub":
            set_hub(monkeypatch, url.rstrip("/"))
            download.from_hub(file)
        else:
            (home / "weights.pt").write_bytes(b"old")
            download.from_url(url, home / "weights.pt", HASH)
    assert time.monotonic() - start < 10  # some tries of a second at most
    if behaviour is endless:  # nothing goes on reading
        assert not [each for each in {*threading.enumerate()} - threads if each.name == "clipiqa-download"]
    left = [path for path in home.rglob("*") if path.is_file() and path.suffix not in (".lock", ".json")]
    assert [path.read_bytes() for path in left] == ([b"old"] if who == "publisher" else [])


def test_a_broken_download_continues_where_it_was(tmp_path):
    with serving(good) as url:
        assert download.from_url(url, tmp_path / "weights.pt", HASH[:8]).read_bytes() == BODY
    with serving(interrupted) as url:
        assert download.from_url(url, tmp_path / "again.pt", HASH).read_bytes() == BODY


def test_a_file_without_a_known_hash_is_not_downloaded(tmp_path):
    with serving(good) as url, pytest.raises(OSError):
        download.from_url(url, tmp_path / "weights.pt", "")
    assert not list(tmp_path.glob("*.pt"))
