"""Every member of the family beside pyiqa's own class, on the same seeded weights and real photos of odd sizes."""

import functools
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from tensors import assert_close
from torch import nn
from torchvision.transforms import Normalize

import clipiqa_pyiqa

pytest.importorskip("clip", reason="pyiqa's classes need openai's clip and 'setuptools<82'")
from pyiqa.archs import liqe_arch, maclip_arch, qualiclip_arch
from pyiqa.archs.clip_model import LayerNorm
from reference import MODULES, backbone_of, builders, on_cpu

pytestmark = pytest.mark.slow

PHOTOS = sorted((Path(clipiqa_pyiqa.__file__).parent / "data/photos").glob("*.jpg"))
TOLERANCE = {
    "maclip": 5e-5,
    "liqe": 8e-4,
    "liqe_mix": 8e-4,
    "laion_aes": 2e-4,
}  # 2e-4 of liqe's range of 4; 9 of LAION's
CAPTIONS = ["a building with arches", "two otters " + "in the water " * 40]


def photo(index, height, width):
    pixels = np.array(Image.open(PHOTOS[index]).convert("RGB").resize((width + 60, height + 40)))
    return torch.from_numpy(pixels[:height, :width].copy()).permute(2, 0, 1)[None].float() / 255


@pytest.fixture
def cpu():
    with on_cpu():
        yield


LONG = ("qualiclip+", "liqe_mix")  # as qualiclip and liqe, with other texts


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=pytest.mark.long if name in LONG else ()) for name in MODULES]
)
@pytest.mark.usefixtures("cpu")
def test_scores_and_gradients_equal_pyiqas(seeded_weights, name, tmp_path, monkeypatch):
    build_ours, build_theirs = builders(name, seeded_weights(backbone_of(name)), tmp_path)
    ours = build_ours()
    theirs = build_theirs()
    size = (379, 501) if "liqe" in name else (250, 261)  # LIQE takes fifteen of many patches
    x = torch.cat([photo(0, *size), photo(1, *size)])
    captions = {"caption_list": CAPTIONS} if name == "clipscore" else {}
    with torch.no_grad():
        scores = ours(x, **captions)
        if name == "maclip":
            expected = torch.stack([theirs(image) for image in x.split(1)])[:, None]
        else:
            expected = theirs(x, **captions)
        assert scores.shape == expected.shape
        assert_close(scores, expected, atol=TOLERANCE.get(name, 2e-5))
        for index, image in enumerate(x.split(1)):
            single = ours(image, **{key: value[index : index + 1] for key, value in captions.items()})
            torch.testing.assert_close(scores[index : index + 1], single, atol=2e-6, rtol=2e-6)
    best = int(scores.argmax())  # a CLIPScore that is cut off at 0 has no gradient
    single = {key: value[best : best + 1] for key, value in captions.items()}
    crop = x[best : best + 1, :, :225, :239]
    fp32 = gradient_of(ours, crop, single)
    if name == "liqe_mix":  # its 495 texts take minutes in float64
        expected = gradient_of(theirs, crop, single)
    else:
        monkeypatch.setattr(LayerNorm, "forward", nn.LayerNorm.forward)  # pyiqa's casts to fp32, as .float() does
        monkeypatch.setattr(torch.Tensor, "float", lambda self: self)
        monkeypatch.setattr(maclip_arch, "Normalize", rounded_normalize)
        expected = gradient_of(in_float64(theirs), crop.double(), single)
        assert_close(gradient_of(ours, crop.double(), single), expected, atol=1e-8)
    assert (fp32 - expected).abs().median() < 2e-3 * expected.abs().median() != 0


def gradient_of(net, x, options):
    leaf = x.clone().requires_grad_()
    return torch.autograd.grad(net(leaf, **options).sum(), leaf)[0]


def rounded_normalize(*constants):
    """Return the normalisation with constants rounded to fp32, as all other metrics have them."""
    return Normalize(*(torch.tensor(values).tolist() for values in constants))


@torch.no_grad()
def in_float64(theirs):
    """Turn pyiqa's metric, with what it keeps in lists and of texts, into float64."""
    theirs.double()
    if isinstance(theirs.clip_model, list):
        theirs.clip_model[0].double()
    if isinstance(theirs, qualiclip_arch.QualiCLIP):
        theirs.prompts_features = theirs.prompts_features.double()
    if isinstance(theirs, maclip_arch.MACLIP):  # which adds 1e-6 to the deviation of features of any length
        theirs.box_cox = functools.partial(theirs.box_cox, epsilon=0)
    if isinstance(theirs, liqe_arch.LIQE):
        theirs.text_features = theirs.get_text_features(theirs.joint_texts)
    return theirs
