"""A single text as a question (the paper's Eq. 1): its spelling, its scores, and who refuses it."""

import functools

import pytest
import torch
from photos import photo_like

from clipiqa_pyiqa import CLIPIQA, PromptError
from clipiqa_pyiqa.prompts.pairs import QuestionsByColumn, SingleText, parse_prompts, parse_questions
from clipiqa_pyiqa.prompts.provenance import record_text

pytestmark = pytest.mark.quick

GOOD = "single:Good photo."
MINI = functools.partial(CLIPIQA, backbone="mini")


@pytest.fixture(scope="module")
def x():
    return photo_like(64, 96, n=2)


@pytest.mark.parametrize("spelling", [GOOD, "Single: Good  photo.", " single :Good photo.", SingleText("Good photo.")])
def test_a_single_text_may_be_written_so(spelling):
    (question,) = parse_prompts(spelling)
    assert (question.name, question.texts) == (GOOD, ("Good photo.",))
    assert list(parse_questions(["quality", spelling])) == ["quality", GOOD]


def test_a_template_words_a_single_text():
    (question,) = parse_prompts("single:Good", "A photo of {}.")
    assert question.name == "single:A photo of Good."


@pytest.mark.parametrize(
    "prompts, message",
    {
        "singel:Good photo.": "did you mean 'single:Good photo.'",
        "single:": "a text of 'single:': it needs words",
        "single:Good photo.|Bad photo.": "takes one text",
        "Good photo.|single:Bad photo.": "a pair has two plain texts",
        (GOOD, "single:Bad photo."): "pass a list of single texts",
        f"single:{'good ' * 80}": "82 tokens",
    }.items(),
)
def test_mistakes_are_named(prompts, message):
    with pytest.raises(PromptError, match=message):
        parse_prompts(prompts)


def test_the_score_is_the_cosine_of_the_features(metric, x):
    features = metric.encode_image(x)
    (text,) = metric.clip.encode_texts(["Good photo."], torch.float32)
    expected = (features.double() @ text.double()).float()[:, None]
    single = MINI(prompts=GOOD).eval()
    for scores in (single(x), metric(x, GOOD), metric.score(features, GOOD), metric(x, parse_questions(GOOD))):
        assert torch.equal(scores.detach(), expected)
    assert single.score_range == (-1, 1)
    assert not single.lower_better
    assert single.columns == (GOOD,)


def test_beside_pairs_it_has_a_column_of_its_own_and_changes_no_other(metric, x):
    prompts = ["quality", GOOD, "sharpness", "single:Bad photo."]
    scores = metric(x, prompts, None)
    for column, prompt in enumerate(prompts):
        assert torch.equal(scores[:, [column]], metric(x, prompt))
    assert torch.equal(metric(x, parse_questions(prompts)), scores)
    mean_of_pairs = metric(
        x, QuestionsByColumn({"both": parse_prompts(["quality", "sharpness"]), "one": parse_prompts(GOOD)})
    )
    assert torch.equal(mean_of_pairs, torch.cat([metric(x, ["quality", "sharpness"]), metric(x, GOOD)], 1))


def test_it_is_never_averaged(metric, x):
    both = ["quality", GOOD]
    columns = QuestionsByColumn({"both": parse_prompts(both)})
    for ask in (
        lambda: metric(x, both),
        lambda: metric(x, columns),
        lambda: MINI(prompts=both),
        lambda: parse_questions({"both": both}),
        lambda: MINI(prompts=[GOOD, "single:Bad photo."]),
    ):
        with pytest.raises(PromptError, match=r"'single:Good photo\.' is a cosine, which is not averaged"):
            ask()
    assert MINI(prompts=both, aggregate=None).columns == ("quality", GOOD)


def test_its_record_tells_range_direction_and_text():
    record = MINI(prompts=GOOD).provenance()["scores"][GOOD]
    assert record == {"range": [-1, 1], "lower_better": False, "questions": [["Good photo."]]}
    assert record_text(record) == GOOD
