"""The words: the paper's tables, what a user may pass as ``prompts``, and what each mistake says."""

import open_clip
import pytest

from clipiqa_pyiqa import CLIPIQA, PromptError
from clipiqa_pyiqa.prompts.pairs import ALIASES, NAMED_PAIRS, PRESETS, PromptPair, parse_prompts, parse_questions

pytestmark = pytest.mark.quick

# Copied by hand from the paper (Sec. 3.2, Tables 3, 4 and 6) and, for `aesthetic`, the official demo.
_PAPER = """
quality: Good photo. | Bad photo.
aesthetic: Aesthetic photo. | Not aesthetic photo.
brightness: Bright photo. | Dark photo.
noisiness: Clean photo. | Noisy photo.
colorfulness: Colorful photo. | Dull photo.
sharpness: Sharp photo. | Blurry photo.
contrast: High contrast photo. | Low contrast photo.
complex: Complex photo. | Simple photo.
natural: Natural photo. | Synthetic photo.
happy: Happy photo. | Sad photo.
scary: Scary photo. | Peaceful photo.
new: New photo. | Old photo.
warm: Warm photo. | Cold photo.
real: Real photo. | Abstract photo.
beautiful: Beautiful photo. | Ugly photo.
lonely: Lonely photo. | Sociable photo.
relaxing: Relaxing photo. | Stressful photo.
"""
PAPER = {name: tuple(pair.split(" | ")) for name, pair in (line.split(": ") for line in _PAPER.split("\n")[1:-1])}
CRISP = ("Crisp photo.", "Hazy photo.")


def texts(*args, **kwargs):
    return [pair.texts for pair in parse_prompts(*args, **kwargs)]


def test_every_pair_of_the_paper_has_a_name_and_there_are_no_others():
    for name, pair in PAPER.items():
        assert texts(name) == [pair]
    assert sorted(NAMED_PAIRS) == sorted(PAPER)
    assert all(pair.name == name for name, pair in NAMED_PAIRS.items())


def test_aliases_lead_to_names_and_hide_none():
    assert set(ALIASES.values()) <= set(NAMED_PAIRS)
    assert not set(ALIASES) & (set(NAMED_PAIRS) | set(PRESETS))
    assert texts("colourfulness") == texts("colorfullness") == [PAPER["colorfulness"]]
    assert texts(" Sharpness ") == [PAPER["sharpness"]]


def test_prompts_may_be_names_pairs_and_lists():
    assert texts() == texts(None) == [PAPER["quality"]]
    assert texts(CRISP) == [CRISP]
    assert texts(["happy", "scary"]) == [*texts("happy"), *texts("scary")]  # two strings in a list: two names
    assert texts([list(CRISP)]) == [CRISP]  # as YAML writes it: a nested list is a pair
    assert texts([["happy", "scary"]]) == [("happy", "scary")]
    with pytest.raises(PromptError):
        texts(("happy", "scary"))
    assert texts(("quality", CRISP)) == texts(["quality", CRISP])
    assert texts(["quality", "pyiqa"])[1:] == texts("pyiqa")
    assert texts(["new", "new"]) == 2 * [PAPER["new"]]  # asked twice, answered twice: columns follow the question


def test_a_free_pair_is_named_by_its_words_as_the_command_line_writes_it():
    (pair,) = parse_prompts(("  Crisp\nphoto. ", "Hazy photo."))
    assert pair == PromptPair("Crisp photo.|Hazy photo.", *CRISP)
    assert parse_prompts(pair.name) == parse_prompts(pair, template="My {}.") == (pair,)


def test_templates_of_table_2_reword_pairs():
    assert texts("quality", template="A photo of {}.") == [("A photo of Good.", "A photo of Bad.")]
    assert texts(("High quality", "Low quality"), template="{} photo.")[0][1] == "Low quality photo."
    assert parse_prompts("quality", template="A photo of {}.")[0].name == "quality"


def test_tokens_are_counted_as_clip_counts_them():
    longest = " ".join(["photo"] * 75)
    assert int((open_clip.tokenize([longest]) != 0).sum()) == 77
    assert texts((longest, "Bad photo.")) == [(longest, "Bad photo.")]


def test_two_columns_of_one_name_are_refused():
    """They became one column, whose record was that of the second."""
    reworded = PromptPair("quality", *CRISP)
    for prompts in (["quality", "quality"], ["quality", reworded], ["pyiqa", " PYIQA "]):
        with pytest.raises(PromptError, match="two of `prompts` are named"):
            parse_questions(prompts)
    for prompts in (["quality", "quality"], ["quality", reworded]):
        with pytest.raises(PromptError, match="two of `prompts` are named 'quality'"):
            CLIPIQA(prompts=prompts, aggregate=None, backbone="mini")


def test_a_column_has_the_plain_name_of_its_preset():
    assert list(parse_questions([" PYIQA ", "Colourfulness"])) == ["pyiqa", "colorfulness"]


def test_bad_prompts_and_templates_are_refused():
    for prompts, template in [
        ("sharpnes", None),
        (["Crisp photo.", "Hazy photo."], None),
        ([], None),
        (("a", "b", "c"), None),
        (("Good photo.", "&nbsp;"), None),
        (("Good photo.", "GOOD  photo."), None),
        (("photo " * 76, "Bad photo."), None),
        *(("quality", template) for template in ("A photo.", "{} or {}", "{0} photo.", "{} {")),
        (["quality", "pyiqa"], "A photo of {}."),  # a preset keeps its words
    ]:
        with pytest.raises(PromptError):
            parse_prompts(prompts, template=template)
