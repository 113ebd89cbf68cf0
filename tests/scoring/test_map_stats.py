"""What a map comes to, beside the score: the same pass, the same global score, known to resume and provenance."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, score_paths
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.maps.places import quality_map
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.scoring.rows import ResultsError

NAMES = ("quality", "quality_worst", "quality_p10", "quality_below_half", "pyiqa")


@pytest.fixture(scope="module")
def metric(compact: Path) -> CLIPIQA:
    return CLIPIQA(backbone="mini", clip_weights=compact).eval()


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, generator = tmp_path_factory.mktemp("photos"), np.random.default_rng(0)
    for name, size in (("a.png", (96, 130)), ("b.png", (96, 130)), ("c.png", (33, 40))):
        Image.fromarray(generator.integers(0, 256, (*size, 3), dtype=np.uint8)).save(folder / name)
    (folder / "d.png").write_bytes(b"no image")
    return folder


def test_columns_are_of_the_map_and_scores_stay(metric: CLIPIQA, photos: Path, tmp_path: Path) -> None:
    run = score_paths(metric, photos, ["quality", "pyiqa"], map_stats=True, device="cpu", out=tmp_path / "s.csv")
    assert run.header.columns[:5] == NAMES and len(run.header.columns) == 8
    rows = {Path(row.path).name: row for row in run}
    assert rows["d.png"].scores is None and rows["d.png"].error
    plain = list(score_paths(metric, photos, ["quality", "pyiqa"], device="cpu"))
    for row in plain[:3]:
        found = np.array(rows[Path(row.path).name].scores).reshape(2, 4)
        np.testing.assert_allclose(found[:, 0], row.scores, atol=1e-6)
        x = read_image(row.path).pixels[None].float() / 255
        with torch.no_grad():
            places = quality_map(metric, x, "quality")[0, 0].numpy()
        expected = [places.min(), np.quantile(places, 0.1), (places < 0.5).mean()]
        np.testing.assert_allclose(found[0, 1:], expected, atol=1e-6)
    said = json.loads((tmp_path / "s.csv.provenance.json").read_text())["provenance"]
    assert said["map_stats"] == {"cell": 32, "smooth": 3}
    assert [name for name, record in said["scores"].items() if record["lower_better"]] == [NAMES[3], "pyiqa_below_half"]
    assert read_results(tmp_path / "s.csv")[0].columns == run.header.columns


def test_resuming(metric: CLIPIQA, photos: Path, tmp_path: Path) -> None:
    """The same columns go on; without them, or with them behind a file that has none, it is another way."""
    out, options = tmp_path / "s.jsonl", {"device": "cpu", "out": tmp_path / "s.jsonl"}
    run = score_paths(metric, photos, "quality", map_stats=True, batch_size=1, **options)  # type: ignore[arg-type]
    next(run)
    run.close()
    again = score_paths(metric, photos, "quality", map_stats=True, resume=True, **options)  # type: ignore[arg-type]
    assert again.kept == 1
    assert [bool(row.scores) for row in again] == [True, True, False]
    assert len(read_results(out)[1]) == 4
    with pytest.raises(ResultsError, match="map_stats cell was 32 and is now none"):
        score_paths(metric, photos, "quality", resume=True, **options)  # type: ignore[arg-type]


def test_what_has_no_maps(compact: Path, photos: Path, tmp_path: Path) -> None:
    fixed = CLIPIQA(backbone="mini", clip_weights=compact, pos_embedding="fixed").eval()
    with pytest.raises(CLIPIQAError, match="for a map"):
        score_paths(fixed, photos, map_stats=True, device="cpu", out=tmp_path / "s.csv")
    assert not list(tmp_path.iterdir())  # before anything is written


def test_the_command(photos: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = ["-b", "mini", "--device", "cpu", "-q", "--map-stats"]
    assert main(["score", str(photos), *options, "-p", "sharpness", "--out", str(tmp_path / "s.parquet")]) == 1
    header, rows = read_results(tmp_path / "s.parquet")
    assert header.columns == ("sharpness", "sharpness_worst", "sharpness_p10", "sharpness_below_half")
    assert all(row.scores and row.scores[1] <= row.scores[2] for row in rows[:3])
    assert main(["score", str(photos / "a.png"), *options, "--pos-embedding", "fixed"]) == 2
    assert "for a map" in capfd.readouterr().err
