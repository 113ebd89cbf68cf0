"""``clipiqa gate`` in a nightly job: its history, its page, the worst images, and a margin to begin with."""

import json
from concurrent.futures import ProcessPoolExecutor

import nights
import numpy as np
import pytest
from PIL import Image
from refusal import refused

from clipiqa_pyiqa import gate
from clipiqa_pyiqa.files.writing import append_line

SPREAD = np.random.default_rng(0).normal(0, 0.004, 40)
SPREAD -= SPREAD.mean()


@pytest.fixture
def night(runs, tmp_path):
    """Adds a night with this mean difference to the history nights.jsonl; each letter is a column."""

    def add(difference, base=0.5, name="q", made="", **options):
        names = dict.fromkeys(name, (base + 10 * SPREAD, base + 11 * SPREAD + difference))
        scale = {"scale": [json.dumps({each: [None, None, "higher", made] for each in name})] * 2} if made else {}
        files = runs(**names, **scale)
        return gate(*files, **{"margin": 0.05, "history": tmp_path / "nights.jsonl", **options})

    return add


def test_an_image_that_loses_much_is_named_and_can_fail_the_gate(clipiqa, runs):
    base, lost = np.linspace(0.3, 0.7, 100), np.zeros(100)
    lost[[7, 8, 9, 10]] = [0.137, 0.02, 0.03, 0.01]
    runs(q=(base, base - lost))
    for limit, code in (("0.2", 0), ("q=0.1", 1)):
        said = clipiqa(f"gate base.csv new.csv --margin 0.05 --worst-loss {limit}", code).out
        assert [line.strip() for line in said.splitlines()[1:4]] == ["7: -0.1370", "9: -0.0300", "8: -0.0200"]
    assert "q: worse" in said and "0.1370" in said.splitlines()[0]
    clipiqa("gate base.csv new.csv --worst-loss p=0.1", 2)
    clipiqa("gate base.csv new.csv --worst-loss 0.1 0.2", 2, "'0.1 0.2'")


def test_a_history_grows_and_is_never_rewritten(night, tmp_path):
    history = tmp_path / "nights.jsonl"
    night(0.001, commit="3f2a9c0")
    first = history.read_bytes()
    written = json.loads(first, parse_constant=pytest.fail)
    assert written["commit"] == "3f2a9c0" and written["time"] and written["version"] and written["metrics"] == {}
    assert written["columns"][0].items() >= {"n": 40, "verdict": "pass", "margin": 0.05, "fingerprint": ""}.items()
    history.write_bytes(first + first[:100])  # a kill
    assert any("lines of" in note and note.endswith(": 2") for note in night(0.002).notes)
    assert history.read_bytes().startswith(first + first[:100] + b"\n") and len(night(0.001).nights[0].all) == 3
    others = (night(0.001, base=0.6), night(0.001, name="p"))  # another base, another metric
    assert [len(found.nights[0].all) for found in others] == [1, 1]
    assert [len(night(0.003, commit=sha).nights[0].all) for sha in ("3f2a9c0", "8d1e", "8d1e", None)] == [3, 4, 4, 5]
    assert [len(night(0.001, name=name, made="3f2a").nights[0].all) for name in ("q", "qp", "p")] == [1, 2, 3]
    before = history.read_bytes()
    refused(night, 0.001, key="none")
    assert history.read_bytes() == before


def test_a_file_that_is_no_history_is_kept(night, tmp_path):
    (tmp_path / "nights.jsonl").write_text('{"path": "a.png", "quality": 0.5}\n')
    for options in ({}, {"history": tmp_path / "base.csv"}):
        refused(night, 0.001, **options)
    assert "columns" not in (tmp_path / "nights.jsonl").read_text() + (tmp_path / "base.csv").read_text()


def test_runs_at_the_same_time_lose_no_line(tmp_path):
    with ProcessPoolExecutor(4) as pool:
        list(pool.map(append_line, [tmp_path / "a"] * 200, [f"{n}" * 2000 for n in range(10, 50)] * 5))
    assert [len(line) for line in (tmp_path / "a").read_text().splitlines()] == [4000] * 200


@pytest.mark.parametrize("spread, loss", [(0.002, 0.004), (0.0, 0.01)])
def test_a_slow_loss_fails_although_each_night_passes(night, spread, loss, tmp_path):
    draw = np.random.default_rng(3)
    usual = [night(spread * each) for each in draw.normal(size=20)]
    assert {found.verdict for found in usual} == {"pass"} and not usual[-1].nights[0].drift
    assert "20 of the 20" not in "".join(usual[-1].notes) and "19 of the 20" in "".join(usual[-2].notes)
    assert night(-0.2, commit="8d1e").verdict == "worse"  # a bad night, beyond the margin, is no slow loss
    assert night(-0.002).passed
    lost = [night(-loss) for _ in range(6)]
    assert lost[-1].verdict == "worse" and lost[-1].pairs[0].verdict == "pass" and lost[-1].nights[0].drift
    assert len(lost[-1].summary()["drifts"]) == 1 and b"drift" in lost[-1].junit()
    assert lost[-1].table("markdown").startswith("## worse, drift: ") and "until one" in lost[-1].nights[0].warning
    assert night(spread, page=tmp_path / "page").passed
    assert night(-0.0003).passed  # the loss has ended: its nights count no more
    text = (tmp_path / "page/gate.html").read_text()
    assert "(8d1e, gate: worse)" in text and "Images" not in text
    assert text.count("<circle") == 28  # the bad night is below the chart


def test_two_modes_are_named_after_twelve_nights(night):
    found = [night(0.004 * (number % 3 == 0) + 0.0002 * (number % 2)) for number in range(12)]
    assert "modes" in "".join(found[-1].notes) and "modes" not in "".join(found[-2].notes)


def test_a_drift_is_found_soon_and_rarely_where_there_is_none():
    """Three deviations of a share of 0.8 in 400 series are 0.06."""
    draw = np.random.default_rng(0)
    assert np.mean([nights.first_alarm(draw, 60) > 60 for _ in range(200)]) >= 0.45
    assert nights.found(2, 3, 400) >= 0.75 and nights.found(1, 10, 400) >= 0.75
    apart, equal = (nights.modes_named(apart, (12, 20, 40), 400).mean(0) for apart in (4, 0))
    assert apart.min() >= 0.75 and (equal <= [0.35, 0.13, 0.02]).all()


def test_a_suggested_margin_lets_runs_without_a_change_pass(clipiqa, runs):
    draw, passed, margin = np.random.default_rng(0), [], None
    base = draw.normal(0.5, 0.1, 100)
    for _ in range(40):
        files = runs(q=(base, base + draw.normal(0, 0.02, 100)))
        if margin is None:
            assert "--margin" not in clipiqa("gate base.csv base.csv --suggest-margin").out
            said = clipiqa("gate base.csv new.csv --suggest-margin", 0).out
            margin = float(said.split("q=")[1].split(":")[0])
        passed.append(gate(*files, margin=margin).passed)
    assert np.mean(passed) >= 0.95 and not gate(*files, margin=margin / 2).passed
    runs(q=(base, base - 0.1))
    assert "--margin" not in clipiqa("gate base.csv new.csv --suggest-margin", 1).out


def test_the_page_and_the_summary(clipiqa, folders, command):
    Image.new("RGB", (80, 64)).save(folders / "new/3.png")
    page = folders / "page"
    asked = f"{command} mini --page {page}"
    said = clipiqa(f"{asked} --history {folders}/nights.jsonl --format markdown", 1).out
    assert "| mini |" in said and "newly flagged" in said and said.startswith("## worse")
    text = (page / "gate.html").read_text()
    assert text.count("data:image/jpeg") >= 8 and "://" not in text
    assert text.count("<circle") == 1 and "3</bdi>: " in text
    clipiqa(asked, 2)
    clipiqa(f"{asked} --overwrite", 1)
