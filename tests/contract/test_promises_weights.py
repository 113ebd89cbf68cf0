"""Promises of docs/weights.md: no code runs, other files than asked for are refused, nothing is fetched offline."""

import logging
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from assertions import refused
from photos import photo_like, save_grey
from safetensors.torch import load_file, save_file

from clipiqa_pyiqa import CLIPIQA, WeightsError, fit, weights_at_hand

KEYS = [f"prompt_learner.{name}" for name in ("ctx", "token_prefix", "token_suffix")]


class Trap:
    """Makes a file when it is unpickled, as a poisoned checkpoint would run code."""

    def __init__(self, victim):
        self.victim = victim

    def __reduce__(self):
        return Path.touch, (self.victim,)


@pytest.fixture
def victim(tmp_path):
    """A file that is there if code ran."""
    return tmp_path / "code-ran"


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A home without any weights, and an empty folder of them; nothing may be downloaded."""
    folder = tmp_path / "weights"
    folder.mkdir()
    for name, place in {"HOME": "home", "XDG_CACHE_HOME": "cache", "TORCH_HOME": "torch", "HF_HOME": "hf"}.items():
        monkeypatch.setenv(name, str(tmp_path / place))
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(folder))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hf/hub"))
    return folder


def scripted(path, victim):
    """A TorchScript archive whose descriptions are traps."""
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    trap = pickle.dumps(Trap(victim), protocol=2)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, trap if name.endswith(".pkl") else content)


def pickled(path, victim):
    torch.save({"state_dict": Trap(victim)}, path)


# No code in a file runs


@pytest.mark.parametrize("poison", [scripted, pickled])
def test_weights_that_would_run_code_are_refused(tmp_path, victim, poison):
    poison(tmp_path / "RN50.pt", victim)
    with pytest.raises(WeightsError):
        CLIPIQA(clip_weights=tmp_path / "RN50.pt")(photo_like(32, 32))
    assert not victim.exists()


@pytest.mark.parametrize("way", ["option", "load_prompts"])
def test_prompts_that_would_run_code_are_refused(tmp_path, victim, way):
    torch.save({"params": dict.fromkeys(KEYS, Trap(victim))}, tmp_path / "mine.pth")
    if way == "option":
        refused(CLIPIQA, "clipiqa+", "mini", pretrained_model_path=tmp_path / "mine.pth")
    else:
        refused(CLIPIQA("clipiqa+", "mini", pretrained=False).load_prompts, tmp_path / "mine.pth")
    assert not victim.exists()


@pytest.mark.parametrize(
    "option", ["-m niqe:pretrained_model_path=mine.pth", "-m cnniqa:pretrained_model_path=mine.pth"]
)
def test_a_metric_of_pyiqa_whose_file_would_run_code_is_refused_by_commands(clipiqa, tmp_path, victim, option):
    save_grey(tmp_path / "0.png", 90)
    pickled(tmp_path / "mine.pth", victim)
    clipiqa(f"score 0.png {option} --device cpu", 2, "mine.pth", "--trust-weights")
    assert not victim.exists()


# What does not belong together is refused


def test_weights_of_another_backbone_are_refused_by_name(seeded_weights):
    said = refused(CLIPIQA, backbone="ViT-B/32", clip_weights=seeded_weights("RN50"))
    assert "ViT-B/32" in said


def test_a_file_that_lacks_a_tensor_is_refused(seeded_weights, tmp_path):
    tensors = load_file(seeded_weights("RN50"))
    tensors.pop("visual.attnpool.c_proj.weight")
    save_file(tensors, tmp_path / "RN50.safetensors")
    assert "c_proj" in refused(lambda: CLIPIQA(clip_weights=tmp_path / "RN50.safetensors")(photo_like(32, 32)))


def test_weights_with_numbers_that_are_not_finite_give_no_score(seeded_weights, tmp_path):
    tensors = load_file(seeded_weights("RN50"))
    tensors["visual.conv1.weight"][0] = torch.nan
    save_file(tensors, tmp_path / "RN50.safetensors")
    refused(lambda: CLIPIQA(clip_weights=tmp_path / "RN50.safetensors")(photo_like(32, 32)))


def test_prompts_of_another_width_are_refused(tmp_path):
    torch.save(torch.zeros(2, 16, 512), tmp_path / "ctx.pth")
    refused(CLIPIQA, "clipiqa+", "mini", pretrained_model_path=tmp_path / "ctx.pth")


def test_a_head_of_other_weights_is_refused(seeded_weights, metric, sizes, store, tmp_path):
    fit(sizes, metric=metric, method="affine", features=store, device="cpu").save(tmp_path / "head.safetensors")
    head = {"pretrained_model_path": tmp_path / "head.safetensors"}
    assert CLIPIQA("clipiqa+", **head).provenance()["backbone"] == "mini"  # the file says which CLIP it needs
    refused(CLIPIQA, "clipiqa+", backbone="RN50", clip_weights=seeded_weights("RN50"), **head)


@pytest.mark.parametrize("end", [b"", b"x", b"{}"])
def test_a_damaged_file_is_refused_with_its_name(tmp_path, end):
    (tmp_path / "RN50.safetensors").write_bytes(end)
    assert "RN50.safetensors" in refused(
        lambda: CLIPIQA(clip_weights=tmp_path / "RN50.safetensors")(photo_like(32, 32))
    )


# The folder of weights, and work offline


def test_a_wrong_hash_in_the_folder_of_weights_is_an_error(offline, victim):
    pickled(offline / "RN50.pt", victim)
    assert "RN50.pt" in refused(lambda: CLIPIQA()(photo_like(32, 32)))
    assert not victim.exists()


def test_a_safetensors_file_of_unknown_hash_is_used_and_results_say_so(offline, seeded_weights, caplog):
    (offline / "RN50.safetensors").symlink_to(seeded_weights("RN50"))
    with caplog.at_level(logging.WARNING):
        metric = CLIPIQA().eval()
        score = metric(photo_like(64, 64))
    assert "file RN50.safetensors" in repr(metric) and "QuickGELU" in caplog.text
    explicit = CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=True).eval()
    assert torch.equal(score, explicit(photo_like(64, 64)))
    assert metric.provenance()["weights"].startswith("file RN50.safetensors")


def test_offline_a_missing_file_is_named_with_what_to_do_and_nothing_is_scored(offline, clipiqa, tmp_path):
    save_grey(tmp_path / "0.png", 90)
    ran = clipiqa("score 0.png --device cpu --out s.csv", 2, "RN50")
    assert ran.err.count("\n") <= 3 and not Path("s.csv").exists()


def test_mini_needs_no_network_and_no_folder(offline, clipiqa, tmp_path):
    save_grey(tmp_path / "0.png", 90)
    clipiqa("score 0.png -b mini --device cpu", 0)


def test_the_weights_command_says_what_is_missing_by_its_exit_code(offline, clipiqa, seeded_weights):
    assert "mini" in clipiqa("weights --backbone mini", 0).out
    assert "RN50" in clipiqa("weights --backbone RN50", 1).out
    (offline / "RN50.safetensors").symlink_to(seeded_weights("RN50"))
    clipiqa("weights --backbone RN50", 0)


def test_python_tells_which_weights_are_at_hand(offline):
    (mini,) = weights_at_hand("mini")
    assert "mini" in mini.title and len(mini.sha256) == 64 and mini.size > 1e6


def test_verify_needs_the_real_weights(offline, clipiqa):
    clipiqa("verify", 2, "RN50")


def test_one_file_is_one_score_whatever_its_form(seeded_weights, tmp_path):
    tensors = load_file(seeded_weights("RN50"))
    torch.save(tensors, tmp_path / "RN50.pt")
    torch.save({"state_dict": {f"module.{name}": value for name, value in tensors.items()}}, tmp_path / "ddp.pt")
    forms = [seeded_weights("RN50"), tmp_path / "RN50.pt", tmp_path / "ddp.pt"]
    scores = [CLIPIQA(clip_weights=file, quick_gelu=True).eval()(photo_like(64, 64)).item() for file in forms]
    assert np.ptp(scores) == 0
