"""The features of a text are the same to the last bit, whatever is asked with it or before it."""

import pytest
import torch

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.family import CLIPScore
from clipiqa_pyiqa.prompts.pairs import NAMED_PAIRS

PAIRS = list(NAMED_PAIRS)


@pytest.fixture(params=["mini", "RN50", "ViT-B/32"])
def options(request, seeded_weights):
    return {"backbone": request.param, "clip_weights": seeded_weights(request.param), "quick_gelu": True}


@pytest.fixture
def threads():
    """Sets the number of torch's threads."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def features(options, *questions):
    """Features of the pair ``quality``, asked last, of a process that asked these questions one after the other."""
    metric = CLIPIQA(**options)
    for question in questions:
        metric.encode_prompts(question)
    return metric.encode_prompts("quality")


@pytest.mark.slow
def test_a_text_does_not_depend_on_the_questions_before_it(options, threads):
    threads(2)
    alone = features(options)
    backwards = PAIRS[::-1]
    for questions in ([], [PAIRS], [backwards], [["sharpness", "quality"]], ["pyiqa"], [["noisiness"], backwards[:9]]):
        assert torch.equal(features(options, *questions), alone), questions


@pytest.mark.slow
def test_every_text_of_a_long_list_is_as_if_it_was_asked_alone(options, threads):
    threads(2)
    together = CLIPIQA(**options).encode_prompts(PAIRS)
    for name, both in zip(PAIRS, together, strict=True):
        assert torch.equal(CLIPIQA(**options).encode_prompts(name)[0], both), name


@pytest.mark.quick
def test_a_score_does_not_depend_on_what_the_process_asked_first():
    image = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    first = CLIPIQA(backbone="mini").eval()
    alone = first(image)
    del first  # and with it the texts that it encoded
    other = CLIPIQA(backbone="mini").eval()
    column = other(image, prompts=PAIRS, aggregate=None)[:, PAIRS.index("quality")]
    assert torch.equal(column, alone[:, 0]) and torch.equal(other(image), alone)


def test_a_caption_does_not_depend_on_the_other_captions(seeded_weights, threads):
    """``clipscore`` asks for the captions of a batch together."""
    threads(2)
    metric = CLIPScore(clip_weights=seeded_weights("ViT-B/32"), quick_gelu=True)
    tower = metric.clip.text_tower(torch.device("cpu"), torch.float32)
    captions = ["a blue car", "a dog", "a cat", "two birds", "a red house", "", "a red house at night"]
    together = tower(captions)
    for caption, feature in zip(captions, together, strict=True):
        assert torch.equal(tower([caption])[0], feature), caption
