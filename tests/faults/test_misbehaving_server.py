"""A server that fails, breaks off, lies or is not there leaves no damaged weights, and the file that was there."""

import hashlib

import pytest
from weights_fakes import REFUSED, Response

from clipiqa_pyiqa.weights import download

BODY = b"weights" * 1000
HASH = hashlib.sha256(BODY).hexdigest()

pytest_plugins = ["weights_fakes"]

ANSWERS = {
    "another file": Response(b"other" * 1400),
    "a page instead of the file": Response(b"<html>Log in</html>", headers={"Content-Type": "text/html"}),
    "broken off": Response(BODY, cut_at=100),
    "nothing": Response(b""),
    "an error": Response(BODY, status=503),
    "not found": Response(BODY, status=404),
    "for ever to itself": Response(b"", status=302, headers={"Location": "/weights.pt"}),
}


@pytest.mark.parametrize("is_there", [False, True])
@pytest.mark.parametrize("answer", ANSWERS)
def test_a_server_that_fails_leaves_no_damaged_file(tmp_path, server, answer, is_there):
    server.responses["/weights.pt"] = ANSWERS[answer]
    target = tmp_path / "weights.pt"
    if is_there:
        target.write_bytes(b"old")
    with pytest.raises(OSError):
        download.download_from_url(f"{server.url}/weights.pt", target, HASH)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"] * is_there


def test_a_server_that_is_not_there_leaves_the_earlier_file(tmp_path):
    target = tmp_path / "weights.pt"
    target.write_bytes(b"old")
    with pytest.raises(OSError, match="refused"):
        download.download_from_url(f"{REFUSED}/weights.pt", target, HASH)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_an_interrupted_download_leaves_the_earlier_file(tmp_path, server, monkeypatch):
    """Ctrl-C comes as an exception, here while the file is checked."""

    def interrupt(path):
        raise KeyboardInterrupt

    server.responses["/weights.pt"] = Response(BODY)
    monkeypatch.setattr(download, "hash_file", interrupt)
    target = tmp_path / "weights.pt"
    target.write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt):
        download.download_from_url(f"{server.url}/weights.pt", target, HASH)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def test_a_good_download_replaces_the_earlier_file(tmp_path, server):
    server.responses["/weights.pt"] = Response(BODY)
    target = tmp_path / "weights.pt"
    target.write_bytes(b"old")
    assert download.download_from_url(f"{server.url}/weights.pt", target, HASH).read_bytes() == BODY
    assert [*tmp_path.iterdir()] == [target]


def test_a_file_without_a_known_hash_is_not_downloaded(tmp_path, server):
    with pytest.raises(OSError, match="SHA-256"):
        download.download_from_url(f"{server.url}/weights.pt", tmp_path / "weights.pt", "")
    assert not server.requests
