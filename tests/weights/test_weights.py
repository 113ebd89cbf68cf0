"""Where weights come from: the order of places, hashes, QuickGELU, downloads that fail in every way."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import open_clip
import pytest
import torch
from huggingface_hub import constants
from pyiqa.archs import arch_util
from weights_fakes import (
    REFUSED,
    VIT,
    Response,
    Server,
    damage,
    place,
    put_into_hub_cache,
    save_sparse_safetensors,
    save_state_dict,
    set_openai_url,
    sha256,
)

from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.files import hashes
from clipiqa_pyiqa.weights import published, published_prompts, search
from clipiqa_pyiqa.weights.download import from_url
from clipiqa_pyiqa.weights.hub import PINNED
from clipiqa_pyiqa.weights.published_prompts import find_prompt_file
from clipiqa_pyiqa.weights.selection import BACKBONES, find_weights

pytest_plugins = ["weights_fakes"]

OPENAI_MEAN = (0.48145466, 0.4578275, 0.40821073)
# A given path


@pytest.mark.parametrize("as_text", [True, False])
def test_given_path(home: Path, tmp_path: Path, as_text: bool) -> None:
    path = save_state_dict(tmp_path / "mine.pt", VIT)
    weights = find_weights(VIT, str(path) if as_text else path, quick_gelu=True)
    assert weights.path == path and weights.source == "given path" and weights.tag == "file"
    assert weights.sha256 == sha256(path) and weights.short == f"file mine.pt {sha256(path)[:8]}"
    assert weights.mean == OPENAI_MEAN and weights.quick_gelu is True
    assert pickle.loads(pickle.dumps(weights)) == weights and hash(weights) == hash(pickle.loads(pickle.dumps(weights)))


def test_given_path_never_touches_the_network(
    home: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", server.url)
    set_openai_url(monkeypatch, f"{server.url}/ViT-B-32.pt")
    find_weights(VIT, save_state_dict(tmp_path / "mine.pt", VIT), quick_gelu=True)
    with pytest.raises(WeightsError, match=r"gone\.pt' does not exist"):
        find_weights(VIT, tmp_path / "gone.pt")
    assert server.requests == []


@pytest.mark.parametrize("given", ["gone.pt", "./gone", "folder/gone"])
def test_given_path_missing(home: Path, given: str) -> None:
    with pytest.raises(WeightsError, match=f"clip_weights='{given}' does not exist: pass a checkpoint file or a tag"):
        find_weights("RN50", given)


def test_given_folder(home: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="is a folder"):
        find_weights("RN50", tmp_path)


def test_given_path_without_suffix(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_state_dict(tmp_path / "mine", VIT)
    monkeypatch.chdir(tmp_path)
    assert find_weights(VIT, "mine", quick_gelu=True).source == "given path"


def test_given_path_of_another_architecture(home: Path, tmp_path: Path) -> None:
    path = save_state_dict(tmp_path / "vit.pt", VIT)
    with pytest.raises(WeightsError, match=r"vit\.pt holds ViT-B/32 weights, not RN50"):
        find_weights("RN50", path)


def test_unreadable_file(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_state_dict(tmp_path / "mine.pt", VIT)

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(hashes, "hash_file", refuse)  # as root, which tests may run as, every file is readable
    with pytest.raises(WeightsError, match=r"mine\.pt cannot be read: Permission denied"):
        find_weights(VIT, path)


def test_unknown_backbone_and_tag(home: Path) -> None:
    with pytest.raises(WeightsError, match="did you mean 'RN50x4'"):
        find_weights("RN50x5")
    with pytest.raises(WeightsError, match=r"'opnai' is neither a file nor a tag .*did you mean 'openai'"):
        find_weights("RN50", "opnai")


# QuickGELU and normalisation


def test_own_file_counts_as_quick_gelu_with_a_warning(
    home: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = save_state_dict(tmp_path / "mine.pt", VIT)
    assert find_weights(VIT, path).quick_gelu is True
    assert "mine.pt is no published file: it is taken to use QuickGELU" in caplog.text
    caplog.clear()
    assert find_weights(VIT, path, quick_gelu=False).quick_gelu is False
    assert find_weights(VIT, path, quick_gelu=True).quick_gelu is True
    assert caplog.text == ""


def test_published_file_is_recognised_by_its_hash(home: Path, openai_file: Path) -> None:
    weights = find_weights(VIT, openai_file)
    assert weights.tag == "openai" and weights.quick_gelu is True and weights.source == "given path"
    assert weights.short == f"openai {sha256(openai_file)[:8]}"
    with pytest.raises(
        WeightsError, match=r"quick_gelu=False contradicts ViT-B/32 \(openai\) .*trained with QuickGELU"
    ):
        find_weights(VIT, openai_file, quick_gelu=False)


def test_published_file_is_recognised_in_the_hub_cache(home: Path, tmp_path: Path) -> None:
    file = save_state_dict(tmp_path / "x.bin", VIT)
    hub = home / "hub"
    path = put_into_hub_cache(hub, "laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "open_clip_pytorch_model.bin", file)
    weights = find_weights(VIT, path)
    assert weights.tag == "laion2b_s34b_b79k" and weights.quick_gelu is False
    with pytest.raises(WeightsError, match=r"quick_gelu=True contradicts .*trained without QuickGELU"):
        find_weights(VIT, path, quick_gelu=True)


def test_tag_brings_its_activation_and_normalisation(home: Path, tmp_path: Path) -> None:
    file = save_state_dict(tmp_path / "x.bin", "ViT-L/14")
    hub = home / "hub"
    put_into_hub_cache(hub, "laion/CLIP-ViT-L-14-laion2B-s32B-b82K", "open_clip_pytorch_model.bin", file)
    for written in ("laion2b_s32b_b82k", "laion2B-s32B-b82K"):
        weights = find_weights("ViT-L/14", written)
        assert (weights.tag, weights.quick_gelu, weights.source) == ("laion2b_s32b_b82k", False, "hub cache")
        assert weights.mean == (0.5, 0.5, 0.5) and weights.std == (0.5, 0.5, 0.5)
    with pytest.raises(WeightsError, match="contradicts"):
        find_weights("ViT-L/14", "laion2b_s32b_b82k", quick_gelu=True)


def test_every_tag_agrees_with_open_clip() -> None:
    """The whole of open_clip's table for our backbones: activation, hashes, names, and the form of hub entries."""
    for backbone in set(BACKBONES) - {"mini"}:
        openai = published.release(backbone, "openai")
        assert openai.quick_gelu and len(openai.file.sha256) == 64
        assert openai.file.name == openai.file.folder_names[1] == f"{backbone.replace('/', '-')}.pt"
        for tag in published.tags(backbone):
            config = open_clip.get_pretrained_cfg(backbone.replace("/", "-"), tag)
            known = published.release(backbone, tag)
            assert known.quick_gelu == bool(config.get("quick_gelu", False)) or "quick_gelu" not in config
            assert config["hf_hub"] in ("", f"{known.file.hub}/")
            assert (config["interpolation"], config["resize_mode"]) == ("bicubic", "shortest")
            if "mlfoundations" in config["url"] or "openai" in config["url"]:
                assert known.file.sha256
    assert published.release("RN50", "openai").file.sha256.startswith("afeb0e10")
    assert published.release("RN50", "yfcc15m").file.sha256 == "455df137"


# The order of places


def test_order_of_places(home: Path, openai_file: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each place is used when the ones before it have nothing."""
    expected = []
    for source, path in [
        ("~/.cache/clip", home / ".cache" / "clip" / "ViT-B-32.pt"),
        ("torch hub", home / "torch" / "hub" / "clip" / "ViT-B-32.pt"),
    ]:
        place(openai_file, path)
        expected.append((source, path))
        weights = find_weights(VIT)
        assert (weights.source, weights.path, weights.tag) == (source, path, "openai")
    hub = home / "hub"
    link = put_into_hub_cache(hub, "timm/vit_base_patch32_clip_224.openai", "open_clip_pytorch_model.bin", openai_file)
    assert find_weights(VIT).path == link and find_weights(VIT).source == "hub cache"
    folder = tmp_path / "folder"
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(folder))
    assert find_weights(VIT).source == "hub cache"  # the folder lacks the file, indeed does not exist: go on
    place(openai_file, folder / "ViT-B-32.pt")
    assert find_weights(VIT).path == folder / "ViT-B-32.pt" and find_weights(VIT).source == "CLIPIQA_WEIGHTS_DIR"
    own = save_state_dict(tmp_path / "own.pt", VIT)
    assert find_weights(VIT, own).source == "given path"


@pytest.mark.parametrize(
    ("tag", "name"),
    [
        ("openai", "ViT-B-32.safetensors"),
        ("laion2b_s34b_b79k", "ViT-B-32-laion2b_s34b_b79k.pt"),
    ],
)
def test_folder_names(home: Path, folder: Path, tag: str, name: str) -> None:
    if name.endswith(".pt"):
        save_state_dict(folder / name, VIT)
    else:
        save_sparse_safetensors(folder / name, VIT)
    weights = find_weights(VIT, tag)
    assert (weights.path, weights.tag, weights.source) == (folder / name, tag, "CLIPIQA_WEIGHTS_DIR")
    assert weights.quick_gelu is (tag == "openai")


# Damage


def test_damaged_archive_in_the_folder_is_an_error(home: Path, folder: Path, openai_file: Path) -> None:
    path = place(openai_file, folder / "ViT-B-32.pt")
    damage(path)
    with pytest.raises(WeightsError, match=rf"ViT-B-32\.pt is damaged: its SHA-256 starts .*{sha256(openai_file)[:8]}"):
        find_weights(VIT)


def test_hash_is_checked_before_the_file_is_opened(
    home: Path, folder: Path, openai_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    damage(place(openai_file, folder / "ViT-B-32.pt"))
    monkeypatch.setattr("clipiqa_pyiqa.weights.selection.open_checkpoint", lambda path: pytest.fail("opened"))
    with pytest.raises(WeightsError, match="is damaged"):
        find_weights(VIT)


def test_own_state_dict_under_a_well_known_name(home: Path, folder: Path, openai_file: Path) -> None:
    """OpenAI publishes archives only: a state dict called ViT-B-32.pt is the user's own, and is called so."""
    path = save_state_dict(folder / "ViT-B-32.pt", VIT)
    weights = find_weights(VIT)
    assert weights.path == path and weights.tag == "file" and weights.source == "CLIPIQA_WEIGHTS_DIR"


def test_sums_of_the_folder_are_binding(home: Path, folder: Path) -> None:
    path = save_state_dict(folder / "ViT-B-32-laion2b_s34b_b79k.pt", VIT)
    (folder / "SHA256SUMS").write_text(f"{sha256(path)}  {path.name}\n")
    assert find_weights(VIT, "laion2b_s34b_b79k").path == path
    damage(path)
    with pytest.raises(WeightsError, match="is damaged: its SHA-256 starts"):
        find_weights(VIT, "laion2b_s34b_b79k")


def test_damaged_copies_in_caches_are_passed_over(
    home: Path, openai_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    hub = home / "hub"
    put_into_hub_cache(
        hub, "timm/vit_base_patch32_clip_224.openai", "open_clip_pytorch_model.bin", openai_file, blob="0" * 64
    )
    torch_hub = place(openai_file, home / "torch" / "hub" / "clip" / "ViT-B-32.pt")
    torch_hub.write_bytes(openai_file.read_bytes()[:1000])  # an interrupted download
    good = place(openai_file, home / ".cache" / "clip" / "ViT-B-32.pt")
    assert find_weights(VIT).path == good
    assert "hub" in caplog.text and f"{torch_hub} is not the published ViT-B/32 (openai)" in caplog.text
    good.unlink()
    with pytest.raises(WeightsError) as caught:
        find_weights(VIT)
    assert f"{torch_hub}: not the published ViT-B/32 (openai), its SHA-256 starts" in str(caught.value)


# Hashes


def test_hash_is_worked_out_once(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    expected = sha256(path)
    assert hashes.sha256_of(path) == expected
    memory = json.loads((home / "cache" / "clipiqa" / "hashes.json").read_text())
    assert list(memory) == [str(path.resolve())]
    with monkeypatch.context() as patch:
        patch.setattr(hashes, "hash_file", lambda path: pytest.fail("hashed again"))
        assert hashes.sha256_of(path) == expected
        (tmp_path / "link").symlink_to(path)
        assert hashes.sha256_of(tmp_path / "link") == expected
    path.write_bytes(b"two")
    os.utime(path, ns=(1, 1))
    assert hashes.sha256_of(path) == sha256(path) != expected


@pytest.mark.parametrize("content", ["", "[1, 2", "[]", '{"PATH": 7}', '{"PATH": [3, 1]}'])
def test_broken_hash_memory_is_no_error(home: Path, tmp_path: Path, content: str) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"one")
    memory = home / "cache" / "clipiqa" / "hashes.json"
    memory.parent.mkdir(parents=True)
    memory.write_text(content.replace("PATH", str(path.resolve())))
    assert hashes.sha256_of(path) == sha256(path)


def test_unwritable_hash_memory_is_no_error(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert hashes.sha256_of(tmp_path / "file") == sha256(tmp_path / "file")


# Downloads


def test_download_from_the_publishers_url(
    home: Path, openai_file: Path, server: Server, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The hub is unreachable here (port 9 refuses), so OpenAI's URL is asked; the next call finds the file."""
    route = f"/{sha256(openai_file)}/ViT-B-32.pt"
    server.responses[route] = Response(openai_file.read_bytes())
    set_openai_url(monkeypatch, server.url + route)
    weights = find_weights(VIT)
    target = home / ".cache" / "clip" / "ViT-B-32.pt"
    assert (weights.path, weights.source, weights.tag) == (target, "download", "openai")
    assert target.read_bytes() == openai_file.read_bytes()
    captured = capsys.readouterr()
    assert "ViT-B-32.pt" in captured.err and captured.out == ""
    assert find_weights(VIT).source == "~/.cache/clip"
    assert server.requests == [f"GET {route}"]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        (Response(b"x" * 1000, cut_at=500), "it broke off after 500 of 1000 bytes"),
        (Response(b"x" * 1000), "its SHA-256 starts .*expected .*: it was not kept"),
        (Response(b"gone", status=404), "404"),
        (Response(b"oops", status=500), "500"),
        (None, "refused"),
    ],
)
def test_failed_download_leaves_nothing(
    home: Path,
    openai_file: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    response: Response | None,
    reason: str,
) -> None:
    route = f"/{sha256(openai_file)}/ViT-B-32.pt"
    base = server.url if response else REFUSED
    if response:
        server.responses[route] = response
    set_openai_url(monkeypatch, base + route)
    with pytest.raises(WeightsError, match=f"{route}: .*{reason}"):
        find_weights(VIT)
    assert [path for path in (home / ".cache" / "clip").iterdir() if path.suffix != ".lock"] == []


def test_failed_download_keeps_what_was_there(tmp_path: Path, home: Path, server: Server) -> None:
    target = tmp_path / "x.pt"
    target.write_bytes(b"old")
    server.responses["/x.pt"] = Response(b"new", cut_at=1)
    with pytest.raises(OSError, match="broke off"):
        from_url(f"{server.url}/x.pt", target, "0" * 8)
    assert target.read_bytes() == b"old"


def test_error_lists_every_place_and_ways_out(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    set_openai_url(monkeypatch, f"{REFUSED}/RN50.pt", "RN50")
    with pytest.raises(WeightsError) as caught:
        find_weights("RN50")
    message = str(caught.value)
    for place_tried in (
        "CLIPIQA_WEIGHTS_DIR: not set",
        ": no timm/resnet50_clip.openai",
        str(home / "torch" / "hub" / "clip" / "RN50.pt"),
        str(home / ".cache" / "clip" / "RN50.pt"),
        f"{REFUSED}/timm/resnet50_clip.openai: ",
        f"{REFUSED}/RN50.pt: ",
    ):
        assert place_tried in message
    for way_out in ("set CLIPIQA_WEIGHTS_DIR", "pass clip_weights=PATH", "set HF_ENDPOINT"):
        assert way_out in message
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(home / "nowhere"))
    with pytest.raises(WeightsError, match=f"CLIPIQA_WEIGHTS_DIR={home / 'nowhere'}: no such folder"):
        find_weights("RN50")


def test_offline_forbids_every_download(
    home: Path, openai_file: Path, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    route = f"/{sha256(openai_file)}/ViT-B-32.pt"
    server.responses[route] = Response(openai_file.read_bytes())
    set_openai_url(monkeypatch, server.url + route)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(WeightsError, match="not asked, because HF_HUB_OFFLINE is set"):
        find_weights(VIT)
    assert server.requests == []


_FIND = """
import sys, open_clip
from clipiqa_pyiqa.weights.selection import find_weights
if len(sys.argv) > 1:
    open_clip.get_pretrained_cfg("ViT-B-32", "openai")["url"] = sys.argv[1]
weights = find_weights("ViT-B/32")
print(weights.source, weights.sha256, weights.path, sep="|")
"""


def _environment(home: Path, **variables: str) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.lower().endswith("_proxy")}
    return {**kept, "HOME": str(home), "HF_HOME": str(home / "hf"), "OMP_NUM_THREADS": "1", **variables}


def test_two_processes_at_once_download_once(home: Path, openai_file: Path, server: Server) -> None:
    route = f"/{sha256(openai_file)}/ViT-B-32.pt"
    # The first holds the lock for longer than the second needs to start.
    server.responses[route] = Response(openai_file.read_bytes(), seconds=5)
    environment = _environment(home, HF_ENDPOINT=REFUSED)
    command = [sys.executable, "-c", _FIND, server.url + route]
    processes = [
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    outputs = [process.communicate(timeout=240) for process in processes]
    target = home / ".cache" / "clip" / "ViT-B-32.pt"
    for out, err in outputs:
        assert out.split("|")[1:] == [sha256(openai_file), f"{target}\n"], err
    assert target.read_bytes() == openai_file.read_bytes()
    assert server.requests == [f"GET {route}"]
    assert sorted(path.name for path in target.parent.iterdir()) == ["ViT-B-32.pt", "ViT-B-32.pt.lock"]


def test_download_from_a_mirror_of_the_hub(home: Path, tmp_path: Path, server: Server) -> None:
    """HF_ENDPOINT and HF_HOME are honoured; open_clip asks for safetensors first, then for its older name."""
    file = save_state_dict(tmp_path / "x.bin", VIT)
    content = file.read_bytes()
    headers = {
        "ETag": f'"{sha256(file)}"',
        "X-Repo-Commit": PINNED["timm/vit_base_patch32_clip_224.openai"][0],
        "X-Linked-Size": str(len(content)),
        "X-Linked-Etag": f'"{sha256(file)}"',
    }
    repository = "timm/vit_base_patch32_clip_224.openai"
    route = f"/{repository}/resolve/{PINNED[repository][0]}/open_clip_pytorch_model.bin"
    server.responses[route] = Response(content, headers=headers)
    environment = _environment(home, HF_ENDPOINT=server.url)
    found = subprocess.run(
        [sys.executable, "-c", _FIND], env=environment, capture_output=True, text=True, timeout=240, check=False
    )
    source, digest, path = found.stdout.strip().split("|") if found.stdout else pytest.fail(found.stderr)
    assert source == "download" and digest == sha256(file)
    assert Path(path).is_relative_to(home / "hf" / "hub") and Path(path).read_bytes() == content
    assert any("open_clip_model.safetensors" in request for request in server.requests)


# Prompt files


def prompts_like(content: object, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that counts as a published prompt file: its name carries the hash of its content."""
    torch.save(content, folder / "x.pth")
    path = folder / f"PROMPTS-{sha256(folder / 'x.pth')[:8]}.pth"
    (folder / "x.pth").rename(path)
    monkeypatch.setattr(published_prompts, "PROMPT_FILES", (path.name,))
    return path


def test_prompt_file(home: Path, folder: Path, tmp_path: Path, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    published_file = prompts_like(torch.zeros(16, 512), tmp_path, monkeypatch)
    name = published_file.name
    monkeypatch.setattr(
        arch_util,
        "get_url_from_name",
        lambda name, store_base="hugging_face": f"{server.url}/{store_base}/{name}",
    )
    # The second source is asked when the first has nothing.
    server.responses[f"/github/{name}"] = Response(published_file.read_bytes())
    cached = home / "torch" / "hub" / "pyiqa" / name
    assert find_prompt_file(name) == cached and cached.read_bytes() == published_file.read_bytes()
    assert server.requests == [f"GET /hugging_face/{name}", f"GET /github/{name}"]
    assert find_prompt_file(name) == cached and len(server.requests) == 2
    checkpoints = home / "torch" / "hub" / "checkpoints" / name
    place(published_file, checkpoints)
    cached.unlink()
    assert find_prompt_file(name) == checkpoints
    in_folder = place(published_file, folder / name)
    assert find_prompt_file(name) == in_folder
    damage(in_folder)
    with pytest.raises(WeightsError, match="is damaged"):
        find_prompt_file(name)


def test_prompt_file_not_found(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    name = "CLIPIQA+_RN50_512-89f5d940.pth"
    with pytest.raises(WeightsError) as caught:
        find_prompt_file(name)
    assert name in str(caught.value) and "pass pretrained_model_path=PATH" in str(caught.value)
    assert str(home / "torch" / "hub" / "pyiqa" / name) in str(caught.value)
    with pytest.raises(WeightsError, match=r"is no published prompt file: expected one of CLIP-IQA\+_learned"):
        find_prompt_file("mine.pth")


def test_published_prompt_files_and_where_they_come_from() -> None:
    hashes_in_names = [published_prompts.prompt_file(name).sha256 for name in published_prompts.PROMPT_FILES]
    assert hashes_in_names == ["603f3273", "89f5d940", "e66488f2"]
    for name in published_prompts.PROMPT_FILES:
        assert "IQA-PyTorch-Weights" in search.download_places(published_prompts.prompt_file(name))[0]
