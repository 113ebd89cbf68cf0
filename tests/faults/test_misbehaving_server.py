"""A server, or a hub, that trickles, never stops, falls silent or lies: every download ends, and leaves nothing."""

import contextlib
import dataclasses
import hashlib
import http.server
import itertools
import threading
import time
from importlib.metadata import version

import pytest
from loopback import serving
from weights_fakes import set_hub

from clipiqa_pyiqa.weights import download
from clipiqa_pyiqa.weights.published import release

BODY = b"weights" * 1000
HASH = hashlib.sha256(BODY).hexdigest()

pytest_plugins = ["weights_fakes"]


def answering(*answers):
    """A server that gives these one after the other, the last again and again: a head, pieces, seconds after each."""
    coming = itertools.chain(answers, itertools.repeat(answers[-1]))

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            head, pieces, pause = next(coming)
            with contextlib.suppress(OSError):
                self.wfile.write(f"HTTP/1.1 {head}\r\nConnection: close\r\n\r\n".encode())
                for piece in pieces:
                    self.wfile.write(piece)
                    time.sleep(pause)

        do_HEAD = do_GET

    return serving(Handler)


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    for name, value in {"ANSWER": 1, "SILENCE": 0.5, "GRACE": 0.5, "LARGEST_DOWNLOAD": 1_000_000}.items():
        monkeypatch.setattr(download, name, value)


BEHAVIOURS = {
    "trickling": ("slow", "200 OK\r\nContent-Length: 900000", itertools.repeat(b"x"), 0.05),
    "endless": ("bytes", "200 OK", itertools.repeat(bytes(1 << 16)), 0),
    "silent": ("timed out|slow", "200 OK\r\nContent-Length: 7000", [BODY[:100]], 5),
    "longer": ("bytes", "200 OK\r\nContent-Length: 1000000000000", [BODY], 0),
    "redirecting": ("redirect", "302 Found\r\nLocation: /", [], 0),
}


@pytest.mark.parametrize("behaviour", BEHAVIOURS)
@pytest.mark.parametrize("who", ["publisher", "hub"])
def test_a_download_from_a_misbehaving_server_ends(home, monkeypatch, behaviour, who):
    if (who, behaviour) == ("hub", "redirecting") and [*map(int, version("huggingface_hub").split(".")[:2])] < [1, 31]:
        pytest.skip("huggingface_hub before 1.31 follows redirects for a minute")
    said, *answer = BEHAVIOURS[behaviour]
    file = dataclasses.replace(release("ViT-B/32", "laion2b_s34b_b79k"), hub_sha256=HASH)
    start, kept = time.monotonic(), home / "weights.pt"
    kept.write_bytes(b"old")
    with answering(answer) as url, pytest.raises(Exception, match=None if who == "hub" else f"(?i){said}"):
        if who == "hub":
            set_hub(monkeypatch, url)
            download.from_hub(file)
        else:
            download.from_url(url, kept, HASH)
    assert time.monotonic() - start < 10  # some tries of a second at most
    assert "clipiqa-download" not in {thread.name for thread in threading.enumerate()}  # nothing goes on reading
    left = [path for path in home.rglob("*") if path.is_file() and path.suffix not in (".lock", ".json")]
    assert left == [kept] and kept.read_bytes() == b"old"


def test_a_broken_download_continues_where_it_was(tmp_path):
    first = "200 OK\r\nContent-Length: 7000", [BODY[:100]], 0
    rest = "206 Partial Content\r\nContent-Length: 6900\r\nContent-Range: bytes 100-6999/7000", [BODY[100:]], 0
    with answering(first, rest) as url:
        assert download.from_url(url, tmp_path / "again.pt", HASH).read_bytes() == BODY


def test_a_file_without_a_known_hash_is_not_downloaded(tmp_path):
    with pytest.raises(OSError, match="SHA-256"):
        download.from_url("http://127.0.0.1:9/", tmp_path / "weights.pt", "")
