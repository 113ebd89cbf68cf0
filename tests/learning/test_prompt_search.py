"""`clipiqa prompts search`: what is planted is found, held-out images have no say, the printed line gives it back."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from photos import BUNDLED, distorted_photos
from torch import Tensor
from torch.nn import functional as F

from clipiqa_pyiqa import CLIPIQA, PromptError
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.clip.text import tokenize
from clipiqa_pyiqa.learning.feature_store import FeatureStore
from clipiqa_pyiqa.learning.views import WHOLE
from clipiqa_pyiqa.learning.word_search import SearchError, make_candidates, search, search_prompts
from clipiqa_pyiqa.learning.words import our_pairs, read_words
from clipiqa_pyiqa.prompts.pairs import NAMED_PAIRS
from clipiqa_pyiqa.stats.correlation import correlations, srocc, srocc_of_many

WORDS = (("Good", "Bad"), ("Sharp", "Blurry"), ("Clean", "Noisy"), ("Bright", "Dark"), ("Happy", "Sad"))
TEMPLATES = ("{} photo.", "A photo of {}.", "There is {} in the photo.")
HELD_OUT = list(range(0, 120, 3))


@pytest.fixture(scope="module")
def metric(seeded_weights: Callable[[str], Path]) -> CLIPIQA:
    return CLIPIQA(clip_weights=seeded_weights("RN50"), quick_gelu=True).eval()


@pytest.fixture(scope="module")
def features(metric: CLIPIQA) -> Tensor:
    return F.normalize(torch.randn(120, 1024, generator=torch.Generator().manual_seed(0)), dim=-1)


def test_texts_in_groups_equal_texts_one_by_one_with_all_positions(metric):
    tower = metric.clip.text_tower(torch.device("cpu"), torch.float32)
    texts = [
        text for pair in make_candidates(WORDS, TEMPLATES)[:5] for text in (pair.pair.positive, pair.pair.negative)
    ]
    assert len({len(text.split()) for text in texts}) > 2
    with torch.no_grad():
        together = F.normalize(tower(texts), dim=-1)
        for text, feature in zip(texts, together, strict=True):
            tokens = tokenize([text])
            whole = tower.transformer(tower.embed(tokens) + tower.positional_embedding, is_causal=True)
            alone = F.normalize(tower.norm(whole[0, tokens[0].argmax()]) @ tower.projection, dim=-1)
            torch.testing.assert_close(feature, alone, atol=2e-6, rtol=0)  # rounding of other matrix shapes


def test_many_columns_have_the_intervals_of_single_ones():
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(60, 4)).round(1)  # with ties
    scores[:, 3] = 0.5
    mos = scores[:, 0] + generator.normal(size=60)
    many = srocc_of_many(scores, mos, bootstrap=50)
    for estimate, column in zip(many[:3], scores.T[:3], strict=True):
        one = correlations(column, mos, bootstrap=50)["SROCC"]
        assert (estimate.value, estimate.low, estimate.high) == pytest.approx((one.value, one.low, one.high), abs=1e-12)
    assert np.isnan(many[3].value) and many[3].reason == "all scores are 0.5"


def test_planted_pair_is_found_and_reported_on_held_out_images(metric, features):
    candidates = make_candidates(WORDS, TEMPLATES)
    planted = ("A photo of Clean.", "A photo of Noisy.")
    with torch.no_grad():
        scores = metric.score(features, prompts=planted)[:, 0]
    noise = 0.3 * torch.rand(120, generator=torch.Generator().manual_seed(1))
    targets = scores + noise * (torch.arange(120) % 3 == 0)  # only the held-out ones are noisy
    findings = search(metric, features, targets, HELD_OUT, candidates, bootstrap=50)
    best = findings.ranked[0]
    assert (best.candidates[0].pair.positive, best.candidates[0].pair.negative) == planted
    assert best.chosen_by == pytest.approx(1, abs=1e-9) and best.srocc.value < 0.99
    assert [found.chosen_by for found in findings.ranked] == sorted(
        (found.chosen_by for found in findings.ranked), reverse=True
    )
    assert findings.ensemble.candidates == best.candidates  # nothing is left to gain
    assert (findings.chosen_on, findings.held_out) == (80, 40)
    assert findings.paper.candidates[0].pair == NAMED_PAIRS["quality"]
    for found in (*findings.ranked, findings.paper):
        with torch.no_grad():
            own = metric.score(features[HELD_OUT], prompts=[found.candidates[0].pair])[:, 0]
        assert found.srocc.value == pytest.approx(srocc(own.numpy(), targets[HELD_OUT].numpy()), abs=1e-9)
        assert found.srocc.low < found.srocc.value < found.srocc.high


def test_held_out_images_have_no_say(metric, features):
    candidates = make_candidates(WORDS, TEMPLATES)
    targets = torch.rand(120, generator=torch.Generator().manual_seed(2))
    other = targets.clone()
    other[HELD_OUT] = other[HELD_OUT].flip(0)
    one, two = (search(metric, features, given, HELD_OUT, candidates, bootstrap=10) for given in (targets, other))
    assert one.ensemble.candidates == two.ensemble.candidates
    assert [(found.candidates, found.chosen_by) for found in one.ranked] == [
        (found.candidates, found.chosen_by) for found in two.ranked
    ]
    assert one.ranked[0].srocc.value != two.ranked[0].srocc.value


def test_ensemble_is_the_metrics_own_mean(metric, features):
    candidates = make_candidates(WORDS, TEMPLATES[:1])
    mixed = [("Sharp photo.", "Blurry photo."), ("Happy photo.", "Sad photo.")]
    with torch.no_grad():
        targets = metric.score(features, prompts=mixed)[:, 0]
    findings = search(metric, features, targets, HELD_OUT, candidates, bootstrap=50, intervals=1)
    pairs = [(candidate.pair.positive, candidate.pair.negative) for candidate in findings.ensemble.candidates]
    assert sorted(pairs[:2]) == sorted(mixed) and len(pairs) == 2
    assert findings.ensemble.chosen_by == pytest.approx(1, abs=1e-9)
    assert findings.ensemble.chosen_by > findings.ranked[0].chosen_by + 1e-3
    assert findings.ensemble.srocc.value == pytest.approx(1, abs=1e-9)
    assert np.isnan(findings.ranked[1].srocc.low) and not np.isnan(findings.ranked[1].srocc.value)
    assert (
        len(search(metric, features, targets, HELD_OUT, candidates, ensemble=1, bootstrap=10).ensemble.candidates) == 1
    )


def test_candidates_are_made_once_each():
    made = make_candidates([("Good", "Bad"), ("good", "BAD"), ("Good photo.", "Bad photo.")], ["{} photo.", "{}"])
    assert [candidate.pair.positive for candidate in made] == ["Good photo.", "Good", "Good photo. photo."]
    with pytest.raises(PromptError, match="template must be a text"):
        make_candidates(WORDS, ["photo."])
    with pytest.raises(PromptError, match="read the same"):
        make_candidates([("Good", "good")], ["{}"])


def test_our_pairs_make_sentences():
    ours = [(made.pair.positive, made.pair.negative, made.template) for made in make_candidates()]
    texts = {text for *pair, _ in ours for text in pair}
    assert len(ours) > 600 and {pair.positive for pair in NAMED_PAIRS.values()} <= texts
    assert {template for *_, template in ours} == {
        *("{} photo.", "The photo is {}.", "A photo of {}.", "There is {} in the photo.", "{}"),
    }
    assert {"In-focus photo.", "The photo is in-focus.", "There is fine detail in the photo."} <= texts
    assert {"A photo of high contrast.", "The photo is JPEG-compressed."} <= texts
    assert not {"There is in-focus in the photo.", "A photo of good."} & texts
    assert all(text[0].isupper() and text.endswith(".") for text in texts)
    things = {pair for pair, _ in our_pairs(["There is {} in the photo."])}
    assert ("no noise", "noise") in things and all("good" not in pair for pair in things)
    assert (("good", "bad"), "my {} shot") in set(our_pairs(["my {} shot"]))  # a template of one's own takes all words


def test_pairs_that_the_backbone_never_saw_are_left_out(photos, tmp_path, caplog):
    table = tmp_path / "scores.csv"
    table.write_text("path,mos\n" + "\n".join(f"{path},{index * 7 % 18}" for index, path in enumerate(photos)))
    options = {"metric": CLIPIQA(backbone="mini"), "features": tmp_path / "store", "device": "cpu", "bootstrap": 10}
    findings = search_prompts(table, words=[("Good", "Bad"), ("Happy", "Sad")], templates=["{} photo."], **options)
    assert findings.unknown == 1 and [found.candidates[0].words for found in findings.ranked] == [("Good", "Bad")]
    assert "never saw" not in caplog.text
    with pytest.raises(SearchError, match="mini never saw the words of any pair"):
        search_prompts(table, words=[("Happy", "Sad")], **options)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Good|Bad\nsharp\n", "line 2: 'sharp' is no pair"),
        ("# only a comment\n\n", "holds no pairs"),
        ("a|b|c\n", "line 1: .* 3 parts"),
        (None, "cannot be read"),
    ],
)
def test_files_of_pairs_that_are_none(tmp_path, text, message):
    path = tmp_path / "pairs.txt"
    if text is not None:
        path.write_text(text)
    with pytest.raises(PromptError, match=message):
        read_words(path)


def test_searches_that_cannot_be_made(metric, features):
    candidates = make_candidates(WORDS[:1], TEMPLATES[:1])
    with pytest.raises(SearchError, match="no candidates"):
        search(metric, features, torch.rand(120), HELD_OUT, [])
    with pytest.raises(SearchError, match="images held out cannot be used: 2 images"):
        search(metric, features, torch.rand(120), HELD_OUT[:2], candidates)
    with pytest.raises(SearchError, match=r"images to choose on cannot be used: all scores are 0.5"):
        targets = torch.rand(120)
        targets[[row for row in range(120) if row not in HELD_OUT]] = 0.5
        search(metric, features, targets, HELD_OUT, candidates)


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return distorted_photos(tmp_path_factory.mktemp("photos"), sorted(BUNDLED.glob("*.jpg")), (40, 40))


def test_command_from_csv_to_a_loaded_metric(seeded_weights, photos, tmp_path, capsys):
    import pyiqa

    table, out = tmp_path / "scores.csv", tmp_path / "pairs.csv"
    splits = ["train"] * 13 + ["test"] * 5
    rows = [f"{path},{index * 7 % 18},{split}" for index, (path, split) in enumerate(zip(photos, splits, strict=True))]
    table.write_text("path,mos,split\n" + "\n".join(rows))
    (tmp_path / "words.txt").write_text("# ours\nCrisp, clear|Hazy\nGood|Bad\n\nSharp|Blurry\n")
    weights = str(seeded_weights("RN50"))
    files = {"--candidates": tmp_path / "words.txt", "--out": out, "--features": tmp_path / "store"}
    command = ["prompts", "search", str(table), "--quiet", "--bootstrap", "20"]
    command += [text for option, path in files.items() for text in (option, str(path))]
    command += ["--templates", *TEMPLATES[:2], "--clip-weights", weights, "--quick-gelu", "--device", "cpu"]
    assert main([*command, "--bootstrap", "1000000000"]) == 2
    assert "bootstrap must be between 0 and 1,000,000; got 1,000,000,000." in capsys.readouterr().err
    assert main(command) == 0
    printed = capsys.readouterr().out
    assert "chosen on 13 images, reported on 5 held out (split 'test')" in printed
    said = [line for line in out.read_text().splitlines() if line.startswith("# ")]
    assert "# held_out: 5 images (test)" in said and any(line.startswith("# weights_sha256: ") for line in said)
    found = list(csv.DictReader(line for line in out.read_text().splitlines() if not line.startswith("# ")))
    assert len(found) == 6 and [row["rank"] for row in found] == list("123456")
    loaded = eval(re.findall(r"pyiqa\.create_metric\(.*\)", printed)[0], {"pyiqa": pyiqa}).net
    assert loaded.prompts[0].positive == found[0]["positive"]
    store = FeatureStore(loaded, tmp_path / "store")
    views = [(WHOLE,)] * 5
    with torch.no_grad():
        scores = loaded.cpu().score(store.features(photos[13:], views)[:, 0])[:, 0]
    mos = [index * 7 % 18 for index in range(13, 18)]
    assert float(found[0]["srocc_held_out"]) == pytest.approx(srocc(scores.numpy(), mos), abs=1e-6)

    assert main(command) == 2
    assert "pass overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite", "--templates", "photo"]) == 2
    error = capsys.readouterr().err
    assert error.startswith("clipiqa prompts search: error: template") and error.count("\n") == 1


def test_prompts_alone_still_lists_the_pairs(capsys):
    assert main(["prompts"]) == 0
    assert re.search(r"^quality +Good photo\. +Bad photo\. +Sec\. 3\.2$", capsys.readouterr().out, re.MULTILINE)
