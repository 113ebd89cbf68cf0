"""``clipiqa score``: what the paths stand for, options, exit codes, and runs that are broken off, in real processes."""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from forked import Forked
from PIL import Image
from standin import Brightness

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.cli.options import model
from clipiqa_pyiqa.prompts.pairs import NAMED_PAIRS
from clipiqa_pyiqa.scoring.result_files import read_results
from clipiqa_pyiqa.sources.inputs import find_inputs

DATA = Path(__file__).parents[1] / "data"
STANDIN = {"STANDIN": "1"}


def image(path: Path, grey: int = 128, size: tuple[int, int] = (40, 40)) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (grey,) * 3).save(path)
    return str(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Three images of grey levels 0, 51, 102, scores 0, 0.2, 0.4; files that are none; and hidden ones."""
    image(tmp_path / "photos/a.png", 0)
    image(tmp_path / "photos/b.JPG", 51)
    image(tmp_path / "photos/sub/c.webp", 102)
    image(tmp_path / "photos/.hidden.png")
    image(tmp_path / "photos/.thumbnails/d.png")
    (tmp_path / "photos/notes.txt").write_text("no image")
    return tmp_path / "photos"


@pytest.fixture
def clipiqa(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Callable[..., SimpleNamespace]:
    """Runs the command in this process with the stand-in metric: code, out, err."""
    monkeypatch.setattr(model, "build_metric", lambda *_: Brightness())

    def run(*arguments: str | Path) -> SimpleNamespace:
        code = main(["score", *map(str, arguments)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return SimpleNamespace(code=code, out=out, err=err)

    return run


def rows(path: Path) -> list[tuple[str, float | None]]:
    return [(Path(row.path).name, row.scores and round(row.scores[0], 4)) for row in read_results(path)[1]]


class TestPaths:
    def names(self, *arguments: str | Path, **options: bool) -> list[str]:
        return [Path(path).name for path in find_inputs([str(argument) for argument in arguments], **options).paths]

    def test_a_folder_means_its_images_sorted_without_hidden_ones(self, folder: Path) -> None:
        assert self.names(folder) == ["a.png", "b.JPG", "c.webp"]

    def test_a_file_counts_whatever_its_name(self, folder: Path) -> None:
        assert self.names(folder / "notes.txt", folder / ".hidden.png") == ["notes.txt", ".hidden.png"]

    def test_globs(self, folder: Path) -> None:
        assert self.names(folder / "*.png") == ["a.png"]
        assert self.names(folder / "**/*.webp") == ["c.webp"]
        assert self.names(folder / "?.[Jp]*") == ["a.png", "b.JPG"]
        assert self.names(folder.parent / "phot*") == ["a.png", "b.JPG", "c.webp"]

    def test_a_name_with_brackets_is_a_file_first(self, folder: Path) -> None:
        assert self.names(image(folder / "holiday[1].png")) == ["holiday[1].png"]

    def test_each_file_once_in_the_order_given(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder)
        assert self.names("b.JPG", "./b.JPG", ".", folder / "a.png") == ["b.JPG", "a.png", "c.webp"]

    def test_paths_are_kept_as_given(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(folder.parent)
        assert find_inputs(["photos/sub", "photos/a.png"]).paths == [
            os.path.join("photos/sub", "c.webp"),
            "photos/a.png",
        ]

    @pytest.mark.parametrize(("null", "end"), [(False, b"\n"), (False, b"\r\n"), (True, b"\0")])
    def test_a_list_on_standard_input(
        self, folder: Path, monkeypatch: pytest.MonkeyPatch, null: bool, end: bytes
    ) -> None:
        listed = [bytes(folder / "sub"), b"", bytes(folder / "a.png")]
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(end.join(listed) + end)))
        assert self.names("-", null_separated=null) == ["c.webp", "a.png"]

    def test_what_is_nothing(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(b"\n")))
        (folder / "empty").mkdir()
        found = find_inputs([str(folder / name) for name in ("empty", "gone.png", "*.gif")] + ["-"])
        assert not found.paths
        assert list(found.problems.values()) == [
            f"'{folder}/empty' is a folder without image files",
            f"'{folder}/gone.png' does not exist",
            f"'{folder}/*.gif' matches nothing",
            "'-' is a list on standard input, which is empty",
        ]


class TestResults:
    def test_table_on_standard_output(self, clipiqa: Any, folder: Path) -> None:
        ran = clipiqa(folder)
        assert ran.code == 0
        lines = ran.out.splitlines()
        assert lines[0].startswith("# metric brightness, ") and "max_side none" in lines[0] and "torch " in lines[0]
        assert lines[1].split()[1:] == ["quality", "size"]
        uniform = [["0.0000", "40×40,"], ["0.2000", "40×40,"], ["0.4000", "40×40,"]]
        assert [line.split()[1:] for line in lines[2:5]] == [[*cells, "almost", "uniform"] for cells in uniform]
        assert lines[5].split() == ["mean", "of", "3", "0.2000"]
        assert "3 scored, 0 failed in" in ran.err and "images/s" in ran.err

    @pytest.mark.parametrize("suffix", ["csv", "jsonl", "parquet"])
    def test_files(self, clipiqa: Any, folder: Path, tmp_path: Path, suffix: str) -> None:
        ran = clipiqa(folder, "--out", tmp_path / f"scores.{suffix}")
        assert (ran.code, ran.out) == (0, "")
        assert rows(tmp_path / f"scores.{suffix}") == [("a.png", 0.0), ("b.JPG", 0.2), ("c.webp", 0.4)]

    def test_format_beats_suffix(self, clipiqa: Any, folder: Path, tmp_path: Path) -> None:
        assert clipiqa(folder, "--out", tmp_path / "scores.dat", "--format", "jsonl").code == 0
        assert len((tmp_path / "scores.dat").read_text().splitlines()) == 3

    def test_jsonl_on_standard_output_is_nothing_but_jsonl(self, clipiqa: Any, folder: Path) -> None:
        found = [json.loads(line) for line in clipiqa(folder, "--format", "jsonl", "--progress").out.splitlines()]
        assert [row["metric"] for row in found] == ["brightness, Good photo.|Bad photo."] * 3

    def test_an_input_is_never_replaced(self, clipiqa: Any, folder: Path) -> None:
        ran = clipiqa(folder, "--format", "csv", "--out", folder / "a.png", "--overwrite")
        assert ran.code == 2 and "a.png' is one of the inputs and is not replaced" in ran.err

    def test_says_everything_a_score_depends_on(self, clipiqa: Any, folder: Path, tmp_path: Path) -> None:
        clipiqa(folder, "--out", tmp_path / "a.csv", "--max-side", "64", "--no-exif", "--max-pixels", "4000")
        said = read_results(tmp_path / "a.csv")[0].provenance
        assert set(said["versions"]) == {"pyiqa", "torch", "open_clip_torch", "pillow"} and said["damaged"] == "refuse"
        limits = (said["apply_exif"], said["max_side"], said["max_pixels"], said["device"])
        assert limits == (False, 64, 4000, "cpu")

    def test_columns(self, clipiqa: Any, folder: Path, tmp_path: Path) -> None:
        asked = ["--prompts", "sharpness", "pyiqa", "Crisp photo.|Hazy photo.", "--prompts", "Bright/Dark"]
        assert clipiqa(folder, *asked, "--out", tmp_path / "scores.csv").code == 0
        header, found = read_results(tmp_path / "scores.csv")
        assert header.columns == ("sharpness", "pyiqa", "Crisp photo.|Hazy photo.", "brightness")
        assert len(header.provenance["scores"]["pyiqa"]["questions"]) == 5
        halves = [0.4 / 2**n for n in range(8)]  # the stand-in's score of each pair
        means = (halves[0], sum(halves[1:6]) / 5, halves[6], halves[7])
        assert found[2].scores == pytest.approx(means, abs=2e-3)  # WebP costs a little of the grey level

    def test_all_attributes(self, folder: Path, tmp_path: Path) -> None:
        """The named pairs whose words the backbone knows; RN50 knows all words."""
        arguments = ["--all-attributes", "--backbone", "mini", "--out", str(tmp_path / "scores.csv")]
        assert main(["score", str(folder), *arguments]) == 0
        columns = read_results(tmp_path / "scores.csv")[0].columns
        assert columns == ("quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast")
        assert set(columns) < set(NAMED_PAIRS)

    def test_quiet(self, clipiqa: Any, folder: Path) -> None:
        assert clipiqa(folder, "--quiet").err == ""

    def test_progress_bar_only_when_asked_or_on_a_terminal(self, clipiqa: Any, folder: Path) -> None:
        assert "3/3" not in clipiqa(folder).err
        assert "3/3" in clipiqa(folder, "--progress").err


class TestFailures:
    def test_bad_files_are_reported_counted_and_skipped(self, clipiqa: Any, folder: Path, tmp_path: Path) -> None:
        (folder / "bad.png").write_bytes(b"")
        ran = clipiqa(folder, tmp_path / "gone.png", "--out", tmp_path / "scores.csv")
        assert ran.code == 1
        assert f"clipiqa score: '{folder}/bad.png' is empty (0 bytes)." in ran.err
        assert f"clipiqa score: '{tmp_path}/gone.png' does not exist." in ran.err
        assert "3 scored, 2 failed" in ran.err
        found = read_results(tmp_path / "scores.csv")[1]
        assert {Path(row.path).name for row in found if row.error} == {"bad.png", "gone.png"}
        assert len(found) == 5

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["gone.png"], r"'gone.png' does not exist: there is nothing to score."),
            ([], "no PATH given"),
            (["--prompts", "quality", "PHOTOS"], "no PATH given: .*before --prompts"),
            (["PHOTOS", "--prompts", "sharpnes"], "sharpness"),
            (["PHOTOS", "--prompts", "Good photo.|"], "two texts"),
            (["PHOTOS", "--template", "no slot"], "{}"),
            (["PHOTOS", "--max-side", "5"], "max_side must be at least 32"),
            (["PHOTOS", "--format", "parquet"], "parquet results are not text: name a file with --out"),
            (["PHOTOS", "--out", "scores.xlsx"], "names no known format"),
            (["PHOTOS", "--out", "nowhere/scores.csv"], "there is no folder"),
            (["PHOTOS", "--resume"], "resume needs out"),
            (["PHOTOS", "--out", "a.csv", "--resume", "--overwrite"], "give one of the two"),
            (["PHOTOS", "--device", "quantum"], "device must be cpu, cuda, cuda:N or mps"),
            (["PHOTOS", "--device", "cuda:99"], "got 'cuda:99'"),
            (["PHOTOS", "--device", "mps"], "got 'mps'"),
        ],
    )
    def test_bad_usage(
        self, clipiqa: Any, folder: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
    ) -> None:
        monkeypatch.chdir(folder.parent)
        ran = clipiqa(*("photos" if argument == "PHOTOS" else argument for argument in arguments))
        assert (ran.code, ran.out) == (2, "")
        assert re.match(rf"(clipiqa score: loading .* …\n)?clipiqa score: error: [^\n]*{message}[^\n]*\n\Z", ran.err)

    @pytest.mark.parametrize("option", [["--batch-size", "0"], ["--workers=0"]])
    def test_bad_values(self, clipiqa: Any, folder: Path, option: list[str]) -> None:
        assert clipiqa(folder, *option).code == 2

    def test_existing_results_are_kept(self, clipiqa: Any, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "scores.csv"
        out.write_text("precious")
        ran = clipiqa(folder, "--out", out)
        assert ran.code == 2 and "exists already: pass resume" in ran.err and out.read_text() == "precious"
        assert clipiqa(folder, "--out", out, "--overwrite").code == 0 and len(rows(out)) == 3

    def test_a_bomb_and_the_way_out(self, clipiqa: Any, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 40 * 40 // 3)
        ran = clipiqa(folder)
        assert ran.code == 1 and "decompression bombs" in ran.err and "huge" in ran.err
        assert clipiqa(folder, "--huge").code == 0

    @pytest.mark.parametrize("option", [["--backbone", "RN5O"], ["--precision", "fp8"], ["--pos-embedding", "learned"]])
    def test_what_the_metric_refuses(self, folder: Path, capfd: pytest.CaptureFixture[str], option: list[str]) -> None:
        assert main(["score", str(folder), *option]) == 2
        assert re.search(rf"^clipiqa score: error: .*{option[1]}", capfd.readouterr().err, re.M)

    def test_standard_output_on_a_full_disk(self, forked: Forked, folder: Path, tmp_path: Path) -> None:
        ran = forked.run(["score", folder], tmp_path, out="full", variables=STANDIN)
        assert ran.code == 2
        assert ran.err.strip().endswith("cannot write to standard output: No space left on device.")


class TestResume:
    def test_nothing_is_lost_or_done_twice(self, clipiqa: Any, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "scores.csv"
        clipiqa(folder / "sub", folder / "a.png", "--out", out)
        ran = clipiqa(folder, "--out", out, "--resume")
        assert ran.code == 0 and "1 scored, 0 failed" in ran.err and "2 done before" in ran.err
        assert rows(out) == [("c.webp", 0.4), ("a.png", 0.0), ("b.JPG", 0.2)]

    def test_failures_are_tried_again(self, clipiqa: Any, folder: Path, tmp_path: Path) -> None:
        out = tmp_path / "scores.parquet"
        (folder / "b.JPG").rename(folder / "b.tmp")
        (folder / "b.JPG").write_bytes(b"")
        assert clipiqa(folder, folder / "gone.png", "--out", out).code == 1
        (folder / "b.tmp").replace(folder / "b.JPG")
        ran = clipiqa(folder, folder / "gone.png", "--out", out, "--resume")
        assert ran.code == 1 and "1 scored, 1 failed" in ran.err
        assert sorted(rows(out)) == [("a.png", 0.0), ("b.JPG", 0.2), ("c.webp", 0.4), ("gone.png", None)]

    def test_another_setup_is_refused(
        self, clipiqa: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        out = tmp_path / "scores.jsonl"
        clipiqa(folder, "--out", out)
        for options in (["--max-side", "64"], ["--no-exif"], ["--prompts", "sharpness"]):
            ran = clipiqa(folder, "--out", out, "--resume", *options)
            assert ran.code == 2 and "its scores were made in another way" in ran.err
        monkeypatch.setenv("STANDIN_PRECISION", "bf16")
        assert "precision was fp32 and is now bf16" in clipiqa(folder, "--out", out, "--resume").err


class TestRealProcesses:
    """Forked ones, but for one that starts Python and torch as a user's does."""

    @pytest.fixture
    def many(self, tmp_path: Path) -> Path:
        for number in range(200):
            image(tmp_path / f"many/{number:03}.png", number)
        return tmp_path / "many"

    @pytest.fixture
    def broken_off(self, forked: Forked, many: Path) -> Callable[..., SimpleNamespace]:
        """Starts a run that hangs in the middle, sends it a signal there, and returns its exit code and messages."""

        def run(out: Path, number: signal.Signals) -> SimpleNamespace:
            journal = out.with_name(out.name + ".part.jsonl")
            arguments = ["score", many, "--out", out, "--batch-size", "4", "--resume"]
            job = forked.start(arguments, out.parent, variables=STANDIN | {"STANDIN_STALL": "100"})
            deadline = time.monotonic() + 120
            while not journal.exists() or journal.read_bytes().count(b"\n") < 60:
                assert not job.ended and time.monotonic() < deadline
                time.sleep(0.01)
            job.kill(number)
            job.wait()
            assert "Traceback" not in job.err
            return SimpleNamespace(code=job.code, err=job.err, journal=journal)

        return run

    def finish(self, many: Path, out: Path, clipiqa: Any) -> None:
        ran = clipiqa(many, "--out", out, "--resume")
        assert ran.code == 0 and "done before" in ran.err
        assert rows(out) == [(f"{number:03}.png", round(number / 255, 4)) for number in range(200)]

    @pytest.mark.parametrize("suffix", ["csv", "parquet"])
    def test_kill(self, broken_off: Any, many: Path, clipiqa: Any, tmp_path: Path, suffix: str) -> None:
        out = tmp_path / f"scores.{suffix}"
        ran = broken_off(out, signal.SIGKILL)
        assert ran.code == -signal.SIGKILL
        kept = read_results(ran.journal)[1]
        assert 40 < len(kept) < 200
        with ran.journal.open("ab") as file:  # as if it had been killed within a row
            file.write(b"photos/half a r")
        self.finish(many, out, clipiqa)

    @pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_interrupt(
        self, broken_off: Any, many: Path, clipiqa: Any, tmp_path: Path, number: signal.Signals, code: int
    ) -> None:
        out = tmp_path / "scores.jsonl"
        ran = broken_off(out, number)
        assert ran.code == code
        assert "clipiqa score: interrupted: " in ran.err and " left; --resume continues from here" in ran.err
        kept = read_results(ran.journal)[1]
        assert f"{len(kept)} scored" in ran.err and 40 < len(kept) < 200
        self.finish(many, out, clipiqa)

    def test_a_reader_that_stops_gets_no_message(self, many: Path) -> None:
        command = [sys.executable, Path(__file__).parents[1] / "helpers/standin.py", "score", many, "--format", "csv"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        assert process.stdout is not None and process.stderr is not None
        assert process.stdout.readline().startswith("path,quality,")
        process.stdout.close()
        assert "Traceback" not in process.stderr.read() and process.wait(60) == 1
        process.stderr.close()

    def test_help_answers_at_once(self) -> None:
        code = (
            "import sys; from clipiqa_pyiqa.cli import main\ntry: main(['score', '--help'])\nexcept SystemExit: pass\n"
        )
        code += "print(sorted({'torch', 'pandas', 'pyarrow', 'PIL', 'tqdm', 'open_clip', 'pyiqa'} & set(sys.modules)))"
        ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert "--prompts" in ran.stdout and ran.stdout.endswith("[]\n")  # nothing slow was imported


def test_scores_real_photos_with_the_real_metric(
    seeded_weights: Callable[[str], Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import torch

    from clipiqa_pyiqa.metric import CLIPIQA

    shutil.copytree(DATA, tmp_path / "photos")
    weights = seeded_weights("RN50")
    asked = ["--prompts", "quality", "pyiqa"]
    out = tmp_path / "scores.csv"
    assert main(["score", str(tmp_path / "photos"), "--clip-weights", str(weights), *asked, "--out", str(out)]) == 0
    assert "2 scored, 0 failed" in capfd.readouterr().err
    header, found = read_results(out)
    assert header.columns == ("quality", "pyiqa")
    assert header.provenance["backbone"] == "RN50" and header.provenance["weights_sha256"]
    metric = CLIPIQA(clip_weights=weights)
    for row in found:
        with Image.open(row.path) as photo:
            pixels = torch.frombuffer(bytearray(photo.convert("RGB").tobytes()), dtype=torch.uint8)
        x = pixels.view(1, photo.height, photo.width, 3).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            ours = (metric(x).item(), metric(x, prompts="pyiqa").item())
        assert row.scores == pytest.approx(ours, abs=1e-6)  # the mean over pairs may be summed in another order


class TestLearnedPrompts:
    def test_a_file_says_what_it_was_learned_on(
        self, seeded_weights: Callable[..., Path], tmp_path: Path, capfd: pytest.CaptureFixture[str]
    ) -> None:
        import torch

        from clipiqa_pyiqa import CLIPIQA
        from clipiqa_pyiqa.images.reader import read_image
        from clipiqa_pyiqa.prompts.files import save_prompt_file

        options = {"clip_weights": seeded_weights("RN50"), "quick_gelu": True, "pos_embedding": "interpolate"}
        metric = CLIPIQA("clipiqa+", pretrained=False, **options)
        with torch.no_grad():
            metric.prompt_learner.ctx.mul_(1.5)
        save_prompt_file(metric.prompt_learner, tmp_path / "mine.safetensors", {"pos_embedding": "interpolate"})
        photo = image(tmp_path / "photo.png", 51, (64, 48))
        arguments = ["--learned-prompts", tmp_path / "mine.safetensors", "--clip-weights", options["clip_weights"]]
        command = ["score", photo, *map(str, arguments), "--quick-gelu", "--device", "cpu"]
        assert main([*command, "--out", str(tmp_path / "scores.csv"), "--quiet"]) == 0
        header, found = read_results(tmp_path / "scores.csv")
        assert header.columns == ("mine",)
        assert header.provenance["pos_embedding"] == "interpolate"
        assert header.provenance["scores"]["mine"]["learned"]["from"] == "mine.safetensors"
        expected = metric.eval()(read_image(photo).pixels[None].float() / 255).item()
        assert [row.scores for row in found] == [(pytest.approx(expected, abs=1e-6),)]  # digits of fp32
        assert main([*command, "--backbone", "ViT-B/32"]) == 2
        assert "RN50" in capfd.readouterr().err

    @pytest.mark.parametrize("more", [["--prompts", "happy"], ["--all-attributes"], ["--template", "{} image."]])
    def test_not_with_other_questions(self, clipiqa: Any, folder: Path, more: list[str]) -> None:
        result = clipiqa(folder, "--learned-prompts", "clipiqa+", *more)
        assert result.code == 2 and "leave out prompts" in result.err

    def test_neither_file_nor_name(self, clipiqa: Any, folder: Path) -> None:
        result = clipiqa(folder, "--learned-prompts", "clipiqa++")
        assert result.code == 2 and "clipiqa++" in result.err
