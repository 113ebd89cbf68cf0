"""torchmetrics' interface: its arguments, results and errors, with our scores; what its own tests ask of its class."""

import pytest
import torch
from photos import photo_like

from clipiqa_pyiqa import CLIPIQA

torchmetrics = pytest.importorskip("torchmetrics")

from clipiqa_pyiqa.torchmetrics import (  # noqa: E402
    CLIPImageQualityAssessment,
)

IMAGES = photo_like(64, 80, 4)
FREE = ("Super good photo.", "Super bad photo.")
CLOSE = 5e-6  # of scores in [0, 1]: how many images and prompts share a product decides in which order it sums


def same(found, expected):
    return found.shape == expected.shape and bool((found - expected).abs().max() < CLOSE)


def ours(prompts):
    return CLIPIQA(backbone="mini").eval()(IMAGES, prompts, None)


def _work(rank, address, shares):
    torch.distributed.init_process_group("gloo", init_method=address, rank=rank, world_size=2)
    metric = CLIPImageQualityAssessment(backbone="mini", prompts=("quality", "sharpness"))
    for number in shares[rank]:
        metric.update(IMAGES[[number]])
    found = metric.compute()
    expected = ours(["quality", "sharpness"])[[*shares[0], *shares[1]]]
    assert same(torch.stack(list(found.values()), 1), expected)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("shares", [[[0, 2], [1, 3]], [[0, 1, 3], []]])
@pytest.mark.slow
def test_two_processes_are_reduced(forked, tmp_path, shares):
    address = (tmp_path / "meet").as_uri()
    assert forked.call(_work, (0, address, shares), (1, address, shares), folder=tmp_path) == [0, 0]


@pytest.mark.quick
def test_names_of_prompts_are_theirs():
    theirs = pytest.importorskip("torchmetrics.functional.multimodal.clip_iqa")
    names = tuple(theirs._PROMPTS)
    cat = ("Photo of a cat", "Photo of a dog")
    for prompts in (*zip(names), names[:4], (cat,), (cat, "quality", FREE)):
        texts, expected = theirs._clip_iqa_format_prompts(prompts)
        metric = CLIPImageQualityAssessment(prompts=prompts, backbone="mini")
        assert list(metric.questions) == expected
        assert [text for (pair,) in metric.questions.values() for text in pair.texts] == texts
