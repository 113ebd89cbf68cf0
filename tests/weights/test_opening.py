"""Opening checkpoints: every format, nothing executed, nothing read early, each defect named."""

import os
import pickle
import struct
import zipfile

import numpy as np
import pytest
import torch
from assertions import refused
from safetensors.torch import save_file
from tensors import assert_close, normal
from weights_fakes import VIT, Trap, fake_state_dict, poison_archive, save_archive, save_openai_like, save_state_dict

from clipiqa_pyiqa.weights.checkpoint import check_files_of_options, open_checkpoint
from clipiqa_pyiqa.weights.finding import check_architecture

Tensors = dict[str, torch.Tensor]


@pytest.fixture
def tensors():
    return {
        "visual.conv1.weight": normal(4, 3, 2, 2).half(),
        "visual.ln.weight": normal(4),
        "logit_scale": torch.tensor(4.6052),
        "input_resolution": torch.tensor(224),
    }


def saved(path, content, **options):
    torch.save(content, path, **options)
    return path


def saved_by_old_torch(path, content):
    return saved(path, content, _use_new_zipfile_serialization=False)


def safetensors(path, tensors):
    save_file(tensors, path)
    return path


def nested(under):
    """Saves with ``module.`` before each name, and beside it what a training saves."""

    def save(path, tensors):
        said = {"epoch": 3, "best": 0.5, "optimizer": {"lr": 0.1}}
        return saved(path, {**said, under: {f"module.{name}": tensor for name, tensor in tensors.items()}})

    return save


def test_every_format_is_read_by_its_content(tmp_path, tensors):
    formats = save_archive, saved, saved_by_old_torch, safetensors
    for save in (*formats, *map(nested, ("state_dict", "model", "params"))):
        checkpoint = open_checkpoint(save(tmp_path / "x.bin", tensors))
        assert "other" not in checkpoint and len(checkpoint) == len(tensors)
        for name, tensor in tensors.items():
            assert checkpoint.shapes[name] == tuple(tensor.shape)
            assert_close(checkpoint[name], tensor, atol=0)
        refused(checkpoint.__getitem__, "other")
        os.utime(checkpoint.path, (0, 0))  # as if it was overwritten
        refused(checkpoint.__getitem__, name)


def test_an_archive_reads_as_torch_reads_it(tmp_path):
    """Strides and offsets included; mapped, so that two readings share memory; private, so that the file stays."""
    whole = torch.arange(24.0).reshape(4, 6)
    parts = {"a.transposed": whole.T, "a.b.slice": whole[1:, 2:], "a.empty": whole[:0]}
    path = save_archive(tmp_path / "x.pt", parts)
    before = path.read_bytes()
    checkpoint = open_checkpoint(path)
    assert_close(dict(checkpoint), dict(torch.jit.load(path).state_dict()), atol=0)
    transposed = checkpoint["a.transposed"]
    assert transposed.data_ptr() == checkpoint["a.transposed"].data_ptr()
    transposed.zero_()
    assert path.read_bytes() == before


# Damaged and hostile files


def bare_pickle(path, trap):
    path.write_bytes(pickle.dumps(trap))


def poisoned_archive(path, trap):
    poison_archive(save_archive(path, {"a": torch.zeros(3)}), trap.victim)


def object_array(path, trap):
    saved(path, {"state_dict": {"a": torch.zeros(3)}, "x": np.array([trap], dtype=object)})


def test_pickled_code_is_refused_and_never_runs(tmp_path):
    for save in [saved, saved_by_old_torch, bare_pickle, poisoned_archive, object_array]:
        victim = tmp_path / "victim"
        pickle.loads(pickle.dumps(Trap(victim)))  # it works where pickle is trusted, or else this would prove nothing
        victim.unlink()
        save(tmp_path / "poisoned.pt", Trap(victim))
        refused(open_checkpoint, tmp_path / "poisoned.pt")
        assert not victim.exists()


def test_files_that_are_no_checkpoint_are_refused(tmp_path):
    contents = b"", b"<!DOCTYPE html><html>Not Found", b"PK\x03\x04 and nothing more", b"\x10" + bytes(7) + b"{not json"
    for number, content in enumerate(contents):
        (tmp_path / f"{number}.pt").write_bytes(content)
    saved(tmp_path / "list.pt", [1, 2])
    for path in (*tmp_path.iterdir(), tmp_path / "none.pt"):
        refused(open_checkpoint, path)


def test_archives_with_false_claims_are_refused(tmp_path):
    for claim in ["a member that is missing", "a shape of (247, 9) for (7, 9)", "compressed"]:
        path = save_archive(tmp_path / "x.pt", {"a": torch.ones(7, 9), "b": torch.ones(2)})
        with zipfile.ZipFile(path) as archive:
            entries = {name: archive.read(name) for name in archive.namelist()}
        compression = zipfile.ZIP_DEFLATED if claim == "compressed" else zipfile.ZIP_STORED
        with zipfile.ZipFile(path, "w", compression) as archive:
            for name, content in entries.items():
                if "shape" in claim:
                    content = content.replace(b"K\x07K\x09", b"K\xf7K\x09")
                if not ("missing" in claim and name.endswith("data/1")):
                    archive.writestr(name, content)
        refused(lambda path=path: dict(open_checkpoint(path)))


@pytest.mark.parametrize("save", [save_archive, saved])
def test_one_changed_bit_of_a_tensor_is_refused(tmp_path, save):
    path = save(tmp_path / "x.pt", {"a": torch.full((7, 9), 1.5)})
    number = struct.pack("<f", 1.5)
    path.write_bytes(path.read_bytes().replace(number, struct.pack("<f", 1.25), 1))
    refused(lambda: dict(open_checkpoint(path)))


def test_numbers_that_are_not_finite_are_refused(tmp_path, tensors):
    tensors["visual.ln.weight"][1] = float("nan")
    checkpoint = open_checkpoint(saved(tmp_path / "x.pt", tensors))
    assert checkpoint["logit_scale"] > 0
    refused(checkpoint.__getitem__, "visual.ln.weight")


def module_tree(levels):
    """A pickle of modules of which each has the one before as its a and as its b: 2 ** levels names."""
    tree = b"\x80\x02c__torch__\nM\n)\x81}b"
    for level in range(levels):
        memo = struct.pack("<I", level)
        tree += b"r" + memo + b"0" + b"c__torch__\nM\n)\x81}("
        tree += b"X\x01\x00\x00\x00aj" + memo + b"X\x01\x00\x00\x00bj" + memo + b"ub"
    return tree + b"."


@pytest.mark.parametrize("member", ["constants.pkl", "version"])  # of an archive, of a state dict
def test_archives_that_would_take_all_memory(tmp_path, member):
    """One that declares too large a size is refused; modules that share parts, many times over, are visited once."""
    for description, said in ((bytes(64 << 20), "its members declare"), (module_tree(40), "")):
        with zipfile.ZipFile(tmp_path / "x.pt", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("x/data.pkl", description)
            archive.writestr(f"x/{member}", b"3\n")
        if said or member == "version":
            assert said in refused(open_checkpoint, tmp_path / "x.pt")
        else:
            assert not open_checkpoint(tmp_path / "x.pt").shapes


# Architecture


def test_another_or_incomplete_clip_is_refused(tmp_path):
    for content in (fake_state_dict(VIT), fake_state_dict() | {"visual.bn3.bias": torch.zeros(5)}, {}):
        refused(lambda path: check_architecture(open_checkpoint(path), "RN50"), saved(tmp_path / "x.pt", content))


def test_extra_tensors_of_batch_norm_are_accepted(tmp_path):
    check_architecture(open_checkpoint(save_openai_like(tmp_path / "x.pt", VIT)), VIT)
    extra = {"visual.bn1.num_batches_tracked": torch.tensor(0)}
    checkpoint = open_checkpoint(saved(tmp_path / "y.pt", {**fake_state_dict(), **extra}))
    check_architecture(checkpoint, "RN50")
    assert "visual.bn1.num_batches_tracked" in checkpoint


# Files for pyiqa's other metrics


def test_files_that_could_run_code_need_trust(tmp_path, tensors):
    from pyiqa.archs.arch_util import get_url_from_name

    canary = tmp_path / "canary"
    brace = b"G\0\0\0\0\0\0\0{0"  # a float whose ninth byte is safetensors' brace
    saved(tmp_path / "trap.pth", {"params": Trap(canary)})
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Trap(canary), protocol=0))
    (tmp_path / "brace.pth").write_bytes(brace + b"cos\nsystem\n(S'true'\ntR.")
    (tmp_path / "niqe.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100))
    saved(tmp_path / "good.pth", {"params": tensors})
    save_state_dict(tmp_path / "x.pt", VIT)
    good = [f"{tmp_path}/{name}" for name in ("good.pth", "niqe.mat", "x.pt")]
    for value in (*good, get_url_from_name("musiq_koniq_ckpt-e95806b9.pth"), 3):
        check_files_of_options({"pretrained_model_path": value})
    bad = [f"{tmp_path}/{name}" for name in ("trap.pth", "old.pth", "brace.pth")]
    for value in (*bad, "https://example.org/a.pth", get_url_from_name("../../../other/repo/resolve/main/a.pth")):
        refused(check_files_of_options, {"nested": [{"pretrained_model_path": value}]})
        check_files_of_options({"pretrained_model_path": value}, trust_weights=True)
    assert not canary.exists()
