"""``clipiqa gate``: verdicts, how rows find each other, bad input, and what CI reads."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pandas
import pytest
from PIL import Image, ImageFilter

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison.gating import gate
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.scoring.score_files import matching_names, read_any_scores

pytestmark = pytest.mark.quick

BUNDLED = Path(__file__).parents[1] / "data"


def run(path: Path, values: Any, folder: str = "out", name: str = "quality", **more: Any) -> Path:
    """A score file of another tool: image, and one column or several."""
    images = [f"{folder}/{number // 10}/{number}.png" for number in range(len(values))]
    frame = pandas.DataFrame({"Image Name": images, name: values, **more})
    frame.to_json(path, orient="records", lines=True) if path.suffix == ".jsonl" else frame.to_csv(path, index=False)
    return path


@pytest.fixture
def scores() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.3, 0.7, 40)


class TestVerdict:
    def test_worse_better_and_no_change(self, tmp_path: Path, scores: np.ndarray) -> None:
        noise = np.random.default_rng(1).normal(0, 0.01, 40)
        base = run(tmp_path / "base.csv", scores, "a/v1", same=scores, up=scores, niqe=scores)
        changed = {"same": scores + noise / 100, "up": scores + 0.1, "niqe": scores + 0.1}
        new = run(tmp_path / "new.jsonl", scores - 0.03 + noise, "/b/v2", **changed)
        found = gate(base, new)
        assert [q.verdict for q in found.pairs] == ["worse", "no change", "better", "worse"]  # pyiqa knows niqe
        worse = found.pairs[0]
        assert not found.passed and worse.difference == pytest.approx(np.mean(noise) - 0.03)
        assert worse.low < worse.difference < worse.high < 0 and worse.n == 40
        assert found.worst("quality", 1).index[0] == f"{np.argmin(noise) // 10}/{np.argmin(noise)}"
        found = gate(base, new, lower_better=["up"], higher_better=["niqe"])
        assert [q.verdict for q in found.pairs] == ["worse", "no change", "worse", "better"]

    def test_by_a_key_and_without_common_folders(self, tmp_path: Path, scores: np.ndarray) -> None:
        prompts = [f"prompt {n}" for n in range(40)]
        base = run(tmp_path / "a.csv", scores, "x", prompt=prompts)
        order = np.random.default_rng(2).permutation(40)
        new = pandas.read_csv(base).iloc[order].assign(**{"Image Name": [f"other{n}" for n in range(40)]})
        new.to_csv(tmp_path / "b.csv", index=False)
        found = gate(base, tmp_path / "b.csv", key="prompt")
        assert found.pairs[0].difference == 0 and found.passed and list(found.rows.index) == prompts

    def test_names(self) -> None:
        assert matching_names(["/a/b/1.png", "/a/c/2.png"], ["b/1.jpg", "c/2.jpg"]) == [["b/1", "c/2"]] * 2
        assert matching_names(["1.png", "1.jpg"], ["b/1.png"])[0] == ["1.png", "1.jpg"]  # told apart by the suffix


def test_infinite_and_missing_scores_are_refused_or_left_out(tmp_path: Path, scores: np.ndarray, capsys: Any) -> None:
    """Scores such as psnr of an identical picture."""
    base, new = 40 + scores, 20 + scores[:30]
    base[0] = new[0] = new[1] = np.inf
    files = [str(run(tmp_path / "a.csv", base)), str(run(tmp_path / "b.csv", new))]
    assert main(["gate", *files]) == 2
    assert main(["gate", *files, "--skip-missing"]) == 1
    said = capsys.readouterr()
    assert "quality: worse: -20." in said.out and "n = 28" in said.out
    assert "b.csv' has no finite score of '0/1'" in said.err and "and 6 more" in said.err


def test_few_rows_are_told(tmp_path: Path, scores: np.ndarray) -> None:
    file = run(tmp_path / "a.csv", scores[:19])
    assert ", less certain with fewer than 20 rows, higher" in gate(file, file).pairs[0].line


def test_no_cell_of_the_rows_is_a_formula(tmp_path: Path, scores: np.ndarray) -> None:
    names = [f"{start}{n}" for n, start in enumerate("=+-@" * 10)]
    file = run(tmp_path / "a.csv", scores, name="=1+1", prompt=names)
    gate(file, file, key="prompt").save(tmp_path / "gate")
    cells = pandas.read_csv(tmp_path / "gate/rows.csv", dtype=str)
    assert list(cells["row"]) == [f"'{name}" for name in names] and cells.columns[1] == "'=1+1 base"


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("ours")
    picture = Image.open(BUNDLED / "canyon-wren.jpg").convert("RGB")
    for version, radius in (("v1", 0), ("v2", 3)):
        (root / version).mkdir()
        for number in range(6):
            crop = picture.crop((20 * number, 0, 20 * number + 64, 64)).filter(ImageFilter.GaussianBlur(radius))
            crop.save(root / f"{version}/{number}.{'png' if radius else 'bmp'}")
    found = {}
    for name, version, more in (
        ("base", "v1", []), ("new", "v2", []),
        ("other", "v2", ["--max-side", "48", "--template", "A photo of {}."]),
    ):  # fmt: skip
        found[name] = root / f"{name}.parquet"
        command = ["score", str(root / version), "--backbone", "mini", "--prompts", "sharpness", "--device", "cpu"]
        assert main([*command, "--out", str(found[name]), "--quiet", *more]) == 0
    return found


def test_a_blurred_release_fails(files: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
    command = ["gate", str(files["base"]), str(files["new"]), "--out", str(tmp_path / "gate")]
    assert main(command) == 1
    said = capsys.readouterr().out
    assert re.match(
        r"sharpness: worse: -0\.\d{4} \[-.*\], 0.* to 0.*, n = 6 .*higher.*\(as base\.parquet says\)\n$", said
    )
    written = json.loads((tmp_path / "gate/gate.json").read_text())
    assert written["columns"][0]["verdict"] == "worse" and not written["passed"]
    suites = ElementTree.parse(tmp_path / "gate/gate.xml").getroot()
    assert suites.get("failures") == "1" and suites.find("testsuite/testcase/failure") is not None
    assert len(pandas.read_csv(tmp_path / "gate/rows.csv")) == 6
    assert main(command) == 2 and "exists already" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 1
    assert main(["gate", str(files["base"]), str(files["base"])]) == 0


def test_runs_of_different_metrics(files: dict[str, Path]) -> None:
    with pytest.raises(
        CLIPIQAError, match=r"max_side is none in '.*base\.parquet' and 48 in '.*other\.parquet'"
    ) as said:
        gate(files["base"], files["other"])
    assert re.search("'sharpness' questions is .*Sharp photo.* in .* and .*A photo of", str(said.value))


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "options", "message"),
        [
            (lambda f: f.assign(**{"Image Name": [f"q{n}" for n in range(40)]}), {}, "share no row"),
            (lambda f: f.rename(columns={"quality": "other"}), {}, "there are none"),
            (lambda f: f.assign(extra=1.0), {}, "only one of the runs has 'extra'.*name columns"),
            (lambda f: f.head(39), {}, r"b\.csv' has no finite score of '3/39'.*\(skip_missing\)"),
            (lambda f: f.head(5), {"skip_missing": True}, "scores of 5 rows in both runs, but 6 or more"),
            (lambda f: pandas.concat([f, f.head(1)]), {}, r"two rows for '0/0"),
            (lambda f: f, {"columns": ["qualty"]}, "no numbers called 'qualty': did you mean 'quality'"),
            (lambda f: f, {"key": "nokey"}, "no column called 'nokey'.*with `key`"),
            (lambda f: f, {"lower_better": ["x"]}, "lower_better"),
            (lambda f: f, {"margin": 0.0}, "`margin` must be above 0"),
            (lambda f: f, {"margin": {"x": 0.1}}, "`margin` names 'x'"),
            (lambda f: f, {"metrics": object()}, "both runs are score files"),
        ],
    )
    def test_one_sentence(self, tmp_path: Path, scores: np.ndarray, change: Any, options: Any, message: str) -> None:
        base = run(tmp_path / "a.csv", scores)
        change(pandas.read_csv(base)).to_csv(tmp_path / "b.csv", index=False)
        with pytest.raises(CLIPIQAError, match=message):
            gate(base, tmp_path / "b.csv", **options)

    @pytest.mark.parametrize(
        ("name", "content", "message"),
        [
            ("none.csv", None, "cannot be read as csv: No such file"),
            ("a.txt", "x", "names no known format"),
            ("a.csv", "a,b\n1,2\n", "no column of paths"),
            ("a.csv", "image,b\nx,y\n", "no column of numbers: its columns are image, b"),
            ("a.jsonl", "{", "cannot be read as jsonl"),
            ("a.parquet", "no parquet", "cannot be read as parquet"),
        ],
    )
    def test_files(self, tmp_path: Path, name: str, content: str | None, message: str) -> None:
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(CLIPIQAError, match=message):
            read_any_scores(tmp_path / name)
