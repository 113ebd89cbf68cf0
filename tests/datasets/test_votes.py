"""Votes on pairs of images: every spelling of a choice, and rows that cannot be used."""

import pytest
from photos import save_grey
from votes_file import write_votes

from clipiqa_pyiqa import CLIPIQAError
from clipiqa_pyiqa.experiments.user_agreement import read_votes


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        save_grey(tmp_path / name, 50)
    return tmp_path


def test_one_row_per_vote_in_every_spelling(folder):
    choices = ["first", "a.png", "second", "b.png", "b.png", "tie", ""]
    lines = [*(f"happy,a.png,b.png,{choice}" for choice in choices), "Happy,b.png,a.png,first"]
    votes, _ = read_votes(write_votes(folder, *lines))
    assert votes[["votes_first", "votes_second", "undecided"]].to_numpy().tolist() == [[2, 4, 2]]


def test_an_attribute_may_be_a_pair_of_texts_and_must_be_there(folder):
    _, columns = read_votes(write_votes(folder, "Crisp photo.|Hazy photo.,a.png,b.png,first"))
    assert columns["Crisp photo.|Hazy photo."][0].negative == "Hazy photo."
    with pytest.raises(CLIPIQAError):
        read_votes(write_votes(folder, "a.png,b.png,first", head="first,second,choice"))


@pytest.mark.parametrize(
    "line, message",
    [
        ("hapy,a.png,b.png,first", r"line 2: unknown prompt pair 'hapy': did you mean 'happy'\?"),
        ("happy,a.png,b.png,frist", r"line 2: choice must be .* got 'frist': did you mean 'first'"),
        ("happy,a.png,x.png,first", r"1 of 2 images named in .*votes.csv' cannot be found \(.*x\.png'\)"),
        ("happy,a.png,a.png,first", r"line 2: both images are .*a\.png', but a pair has two different images"),
        ("happy,a.png,first", r"line 2: expected 4 columns"),
    ],
)
def test_rows_that_cannot_be_used_are_refused(line, message, folder):
    with pytest.raises(CLIPIQAError, match=message):
        read_votes(write_votes(folder, line))
