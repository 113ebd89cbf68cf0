"""Votes on pairs of images: every spelling of a choice, and rows that cannot be used."""

import pytest
from assertions import refused
from inputs import write_votes
from photos import save_grey

from clipiqa_pyiqa.workbench.experiments.votes import read_votes


@pytest.fixture
def folder(tmp_path):
    for name in ("a.png", "b.png"):
        save_grey(tmp_path / name, 50)
    return tmp_path


def test_one_row_per_vote_in_every_spelling(folder):
    choices = ["first", "a.png", "second", "b.png", "b.png", "tie"]
    lines = [*(f"happy,a.png,b.png,{choice}" for choice in choices), "Happy,b.png,a.png,first"]
    votes, _ = read_votes(write_votes(folder, *lines))
    assert votes[["votes_first", "votes_second", "undecided"]].to_numpy().tolist() == [[2, 4, 1]]


def test_an_attribute_may_be_a_pair_of_texts_and_must_be_there(folder):
    _, columns = read_votes(write_votes(folder, "Crisp photo.|Hazy photo.,a.png,b.png,first"))
    assert columns["Crisp photo.|Hazy photo."][0].negative == "Hazy photo."
    refused(read_votes, write_votes(folder, "a.png,b.png,first", head="first,second,choice"))


def test_rows_that_cannot_be_used_are_refused(folder):
    for line, words in {
        "hapy,a.png,b.png,first": "'happy'",
        "happy,a.png,b.png,frist": "'first'",
        "happy,a.png,b.png,": "tie",
        "happy,a.png,x.png,first": "x.png",
        "happy,a.png,a.png,first": "line 2",
        "happy,a.png,first": "4 columns",
    }.items():
        assert words in refused(read_votes, write_votes(folder, line))


def test_votes_on_a_pair_are_added_up_in_either_order(folder):
    head = "attribute,first,second,votes_first,votes_second"
    votes, _ = read_votes(write_votes(folder, "happy,a.png,b.png,5,1", "happy,b.png,a.png,2,0", head=head))
    assert votes[["votes_first", "votes_second"]].to_numpy().tolist() == [[5, 3]]
    refused(read_votes, write_votes(folder, "happy,a.png,b.png,5,-1", head=head))
