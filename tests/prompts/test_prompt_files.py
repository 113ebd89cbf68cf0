"""Files of learned prompts: every format that is around, our own, and what must be refused."""

from __future__ import annotations

import copy
import logging
import os
import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from clipiqa_pyiqa import CLIPIQA, PromptError, WeightsError
from clipiqa_pyiqa.prompts.files import FORMAT, save_prompt_file
from clipiqa_pyiqa.weights.published import PYIQA_FILES

CTX = torch.randn(2, 16, 512, generator=torch.Generator().manual_seed(0)) * 0.02


@pytest.mark.parametrize("name", ["mine.safetensors", "mine.pth"])
def test_colleagues_can_read_what_is_saved(name: str, tmp_path: Path) -> None:
    """Its mode is the umask's, whatever the libraries that write it make of it (safetensors: 0600)."""
    net = CLIPIQA("clipiqa+", backbone="mini", pretrained=False).train()
    net.load_state_dict(net.state_dict())  # counts as learned
    before = os.umask(0o022)
    try:
        save_prompt_file(net.prompt_learner, tmp_path / name)
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o644
        os.umask(0o002)
        save_prompt_file(net.prompt_learner, tmp_path / f"group-{name}")
        assert (tmp_path / f"group-{name}").stat().st_mode & 0o777 == 0o664
    finally:
        os.umask(before)


class Poison:
    """Unpickling it makes a folder."""

    def __init__(self, folder: Path):
        self.folder = str(folder)

    def __reduce__(self):
        return os.mkdir, (self.folder,)


@pytest.fixture(scope="module")
def rn50(seeded_weights: Callable[[str], Path]) -> Path:
    return seeded_weights("RN50")


@pytest.fixture(scope="module")
def fresh(rn50: Path) -> CLIPIQA:
    return CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True)


@pytest.fixture
def metric(fresh: CLIPIQA) -> CLIPIQA:
    """One without learned prompts, for this test alone."""
    return copy.deepcopy(fresh)


def state(metric: CLIPIQA, ctx: Tensor = CTX) -> dict[str, Tensor]:
    return {**metric.state_dict(), "prompt_learner.ctx": ctx}


def official(metric: CLIPIQA) -> dict:
    """As mmediting's runner writes it: the prompts among the state of everything else, and half precision."""
    others = {"generator.clipmodel_0.logit_scale": torch.tensor(4.6), "step_counter": torch.tensor([80000])}
    prompts = {f"generator.clipmodel_0.{name}": value.half() for name, value in state(metric, CTX[0]).items()}
    return {"meta": {"iter": 80000, "time": "Fri"}, "state_dict": {**others, **prompts}, "optimizer": {"state": {}}}


FORMATS: dict[str, Callable[[CLIPIQA], object]] = {
    "bare tensor": lambda metric: CTX,
    "bare shared tensor": lambda metric: CTX[0],
    "bare parameter": lambda metric: torch.nn.Parameter(CTX),
    "pyiqa": lambda metric: {"params": state(metric)},
    "pyiqa, shared": lambda metric: {"params": state(metric, CTX[0])},
    "state dict": state,
    "from DDP": lambda metric: {"params": {f"module.{name}": value for name, value in state(metric).items()}},
    "official": official,
    "official, ctx alone": lambda metric: {"state_dict": {"generator.clipmodel_0.prompt_learner.ctx": CTX[0]}},
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("legacy", [False, True], ids=["zip", "legacy"])
def test_every_format(metric, tmp_path, name, legacy):
    path = tmp_path / "prompts.pth"
    torch.save(FORMATS[name](metric), path, _use_new_zipfile_serialization=not legacy)
    metric.load_prompts(path)
    shared = "shared" in name or "official" in name
    expected = CTX[0] if shared else CTX
    tolerance = 1e-4 if name == "official" else 0  # half precision in the file
    torch.testing.assert_close(metric.prompt_learner.ctx.data, expected, atol=tolerance, rtol=0)
    assert metric.prompt_learner.ctx.dtype == torch.float32
    assert metric.prompts[0].positive == "Good photo."
    assert metric.prompt_learner.record()["learned"]["from"] == "prompts.pth" and "from prompts.pth" in repr(metric)
    assert metric.eval().score(torch.ones(1, 1024) / 32).shape == (1, 1)


@pytest.mark.parametrize("shape", [(4, 512), (2, 4, 512), (2, 30, 512)])
def test_bare_context_of_any_length(metric, tmp_path, shape):
    torch.save(torch.randn(shape) * 0.02, tmp_path / "ctx.pth")
    metric.load_prompts(tmp_path / "ctx.pth")
    assert metric.prompt_learner.ctx.shape == shape
    assert metric.prompt_learner.token_suffix.shape == (2, 76 - shape[-2], 512)
    assert metric.eval().score(torch.ones(1, 1024) / 32).isfinite().all()


def test_our_own_file_round_trip(metric, rn50, tmp_path):
    metric.load_state_dict(state(metric))
    path = tmp_path / "mine.safetensors"
    save_prompt_file(metric.prompt_learner, path, {"pos_embedding": "none", "scores": {"srocc": 0.9}})
    assert set(load_file(path)) == {f"prompt_learner.{name}" for name in ("ctx", "token_prefix", "token_suffix")}
    assert path.stat().st_size < 500_000  # prompts only, no CLIP
    with safe_open(path, "pt") as file:
        said = file.metadata()
    assert said["format"] == FORMAT and said["backbone"] == "RN50" and said["scores"] == '{"srocc": 0.9}'
    assert said["weights_sha256"] == metric.clip.weights.sha256 and said["n_ctx"] == "16"
    assert said["base_positive"] == "Good photo." and said["class_position"] == "middle"
    twin = CLIPIQA("clipiqa+", clip_weights=rn50, quick_gelu=True, pretrained_model_path=path)
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(twin.eval()(x), metric.eval()(x))
    assert os.listdir(tmp_path) == ["mine.safetensors"]  # nothing half written is left


def test_pth_is_for_pyiqas_own_load_weights(metric, rn50, tmp_path):
    import pyiqa

    metric.load_state_dict(state(metric))
    save_prompt_file(metric.prompt_learner, tmp_path / "mine.pth")
    theirs = pyiqa.create_metric("clipiqa+", device="cpu", pretrained=False, clip_weights=rn50, quick_gelu=True)
    theirs.load_weights(str(tmp_path / "mine.pth"))
    x = torch.rand(1, 3, 64, 64)
    assert torch.equal(theirs(x), metric.eval()(x))


def test_published_names_are_found_by_their_published_file(metric, rn50, tmp_path, monkeypatch):
    """The published files' names carry the first digits of their hash: stand-ins have another."""
    import hashlib

    import pyiqa

    files = {
        "clipiqa+": ("CLIP-IQA+_learned_prompts-603f3273.pth", CTX[0]),
        "clipiqa+_rn50_512": ("CLIPIQA+_RN50_512-89f5d940.pth", {"params": state(metric)}),
    }
    for name, content in files.values():
        torch.save(content, tmp_path / name)
        monkeypatch.setitem(PYIQA_FILES, name, hashlib.sha256((tmp_path / name).read_bytes()).hexdigest())
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(tmp_path))
    for name, (file, content) in files.items():
        net = pyiqa.create_metric(name, device="cpu", clip_weights=rn50, quick_gelu=True).net
        expected = content if isinstance(content, Tensor) else CTX
        assert torch.equal(net.prompt_learner.ctx, expected)
        assert net.pos_embedding == ("none" if name == "clipiqa+" else "interpolate")
        assert f"from {file}" in repr(net)


def test_nothing_pickled_is_executed(metric, tmp_path):
    for number, content in enumerate(
        [Poison(tmp_path / "a"), {"params": state(metric), "meta": Poison(tmp_path / "a")}]
    ):
        path = tmp_path / f"{number}.pth"
        torch.save(content, path)
        with pytest.raises(WeightsError, match="could run code, so it was not loaded"):
            metric.load_prompts(path)
    path.write_bytes(pickle.dumps(Poison(tmp_path / "a")))
    with pytest.raises(WeightsError):
        metric.load_prompts(path)
    assert not (tmp_path / "a").exists()


BAD: dict[str, tuple[object, str]] = {
    "no ctx": ({"params": {"weight": torch.ones(3)}}, "holds no learned prompts"),
    "not a mapping": ([1, 2], "holds a list"),
    "two networks": (
        {"a.prompt_learner.ctx": CTX, "b.prompt_learner.ctx": CTX + 1},
        r"several learned prompts \(a.prompt_learner.ctx, b.prompt_learner.ctx\)",
    ),
    "one dimension": (torch.ones(512), r"\(n_ctx, dim\) or \(2, n_ctx, dim\)"),
    "three texts": (torch.ones(3, 16, 512), r"\(n_ctx, dim\) or \(2, n_ctx, dim\)"),
    "no vectors": (torch.ones(0, 512), r"\(n_ctx, dim\) or \(2, n_ctx, dim\)"),
    "integers": (torch.ones(16, 512, dtype=torch.int64), "in floats; got"),
    "too many": (torch.ones(73, 512), "CLIP reads 77"),
    "not finite": (torch.full((16, 512), torch.nan), "not finite"),
    "width": (torch.ones(2, 16, 768), r"width 768, but the text tower of RN50 \(.*\) has width 512"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_content(metric, tmp_path, name):
    content, message = BAD[name]
    torch.save(content, tmp_path / "bad.pth")
    before = metric.prompt_learner.ctx.clone()
    with pytest.raises((PromptError, WeightsError), match=message) as error:
        metric.load_prompts(tmp_path / "bad.pth")
    assert "bad.pth" in str(error.value)
    assert torch.equal(metric.prompt_learner.ctx, before)
    with pytest.raises(PromptError, match="no learned prompts"):  # a failed load leaves nothing that passes for learned
        metric.eval().score(torch.ones(1, 1024) / 32)


def test_suffix_that_does_not_fit_its_context(metric, tmp_path):
    torch.save({"params": state(metric, CTX[:, :8])}, tmp_path / "bad.pth")
    with pytest.raises(PromptError, match=r"token_suffix have the shapes .*\(2, 60, 512\).* needs .*\(2, 68, 512\)"):
        metric.load_prompts(tmp_path / "bad.pth")


@pytest.mark.parametrize(
    "content", [b"", b"PK\x03\x04 rubbish", b"\x80\x02 rubbish", b"text, not tensors", b"12345678{rub"]
)
def test_damaged_files(metric, tmp_path, content):
    (tmp_path / "bad.pth").write_bytes(content)
    with pytest.raises((WeightsError, PromptError), match=r"bad\.pth"):
        metric.load_prompts(tmp_path / "bad.pth")


def test_truncated_files(metric, tmp_path):
    whole = tmp_path / "whole.pth"
    torch.save({"params": state(metric)}, whole)
    for part in (0.1, 0.5, 0.99):
        (tmp_path / "cut.pth").write_bytes(whole.read_bytes()[: int(whole.stat().st_size * part)])
        with pytest.raises(WeightsError, match="truncated or damaged"):
            metric.load_prompts(tmp_path / "cut.pth")
    with pytest.raises(WeightsError, match="No such file"):
        metric.load_prompts(tmp_path / "none.pth")
    with pytest.raises(WeightsError, match="Is a directory"):
        metric.load_prompts(tmp_path)


def test_clip_weights_are_no_prompts(metric, rn50):
    with pytest.raises(PromptError, match="holds no learned prompts"):
        metric.load_prompts(rn50)


def test_another_backbone_is_named_from_the_metadata(metric, seeded_weights, tmp_path):
    """ViT-B/32 has RN50's width, so only what the file says, or its start token, tells them apart."""
    other = CLIPIQA("clipiqa+", "ViT-B/32", pretrained=False, clip_weights=seeded_weights("ViT-B/32"), quick_gelu=True)
    other.load_state_dict(state(other))
    save_prompt_file(other.prompt_learner, tmp_path / "vit.safetensors")
    with pytest.raises(PromptError, match="learned on ViT-B/32, but the metric's backbone is RN50"):
        metric.load_prompts(tmp_path / "vit.safetensors")
    save_file(load_file(tmp_path / "vit.safetensors"), tmp_path / "says nothing.safetensors")
    with pytest.raises(PromptError, match="another CLIP than RN50"):
        metric.load_prompts(tmp_path / "says nothing.safetensors")


def test_other_positional_embedding_is_a_warning(metric, tmp_path, caplog):
    metric.load_state_dict(state(metric))
    save_prompt_file(metric.prompt_learner, tmp_path / "mine.safetensors", {"pos_embedding": "interpolate"})
    with caplog.at_level(logging.WARNING, "clipiqa_pyiqa"):
        metric.load_prompts(tmp_path / "mine.safetensors")
    assert "learned with pos_embedding='interpolate', but the metric has 'none'" in caplog.text


def test_saving_what_was_not_learned(metric, tmp_path):
    with pytest.raises(PromptError, match="no learned prompts to save"):
        save_prompt_file(metric.prompt_learner, tmp_path / "x.safetensors")
    metric.load_state_dict(state(metric))
    with pytest.raises(PromptError, match=r"got '.*x\.txt'"):
        save_prompt_file(metric.prompt_learner, tmp_path / "x.txt")
    assert not list(tmp_path.iterdir())


def test_trained_on_after_loading(metric, tmp_path):
    torch.save(CTX, tmp_path / "start.pth")
    metric.load_prompts(tmp_path / "start.pth")
    metric.prompt_learner.ctx.data += 0.1
    assert "trained on from start.pth" in repr(metric)
