"""``clipiqa weights``: the table downloads nothing unless asked, and tells the truth."""

import re

import pytest
from huggingface_hub import constants
from weights_fakes import (
    REFUSED,
    VIT,
    damage,
    place,
    set_hub,
    set_openai_url,
    sha256,
)

from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.finding import obtained_weights
from clipiqa_pyiqa.weights.published import BACKBONES

pytest_plugins = ["weights_fakes"]


def rows(text):
    """The table's lines by their first cell; cells are two spaces apart or more."""
    return {line[0]: line[1:] for line in (re.split(r"\s{2,}", line) for line in text.splitlines())}


def test_table_of_everything_downloads_nothing(clipiqa, home, server, monkeypatch):
    set_hub(monkeypatch, server.url)
    table = rows(clipiqa("weights", 0).out)
    assert next(iter(table)) == "FILE" and len(table) == 1 + len(BACKBONES) + len(published.PYIQA_FILES)
    assert table["mini (bundled)"][0] == "found" and table["mini (bundled)"][3].startswith("this package: ")
    for backbone in set(BACKBONES) - {"mini"}:
        state, size, digest, where = table[f"{backbone} (openai)"]
        assert (state, size) == ("would be downloaded", "-")
        assert digest == published.published_clip(backbone).sha256[:12]
        assert where.startswith(f"{server.url}/timm/") and "openaipublic" in where
    assert table["CLIPIQA+_RN50_512-89f5d940.pth"][2] == "89f5d940"
    assert server.requests == []
    assert {file.name for file in home.rglob("*") if file.is_file()} <= {"hashes.jsonl"}  # of mini, remembered
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    clipiqa("weights", 0)
    table = rows(clipiqa("weights --prompt-files", 1).out)
    assert all(table[name][0] == "missing (offline)" for name in published.PYIQA_FILES)


@pytest.mark.parametrize("copy", ["folder", "cache"])
def test_table_says_what_is_there_and_what_is_damaged(clipiqa, home, folder, openai_file, copy):
    path = {"folder": folder / "ViT-B-32.pt", "cache": home / ".cache/clip/ViT-B-32.pt"}[copy]
    command = f"weights --backbone {VIT}"
    size = f"{place(openai_file, path).stat().st_size / 1e6:.1f} MB"
    found = rows(clipiqa(command, 0).out)[f"{VIT} (openai)"]
    assert found[:3] == ["found", size, sha256(path)[:12]] and found[3].endswith(f": {path}")
    damage(path)
    said = clipiqa(command, 1 if copy == "folder" else 0)
    row = rows(said.out)[f"{VIT} (openai)"]
    assert row[0] == ("damaged" if copy == "folder" else "would be downloaded")
    where = row[3] if copy == "folder" else said.err
    assert str(path) in where and f"not {sha256(openai_file)[:8]}" in where
    # A good copy elsewhere serves if the damaged one lies in a cache, but the folder is the user's choice.
    place(openai_file, home / "torch/hub/clip/ViT-B-32.pt")
    clipiqa(command, 1 if copy == "folder" else 0)


def test_download_fetches_missing_weights(clipiqa, home, server, route, monkeypatch):
    """Missing files come into the caches; a failure is one row."""
    set_openai_url(monkeypatch, f"{REFUSED}/RN50.pt", "RN50")
    for source in ("download", "cache"):
        table = rows(clipiqa(f"weights --download --backbone {VIT} mini RN50", 1).out)
        assert table[f"{VIT} (openai)"][::3] == ["found", f"{source}: {home / '.cache' / 'clip' / 'ViT-B-32.pt'}"]
        assert table["mini (bundled)"][0] == "found"
        assert table["RN50 (openai)"][0] == "failed" and "refused" in table["RN50 (openai)"][3]
    assert server.requests == [f"GET {route}"] and obtained_weights(VIT).tag == "openai"
