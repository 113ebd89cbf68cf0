"""`clipiqa verify`: published scores are ok, others fail, and fail only with the weights they were published for."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from PIL import Image

from clipiqa_pyiqa import metric
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison import verification as verify
from clipiqa_pyiqa.comparison.verification import GOLDENS, Check, DoctestNoise, ImageFile


class Standin:
    """Gives the published score of each golden, in their order, plus ``error``."""

    def __init__(self, goldens=GOLDENS, error: float = 0.0):
        self.expected = iter([golden.expected + error for golden in goldens])

    def __call__(self, x: torch.Tensor, prompts: str) -> torch.Tensor:
        assert x.shape[:2] == (1, 3) and prompts in ("quality", "brightness")
        return torch.tensor([[next(self.expected)]])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of the names that are looked for, in a folder of a folder, one with its name written differently."""
    (tmp_path / "assets").mkdir()
    for name in ("i01.bmp", "i01_01_5.bmp"):
        Image.new("RGB", (64, 48), (255, 0, 51)).save(tmp_path / "assets" / name)
    return tmp_path


@pytest.fixture
def at_hand(monkeypatch: pytest.MonkeyPatch):
    """Replace the metric that the command builds by a stand-in with the given error and weights."""

    def install(error: float, tag: str, backbone: str = "RN50") -> None:
        weights = SimpleNamespace(backbone=backbone, tag=tag, short=tag, source="a test", path="somewhere")
        standin = Standin(GOLDENS[2:], error)

        class Metric(torch.nn.Module):
            clip = SimpleNamespace(weights=weights)

            def encode_unchecked(self, x):
                return x

            def score(self, features, prompts):
                return standin(features, prompts)

        monkeypatch.setattr(metric, "CLIPIQA", lambda **_: Metric())

    return install


def verdicts(checks) -> list[str]:
    return [check.verdict for check in checks]


def test_published_scores_are_ok(pictures):
    checks = list(verify.check_scores(Standin(), places=[pictures]))
    assert verdicts(checks) == ["ok"] * len(GOLDENS)
    assert verify.exit_code(checks) == 0


def test_tolerance_decides(pictures):
    # 0.002: within the fp16 runs' 0.01, beyond the printed digits' 0.0005
    checks = list(verify.check_scores(Standin(error=0.002), places=[pictures]))
    assert verdicts(checks) == ["ok", "ok", *["FAIL"] * 4, *["differs"] * 4]
    assert verify.exit_code(checks) == 1
    assert checks[0].difference == pytest.approx(0.002, abs=1e-6)  # fp32's digits


def test_a_score_that_is_no_number_fails(pictures):
    checks = list(verify.check_scores(lambda x, prompts: torch.tensor(float("nan")), places=[pictures]))
    assert verdicts(checks) == ["FAIL"] * 6 + ["differs"] * 4  # the last are not binding


def test_other_weights_never_fail(pictures):
    checks = list(verify.check_scores(Standin(error=0.5), places=[pictures], binding=False))
    assert set(verdicts(checks)) == {"differs"} and verify.exit_code(checks) == 2


def test_missing_pictures_are_not_run_and_say_how_to_give_them(tmp_path):
    checks = list(verify.check_scores(Standin(GOLDENS[2:]), places=[tmp_path]))
    assert verdicts(checks) == ["not run", "not run", *["ok"] * 8]
    assert checks[0].reason == "no I01.BMP: pass --images DIR"
    assert verify.exit_code(checks) == 0 and verify.exit_code(checks[:2]) == 2


def test_damaged_picture_is_not_run(tmp_path):
    (tmp_path / "I01.BMP").write_bytes(b"BM")
    (check,) = verify.check_scores(Standin(), GOLDENS[:1], [tmp_path / "I01.BMP"])
    assert check.verdict == "not run" and "I01.BMP" in check.reason


def test_pictures_are_scaled_and_the_doctest_is_not(pictures):
    x = ImageFile("I01.BMP").load([pictures])
    torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
    torch.manual_seed(42)  # as the doctest is written
    noise = torch.randint(255, (2, 3, 224, 224)).float()
    assert torch.equal(torch.cat([DoctestNoise(0).load([]), DoctestNoise(1).load([])]), noise)


def test_table_says_expected_got_difference_tolerance_and_why_not():
    checks = [
        Check(GOLDENS[0], "FAIL", got=0.7916),
        Check(GOLDENS[1], "not run", reason="no i01_01_5.bmp"),
        Check(replace(GOLDENS[2], source="elsewhere"), "ok", got=0.8894),
    ]
    lines = list(verify.markdown_lines(checks))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    assert cells[2] == ["I01.BMP", "quality", "0.8916", "0.7916", "-0.1000", "0.01", "FAIL", "[1]"]
    assert cells[3] == ["i01_01_5.bmp", "quality", "0.4590", "-", "-", "0.01", "not run: no i01_01_5.bmp", "[1]"]
    assert cells[4] == ["noise 1 of 2", "quality", "0.8894", "0.8894", "+0.0000", "0.0005", "ok", "[2]"]
    assert lines[-2:] == [f"[1] {verify.PIQ}", "[2] elsewhere"]


def test_second_example_draws_behind_the_building_of_the_model():
    """As in torchmetrics, whose function builds piq's RN50 in every call, between two draws from one generator."""
    clip = pytest.importorskip("piq.feature_extractors.clip", reason="needs piq")
    torch.manual_seed(42)
    torch.randint(255, (2, 3, 224, 224))
    clip.CLIP(1024, 224, (3, 4, 6, 3), 64, None, 77, 49408, 512, 8, 12)
    noise = torch.randint(255, (2, 3, 224, 224)).float()
    assert torch.equal(torch.cat([DoctestNoise(0, 1).load([]), DoctestNoise(1, 1).load([])]), noise)


@pytest.mark.parametrize(
    ("error", "tag", "backbone", "code", "verdict"),
    [
        (0, "openai", "RN50", 0, "ok"),
        (0.1, "openai", "RN50", 1, "FAIL"),
        (0.1, "file", "RN50", 2, "differs"),
        (0.1, "openai", "ViT-B/32", 2, "differs"),
        (0, "file", "RN50", 0, "ok"),
    ],
)
def test_command(at_hand, tmp_path, monkeypatch, capsys, error, tag, backbone, code, verdict):
    monkeypatch.chdir(tmp_path)  # where no pictures are
    at_hand(error, tag, backbone)
    assert main(["verify"]) == code
    out, err = capsys.readouterr()
    for examples, shown in (("of 2 ", verdict), ("of 2, example 2", "differs" if error else "ok")):
        verdicts = [line.split("|")[-3].strip() for line in out.splitlines() if f" {examples}" in line]
        assert verdicts == [shown] * 4
    assert out.count("| not run: no ") == 2
    is_theirs = tag == "openai" and backbone == "RN50"
    assert ("not OpenAI's RN50" in err) == (not is_theirs)


def test_command_says_what_is_wrong_in_one_sentence(tmp_path, capsys):
    assert main(["verify", "--images", str(tmp_path / "nowhere")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
    assert main(["verify", "--clip-weights", str(tmp_path / "none.pt")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_seeded_weights_differ_without_failing(seeded_weights, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--clip-weights", str(seeded_weights("RN50"))]) == 2
    assert "FAIL" not in capsys.readouterr().out
