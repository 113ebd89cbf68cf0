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
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.methods import gate
from clipiqa_pyiqa.scoring.any_scores import matching_names, read_any_scores

BUNDLED = Path(__file__).parents[1] / "data"


def run(path: Path, values: Any, folder: str = "out", name: str = "quality", **more: Any) -> Path:
    """A score file of another tool: image, and one column or several."""
    images = [f"{folder}/{number // 10}/{number}.png" for number in range(len(values))]
    frame = pandas.DataFrame({"Image Name": images, name: values, **more})
    if path.suffix == ".parquet":
        frame.to_parquet(path)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False)
    return path


@pytest.fixture
def scores() -> np.ndarray:
    return np.random.default_rng(0).uniform(0.3, 0.7, 40)


class TestVerdict:
    @pytest.mark.parametrize("suffix", [".csv", ".jsonl", ".parquet"])
    def test_worse_better_and_no_change(self, tmp_path: Path, scores: np.ndarray, suffix: str) -> None:
        noise = np.random.default_rng(1).normal(0, 0.01, 40)
        base = run(tmp_path / f"base{suffix}", scores, "a/v1", same=scores, up=scores, size=7)
        new = run(
            tmp_path / f"new{suffix}",
            scores - 0.03 + noise,
            "/b/v2",
            same=scores + noise / 100,
            up=scores + 0.1,
            size=7,
        )
        found = gate(base, new)
        assert [(q.name, q.verdict) for q in found.questions] == [
            ("quality", "worse"), ("same", "no change"), ("up", "better"), ("size", "no change"),
        ]  # fmt: skip
        worse = found.questions[0]
        assert not found.passed and worse.difference.value == pytest.approx(np.mean(noise) - 0.03)
        assert worse.difference.low < worse.difference.value < worse.difference.high < 0 and worse.n == 40
        assert found.worst("quality", 1).index[0] == f"{np.argmin(noise) // 10}/{np.argmin(noise)}"

    def test_min_delta(self, tmp_path: Path, scores: np.ndarray) -> None:
        base, new = run(tmp_path / "a.csv", scores), run(tmp_path / "b.csv", scores - 0.03)
        assert gate(base, new, min_delta=0.02).questions[0].verdict == "worse"
        assert gate(base, new, min_delta=0.04).passed

    def test_where_low_is_good(self, tmp_path: Path, scores: np.ndarray) -> None:
        base, new = (
            run(tmp_path / "a.csv", scores, name="niqe", x=scores),
            run(tmp_path / "b.csv", scores + 0.03, name="niqe", x=scores + 0.03),
        )
        assert [q.verdict for q in gate(base, new).questions] == ["worse", "better"]  # pyiqa knows niqe
        assert [q.verdict for q in gate(base, new, lower_better=["x"]).questions] == ["worse", "worse"]

    def test_by_a_key_and_without_common_folders(self, tmp_path: Path, scores: np.ndarray) -> None:
        prompts = [f"prompt {n}" for n in range(40)]
        base = run(tmp_path / "a.csv", scores, "x", prompt=prompts)
        order = np.random.default_rng(2).permutation(40)
        new = pandas.read_csv(base).iloc[order].assign(**{"Image Name": [f"other{n}" for n in range(40)]})
        new.to_csv(tmp_path / "b.csv", index=False)
        found = gate(base, tmp_path / "b.csv", key="prompt")
        assert found.questions[0].difference.value == 0 and found.passed and list(found.rows.index) == prompts

    def test_names(self) -> None:
        assert matching_names(["/a/b/1.png", "/a/c/2.png"], ["b/1.jpg", "c/2.jpg"]) == [["b/1", "c/2"]] * 2
        assert matching_names(["x/b/1.png", "x/c/1.png"], ["y/z/b/1.png"]) == [["b/1", "c/1"], ["b/1"]]
        assert matching_names(["a\\1.png"], ["b/1.png"]) == [["1"], ["1"]]
        assert matching_names(["1.png", "1.jpg"], ["b/1.png"])[0] == ["1.png", "1.jpg"]  # told apart by the suffix


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
        ("base", "v1", []), ("new", "v2", []), ("smaller", "v2", ["--max-side", "48"]),
        ("worded", "v2", ["--template", "A photo of {}."]),
    ):  # fmt: skip
        found[name] = root / f"{name}.parquet"
        command = ["score", str(root / version), "--backbone", "mini", "--prompts", "sharpness", "--device", "cpu"]
        assert main([*command, "--out", str(found[name]), "--quiet", *more]) == 0
    return found


class TestOurs:
    """Files of ``clipiqa score``."""

    def test_a_blurred_release_fails(self, files: dict[str, Path], tmp_path: Path, capsys: Any) -> None:
        command = ["gate", str(files["base"]), str(files["new"]), "--out", str(tmp_path / "gate")]
        assert main(command) == 1
        said = capsys.readouterr().out
        assert re.match(
            r"sharpness: worse: -0\.\d{4} \[-.*\], 0.* to 0.*, n = 6, higher is better \(as base\.parquet says\)\n$",
            said,
        )
        written = json.loads((tmp_path / "gate/gate.json").read_text())
        assert written["questions"][0]["verdict"] == "worse" and not written["passed"]
        suites = ElementTree.parse(tmp_path / "gate/gate.xml").getroot()
        assert suites.get("failures") == "1" and suites.find("testsuite/testcase/failure") is not None
        assert main(command) == 1  # its own files are replaced
        assert len(pandas.read_csv(tmp_path / "gate/rows.csv")) == 6
        assert main(["gate", str(files["base"]), str(files["base"])]) == 0
        (tmp_path / "gate/gate.json").write_text("{}")
        assert main(command) == 2 and "exists already" in capsys.readouterr().err

    def test_runs_of_different_metrics(self, files: dict[str, Path]) -> None:
        with pytest.raises(CLIPIQAError, match=r"max_side is none in '.*base\.parquet' and 48 in '.*smaller\.parquet'"):
            gate(files["base"], files["smaller"])
        with pytest.raises(CLIPIQAError, match=r"questions of 'sharpness' is Sharp photo.* in .* and A photo of"):
            gate(files["base"], files["worded"])


class TestBadInput:
    @pytest.mark.parametrize(
        ("change", "options", "message"),
        [
            (lambda f: f.assign(**{"Image Name": [f"q{n}" for n in range(40)]}), {}, "share no row"),
            (lambda f: f.rename(columns={"quality": "other"}), {}, "share no column of scores"),
            (lambda f: f.assign(extra=1.0), {}, "only one of the runs has 'extra'.*--by"),
            (lambda f: f.head(39), {}, r"only '.*a\.csv' has '3/39'.*--skip-missing"),
            (lambda f: f.head(5), {"skip_missing": True}, "scores of 5 rows in both runs, but 6 or more"),
            (lambda f: pandas.concat([f, f.head(1)]), {}, r"two rows for '0/0"),
            (lambda f: f, {"columns": ["qualty"]}, "no column 'qualty': did you mean 'quality'"),
            (lambda f: f, {"columns": ["Image Name"]}, "does not hold numbers"),
            (lambda f: f, {"key": "nokey"}, "no column called 'nokey'.*--key"),
            (lambda f: f, {"lower_better": ["x"]}, "lower_better names 'x'"),
            (lambda f: f, {"min_delta": -1.0}, "min_delta must be"),
            (lambda f: f.assign(quality=f["quality"].where(f.index > 0)), {}, "has no score of '0/0'"),
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
            ("none.csv", None, "is no file"),
            ("a.txt", "x", "is no csv, jsonl or parquet"),
            ("a.csv", "image,mos\n", "no rows"),
            ("a.csv", "a,b\n1,2\n", "no column of paths"),
            ("a.csv", "image,b\nx,y\n", "no column of numbers: its columns are image, b"),
            ("a.jsonl", "[1]\n", "a line is no object"),
            ("a.jsonl", "{", "cannot be read as jsonl"),
            ("a.parquet", "no parquet", "cannot be read as parquet"),
        ],
    )
    def test_files(self, tmp_path: Path, name: str, content: str | None, message: str) -> None:
        if content is not None:
            (tmp_path / name).write_text(content)
        with pytest.raises(CLIPIQAError, match=message):
            read_any_scores(tmp_path / name)

    def test_skip_missing_compares_the_others(self, tmp_path: Path, scores: np.ndarray, capsys: Any) -> None:
        base, new = run(tmp_path / "a.csv", scores), run(tmp_path / "b.csv", scores[:30])
        assert main(["gate", str(base), str(new)]) == 2
        assert main(["gate", str(base), str(new), "--skip-missing"]) == 0
        said = capsys.readouterr()
        assert "n = 30" in said.out and "left out: only" in said.err and "and 5 more" in said.err
