"""What real files and real machines bring: names as URLs quote them, pinned revisions, bad blobs, odd checkpoints."""

from __future__ import annotations

import logging
import ssl
import urllib.error
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pytest
import torch
from huggingface_hub import constants
from weights_fakes import (
    REFUSED,
    VIT,
    Response,
    Server,
    damage,
    fake_state_dict,
    place,
    save_state_dict,
    set_openai_url,
    sha256,
)

from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.weights import hub, published, published_prompts
from clipiqa_pyiqa.weights.download import innermost
from clipiqa_pyiqa.weights.published_prompts import find_prompt_file
from clipiqa_pyiqa.weights.selection import find_weights

pytest_plugins = ["weights_fakes"]

REPOSITORY = "timm/vit_base_patch32_clip_224.openai"
REVISION = "f" * 40
FIRST = "open_clip_model.bin"  # stands for open_clip_model.safetensors, a form that cannot be small


@pytest.fixture
def pinned(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as the hub's: the table of pinned revisions gets its hash."""
    file = save_state_dict(tmp_path / FIRST, VIT)
    monkeypatch.setitem(hub.PINNED, REPOSITORY, (REVISION, sha256(file)))
    monkeypatch.setattr(published, "_HUB_NAMES", (FIRST, "open_clip_pytorch_model.bin"))
    return file


def become_the_hub(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What HF_ENDPOINT does, for a client that is loaded already."""
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    template = server.url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)


def serve(server: Server, content: bytes, digest: str, monkeypatch: pytest.MonkeyPatch, name: str = FIRST) -> str:
    """Let the server be the hub, with one file that it says to have a hash; the file's route."""
    route = f"/{REPOSITORY}/resolve/{REVISION}/{name}"
    headers = {"ETag": f'"{digest}"', "X-Repo-Commit": REVISION, "X-Linked-Etag": f'"{digest}"'}
    server.responses[route] = Response(content, headers={**headers, "X-Linked-Size": str(len(content))})
    become_the_hub(server, monkeypatch)
    return route


# The hub's files


@pytest.mark.parametrize("in_folder", [False, True])
def test_the_hubs_file_is_known_by_its_hash(
    home: Path, folder: Path, pinned: Path, caplog: pytest.LogCaptureFixture, in_folder: bool
) -> None:
    path = place(pinned, folder / FIRST) if in_folder else pinned
    weights = find_weights(VIT, None if in_folder else path)
    assert (weights.path, weights.tag, weights.quick_gelu) == (path, "openai", True)
    assert caplog.text == ""


def test_the_same_name_with_another_hash_is_not_taken_for_it(home: Path, folder: Path, pinned: Path) -> None:
    """Every backbone's file on the hub has this name."""
    save_state_dict(folder / FIRST, "ViT-B/16")
    with pytest.raises(WeightsError, match="not on this machine"):
        find_weights(VIT)


def test_pinned_revision_in_the_cache_is_found_offline(
    home: Path, pinned: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever downloads by revision leaves no reference to it in the hub's cache."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    for revision in (REVISION, "e" * 40):
        link = home / "hub" / f"models--{REPOSITORY.replace('/', '--')}" / "snapshots" / revision / FIRST
        place(pinned, link)
        assert find_weights(VIT).path == link
        link.unlink()


def test_download_is_pinned_and_checked(
    home: Path, pinned: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = serve(server, pinned.read_bytes(), sha256(pinned), monkeypatch)
    weights = find_weights(VIT)
    assert (weights.source, weights.sha256, weights.tag) == ("download", sha256(pinned), "openai")
    assert f"GET {route}" in server.requests and not any("/main/" in request for request in server.requests)


def test_blob_that_comes_damaged_is_removed_and_asked_for_again(
    home: Path, pinned: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad = bytearray(pinned.read_bytes())
    bad[len(bad) // 2] ^= 1
    set_openai_url(monkeypatch, f"{REFUSED}/ViT-B-32.pt")
    route = serve(server, bytes(bad), sha256(pinned), monkeypatch)
    with pytest.raises(WeightsError, match="came damaged twice"):
        find_weights(VIT)
    assert server.requests.count(f"GET {route}") == 2
    assert not [path for path in (home / "hub").rglob("*") if path.name in (sha256(pinned), FIRST)]
    serve(server, pinned.read_bytes(), sha256(pinned), monkeypatch)
    assert find_weights(VIT).sha256 == sha256(pinned)


def test_blob_that_was_damaged_before_is_named(
    home: Path, pinned: Path, server: Server, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """To delete the link under snapshots/ would link the damaged blob again."""
    serve(server, pinned.read_bytes(), sha256(pinned), monkeypatch)
    set_openai_url(monkeypatch, f"{REFUSED}/ViT-B-32.pt")
    blob = find_weights(VIT).path.resolve()
    damage(blob)
    with pytest.raises(WeightsError, match=f"delete {blob}"):
        find_weights(VIT)
    assert f"{blob} is damaged" in caplog.text and "snapshots" not in caplog.text.replace(str(blob), "")


def test_other_revision(home: Path, pinned: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch,
                        capsys: pytest.CaptureFixture[str]) -> None:  # fmt: skip
    from clipiqa_pyiqa.cli import main

    other = save_state_dict(tmp_path / "other.bin", VIT)
    serve(server, other.read_bytes(), sha256(other), monkeypatch, "open_clip_pytorch_model.bin")
    monkeypatch.setitem(hub.PINNED, REPOSITORY, ("a" * 40, sha256(pinned)))
    arguments = ["weights", "--backbone", VIT, "--revision", REVISION, "--download-to", str(tmp_path / "folder")]
    assert main(arguments) == 0, capsys.readouterr().err
    assert (tmp_path / "folder" / "ViT-B-32.pt").read_bytes() == other.read_bytes()


def test_real_table_of_pinned_revisions() -> None:
    for backbone in ("RN50", "ViT-B/32", "ViT-B/16", "ViT-L/14"):
        file = published.release(backbone, "openai").file
        assert len(file.revision) == 40 and len(file.hub_sha256) == 64
        assert published.recognise(Path("x.safetensors"), file.hub_sha256) == published.release(backbone, "openai")


# Other sources


def test_mirror_of_rn50_and_its_hash(
    home: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = save_state_dict(tmp_path / "RN50.pt")
    set_openai_url(monkeypatch, f"{REFUSED}/{sha256(file)}/RN50.pt", "RN50")
    monkeypatch.setattr(published, "MIRRORS", {"RN50 (openai)": f"{server.url}/RN50.pt"})
    server.responses["/RN50.pt"] = Response(file.read_bytes()[:-1])
    with pytest.raises(WeightsError, match="its SHA-256 starts"):
        find_weights("RN50")
    server.responses["/RN50.pt"] = Response(file.read_bytes())
    assert find_weights("RN50").sha256 == sha256(file)


def test_another_file_in_the_cache_of_clip_is_not_called_damaged(
    home: Path, tmp_path: Path, openai_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = place(save_state_dict(tmp_path / "other.pt", VIT), home / ".cache" / "clip" / "ViT-B-32.pt")
    with pytest.raises(WeightsError, match=r"not the published ViT-B/32 \(openai\)"):
        find_weights(VIT)
    assert f"{other} is not the published ViT-B/32 (openai)" in caplog.text and "damaged" not in caplog.text


def prompts_with_plus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    torch.save(torch.zeros(16, 512), tmp_path / "x.pth")
    path = tmp_path / f"CLIP-IQA+_x-{sha256(tmp_path / 'x.pth')[:8]}.pth"
    (tmp_path / "x.pth").rename(path)
    monkeypatch.setattr(published_prompts, "PROMPT_FILES", (path.name,))
    return path


def test_prompt_files_under_their_quoted_names(
    home: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """pyiqa keeps what it downloads under the name in the URL, where a plus is %2B."""
    file = prompts_with_plus(tmp_path, monkeypatch)
    quoted = quote(file.name)
    assert "%2B" in quoted
    cached = place(file, home / "torch" / "hub" / "pyiqa" / quoted)
    assert find_prompt_file(file.name) == cached
    in_folder = place(file, folder / quoted)
    assert find_prompt_file(file.name) == in_folder
    damage(in_folder)
    with pytest.raises(WeightsError, match="is damaged"):
        find_prompt_file(file.name)


def test_prompt_files_come_through_the_hubs_client_first(
    home: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = prompts_with_plus(tmp_path, monkeypatch)
    become_the_hub(server, monkeypatch)
    headers = {"ETag": f'"{sha256(file)}"', "X-Repo-Commit": REVISION}
    route = f"/{published_prompts.HUB}/resolve/main/{quote(file.name)}"
    server.responses[route] = Response(file.read_bytes(), headers=headers)
    found = find_prompt_file(file.name)
    assert found.is_relative_to(home / "hub") and found.read_bytes() == file.read_bytes()
    assert f"GET {route}" in server.requests


# Errors


def test_error_ends_with_its_innermost_cause() -> None:
    try:
        try:
            raise urllib.error.URLError(ssl.SSLError("certificate verify failed: self-signed certificate"))
        except OSError as error:
            raise RuntimeError("cannot reach the hub " + "and so on " * 50) from error
    except RuntimeError as error:
        text = innermost(error)
    assert text.startswith("cannot reach the hub") and len(text) < 300
    assert text.endswith("certificate verify failed: self-signed certificate',)") or text.endswith(
        "certificate verify failed: self-signed certificate"
    )


def test_a_download_is_announced(home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    set_openai_url(monkeypatch, f"{REFUSED}/ViT-B-32.pt")
    with caplog.at_level(logging.WARNING), pytest.raises(WeightsError):
        find_weights(VIT)
    assert f"Downloading ViT-B/32 (openai) from {REFUSED}/{REPOSITORY}" in caplog.text


# Odd checkpoints


def test_logit_scale_as_a_vector_of_one(home: Path, tmp_path: Path) -> None:
    torch.save({**fake_state_dict(VIT), "logit_scale": torch.tensor([4.6])}, tmp_path / "x.pt")
    assert find_weights(VIT, tmp_path / "x.pt", quick_gelu=True).tag == "file"


def test_numpy_numbers_beside_the_tensors(home: Path, tmp_path: Path) -> None:
    said = {"epoch": np.int64(3), "loss": np.float64(0.5), "best": np.bool_(True), "rate": np.float32(1e-3)}
    torch.save({"state_dict": fake_state_dict(VIT), **said}, tmp_path / "x.pt")
    assert find_weights(VIT, tmp_path / "x.pt", quick_gelu=True).tag == "file"


def test_numpy_arrays_of_objects_are_still_refused(home: Path, tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, ...]:
            return (print, ("run",))

    torch.save({"state_dict": fake_state_dict(VIT), "x": np.array([Trap()], dtype=object)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match="could run code"):
        find_weights(VIT, tmp_path / "x.pt", quick_gelu=True)
