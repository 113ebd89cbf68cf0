"""The logic of `clipiqa bench`: turns, ratios, targets, the table, both sides alike, and that no timing fails."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from forked import Forked
from PIL import Image

from clipiqa_pyiqa.bench import process, rows, subject, table
from clipiqa_pyiqa.bench import setup as bench_setup
from clipiqa_pyiqa.bench.setup import Setup, set_up
from clipiqa_pyiqa.bench.subject import Subject, is_archive, largest_difference, save_archive
from clipiqa_pyiqa.bench.table import Line, Target
from clipiqa_pyiqa.bench.timing import QUICK, Effort, ratio, take_turns
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.weights.checkpoint import open_checkpoint


class Clock:
    """A clock that calls move by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now

    def taking(self, seconds):
        durations = itertools.cycle(seconds)

        def call() -> None:
            self.now += next(durations)

        return call


class FakeSubject(Subject):
    """A side whose network is the mean of the pixels."""

    def build(self) -> torch.nn.Module:
        class Mean(torch.nn.Module):
            def forward(self, x, **_):
                return x.mean(dim=(1, 2, 3))[:, None]

        return Mean()


@pytest.fixture
def fake_setup(tmp_path: Path) -> Setup:
    return Setup(
        mine=FakeSubject("ours", "nowhere"), theirs=FakeSubject("built-in", "nowhere"), weights="none",
        note="the other: a fake", precisions=["fp32", "bf16"], effort=Effort(0, 1, 1), threads=1, folder=tmp_path,
    )  # fmt: skip


@pytest.fixture(scope="module")
def archive(seeded_weights, tmp_path_factory) -> Path:
    """The seeded weights as OpenAI's files are."""
    tensors = open_checkpoint(seeded_weights("RN50"))
    return save_archive(tensors, tmp_path_factory.mktemp("archive") / "RN50.pt")


class TestTurns:
    def test_calls_alternate_after_one_untimed_round(self):
        order: list[str] = []
        calls = {"a": lambda: order.append("a"), "b": lambda: order.append("b")}
        times = take_turns(calls, Effort(seconds=0, fewest=2, most=9), clock=Clock())
        assert order == ["a", "b"] * 3 and [len(t) for t in times.values()] == [2, 2]

    def test_rounds_end_with_the_time_or_at_most(self):
        clock = Clock()
        assert len(take_turns({"a": clock.taking([3])}, Effort(10, 1, 99), clock=clock)["a"]) == 4
        assert len(take_turns({"a": clock.taking([3])}, Effort(10, 1, 2), clock=clock)["a"]) == 2
        assert len(take_turns({"a": clock.taking([30])}, Effort(10, 3, 9), False, clock)["a"]) == 3

    def test_ratio_is_the_median_of_rounds_so_that_a_burst_of_load_hits_both(self):
        clock = Clock()
        calls = {"slow": clock.taking([4, 40, 4]), "fast": clock.taking([2, 20, 2])}
        times = take_turns(calls, Effort(0, 3, 3), False, clock)
        assert times == {"slow": [4, 40, 4], "fast": [2, 20, 2]}
        assert ratio(times["slow"], times["fast"]) == 2


class TestTable:
    def test_targets(self):
        assert Target(at_least=6).is_met(6) and not Target(at_least=6).is_met(5.99)
        assert Target(at_most=1.05).is_met(1.05) and not Target(at_most=1.05).is_met(1.06)
        assert str(Target(at_least=1.9)) == "≥ 1.9" and str(Target(at_most=0.08)) == "≤ 0.08"

    def test_every_line_has_its_target_beside_it(self):
        lines = [
            Line("fast", "1 s", "7 s", 7.0, Target(at_least=6)),
            Line("slow", "1 s", "5 s", 5.0, Target(at_least=6)),
            Line("untold", "1 s", "5 s", 5.0),
            table.not_measured("broken", "no room"),
        ]
        cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.markdown_lines(lines)]
        assert cells[0] == list(table.HEADER)
        assert cells[2] == ["fast", "1 s", "7 s", "7.00", "≥ 6", "yes"]
        assert cells[3] == ["slow", "1 s", "5 s", "5.00", "≥ 6", "no"]
        assert cells[4] == ["untold", "1 s", "5 s", "5.00", "-", "-"]
        assert cells[5] == ["broken: not measured: no room", "-", "-", "-", "-", "-"]

    def test_seconds_are_least_and_median(self):
        assert table.seconds([0.3, 0.1, 0.2]) == "0.100 / 0.200 s"
        assert table.seconds([26.23, 11.4, 26.2]) == "11.4 / 26.2 s"

    def test_machine_is_named(self):
        facts = table.machine(torch.device("cpu"), 2, "RN50, openai afeb0e10")
        assert facts["device"] == "cpu, 2 threads" and facts["weights"] == "RN50, openai afeb0e10"
        assert f"{os.cpu_count()} cores" in facts["CPU"]
        assert f"torch {torch.__version__.split('+')[0]}" in facts["versions"]


class TestRows:
    def test_issue_s_rows_and_targets(self):
        """Every row of the issues' tables is there; the names are what `--only` selects by."""
        assert [row.work for row in rows.SCORE_ROWS[:5]] == [
            "score 1×224²",
            "score 8×224²",
            "score 1×384×512",
            "score 1×768×1024",
            "image tower alone 1×2160×3840",
        ]
        assert [row.work for row in rows.LOSS_ROWS[::2]] == [
            "loss 4×512²",
            "loss 16×512²",
            "loss 1×1024²",
            "loss 16×128²",
        ]

    def test_scoring_compares_every_precision_with_the_other_side_s_fp32(self, fake_setup):
        lines = list(rows.scoring((2, 32, 48), {"fp32": 6, "bf16": 10}).measure(fake_setup))
        assert [line.work for line in lines] == ["score 2×32×48, fp32", "score 2×32×48, bf16"]
        assert [line.target for line in lines] == [Target(at_least=6), Target(at_least=10)]
        assert lines[0].other == lines[1].other and all(line.ratio > 0 for line in lines)

    def test_a_precision_without_target_is_stated_only(self, fake_setup):
        fake_setup.precisions = ["fp16"]
        (line,) = rows.loss_time((1, 32, 32), {"fp32": 0.58}).measure(fake_setup)
        assert line.target is None and line.cells()[-2:] == ("-", "-")

    def test_memory_is_a_share_of_the_other_s(self, fake_setup, monkeypatch):
        peaks = {"built-in": 2_000_000, "fp32": 500_000, "bf16": 250_000}
        asked = []

        def peak(kind, side, shape, threads):
            asked.append((kind, shape, threads))
            return peaks[side.side if side.side != "ours" else side.precision]

        monkeypatch.setattr(rows, "peak_memory", peak)
        fp32, bf16 = rows.memory("loss", (4, 512, 512), 0.18).measure(fake_setup)
        assert fp32.cells()[1:] == ("0 MB", "2 MB", "0.25", "≤ 0.18", "no")
        assert bf16.ratio == 0.125 and bf16.target is None
        assert asked == [("loss", (4, 3, 512, 512), 1)] * 3

    def test_creation_with_and_without_the_first_score(self, fake_setup, monkeypatch):
        taken = {"ours": (0.1, 0.4), "built-in": (2.0, 0.5)}
        monkeypatch.setattr(rows, "creation_seconds", lambda side, threads: taken[side.side])
        with_score, alone = rows.creation(3).measure(fake_setup)
        assert with_score.ratio == pytest.approx(5) and alone.ratio == pytest.approx(20)

    def test_per_pixel(self, fake_setup, monkeypatch):
        fake = {"large": [8.0], "small": [8 * 1.0]}  # the small image is scored eight times in a round
        monkeypatch.setattr(rows, "take_turns", lambda *_, **__: fake)
        (line,) = rows.time_per_pixel((1, 64, 64), (1, 32, 32), 1.3).measure(fake_setup)
        assert line.ratio == pytest.approx(2)  # four times the pixels, eight times the time

    def test_what_cannot_be_measured_is_said_and_the_rest_goes_on(self, fake_setup):
        def fail(setup):
            raise process.NotMeasured("did memory run out?")

        announced: list[str] = []
        works = [rows.Measurement("huge", fail), rows.scoring((1, 32, 32), {"fp32": 6})]
        lines = list(rows.measured(works, fake_setup, announced.append))
        assert lines[0].work == "huge: not measured: did memory run out?" and lines[1].ratio is not None
        assert announced == ["huge", "score 1×32²"]

    def test_photos_are_jpegs_of_the_size_asked_for(self, tmp_path):
        paths = rows.write_photos(tmp_path / "photos", 2, 48, 64)
        assert [Image.open(path).size for path in paths] == [(64, 48)] * 2
        assert [Image.open(path).format for path in paths] == ["JPEG"] * 2


class TestSides:
    def test_archive_holds_the_same_tensors(self, seeded_weights, archive):
        assert is_archive(archive) and not is_archive(seeded_weights("RN50"))
        ours, original = open_checkpoint(archive), open_checkpoint(seeded_weights("RN50"))
        assert set(ours) == set(original)
        assert all(torch.equal(ours[key].float(), original[key].float()) for key in original)

    def test_fallback_scores_as_the_built_in_and_as_ours(self, archive):
        x = torch.rand(2, 3, 64, 96, generator=torch.Generator().manual_seed(0))
        towers = Subject("towers", str(archive)).build()
        ours = Subject("ours", str(archive)).build()
        assert largest_difference(ours, towers, x) < 2e-5  # the issue's bound for fp32
        features = subject.image_tower_alone(towers, x)
        torch.testing.assert_close(ours.encode_image(x), features, atol=2e-6, rtol=0)  # likewise
        if not subject.why_no_builtin():
            builtin = Subject("built-in", str(archive)).build()
            assert largest_difference(builtin, towers, x) == 0
            assert torch.equal(subject.image_tower_alone(builtin, x), features)

    def test_both_sides_have_a_gradient(self, archive):
        x = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        gradients = [process.step(Subject(side, str(archive)).build(), x) for side in ("ours", "towers")]
        assert all(gradient.shape == x.shape and gradient.abs().sum() > 0 for gradient in gradients)

    def test_without_the_built_in_its_towers_stand_in_and_that_is_said(self, archive, monkeypatch):
        monkeypatch.setattr(bench_setup, "why_no_builtin", lambda: "No module named 'pkg_resources'")
        with set_up(str(archive), False, torch.device("cpu"), ["fp32"], QUICK, torch.get_num_threads()) as setup:
            assert setup.theirs.side == "towers" and "No module named 'pkg_resources'" in setup.note
            assert setup.theirs.weights == setup.mine.weights == str(archive)

    def test_seeded_weights_are_a_whole_rn50_in_a_file_that_goes_away(self):
        with set_up(None, True, torch.device("cpu"), ["fp32"], QUICK, torch.get_num_threads()) as setup:
            path = Path(setup.mine.weights)
            assert is_archive(path) and setup.net(setup.mine)(torch.rand(1, 3, 32, 32)).isfinite().all()
        assert not path.exists()


@pytest.fixture
def quickly(forked: Forked, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is forked; that it starts as a fresh one, too, test_creation shows."""

    def run(command: list[str], **_: object) -> SimpleNamespace:
        *_, module, task = command
        code = f"import runpy, sys\nsys.argv[1:] = [{task!r}]\nrunpy.run_module({module!r}, run_name='__main__')"
        job = forked.run([], tmp_path, code=code)
        return SimpleNamespace(returncode=job.code, stdout=job.out, stderr=job.err)

    monkeypatch.setattr(process.subprocess, "run", run)


class TestProcess:
    def test_subject_survives_the_way_into_another_process(self):
        side = Subject("ours", "/a b/ü.pt", quick_gelu=False, precision="bf16", device="cuda:1")
        assert Subject.from_json(side.to_json()) == side

    def test_peak_grows_with_the_image_and_leaves_the_model_out(self, archive, quickly):
        ours = Subject("ours", str(archive))
        small, large = (process.peak_memory("score", ours, (1, 3, side, side), 1) for side in (64, 768))
        assert small < 60e6 < 90e6 < large < 400e6  # 150 MB of weights are in neither; 768² alone is 7 MB of pixels

    def test_creation(self, archive):
        create, first_score = process.creation_seconds(Subject("ours", str(archive)), 1)
        assert 0 < create < 60 and 0 < first_score < 60

    def test_a_process_that_fails_says_why(self, tmp_path, quickly):
        missing = Subject("ours", str(tmp_path / "none.pt"))
        with pytest.raises(process.NotMeasured, match=r"its process failed: .*none\.pt.* does not exist"):
            process.creation_seconds(missing, 1)


class TestCommand:
    def test_prints_machine_and_table_and_ends_with_0_though_a_target_is_missed(
        self, archive, fake_setup, monkeypatch, capsys
    ):
        missed = Line("score 1×224², fp32", "1 s", "1 s", 1.0, Target(at_least=6))
        monkeypatch.setattr(rows, "SCORE_ROWS", [rows.Measurement("score 1×224²", lambda setup: [missed])])
        threads = str(torch.get_num_threads())
        assert main(["bench", "--clip-weights", str(archive), "--threads", threads, "--only", "224²"]) == 0
        out, err = capsys.readouterr()
        assert "CPU: " in out and "weights: RN50, file RN50.pt" in out and "differ by" in out
        assert "| 1.00 " in out and "| ≥ 6 " in out and "| no " in out
        assert "measuring score 1×224²" in err

    def test_loss_rows(self, archive, monkeypatch, capsys):
        monkeypatch.setattr(
            rows, "LOSS_ROWS", [rows.Measurement("loss", lambda setup: [Line("a loss", "1 s", "2 s", 0.5)])]
        )
        threads = str(torch.get_num_threads())
        assert main(["bench", "--loss", "--clip-weights", str(archive), "--threads", threads]) == 0
        assert "a loss" in capsys.readouterr().out

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            (["--only", "nothing like this"], "no row's name contains it"),
            (["--threads", "0"], "at least one thread"),
            (["--clip-weights", "none.pt"], "does not exist"),
            (["--device", "abacus"], "unknown device"),
        ],
    )
    def test_mistakes_are_one_sentence(self, arguments, message, capsys):
        assert main(["bench", *arguments]) == 2
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
