"""The bundled small CLIP: found, checked, equal to the reference, and it perceives what it was trained to perceive."""

from __future__ import annotations

import functools
import io
import logging
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyiqa
import pytest
import torch
import torch.nn.functional as F
from PIL import Image, ImageEnhance, ImageFilter
from scipy.stats import spearmanr

from clipiqa_pyiqa import CLIPIQA, CLIPIQALoss
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.errors import PromptError, WeightsError
from clipiqa_pyiqa.experiments.demonstration import ATTRIBUTES, PHOTOS, VERSIONS, demo_images, demo_scores
from clipiqa_pyiqa.files.hashes import hash_file
from clipiqa_pyiqa.learning.feature_store import FeatureError, FeatureStore
from clipiqa_pyiqa.prompts.files import save_prompt_file
from clipiqa_pyiqa.scoring.result_files import Output, open_results
from clipiqa_pyiqa.scoring.rows import Header, Row
from clipiqa_pyiqa.weights import published
from clipiqa_pyiqa.weights.selection import find_weights

pytest_plugins = ["weights_fakes"]

LOOKS = ("quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast")


@pytest.fixture(scope="module")
def mini() -> CLIPIQA:
    return CLIPIQA(backbone="mini").eval()


@pytest.fixture(scope="module")
def photos() -> list[Image.Image]:
    """The photos of the demo, which mini was not trained on."""
    return [Image.open(path).convert("RGB") for path in sorted(PHOTOS.glob("*.jpg"))]


def tensor(image: Image.Image) -> torch.Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)[None].float() / 255


# The file


def test_the_file_is_the_one_that_was_measured() -> None:
    assert hash_file(published.MINI_FILE) == published.MINI_SHA256


def test_the_file_adds_little_to_the_wheel() -> None:
    """At most 10 MB, as a wheel compresses it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(published.MINI_FILE)
    assert 1e6 < len(buffer.getvalue()) < 10e6


def test_it_comes_with_the_package_and_needs_no_network(home: Path) -> None:
    weights = find_weights("mini")
    assert (weights.path, weights.source, weights.tag) == (published.MINI_FILE, "this package", "bundled")
    assert weights.quick_gelu and weights.short == f"bundled {published.MINI_SHA256[:8]}"


@pytest.mark.parametrize(("state", "said"), [("missing", "is missing"), ("cut", "is damaged .its SHA-256 starts")])
def test_a_missing_or_damaged_file(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, state: str, said: str
) -> None:
    path = tmp_path / "mini.safetensors"
    if state == "cut":
        path.write_bytes(published.MINI_FILE.read_bytes()[:100_000])
    monkeypatch.setattr(published, "MINI_FILE", path)
    with pytest.raises(WeightsError, match=rf"part of clipiqa-pyiqa, {said}.*install the package again"):
        find_weights("mini")


def test_it_is_offered_and_never_chosen_silently(home: Path) -> None:
    with pytest.raises(WeightsError, match=r"(?s)RN50 .*could not be downloaded.*4\. .*backbone='mini'"):
        CLIPIQA()


# Equal to the reference


def test_it_equals_the_reference_that_it_was_trained_with(mini: CLIPIQA, photos: list[Image.Image]) -> None:
    """The same file through the training script's plain modules, in float64: features, map, and the words' scores."""
    folder = str(Path(__file__).parents[2] / "docs/examples/mini")
    sys.path.insert(0, folder)
    try:
        from mini.model import Mini
    finally:
        sys.path.remove(folder)
    reference = Mini(published.MINI_FILE)
    for tensors in (reference.visual, reference.tower.tensors):
        tensors.update({name: value.double() for name, value in tensors.items()})
    reference.tower._conv = functools.partial(plain_conv, reference.tower.tensors)  # its own is oneDNN's, for fp32
    x = tensor(photos[0].crop((0, 0, 256, 191))).double()
    with torch.no_grad():
        theirs = reference.encode_image(x)
        torch.testing.assert_close(mini.encode_image(x), theirs, atol=1e-9, rtol=0)
        torch.testing.assert_close(mini.encode_map(x), reference.encode_cells(x).permute(0, 3, 1, 2), atol=1e-9, rtol=0)
        pair = ("Good photo.", "Bad photo.")
        expected = (theirs.float() @ reference.questions([pair])).sigmoid()
        # its text tower works in fp32, whose rounding the logit scale of 100 magnifies
        torch.testing.assert_close(mini(x.float()), expected, atol=2e-5, rtol=0)


def plain_conv(
    tensors: dict, x: torch.Tensor, name: str, kernel: int = 1, stride: int = 1, groups: int = 1, relu: bool = True
) -> torch.Tensor:
    low, odd = (kernel - stride) // 2, [side % 2 if stride == 2 else 0 for side in x.shape[2:]]
    high = kernel - stride - low
    x = F.pad(x, (low, high + odd[1], low, high + odd[0]))
    x = F.conv2d(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"], stride, groups=groups)
    return F.relu6(x) if relu else x


FIRST = "adf182cc260bae2b13e8449d99ed3fbdfa582676ccade1df82e87b880b52a0fd"


def test_prompts_learned_on_the_first_edition_are_refused_in_one_sentence(tmp_path: Path) -> None:
    assert published.former_mini(FIRST) == "first" and published.former_mini(published.MINI_SHA256) is None
    metric = CLIPIQA("clipiqa+", backbone="mini", pretrained=False)
    metric.prompt_learner.load_context(torch.zeros(16, 64))
    path = tmp_path / "prompts.safetensors"
    save_prompt_file(metric.prompt_learner, path, metadata={"weights_sha256": FIRST})
    with pytest.raises(PromptError, match="learned on the first edition of mini, which do not fit the present one"):
        CLIPIQA("clipiqa+", backbone="mini", pretrained_model_path=path)


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_results_of_the_first_edition_are_not_resumed(
    tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / f"scores.{kind}"
    said = {**CLIPIQA(backbone="mini").provenance(), "weights_sha256": FIRST}
    with open_results(Output(path, kind, False, False), Header(("quality",), said)) as writer:
        writer.write(Row("a.jpg", (0.5,), 8, 8))
    before = path.read_bytes()
    assert main(["score", str(PHOTOS), "--backbone", "mini", "--out", str(path), "--resume"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot be resumed, as its scores were made with the first edition of mini: use --overwrite" in line
    assert path.read_bytes() == before


def test_features_of_the_first_edition_are_never_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store's name holds its weights' hash; one that was renamed is refused by what it says inside."""
    metric = CLIPIQA(backbone="mini")
    now = FeatureStore(metric, tmp_path)
    said = {**metric.provenance(), "weights_sha256": FIRST}
    monkeypatch.setattr(metric, "provenance", lambda: said)
    first = FeatureStore(metric, tmp_path)
    assert first.path != now.path
    first.path.replace(now.path)
    monkeypatch.undo()
    with pytest.raises(FeatureError, match=r"holds features of another setup .*adf182cc.*: delete it\.$"):
        FeatureStore(metric, tmp_path)


# Words


def test_unseen_words_are_said_once(caplog: pytest.LogCaptureFixture) -> None:
    metric, x = CLIPIQA(backbone="mini"), torch.rand(1, 3, 64, 64)
    metric.clip._warned.clear()
    metric.clip._text_features.clear()
    with caplog.at_level(logging.WARNING, "clipiqa_pyiqa"):
        metric(x, prompts=[*LOOKS, ("A high quality photo.", "A blurry photo.")])
        assert caplog.text == ""
        metric(x, prompts="happy")
        metric(x, prompts="happy")
    (said,) = [record.getMessage() for record in caplog.records]
    assert "never saw 'happy', 'sad', so" in said
    assert "it knows 'Good photo.|Bad photo.', 'Bright photo." in said and "such as RN50" in said


def test_prompts_of_another_backbone(tmp_path: Path) -> None:
    torch.save(torch.randn(16, 512), tmp_path / "rn50.pth")
    with pytest.raises(PromptError, match=r"width 512, but the text tower of mini \(bundled \w+\) has width 64"):
        CLIPIQA("clipiqa+", backbone="mini", pretrained_model_path=tmp_path / "rn50.pth")
    with pytest.raises(PromptError, match="learned on RN50, but the backbone is mini"):
        CLIPIQA("clipiqa+", backbone="mini")


# Perception

CHANGES: dict[str, tuple[Callable[[Image.Image, float], Image.Image], list[float]]] = {
    "brightness": (lambda image, v: ImageEnhance.Brightness(image).enhance(v), [0.4, 0.7, 1.0, 1.3, 1.6]),
    "colorfulness": (lambda image, v: ImageEnhance.Color(image).enhance(v), [0.0, 0.5, 1.0, 1.4, 1.8]),
    "contrast": (lambda image, v: ImageEnhance.Contrast(image).enhance(v), [0.4, 0.7, 1.0, 1.3, 1.6]),
    "sharpness": (lambda image, v: image.filter(ImageFilter.GaussianBlur(v)), [5.0, 3.0, 2.0, 1.0, 0.0]),
    "noisiness": (lambda image, v: noisy(image, v), [50.0, 30.0, 15.0, 5.0, 0.0]),
}


def noisy(image: Image.Image, sigma: float) -> Image.Image:
    grain = np.random.default_rng(0).normal(0, sigma, (image.height, image.width, 3))
    return Image.fromarray((np.asarray(image) + grain).clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize("attribute", CHANGES)
def test_attributes_follow_what_is_done_to_a_photo(mini: CLIPIQA, photos: list[Image.Image], attribute: str) -> None:
    """Fig. 4 of the paper: five steps from low to high."""
    change, steps = CHANGES[attribute]
    for photo in photos:
        scores = [mini(tensor(change(photo, step)), prompts=attribute).item() for step in steps]
        assert spearmanr(scores, range(len(steps))).statistic > 0.85, scores  # one swap of neighbours at most


def test_quality_prefers_the_photo_to_every_degraded_version() -> None:
    scores = demo_scores(demo_images())["quality"].unstack()
    degraded = scores.drop(columns="as it is")
    assert degraded.shape == (3, 4)
    assert (degraded.max(axis=1) < scores["as it is"] - 0.05).all(), scores


def test_a_flip_or_another_size_hardly_moves_quality_on_average(mini: CLIPIQA, photos: list[Image.Image]) -> None:
    """docs/mini.md has the figures of 21 photos, and single ones that move more."""
    moves = []
    for photo in photos:
        smaller = photo.resize((photo.width * 3 // 4, photo.height * 3 // 4), Image.Resampling.BICUBIC)
        own, flipped, resized = (mini(tensor(image)).item() for image in (photo, photo.transpose(0), smaller))
        moves.append((abs(flipped - own), abs(resized - own)))
    assert (np.mean(moves, axis=0) < 0.05).all(), moves


def test_visibly_degraded_calibration_images_score_below_their_references(shared: Path) -> None:
    metric = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu")
    for name in ("I03", "I19"):
        distorted, reference = (
            next(
                path for path in (shared / "data/calibration" / folder).iterdir() if path.stem.upper().startswith(name)
            )
            for folder in ("dist", "ref")
        )
        assert metric(str(distorted)).item() < metric(str(reference)).item() - 0.05


# What else runs on it


def test_the_loss_restores_a_picture(photos: list[Image.Image]) -> None:
    """Descending `sharpness` on a blurred photo's pixels raises its score and brings fine structure back."""
    photo = photos[1].crop((150, 60, 310, 180))
    blurred = tensor(photo.filter(ImageFilter.GaussianBlur(2)))
    x = blurred.clone().requires_grad_()
    criterion = CLIPIQALoss(prompts="sharpness", form="margin", backbone="mini")
    start = criterion(x).item()
    optimizer = torch.optim.Adam([x], lr=2e-3)
    for _ in range(25):
        optimizer.zero_grad()
        criterion(x).backward()
        optimizer.step()
    end = x.detach().clamp(0, 1)
    assert criterion(end).item() < start - 0.5
    assert detail(end) > 1.1 * detail(blurred)  # the picture follows, not the score alone
    assert (end - blurred).abs().mean() < 0.1  # and it is still the same picture


def detail(x: torch.Tensor) -> float:
    return (x[..., 1:] - x[..., :-1]).abs().mean().item()


def test_learned_prompts_train_and_load(tmp_path: Path, photos: list[Image.Image]) -> None:
    """CLIP-IQA+ on mini: a context learns to call dark what the words call good."""
    metric = CLIPIQA("clipiqa+", backbone="mini", pretrained=False).train()
    levels = torch.linspace(0.3, 1.0, 6)
    x = torch.cat([tensor(photos[0].resize((96, 64))) * level for level in levels])
    features, target = metric.encode_image(x).detach(), 1 - levels[:, None]
    optimizer = torch.optim.Adam(metric.parameters(), lr=5e-3)
    for _ in range(120):
        optimizer.zero_grad()
        torch.nn.functional.mse_loss(metric.score(features), target).backward()
        optimizer.step()
    learned = metric.eval().score(features).flatten().detach()
    assert spearmanr(learned, target.flatten()).statistic > 0.9
    again = CLIPIQA("clipiqa+", backbone="mini", pretrained=False)
    again.load_state_dict(metric.state_dict())
    torch.testing.assert_close(again.eval().score(features).flatten(), learned)


# The demo


def test_demo_prints_its_table_and_writes_its_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "demo.png")]) == 0
    out = capsys.readouterr().out
    assert all(word in out for word in (*ATTRIBUTES, *VERSIONS, "piqe", "BIQ2021", "RN50"))
    assert str(tmp_path / "demo.png") in out
    assert Image.open(tmp_path / "demo.png").width > 1000


def test_demo_with_an_unwritable_picture(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--out", str(tmp_path / "gone" / "demo.png")]) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "there is no folder" in captured.err  # said before anything is scored
