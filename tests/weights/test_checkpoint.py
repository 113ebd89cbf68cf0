"""Opening checkpoints: every format, nothing executed, nothing read early, each defect named."""

from __future__ import annotations

import pickle
import struct
import time
import zipfile
from pathlib import Path
from random import Random

import pytest
import torch
from safetensors.torch import save_file
from weights_fakes import (
    Trap,
    fake_state_dict,
    poison_archive,
    save_archive,
    save_openai_like,
    save_state_dict,
)

from clipiqa_pyiqa.errors import WeightsError
from clipiqa_pyiqa.weights.architecture import (
    BACKBONES,
    Architecture,
    architecture,
    canonical_backbone,
    check_architecture,
)
from clipiqa_pyiqa.weights.checkpoint import open_checkpoint
from clipiqa_pyiqa.weights.foreign import check_options


@pytest.fixture
def tensors() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        "visual.conv1.weight": torch.randn(4, 3, 2, 2, generator=generator).half(),
        "visual.ln.weight": torch.randn(4, generator=generator),
        "logit_scale": torch.tensor(4.6052),
        "input_resolution": torch.tensor(224),
    }


def assert_holds(path: Path, tensors: dict[str, torch.Tensor]) -> None:
    checkpoint = open_checkpoint(path)
    assert set(checkpoint) == set(tensors) and len(checkpoint) == len(tensors)
    for name, tensor in tensors.items():
        assert checkpoint.shape(name) == tuple(tensor.shape)
        assert checkpoint[name].dtype == tensor.dtype
        assert torch.equal(checkpoint[name], tensor)


# Formats


def test_torchscript_archive(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    assert_holds(save_archive(tmp_path / "archive.pt", tensors), tensors)


def test_torchscript_archive_reads_what_torch_reads(tmp_path: Path) -> None:
    path = tmp_path / "strided.pt"
    whole = torch.arange(24.0).reshape(4, 6)
    save_archive(path, {"a.transposed": whole.T, "a.b.slice": whole[1:, 2:], "a.empty": whole[:0]})
    expected = torch.jit.load(path).state_dict()
    assert_holds(path, dict(expected))
    assert torch.equal(expected["a.transposed"], whole.T)


@pytest.mark.parametrize("nest", [None, "state_dict", "model", "params"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_state_dict(tmp_path: Path, tensors: dict[str, torch.Tensor], nest: str | None, prefix: str) -> None:
    content: dict[str, object] = {prefix + name: tensor for name, tensor in tensors.items()}
    if nest:
        content = {"epoch": 3, "optimizer": {"lr": 0.1}, nest: content}
    torch.save(content, tmp_path / "x.pt")
    assert_holds(tmp_path / "x.pt", tensors)


def test_state_dict_of_old_torch(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    torch.save(tensors, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    assert_holds(tmp_path / "old.pt", tensors)


def test_safetensors(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, tmp_path / "x.safetensors")
    assert_holds(tmp_path / "x.safetensors", tensors)


def test_content_decides_and_not_the_name(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    save_file(tensors, tmp_path / "x.pt")
    assert_holds(tmp_path / "x.pt", tensors)


def test_archive_tensors_are_mapped_and_private(tmp_path: Path) -> None:
    """A tensor shows the file's bytes without a copy of its own, and writing to it does not reach the file."""
    path = save_archive(tmp_path / "archive.pt", {"big": torch.ones(1000), "other": torch.zeros(1000)})
    before = path.read_bytes()
    checkpoint = open_checkpoint(path)
    first, second = checkpoint["big"], checkpoint["big"]
    assert first.data_ptr() == second.data_ptr()
    first.zero_()
    assert path.read_bytes() == before


def test_unknown_name_is_a_key_error(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    checkpoint = open_checkpoint(save_archive(tmp_path / "archive.pt", tensors))
    with pytest.raises(KeyError):
        checkpoint["no such tensor"]
    assert "no such tensor" not in checkpoint


# Bad files


@pytest.mark.parametrize("form", ["state dict", "old state dict", "bare pickle", "archive"])
def test_pickled_code_is_refused_and_never_runs(tmp_path: Path, form: str) -> None:
    path, victim = tmp_path / "poisoned.pt", tmp_path / "victim"
    content = {"visual.conv1.weight": torch.zeros(3), "trap": Trap(victim)}
    if form == "bare pickle":
        path.write_bytes(pickle.dumps(Trap(victim)))
    elif form == "archive":
        poison_archive(save_archive(path, {"visual.conv1.weight": torch.zeros(3)}), victim)
    else:
        torch.save(content, path, _use_new_zipfile_serialization=form == "state dict")
    with pytest.raises(WeightsError, match=r"poisoned\.pt .*could run code, so it was not loaded"):
        open_checkpoint(path)
    assert not victim.exists()


def test_the_trap_works(tmp_path: Path) -> None:
    """Otherwise the test above would prove nothing."""
    torch.save(Trap(tmp_path / "victim"), tmp_path / "x.pt")
    torch.load(tmp_path / "x.pt", weights_only=False)
    assert (tmp_path / "victim").exists()


@pytest.mark.parametrize("form", ["archive", "state dict", "old state dict", "safetensors"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_truncated(tmp_path: Path, tensors: dict[str, torch.Tensor], form: str, share: float) -> None:
    path = tmp_path / "cut.pt"
    if form == "archive":
        save_archive(path, tensors)
    elif form == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path, _use_new_zipfile_serialization=form == "state dict")
    content = path.read_bytes()
    path.write_bytes(content[: max(20, int(len(content) * share))])
    with pytest.raises(WeightsError, match=r"cut\.pt is truncated or damaged .*download or copy it again"):
        open_checkpoint(path)


def test_archive_with_a_record_missing(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = save_archive(tmp_path / "archive.pt", tensors)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist() if not name.endswith("data/1")}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(WeightsError, match=r"archive\.pt is truncated or damaged .*data/1"):
        open_checkpoint(path)


def test_archive_packed_again_with_compression(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    path = save_archive(tmp_path / "archive.pt", tensors)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(WeightsError, match="packed again with compression"):
        open_checkpoint(path)


def test_archive_tensor_outside_its_storage(tmp_path: Path) -> None:
    """A description that claims more numbers than the file has must not read foreign memory."""
    path = save_archive(tmp_path / "archive.pt", {"a": torch.ones(7, 9)})
    content = path.read_bytes()
    assert content.count(b"K\x07K\x09") == 1  # pickle of the shape (7, 9)
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, entry in entries.items():
            archive.writestr(name, entry.replace(b"K\x07K\x09", b"K\xf7K\x09"))
    checkpoint = open_checkpoint(path)
    assert checkpoint.shape("a") == (247, 9)
    with pytest.raises(WeightsError, match="its tensor a cannot be read"):
        checkpoint["a"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>Not Found", r"is not a checkpoint: .*starts with b'<!DOCTYPE html>"),
        (b"version https://git-lfs.github.com/spec/v1", "is not a checkpoint"),
        (b"PK\x03\x04 and nothing more", "truncated or damaged"),
        (b"\x10\0\0\0\0\0\0\0{not json        ", "truncated or damaged"),
    ],
)
def test_no_checkpoint(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.pt").write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        open_checkpoint(tmp_path / "x.pt")


@pytest.mark.parametrize("form", ["archive", "state dict", "safetensors"])
def test_random_damage_is_a_weights_error_or_harmless(
    tmp_path: Path, tensors: dict[str, torch.Tensor], form: str
) -> None:
    """Whatever bytes are wrong, a file opens and reads, or is a ``WeightsError``: never anything else."""
    path = tmp_path / "x.pt"
    if form == "archive":
        save_archive(path, {"a.b": tensors["visual.conv1.weight"], "c": tensors["logit_scale"]})
    elif form == "safetensors":
        save_file(tensors, path)
    else:
        torch.save(tensors, path)
    content, random = path.read_bytes(), Random(0)
    refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        for position in random.sample(range(len(damaged)), 3):
            damaged[position] = random.randrange(256)
        path.write_bytes(damaged)
        try:
            dict(open_checkpoint(path))
        except WeightsError:
            refused += 1
    assert refused > 10


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"gone\.pt does not exist"):
        open_checkpoint(tmp_path / "gone.pt")
    with pytest.raises(WeightsError, match="is a folder"):
        open_checkpoint(tmp_path)


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], 7])
def test_no_state_dict(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=rf"holds a {type(content).__name__}: expected a state dict"):
        open_checkpoint(tmp_path / "x.pt")


# Architecture


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "mini"])
def test_architecture_is_told_by_shapes(backbone: str) -> None:
    shapes = architecture(backbone).shapes
    assert Architecture.from_shapes(shapes) == architecture(backbone)
    assert shapes["text_projection"][1] == architecture(backbone).features


@pytest.mark.parametrize("backbone", [name for name in BACKBONES if name != "mini"])
def test_architecture_equals_that_of_the_reference(backbone: str) -> None:
    """pyiqa's own copy of OpenAI's model has the same names and shapes, all of them."""
    clip_model = pytest.importorskip("pyiqa.archs.clip_model")
    ours = architecture(backbone)
    with torch.device("meta"):
        reference = clip_model.CLIP(
            embed_dim=ours.features,
            image_resolution=ours.image_size,
            vision_layers=ours.image_layers if ours.patch is None else ours.image_layers[0],
            vision_width=ours.image_width,
            vision_patch_size=ours.patch,
            context_length=ours.context_length,
            vocab_size=ours.vocabulary,
            transformer_width=ours.text_width,
            transformer_heads=ours.text_width // 64,
            transformer_layers=ours.text_layers,
        )
    theirs = {name: tuple(value.shape) for name, value in reference.state_dict().items()}
    assert {k: v for k, v in theirs.items() if not k.endswith("num_batches_tracked")} == ours.shapes


def test_bookkeeping_is_tolerated(tmp_path: Path) -> None:
    check_architecture(open_checkpoint(save_openai_like(tmp_path / "x.pt", "ViT-B/32")), "ViT-B/32")
    state = fake_state_dict("RN50")
    state["visual.bn1.num_batches_tracked"] = torch.tensor(0)
    state["transformer.resblocks.0.attn_mask"] = torch.zeros(77, 77)
    torch.save(state, tmp_path / "y.pt")
    checkpoint = open_checkpoint(tmp_path / "y.pt")
    check_architecture(checkpoint, "RN50")
    assert "visual.conv1.weight" in checkpoint  # what was tolerated did not hide what counts


def test_other_backbone_is_named(tmp_path: Path) -> None:
    checkpoint = open_checkpoint(save_state_dict(tmp_path / "vit.pt", "ViT-B/32"))
    with pytest.raises(WeightsError, match=r"vit\.pt holds ViT-B/32 weights, not RN50: pass backbone='ViT-B/32'"):
        check_architecture(checkpoint, "RN50")


def test_unknown_architecture_is_described(tmp_path: Path) -> None:
    state = fake_state_dict("ViT-B/32")
    state = {name: value for name, value in state.items() if not name.startswith("visual.transformer.resblocks.11.")}
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"no known backbone \(vision transformer of 11 layers.*expected ViT-B/32"):
        check_architecture(open_checkpoint(tmp_path / "x.pt"), "ViT-B/32")


def test_missing_unexpected_and_wrong_shapes_are_listed(tmp_path: Path) -> None:
    state = fake_state_dict("RN50")
    for name in ("visual.bn1.weight", "visual.bn1.bias", "visual.bn2.weight", "ln_final.bias"):
        del state[name]
    state["surplus"] = torch.zeros(1)
    state["visual.bn3.bias"] = torch.zeros(5)
    torch.save(state, tmp_path / "x.pt")
    with pytest.raises(WeightsError) as caught:
        check_architecture(open_checkpoint(tmp_path / "x.pt"), "RN50")
    message = str(caught.value)
    assert "x.pt is no complete RN50 checkpoint" in message
    assert "lacks" in message and "visual.bn1.weight" in message and "and 1 more" in message
    assert "has unexpected surplus" in message
    assert "visual.bn3.bias ((5,), expected (64,))" in message


def test_no_clip_at_all(tmp_path: Path) -> None:
    torch.save({"backbone.conv.weight": torch.zeros(3)}, tmp_path / "x.pt")
    with pytest.raises(WeightsError, match=r"does not hold a CLIP: .*it has backbone\.conv\.weight"):
        check_architecture(open_checkpoint(tmp_path / "x.pt"), "RN50")
    torch.save({}, tmp_path / "y.pt")
    with pytest.raises(WeightsError, match="it has no tensors"):
        check_architecture(open_checkpoint(tmp_path / "y.pt"), "RN50")


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("RN50", "RN50"),
        ("rn50x16", "RN50x16"),
        ("ViT-B-32", "ViT-B/32"),
        ("vit-l/14", "ViT-L/14"),
        ("vit_b_16", "ViT-B/16"),
    ],
)
def test_names_of_backbones(written: str, meant: str) -> None:
    assert canonical_backbone(written) == meant


def test_unknown_backbone_gets_the_nearest() -> None:
    with pytest.raises(WeightsError, match=r"Unknown backbone 'RN51': expected one of RN50, .*did you mean 'RN50'"):
        canonical_backbone("RN51")
    with pytest.raises(WeightsError, match="did you mean 'ViT-L/14'"):
        canonical_backbone("ViT-L/14@336px")


# Damage and hostile files


def saved(path: Path, tensors: dict[str, torch.Tensor]) -> Path:
    torch.save(tensors, path)
    return path


def test_bytes_that_were_damaged_are_named(tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
    """Of random damage to a TorchScript archive and to a state dict, none passes with other tensors."""
    random, outcomes = Random(0), {"refused": 0, "the same": 0}
    for path in (save_archive(tmp_path / "a.pt", tensors), saved(tmp_path / "s.pt", tensors)):
        whole = path.read_bytes()
        for _ in range(100):
            content = bytearray(whole)
            content[random.randrange(len(content))] ^= random.randrange(1, 256)
            path.write_bytes(content)
            try:
                checkpoint = open_checkpoint(path)
                found = {name: checkpoint[name] for name in checkpoint}
            except WeightsError:
                outcomes["refused"] += 1
            else:
                assert found.keys() == tensors.keys()
                assert all(torch.equal(found[name], tensors[name]) for name in tensors)
                outcomes["the same"] += 1  # padding, times
    assert outcomes["refused"] > 80


@pytest.mark.parametrize("save", [save_archive, saved])
def test_what_is_not_finite_is_refused(tmp_path: Path, tensors: dict[str, torch.Tensor], save: object) -> None:
    tensors["visual.ln.weight"][1] = float("nan")
    checkpoint = open_checkpoint(save(tmp_path / "x.pt", tensors))  # type: ignore[operator]
    with pytest.raises(WeightsError, match=r"tensor visual\.ln\.weight cannot be read \(it holds numbers that are not"):
        checkpoint["visual.ln.weight"]


def refused_within_a_second(path: Path, message: str) -> None:
    start = time.process_time()
    with pytest.raises(WeightsError, match=message):
        open_checkpoint(path)
    assert time.process_time() - start < 1  # of the issue; CPU time, so that other processes do not count


def test_a_module_tree_that_shares_its_branches_is_refused_by_depth_and_count(tmp_path: Path) -> None:
    for levels in (16, 40):  # 65,536 modules by their names; and a trillion, deeper
        tree = b"\x80\x02c__torch__\nM\n)\x81}b"
        for level in range(levels):  # each level is a module whose attributes a and b are the level before
            memo = struct.pack("<I", level)
            tree += b"r" + memo + b"0" + b"c__torch__\nM\n)\x81}("
            tree += b"X\x01\x00\x00\x00aj" + memo + b"X\x01\x00\x00\x00bj" + memo + b"ub"
        path = tmp_path / f"{levels}.pt"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x/data.pkl", tree + b".")
            archive.writestr("x/constants.pkl", b"")
        refused_within_a_second(path, "its modules are nested deeper than 32, or are more than 20,000")


@pytest.mark.parametrize("kind", ["archive", "state dict"])
def test_a_zip_bomb_is_refused_by_what_it_declares(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bomb.pt"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x/data.pkl", "w", force_zip64=True) as member:
            for _ in range(64):
                member.write(bytes(1 << 20))
        archive.writestr("x/constants.pkl" if kind == "archive" else "x/version", b"3\n")
    refused_within_a_second(path, "bytes declare 67,1")


def test_many_members_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "many.pt"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("x/data.pkl", b"")
        archive.writestr("x/constants.pkl", b"")
        for number in range(50_000):
            archive.writestr(str(number), b"")
    with pytest.raises(WeightsError, match="it has 50,002 members"):
        open_checkpoint(path)


class TestFilesForPyiqa:
    def test_local_files(self, tmp_path: Path, tensors: dict[str, torch.Tensor]) -> None:
        canary = tmp_path / "canary"
        torch.save({"params": Trap(canary)}, tmp_path / "trap.pth")
        (tmp_path / "old.pth").write_bytes(pickle.dumps(Trap(canary), protocol=0))
        (tmp_path / "niqe.mat").write_bytes(b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100))
        torch.save({"params": tensors}, tmp_path / "good.pth")
        for name in ("niqe.mat", "good.pth"):
            check_options({"pretrained_model_path": str(tmp_path / name)})
        for name in ("trap.pth", "old.pth"):
            options = {"nested": [{"pretrained_model_path": str(tmp_path / name)}]}
            with pytest.raises(WeightsError, match=r"or pass --trust-weights \(trust_weights=True\)"):
                check_options(options)
            check_options(options, trust_weights=True)
        assert not canary.exists()

    def test_urls(self) -> None:
        from pyiqa.archs.arch_util import get_url_from_name

        check_options({"pretrained_model_path": get_url_from_name("musiq_koniq_ckpt-e95806b9.pth"), "patch": 3})
        for url in ("https://example.org/a.pth", get_url_from_name("../../../other/repo/resolve/main/a.pth")):
            with pytest.raises(WeightsError, match="is none of the files that pyiqa publishes"):
                check_options({"pretrained_model_path": url})


def test_a_pickle_that_begins_like_safetensors_is_looked_through(tmp_path: Path) -> None:
    """pyiqa unpickles it whatever its first bytes are, so these must not excuse it."""
    from clipiqa_pyiqa.errors import WeightsError
    from clipiqa_pyiqa.weights.foreign import check_file

    path = tmp_path / "weights.pth"
    float_whose_last_byte_is_a_brace = b"G\0\0\0\0\0\0\0{0"
    path.write_bytes(float_whose_last_byte_is_a_brace + b"cos\nsystem\n(S'true'\ntR.")
    with pytest.raises(WeightsError, match="trust"):
        check_file(path)
