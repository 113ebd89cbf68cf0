"""Which file is used: the order of places, hashes, QuickGELU and normalisation, and finding weights again by hash."""

import json
import os
import pickle
from dataclasses import replace
from pathlib import Path

import open_clip
import pytest
from assertions import refused
from weights_fakes import (
    BIN,
    LAION,
    TIMM,
    VIT,
    damage,
    place,
    put_into_hub_cache,
    save_state_dict,
    set_hub,
    set_openai_url,
    sha256,
)

from clipiqa_pyiqa import files as hashes
from clipiqa_pyiqa.clip.model import frozen_clip
from clipiqa_pyiqa.weights import finding, published
from clipiqa_pyiqa.weights.at_hand import weights_at_hand
from clipiqa_pyiqa.weights.finding import found_again, obtained_weights
from clipiqa_pyiqa.weights.published import BACKBONES

pytest_plugins = ["weights_fakes"]

# A given path


@pytest.mark.parametrize("clip_weights", ["mine", "mine.pt", Path("mine.pt")])
def test_a_given_path_needs_no_network(home, tmp_path, server, monkeypatch, clip_weights):
    set_hub(monkeypatch, server.url)
    set_openai_url(monkeypatch, f"{server.url}/ViT-B-32.pt")
    monkeypatch.chdir(tmp_path)
    path = save_state_dict(tmp_path / clip_weights, VIT)
    weights = obtained_weights(VIT, clip_weights, quick_gelu=True)
    assert weights.path.resolve() == path and weights.short == f"file {path.name} {sha256(path)[:8]}"
    assert weights.mean == published.OPENAI_MEAN and server.requests == []


def test_a_path_or_tag_that_cannot_be_used_is_refused(home, tmp_path, monkeypatch):
    for clip_weights, named in {"gone.pt": "gone.pt", ".": "folder", "vit.pt": "RN50", "opnai": "'openai'"}.items():
        monkeypatch.chdir(tmp_path)
        save_state_dict(tmp_path / "vit.pt", VIT)
        assert named in refused(obtained_weights, "RN50", clip_weights)


# QuickGELU and normalisation


def test_an_unpublished_file_counts_as_quick_gelu_with_a_warning(home, tmp_path, caplog):
    path = save_state_dict(tmp_path / "mine.pt", VIT)
    assert obtained_weights(VIT, path).quick_gelu is True
    assert "mine.pt is not a published file: QuickGELU is assumed" in caplog.text
    caplog.clear()
    assert [obtained_weights(VIT, path, quick_gelu=value).quick_gelu for value in (False, True)] == [False, True]
    assert caplog.text == ""


def test_published_file_is_recognised_by_hash_or_place(home, openai_file, tmp_path):
    weights = obtained_weights(VIT, openai_file)
    assert (weights.tag, weights.quick_gelu, weights.place) == ("openai", True, "given path")
    assert weights.short == f"openai {sha256(openai_file)[:8]}"
    refused(obtained_weights, VIT, openai_file, quick_gelu=False)
    laion = put_into_hub_cache(home / "hub", LAION, BIN, save_state_dict(tmp_path / "x.bin", VIT))
    assert (obtained_weights(VIT, laion).tag, obtained_weights(VIT, laion).quick_gelu) == ("laion2b_s34b_b79k", False)
    refused(obtained_weights, VIT, laion, quick_gelu=True)


def test_every_tag_agrees_with_open_clip():
    """Activation, hashes and names, for our backbones."""
    for backbone in set(BACKBONES) - {"mini"}:
        openai = published.published_clip(backbone)
        assert openai.quick_gelu and len(openai.sha256) == 64
        assert f"{backbone.replace('/', '-')}.pt" == openai.names[1] == openai.urls[0].rpartition("/")[2]
        if openai.revision:
            assert finding.recognise(Path("x.safetensors"), openai.hub_sha256) == openai
        for tag in published.tags(backbone):
            config = open_clip.get_pretrained_cfg(backbone.replace("/", "-"), tag)
            known = published.published_clip(backbone, tag)
            assert known.quick_gelu == config.get("quick_gelu", known.quick_gelu)
            assert known.sha256 or not ("mlfoundations" in config["url"] or "openai" in config["url"])
    assert published.published_clip("RN50").sha256.startswith("afeb0e10")


# The order of places


def test_the_first_good_copy_is_used(home, openai_file, monkeypatch, tmp_path, caplog):
    """Each place is used when the ones before it have nothing."""

    def source_and_path():
        weights = obtained_weights(VIT)
        assert weights.tag == "openai"
        return weights.place, weights.path

    for path in (home / ".cache/clip/ViT-B-32.pt", home / "torch/hub/clip/ViT-B-32.pt"):
        place(openai_file, path)
        assert source_and_path() == ("cache", path)
    link = put_into_hub_cache(home / "hub", TIMM, BIN, openai_file)
    folder = tmp_path / "folder"
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(folder))
    assert source_and_path() == ("hub cache", link) and caplog.text.count(f"{folder}, which is not a folder") == 1
    place(openai_file, folder / "ViT-B-32.pt")
    assert source_and_path() == ("CLIPIQA_WEIGHTS_DIR", folder / "ViT-B-32.pt")
    users_file = save_state_dict(tmp_path / "own.pt", VIT)
    assert obtained_weights(VIT, users_file, quick_gelu=True).place == "given path"


# The hash decides in the user's folder


def test_a_file_of_the_hub_in_the_folder_is_recognised_by_its_hash(home, folder, seeded_weights, monkeypatch):
    path = place(seeded_weights(VIT), folder / "ViT-B-32.safetensors")
    monkeypatch.setitem(published.PINNED, TIMM, ("main", sha256(path)))
    assert obtained_weights(VIT).tag == "openai"


def test_an_unknown_hash_in_the_folder_is_not_openais(home, folder, seeded_weights, caplog):
    """Its name alone made a random network "openai", and published values stood beside its scores."""
    path = place(seeded_weights(VIT), folder / "ViT-B-32.safetensors")
    weights = obtained_weights(VIT)
    assert weights.short == f"file ViT-B-32.safetensors {sha256(path)[:8]}" and weights.place == "CLIPIQA_WEIGHTS_DIR"
    assert weights.quick_gelu and "ViT-B-32.safetensors is not a published file" in caplog.text
    assert not obtained_weights(VIT, quick_gelu=False).quick_gelu
    (file,) = weights_at_hand([VIT])
    assert (file.state, file.sha256) == ("not published", sha256(path))


def test_an_unknown_file_under_the_name_of_a_tag_has_the_facts_of_this_tag(home, folder, seeded_weights, caplog):
    place(seeded_weights(VIT), folder / "ViT-B-32-laion2b_s34b_b79k.safetensors")
    weights = obtained_weights(VIT, "laion2b_s34b_b79k")
    assert (weights.tag, weights.quick_gelu) == ("file", False) and "GELU is assumed" in caplog.text


def test_another_published_file_under_this_name_is_refused(home, folder, openai_file):
    place(openai_file, folder / "ViT-B-32-laion2b_s34b_b79k.safetensors")
    assert "is ViT-B/32 (openai), not" in refused(obtained_weights, VIT, "laion2b_s34b_b79k")
    (file,) = weights_at_hand([f"{VIT}:laion2b_s34b_b79k"])
    assert file.state == "damaged" and "is ViT-B/32 (openai), not" in file.where


# Damage


def test_another_hash_in_the_folder_is_an_error_before_anything_is_opened(home, folder, openai_file, monkeypatch):
    damage(place(openai_file, folder / "ViT-B-32.pt"))
    monkeypatch.setattr("clipiqa_pyiqa.weights.finding.open_checkpoint", lambda path: pytest.fail("opened"))
    refused(obtained_weights, VIT)


def test_damaged_copies_in_caches_are_passed_over(home, openai_file, caplog):
    blob = put_into_hub_cache(home / "hub", TIMM, BIN, openai_file, blob="0" * 64).resolve()
    cut = place(openai_file, home / "torch/hub/clip/ViT-B-32.pt")
    cut.write_bytes(openai_file.read_bytes()[:1000])  # an interrupted download
    good = place(openai_file, home / ".cache/clip/ViT-B-32.pt")
    assert obtained_weights(VIT).path == good
    for path in (blob, cut):  # of the hub's the blob: to delete the link would link it again
        assert f"{path} is damaged or another file" in caplog.text
    assert "snapshots" not in caplog.text


@pytest.mark.parametrize("content", ["[1, 2", "{}", '["PATH", 7, 8]', '["PATH", [1, 2, 3, 4], "00"]', "[" * 10**5])
def test_hashes_are_kept_and_a_damaged_store_is_no_error(home, tmp_path, monkeypatch, content):
    path = tmp_path / "x"
    store = tmp_path / "hashes.jsonl"
    path.write_bytes(b"one")
    store.write_text(content.replace("PATH", str(path.resolve())))
    expected = sha256(path)
    assert hashes.FileHashes(store).of([path]) == [expected]
    with monkeypatch.context() as patch:
        patch.setattr(hashes, "hash_file", lambda path: pytest.fail("hashed again"))
        assert hashes.FileHashes(store).of([path, path]) == [expected] * 2
    (tmp_path / "other").write_bytes(b"two")  # of equal size and time
    os.utime(tmp_path / "other", ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    os.replace(tmp_path / "other", path)
    with monkeypatch.context() as patch:  # changed while it is read
        patch.setattr(hashes, "hash_file", lambda path: Path(path).write_bytes(b"three") and "0")
        hashes.FileHashes(store).of([path])
    assert hashes.FileHashes(store).of([path]) == [sha256(path)] != [expected]


def test_a_new_hash_is_one_more_line_and_the_rest_is_not_read_again(tmp_path):
    store = tmp_path / "hashes.jsonl"
    known = hashes.FileHashes(store)
    (tmp_path / "x").write_bytes(b"one")
    known.of([tmp_path / "x"])
    store.write_text("damaged meanwhile\n")
    (tmp_path / "y").write_bytes(b"two")
    assert known.of([tmp_path / name for name in "xyx"]) == [sha256(tmp_path / name) for name in "xyx"]
    damaged, empty, line = store.read_text().splitlines()
    assert (damaged, empty) == ("damaged meanwhile", "") and json.loads(line)[0] == str(tmp_path / "y")


def test_hashes_of_weights_are_kept_in_the_users_cache(home, tmp_path, monkeypatch):
    (tmp_path / "x").write_bytes(b"one")
    expected = hashes.remembered_sha256(tmp_path / "x")
    assert hashes.FileHashes(home / "cache/clipiqa/hashes.jsonl").of([tmp_path / "x"]) == [expected]
    monkeypatch.setattr(hashes, "hash_file", lambda path: pytest.fail("hashed again"))
    assert hashes.remembered_sha256(tmp_path / "x") == expected


def test_hashes_need_no_store_that_can_be_written(home, tmp_path, monkeypatch):
    path = tmp_path / "x"
    path.write_bytes(b"one")
    monkeypatch.setenv("XDG_CACHE_HOME", str(path))
    assert hashes.remembered_sha256(path) == sha256(path)


# Weights that another process found


def test_pickled_weights_are_found_again_by_hash(home, folder, tmp_path):
    """Where they were, or in the folder; never others that lie there. A copy in use has its own name."""
    path = save_state_dict(tmp_path / "mine.pt", VIT)
    held = frozen_clip(obtained_weights(VIT, place(path, tmp_path / "copy.pt"), quick_gelu=True))
    pickled = pickle.dumps(frozen_clip(obtained_weights(VIT, path, quick_gelu=True)))
    assert pickle.loads(pickled).weights.path == path != held.weights.path
    elsewhere = place(path, folder / "mine.pt")
    damage(path)
    assert pickle.loads(pickled).weights.path == elsewhere
    damage(elsewhere)
    refused(pickle.loads, pickled)


def test_a_pickled_mini_is_found_in_this_installation(tmp_path):
    """Another environment pickled it: there the file lies under another path."""
    pickled = replace(obtained_weights("mini"), path=tmp_path / "elsewhere/mini.safetensors")
    assert found_again(pickled).path == published.MINI_FILE


def test_what_is_neither_a_path_nor_a_tag_is_named():
    assert "clip_weights='3' does not exist" in refused(obtained_weights, "RN50", 3)
