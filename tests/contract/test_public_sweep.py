"""``clipiqa sweep``: pictures changed in steps, each version scored once, and correlations against scipy's."""

import json
from pathlib import Path

import pandas
import pytest
from PIL import Image


@pytest.fixture
def koniq(tmp_path):
    """KonIQ-10k as pyiqa expects it, of ten images of noise: six for the test."""
    root = tmp_path / "datasets"
    images = root / "koniq10k/1024x768"
    images.mkdir(parents=True)
    rows = []
    for number in range(10):
        Image.effect_noise((48, 40), 20 + 5 * number).convert("RGB").save(images / f"{number}.png")
        rows.append((f"{number}.png", 50, "train" if number < 4 else "test"))
    (root / "meta_info").mkdir()
    table = root / "meta_info/meta_info_KonIQ10kDataset.csv"
    pandas.DataFrame(rows, columns=["name", "mos", "official_split"]).to_csv(table, index=False)
    return root


@pytest.mark.slow
def test_a_sample_of_a_data_sets_test_images_is_drawn_by_its_seed(clipiqa, koniq):
    line = f"sweep koniq10k-1024:split=test --data-root {koniq} -c fig4 -b mini --scales 1 --steps 3 --max-side 48"
    drawn = {}
    for name, options in {"a": "--seed 0", "again": "--seed 0", "b": "--seed 1"}.items():
        clipiqa(f"{line} --sample 3 {options} --out {name}", 0)
        drawn[name] = pandas.read_csv(f"{name}/sweep.csv")["path"].unique().tolist()
    tests = [str(koniq / "koniq10k/1024x768" / f"{number}.png") for number in range(4, 10)]
    assert drawn["a"] == drawn["again"] != drawn["b"]
    assert len(drawn["a"]) == 3 and set(drawn["a"]) <= set(tests)
    summary = json.loads(Path("a/summary.json").read_text())
    assert (summary["provenance"]["sample"], summary["provenance"]["seed"]) == (3, 0)
    clipiqa(f"{line} --sample 7 --out c", 2, "--sample must be at most 6 images")
    clipiqa(f"{line} --out {koniq}/koniq10k/1024x768/out", 2, "lies in")
