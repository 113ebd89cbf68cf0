"""`clipiqa prompts search`: what is planted is found, held-out images have no say, the printed line gives it back."""

import re

import numpy as np
import pandas
import pyiqa
import pytest
import torch
from draws import normal, uniform
from photos import PHOTOS, distorted_photos
from refusal import refused
from torch.nn import functional as F

from clipiqa_pyiqa import search_prompts
from clipiqa_pyiqa.datasets.score_table import ScoreTable
from clipiqa_pyiqa.learning.feature_store import stored_features
from clipiqa_pyiqa.learning.word_search import make_candidates, read_words, search
from clipiqa_pyiqa.prompts.pairs import NAMED_PAIRS
from clipiqa_pyiqa.stats.agreement import correlations
from clipiqa_pyiqa.stats.correlation import srocc

pytestmark = pytest.mark.quick

WORDS = (("Good", "Bad"), ("Sharp", "Blurry"), ("Clean", "Noisy"), ("Bright", "Dark"), ("Colorful", "Dull"))
TEMPLATES = ("{} photo.", "A photo of {}.", "There is {} in the photo.")
HELD_OUT = list(range(0, 120, 3))


@pytest.fixture(scope="module")
def features(metric):
    return F.normalize(normal(120, metric.clip.width), dim=-1)


def test_planted_pair_is_found_and_reported_on_held_out_images(metric, features):
    planted = ("A photo of Clean.", "A photo of Noisy.")
    with torch.no_grad():
        scores = metric.score(features, prompts=planted)[:, 0]
    noise = scores.std() * uniform(120, seed=1)
    targets = scores + noise * (torch.arange(120) % 3 == 0)  # only the held-out ones are noisy
    findings = search(metric, features, targets, HELD_OUT, make_candidates(WORDS, TEMPLATES), bootstrap=50)
    best, chosen_by = findings.ranked[0], [found.chosen_by for found in findings.ranked]
    assert best.pairs[0].texts == planted
    assert best.chosen_by == pytest.approx(1, abs=1e-9) and best.srocc.value < 0.99
    assert chosen_by == sorted(chosen_by, reverse=True) and len(chosen_by) == 15
    assert findings.ensemble.pairs == best.pairs  # nothing is left to gain
    assert findings.paper.pairs == (NAMED_PAIRS["quality"],)
    for found in (*findings.ranked, findings.paper):
        with torch.no_grad():
            own = metric.score(features[HELD_OUT], prompts=list(found.pairs))[:, 0]
        one = correlations(own.numpy(), targets[HELD_OUT].numpy(), bootstrap=50)["SROCC"]
        assert vars(found.srocc) == pytest.approx(vars(one), abs=1e-9, nan_ok=True) and one.low < one.value < one.high


def test_held_out_images_have_no_say(metric, features):
    targets = uniform(120, seed=2)
    other = targets.clone()
    other[HELD_OUT] = other[HELD_OUT].flip(0)
    pairs = make_candidates(WORDS, TEMPLATES)
    one, two = (search(metric, features, given, HELD_OUT, pairs, bootstrap=10) for given in (targets, other))
    chosen = [([(found.pairs, found.chosen_by) for found in each.ranked], each.ensemble.pairs) for each in (one, two)]
    assert chosen[0] == chosen[1] and one.ranked[0].srocc.value != two.ranked[0].srocc.value


def test_ensemble_is_the_metrics_own_mean(metric, features):
    mixed = [("Sharp photo.", "Blurry photo."), ("Colorful photo.", "Dull photo.")]
    with torch.no_grad():
        targets = metric.score(features, prompts=mixed)[:, 0]
    given = metric, features, targets, HELD_OUT, make_candidates(WORDS, TEMPLATES[:1])
    ensemble = search(*given, bootstrap=10).ensemble
    assert {pair.texts for pair in ensemble.pairs} == {*mixed}
    assert ensemble.chosen_by == pytest.approx(1, abs=1e-9) == ensemble.srocc.value
    assert len(search(*given, ensemble=1, bootstrap=10).ensemble.pairs) == 1


def test_candidates_are_made_once_each():
    made = make_candidates([("Good", "Bad"), ("good", "BAD"), ("Good photo.", "Bad photo.")], ["{} photo.", "{}"])
    assert [pair.positive for pair in made] == ["Good photo.", "Good", "Good photo. photo."]


def test_a_file_without_pairs_is_refused(tmp_path):
    for content in (b"# only a comment\n\n", b"\xff|\xfe", b"Good|"):
        (tmp_path / "pairs.txt").write_bytes(content)
        refused(read_words, tmp_path / "pairs.txt")


def test_a_search_on_too_few_images_is_refused():
    splits = ["train"] * 3 + ["val"] * 2
    table = pandas.DataFrame({"path": "a.png", "target": range(5), "split": splits})
    assert "split" in refused(search_prompts, ScoreTable("few", table, (0, 4)), words=WORDS)


def test_command_from_csv_to_a_loaded_metric(clipiqa, tmp_path):
    photos = distorted_photos(tmp_path, PHOTOS, (40, 40))[:18]
    mos = np.arange(18) * 7 % 18
    splits = ["train"] * 13 + ["test"] * 5
    pandas.DataFrame({"path": photos, "mos": mos, "split": splits}).to_csv("scores.csv", index=False)
    (tmp_path / "words.txt").write_text("# ours\nBright|Dark\nGood|Bad\n\nSharp|Blurry\nHappy|Sad\n")
    command = "prompts search scores.csv -q --bootstrap 20 -b mini --device cpu --out pairs.csv --features store"
    command += f" --candidates words.txt --templates '{TEMPLATES[0]}' '{TEMPLATES[1]}'"
    clipiqa(f"{command} --bootstrap 1000000000", 2)
    printed = clipiqa(command, 0, "left out: 2 pairs", "'Happy").out  # mini never saw 'happy'
    assert "5 held out (split 'test')" in printed
    found = pandas.read_csv("pairs.csv")
    assert found["rank"].tolist() == [*"123456", "paper", "ensemble"]
    loaded = eval(re.findall(r"pyiqa\.create_metric\(.*\)", printed)[0], {"pyiqa": pyiqa}).net.cpu()
    assert loaded.prompts[0].positive == found["positive"][0]
    with torch.no_grad():
        scores = loaded.score(stored_features(loaded, "store", photos[13:])[:, 0])[:, 0]
    assert found["SROCC held out"][0] == pytest.approx(srocc(scores.numpy(), mos[13:]), abs=1e-6)
    clipiqa(command, 2)  # nothing is replaced unless told
    refused(search_prompts, "scores.csv", words=[("Happy", "Sad")], metric=loaded, features="store", device="cpu")
