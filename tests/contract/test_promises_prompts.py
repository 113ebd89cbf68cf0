"""Promises of docs/prompts.md: what may be asked, what the columns are called, and which end is good."""

import json
from pathlib import Path

import pandas
import pyiqa
import pytest
import torch
from assertions import refused
from photos import PHOTOS, photo_like
from PIL import Image, ImageEnhance, ImageFilter
from torchvision.transforms.functional import pil_to_tensor

from clipiqa_pyiqa import CLIPIQA, PromptError, save_prompt_file

PAIR = ("Crisp photo.", "Hazy photo.")
PAIRS = {
    "quality": ("Good photo.", "Bad photo."),
    "aesthetic": ("Aesthetic photo.", "Not aesthetic photo."),
    "brightness": ("Bright photo.", "Dark photo."),
    "noisiness": ("Clean photo.", "Noisy photo."),
    "colorfulness": ("Colorful photo.", "Dull photo."),
    "sharpness": ("Sharp photo.", "Blurry photo."),
    "contrast": ("High contrast photo.", "Low contrast photo."),
    "complex": ("Complex photo.", "Simple photo."),
    "natural": ("Natural photo.", "Synthetic photo."),
    "happy": ("Happy photo.", "Sad photo."),
    "scary": ("Scary photo.", "Peaceful photo."),
    "new": ("New photo.", "Old photo."),
    "warm": ("Warm photo.", "Cold photo."),
    "real": ("Real photo.", "Abstract photo."),
    "beautiful": ("Beautiful photo.", "Ugly photo."),
    "lonely": ("Lonely photo.", "Sociable photo."),
    "relaxing": ("Relaxing photo.", "Stressful photo."),
}
X = photo_like(64, 80, 2)


@pytest.fixture(scope="module")
def net(seeded_weights):
    """A seeded RN50, which knows all words."""
    return CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=True).eval()


@torch.no_grad()
def asked(net, prompts, **options):
    return net(X, prompts=prompts, **options)


def same(one, other):
    return torch.allclose(one, other, rtol=0, atol=1e-6)


@pytest.mark.parametrize("name", PAIRS)
def test_a_name_stands_for_the_pages_pair(net, name):
    assert same(asked(net, name), asked(net, PAIRS[name]))


def test_the_command_lists_the_named_pairs(clipiqa):
    said = clipiqa("prompts", 0).out
    for name, texts in PAIRS.items():
        (line,) = (line for line in said.splitlines() if line.split()[:1] == [name])
        assert all(text in line for text in texts)
    assert "Hazy photo." in clipiqa("prompts 'Crisp photo.|Hazy photo.'", 0).out


def test_several_questions_are_averaged_or_have_a_column_each(net):
    columns = asked(net, ["quality", PAIR], aggregate=None)
    assert columns.shape == (2, 2) and asked(net, ["quality", PAIR]).shape == (2, 1)
    assert same(asked(net, ["quality", PAIR]), columns.mean(1, keepdim=True))
    assert same(columns[:, 1:], asked(net, PAIR)) and ((columns > 0) & (columns < 1)).all()


def test_the_preset_is_the_mean_of_pyiqas_five_pairs(net):
    pairs = [
        ("Good image", "bad image"), ("Sharp image", "blurry image"), ("sharp edges", "blurry edges"),
        ("High resolution image", "low resolution image"), ("Noise-free image", "noisy image"),
    ]  # fmt: skip
    assert same(asked(net, "pyiqa"), asked(net, pairs))


def test_the_score_is_the_softmax_of_both_cosines_times_a_hundred(net):
    with torch.no_grad():
        features = net.encode_image(X)
        cosines = torch.cat([net.score(features, prompts=f"single:{text}") for text in PAIRS["quality"]], dim=1)
    assert torch.allclose(features.norm(dim=1), torch.ones(2), atol=1e-6)
    assert torch.allclose((100 * cosines).softmax(1)[:, :1], asked(net, "quality"), atol=1e-4)


def test_encoding_once_and_asking_often_is_the_same(net):
    with torch.no_grad():
        features = net.encode_image(X)
        assert same(
            net.score(features, prompts=["warm", "real"], aggregate=None), asked(net, ["warm", "real"], aggregate=None)
        )


def test_a_template_words_every_pair(net, seeded_weights):
    templated = CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=True, template="A photo of {}.").eval()
    with torch.no_grad():
        assert same(templated(X), asked(net, ("A photo of Good.", "A photo of Bad.")))


def test_pyiqas_metric_takes_other_questions_in_one_call():
    metric = pyiqa.create_metric("clipiqa", backbone="mini", device="cpu", prompts=["brightness", "noisiness"])
    with torch.no_grad():
        assert metric(X).shape == (2, 1)
        assert metric(X, prompts=["sharpness", "quality", PAIR], aggregate=None).shape == (2, 3)
        assert torch.equal(metric(X), metric.net(X))


@pytest.mark.parametrize(
    "prompts", ["sharpnes", ("Good photo.", ""), ("only one.",), [], ("x " * 90, "bad"), ["quality", 3]]
)
def test_what_is_no_question_is_refused(prompts):
    with pytest.raises(PromptError):
        CLIPIQA(backbone="mini", prompts=prompts)(X)


def test_a_name_that_is_misspelt_is_proposed():
    assert "sharpness" in refused(CLIPIQA, backbone="mini", prompts="sharpnes")


def test_columns_are_called_as_they_were_asked(clipiqa, tmp_path):
    Image.open(PHOTOS[0]).convert("RGB").resize((96, 64)).save(tmp_path / "0.png")
    asked = "quality sharpness 'Crisp photo.|Hazy photo.' 'single:Good photo.'"
    clipiqa(f"score 0.png -b mini --prompts {asked} --device cpu --out s.csv", 0)
    (row,) = pandas.read_csv("s.csv").to_dict("records")
    columns = list(row)[1:5]
    assert columns[:3] == ["quality", "sharpness", "Crisp photo.|Hazy photo."] and "Good photo." in columns[3]
    net = CLIPIQA(backbone="mini", prompts=["quality", "sharpness", PAIR, "single:Good photo."], aggregate=None)
    assert list(net.columns) == columns
    Path("o.yml").write_text("prompts: [quality, [Crisp photo., Hazy photo.]]")
    clipiqa("score 0.png -b mini -c o.yml --device cpu --out y.csv", 0)
    assert list(pandas.read_csv("y.csv"))[1:3] == ["quality", "Crisp photo.|Hazy photo."]


DAMAGE = {
    "noisiness": lambda photo: Image.blend(photo, Image.effect_noise(photo.size, 90).convert("RGB"), 0.3),
    "sharpness": lambda photo: photo.filter(ImageFilter.GaussianBlur(3)),
    "brightness": lambda photo: ImageEnhance.Brightness(photo).enhance(0.3),
    "contrast": lambda photo: ImageEnhance.Contrast(photo).enhance(0.3),
    "colorfulness": lambda photo: ImageEnhance.Color(photo).enhance(0.1),
    "quality": lambda photo: photo.filter(ImageFilter.GaussianBlur(4)),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_high_score_means_that_the_first_text_fits(metric, name):
    for file in PHOTOS:
        photo = Image.open(file).convert("RGB")
        both = torch.stack([pil_to_tensor(photo), pil_to_tensor(DAMAGE[name](photo))]) / 255
        with torch.no_grad():
            whole, damaged = metric(both, prompts=name)[:, 0]
        assert whole > damaged


def test_saved_prompts_score_the_same_in_a_new_metric(tmp_path):
    learned = CLIPIQA("clipiqa+", "mini", pretrained=False)
    with torch.no_grad():
        learned.prompt_learner.ctx.normal_(0, 0.02, generator=torch.Generator().manual_seed(0))
    for name in ("mine.safetensors", "mine.pth"):
        save_prompt_file(learned.prompt_learner, tmp_path / name)
        loaded = pyiqa.create_metric(
            "clipiqa+", backbone="mini", pretrained_model_path=str(tmp_path / name), device="cpu"
        )
        with torch.no_grad():
            assert torch.equal(loaded(X), learned.eval()(X))


def test_a_metric_says_which_clipiqa_it_is():
    net = CLIPIQA(backbone="mini", prompts="sharpness")
    assert all(part in repr(net) for part in ("mini", "Sharp photo.", "bundled"))
    assert json.loads(json.dumps(net.provenance()))["backbone"] == "mini"
