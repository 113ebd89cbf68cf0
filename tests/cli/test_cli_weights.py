"""``clipiqa weights``: the table downloads nothing and tells the truth, the folder it fills works."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from huggingface_hub import constants
from weights_fakes import (
    BIN,
    LAION,
    REFUSED,
    VIT,
    Response,
    Server,
    damage,
    place,
    put_into_hub_cache,
    save_state_dict,
    set_hub,
    set_openai_url,
    sha256,
)

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.architecture import BACKBONES
from clipiqa_pyiqa.weights.selection import find_weights

pytest_plugins = ["weights_fakes"]

LAION_TAG = "ViT-B/32:laion2b_s34b_b79k"


def rows(text: str) -> dict[str, list[str]]:
    """The table's lines by their first cell; cells are two spaces apart or more."""
    cells = [re.split(r"\s{2,}", line) for line in text.splitlines()]
    return {line[0]: line[1:] for line in cells}


def test_table_of_everything_downloads_nothing(
    home: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    set_hub(monkeypatch, server.url)
    assert main(["weights"]) == 0
    table = rows(capsys.readouterr().out)
    assert next(iter(table)) == "FILE" and len(table) == 1 + len(BACKBONES) + len(published.PYIQA_FILES)
    assert table["mini (bundled)"][0] == "found" and table["mini (bundled)"][3].startswith("this package: ")
    for backbone in set(BACKBONES) - {"mini"}:
        state, size, digest, where = table[f"{backbone} (openai)"]
        assert (state, size) == ("would be downloaded", "-")
        assert digest == published.release(backbone).sha256[:12]
        assert where.startswith(f"{server.url}/timm/") and "openaipublic" in where
    assert table["CLIPIQA+_RN50_512-89f5d940.pth"][2] == "89f5d940"
    assert server.requests == []
    assert {file.name for file in home.rglob("*") if file.is_file()} <= {"hashes.json"}  # of mini, remembered


def test_what_the_package_has_needs_no_folder(home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["weights", "--backbone", "mini", "--download-to", str(tmp_path / "weights")]) == 0
    assert capsys.readouterr().out == "mini (bundled): not copied, the file is part of this package\n"


def test_table_says_what_is_there(
    home: Path, folder: Path, openai_file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cached = place(openai_file, home / ".cache" / "clip" / "ViT-B-32.pt")
    assert main(["weights", "--backbone", VIT]) == 0
    state, size, digest, where = rows(capsys.readouterr().out)[f"{VIT} (openai)"]
    assert (state, size) == ("found", f"{cached.stat().st_size / 1e6:.1f} MB")
    assert (digest, where) == (sha256(cached)[:12], f"cache: {cached}")


@pytest.mark.parametrize("copy", ["folder", "cache"])
def test_table_says_what_is_damaged(
    home: Path, folder: Path, openai_file: Path, capsys: pytest.CaptureFixture[str], copy: str
) -> None:
    path = {"folder": folder / "ViT-B-32.pt", "cache": home / ".cache" / "clip" / "ViT-B-32.pt"}[copy]
    damage(place(openai_file, path))
    assert main(["weights", "--backbone", VIT]) == 1
    state, _, digest, where = rows(capsys.readouterr().out)[f"{VIT} (openai)"]
    assert state == "damaged" and digest == sha256(path)[:12]
    assert str(path) in where and f"not {sha256(openai_file)[:8]}" in where
    # A good copy elsewhere serves if the damaged one lies in a cache, but the folder is the user's choice.
    place(openai_file, home / "torch" / "hub" / "clip" / "ViT-B-32.pt")
    assert main(["weights", "--backbone", VIT]) == (1 if copy == "folder" else 0)


def test_table_opens_what_has_no_known_hash(home: Path, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_state_dict(folder / "ViT-B-32-laion2b_s34b_b79k.pt", "RN50")
    assert main(["weights", "--backbone", LAION_TAG]) == 1
    state, *_, where = rows(capsys.readouterr().out)[f"{VIT} (laion2b_s34b_b79k)"]
    assert state == "damaged" and "holds RN50 weights, not ViT-B/32" in where


def test_table_offline(home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    assert main(["weights", "--prompt-files"]) == 0
    table = rows(capsys.readouterr().out)
    assert set(table) == {"FILE", *published.PYIQA_FILES}
    assert all(table[name][0] == "missing (offline)" for name in published.PYIQA_FILES)


@pytest.mark.parametrize(("argument", "message"), [("RN51", "did you mean 'RN50'"), ("RN50:laion", "of open_clip")])
def test_unknown_backbone_or_tag(home: Path, capsys: pytest.CaptureFixture[str], argument: str, message: str) -> None:
    assert main(["weights", "--backbone", argument]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and message in captured.err and "Traceback" not in captured.err


def test_filled_folder_serves_offline(
    home: Path,
    openai_file: Path,
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One file by download, one from the hub cache; then the folder alone, offline, gives both."""
    route = f"/{sha256(openai_file)}/ViT-B-32.pt"
    server.responses[route] = Response(openai_file.read_bytes())
    set_openai_url(monkeypatch, server.url + route)
    laion = put_into_hub_cache(home / "hub", LAION, BIN, save_state_dict(tmp_path / "x.bin", VIT))
    target = tmp_path / "new" / "folder"
    command = ["weights", "--download-to", str(target), "--backbone", VIT, LAION_TAG]
    assert main(command) == 0
    names = ["ViT-B-32.pt", "ViT-B-32-laion2b_s34b_b79k.pt"]
    out = capsys.readouterr().out
    assert all(str(target / name) in line for name, line in zip(names, out.splitlines(), strict=True))
    assert sorted(path.name for path in target.iterdir()) == sorted([*names, "SHA256SUMS"])
    sums = (target / "SHA256SUMS").read_text().splitlines()
    assert sums == [f"{sha256(laion)}  {names[1]}", f"{sha256(openai_file)}  {names[0]}"]
    assert len(server.requests) == 1

    assert main(command) == 0
    assert all("already there" in line for line in capsys.readouterr().out.splitlines())
    assert len(server.requests) == 1

    monkeypatch.setenv("HOME", str(tmp_path / "cluster"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "cluster" / "torch"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cluster" / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(target))
    assert find_weights(VIT).tag == "openai"
    weights = find_weights(VIT, "laion2b_s34b_b79k")
    assert (weights.tag, weights.quick_gelu) == ("laion2b_s34b_b79k", False)
    damage(target / names[1])
    assert main(["weights", "--backbone", LAION_TAG]) == 1
    assert "damaged" in capsys.readouterr().out


def test_each_failure_is_one_line(
    home: Path,
    openai_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    place(openai_file, home / ".cache" / "clip" / "ViT-B-32.pt")
    set_openai_url(monkeypatch, f"{REFUSED}/RN50.pt", "RN50")
    set_openai_url(monkeypatch, f"{REFUSED}/RN101.pt", "RN101")
    assert main(["weights", "--download-to", str(tmp_path / "f"), "--backbone", "RN50", VIT, "RN101"]) == 1
    captured = capsys.readouterr()
    assert captured.out.splitlines() == [f"{VIT} (openai): {tmp_path / 'f' / 'ViT-B-32.pt'}"]
    lines = [line for line in captured.err.splitlines() if ": Downloading " not in line]
    assert [line.split(": ")[1] for line in lines] == ["RN50 (openai)", "RN101 (openai)"]
    assert all("refused" in line for line in lines)


def test_unwritable_folder(home: Path, openai_file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    place(openai_file, home / ".cache" / "clip" / "ViT-B-32.pt")
    (tmp_path / "file").write_text("in the way")
    assert main(["weights", "--download-to", str(tmp_path / "file"), "--backbone", VIT]) == 1
    captured = capsys.readouterr()
    assert captured.out == "" and "clipiqa weights: ViT-B/32 (openai): " in captured.err
    assert len(captured.err.splitlines()) == 1


# The function behind the command


def test_function_says_what_is_there(home: Path, folder: Path, openai_file: Path, tmp_path: Path) -> None:
    from clipiqa_pyiqa import weights_at_hand

    cached = place(openai_file, home / ".cache" / "clip" / "ViT-B-32.pt")
    told: list[str] = []
    found = weights_at_hand([VIT, "mini"], prompts=True, report=lambda file: told.append(file.state))
    assert told == [file.state for file in found.files]
    assert told == ["found", "found", *["would be downloaded"] * len(published.PYIQA_FILES)]
    assert (found.files[0].size, found.files[0].sha256) == (cached.stat().st_size, sha256(cached))
    assert found.complete
    assert found.files[2].sha256 == "603f3273"
    damage(cached)
    assert [file.state for file in weights_at_hand(VIT).files] == ["damaged"] and not weights_at_hand(VIT).complete
    with pytest.raises(WeightsError, match="did you mean 'RN50'"):
        weights_at_hand("RN51")


def test_function_fills_a_folder(
    home: Path, openai_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from clipiqa_pyiqa import weights_at_hand

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    cached = place(openai_file, home / ".cache" / "clip" / "ViT-B-32.pt")
    for state in ("copied", "already there"):
        found = weights_at_hand(["mini", VIT, "RN50"], download_to=tmp_path / "weights")
        assert [file.state for file in found.files] == ["not copied", state, "failed"]
        assert found.files[1].where == str(tmp_path / "weights" / "ViT-B-32.pt") and not found.complete
    assert "is not on this machine" in found.files[2].where
    assert (tmp_path / "weights" / "ViT-B-32.pt").read_bytes() == cached.read_bytes()
