"""`clipiqa verify`: published scores are ok, others fail, and fail only with the weights they were published for."""

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from weights_fakes import REFUSED, set_openai_url, sha256

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.workbench.verify import NOISE, SCORES_OF_PICTURES, verify


class Standin(torch.nn.Module):
    """Gives the published score of each input, plus an error."""

    encode_image = None  # would refuse the noise, which has pixels from 0 to 254

    def __init__(self, error=0.0, tag="openai", backbone="RN50"):
        super().__init__()
        weights = SimpleNamespace(backbone=backbone, tag=tag, short=tag, place="a test", path="somewhere")
        self.clip, self.error = SimpleNamespace(weights=weights), error
        self.noise = torch.randint(255, (2, 3, 224, 224), generator=torch.Generator().manual_seed(42)).float()

    def encode_unchecked(self, x):
        return x

    def score(self, x, prompts):
        if x.shape[-2:] == (384, 512):
            torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
            published = list(SCORES_OF_PICTURES.values())
            number = int(x[0, 1, -1, -1])
        else:
            published = NOISE[prompts]
            number = [torch.equal(x[0], noise) for noise in self.noise].index(True)
        return torch.tensor([[published[number] + self.error]])


@pytest.fixture
def pictures(tmp_path):
    """Pictures of the names that are looked for, in a folder of a folder."""
    (tmp_path / "assets").mkdir()
    for number, name in enumerate(("I01.BMP", "i01_01_5.bmp")):
        image = Image.new("RGB", (512, 384), (255, 0, 51))
        image.putpixel((511, 383), (0, 255 * number, 0))
        image.save(tmp_path / "assets" / name)
    return tmp_path


def test_verdicts(pictures):
    for standin, verdicts in [
        (Standin(), ["ok"] * 6),
        (Standin(0.002), ["ok", "ok", *["FAIL"] * 4]),  # within the fp16 runs' 0.01, beyond the printed digits
        (Standin(float("nan")), ["FAIL"] * 6),
        (Standin(0.5, "file"), ["differs"] * 6),
        (Standin(0.5, backbone="ViT-B/32"), ["differs"] * 6),
    ]:
        assert verify(standin, [pictures])["verdict"].tolist() == verdicts


@pytest.mark.parametrize("tag, code, verdict", [("openai", 1, "FAIL"), ("file", 2, "differs")])
@pytest.mark.slow
def test_command(clipiqa, monkeypatch, seeded_weights, tag, code, verdict):
    """Seeded weights, as they are, and as what OpenAI published."""
    path = seeded_weights()
    if tag == "openai":
        held = CLIPIQA(clip_weights=path)  # as a file, whose tower must not be taken for OpenAI's
        set_openai_url(monkeypatch, f"{REFUSED}/{sha256(path)}/RN50.pt", "RN50")
    said = clipiqa(f"verify --clip-weights {path}", code, out=f"with RN50, {tag}")
    *words, expected, got, tolerance, difference, found = said.out.splitlines()[2].split()[:10]
    assert [*words, expected, tolerance, found] == ["noise", "1", "of", "2", "quality", "0.8894", "5.0e-04", verdict]
    assert float(difference) == pytest.approx(float(got) - 0.8894, abs=1e-4)
    assert said.out.count(f"  {verdict} ") == 4 and str(path) in said.out
    assert ("your weights are different" in said.err) == (tag == "file")
    assert tag == "file" or held.clip.weights.tag == "file"


def test_inputs_that_cannot_be_checked_are_refused(clipiqa):
    for option, noun in {
        "--images nowhere": "nowhere",
        "--images . -b mini": "I01.BMP",
        "--clip-weights none.pt": "none.pt",
    }.items():
        Image.new("RGB", (64, 48)).save("I01.BMP")
        clipiqa(f"verify {option}", 2, noun)
