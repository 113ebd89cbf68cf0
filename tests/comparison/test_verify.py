"""`clipiqa verify`: published scores are ok, others fail, and fail only with the weights they were published for."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from photos import BUNDLED, distorted_photos
from PIL import Image

from clipiqa_pyiqa import CLIPIQA, metric
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison import verification
from clipiqa_pyiqa.comparison.compare import compare
from clipiqa_pyiqa.comparison.results import Comparison
from clipiqa_pyiqa.comparison.verification import NOISE, PICTURES, Check
from clipiqa_pyiqa.datasets.published_correlations import PublishedCorrelations
from clipiqa_pyiqa.prompts.files import PUBLISHED
from clipiqa_pyiqa.weights.published import PYIQA_FILES


class Standin(torch.nn.Module):
    """Gives the published score of each input, plus an error."""

    def __init__(self, error: float = 0.0, tag: str = "openai", backbone: str = "RN50") -> None:
        super().__init__()
        weights = SimpleNamespace(backbone=backbone, tag=tag, short=tag, source="a test", path="somewhere")
        self.clip, self.error = SimpleNamespace(weights=weights), error
        self.noise = torch.randint(255, (2, 3, 224, 224), generator=torch.Generator().manual_seed(42)).float()

    def encode_image(self, x: torch.Tensor) -> torch.Tensor:
        raise AssertionError("the noise has pixels from 0 to 254")

    def encode_unchecked(self, x: torch.Tensor) -> torch.Tensor:
        return x

    def score(self, x: torch.Tensor, prompts: str) -> torch.Tensor:
        if x.shape[-2:] == (48, 64):
            torch.testing.assert_close(x[0, :, 0, 0], torch.tensor([1.0, 0.0, 0.2]))
            return torch.tensor([[list(PICTURES.values())[int(x[0, 1, -1, -1])] + self.error]])
        (number,) = (n for n in range(2) if torch.equal(x[0], self.noise[n]))
        return torch.tensor([[NOISE[prompts][0][number] + self.error]])


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Pictures of the names that are looked for, in a folder of a folder, one with its name written differently."""
    (tmp_path / "assets").mkdir()
    for number, name in enumerate(("i01.bmp", "i01_01_5.bmp")):
        image = Image.new("RGB", (64, 48), (255, 0, 51))
        image.putpixel((63, 47), (0, 255 * number, 0))
        image.save(tmp_path / "assets" / name)
    return tmp_path


@pytest.mark.parametrize(
    ("standin", "verdicts", "code"),
    [
        (Standin(), ["ok"] * 6, 0),
        (Standin(0.002), ["ok", "ok", *["FAIL"] * 4], 1),  # within the fp16 runs' 0.01, beyond the printed digits
        (Standin(float("nan")), ["FAIL"] * 6, 1),
        (Standin(0.5, "file"), ["differs"] * 6, 2),
        (Standin(0.5, backbone="ViT-B/32"), ["differs"] * 6, 2),
        (Standin(0, "file"), ["ok"] * 6, 0),
    ],
)
def test_verdicts(pictures: Path, standin: Standin, verdicts: list[str], code: int) -> None:
    found = verification.verify(standin, [pictures])
    assert [check.verdict for check in found.checks] == verdicts and found.exit_code == code


def test_missing_and_damaged_pictures_are_not_run(tmp_path: Path) -> None:
    (tmp_path / "i01_01_5.bmp").write_bytes(b"BM")
    checks = verification.verify(Standin(), [tmp_path]).checks
    assert [check.verdict for check in checks] == ["not run"] * 2 + ["ok"] * 4
    assert checks[0].reason == "no I01.BMP: name its folder with images" and "i01_01_5.bmp" in checks[1].reason
    assert verification.Verification(checks[:2]).exit_code == 2


def test_table() -> None:
    checks = [
        Check("I01.BMP", "quality", 0.8916, 0.01, "piq", 0.7916),
        Check("b.bmp", "quality", 0.459, 0.01, "piq", reason="no b.bmp"),
        Check("noise 1 of 2", "quality", 0.8894, 0.0005, "elsewhere", 0.8894),
    ]
    lines = [line.split(None) for line in verification.checks_table(checks).splitlines()]
    assert lines[3] == ["I01.BMP", "quality", "0.8916", "0.7916", "-0.1000", "0.01", "FAIL", "[1]"]
    assert lines[4][3:] == ["-", "-", "0.01", "not", "run:", "no", "b.bmp", "[1]"]
    assert lines[5][-4:] == ["+0.0000", "0.0005", "ok", "[2]"]
    assert lines[6:] == [["[1]", "piq"], ["[2]", "elsewhere"]]


@pytest.mark.parametrize(("tag", "code", "verdict"), [("openai", 1, "FAIL"), ("file", 2, "differs")])
def test_command(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    tag: str,
    code: int,
    verdict: str,
) -> None:
    monkeypatch.chdir(tmp_path)  # where no pictures are
    monkeypatch.setattr(metric, "CLIPIQA", lambda **_: Standin(0.1, tag))
    assert main(["verify"]) == code
    out, err = capsys.readouterr()
    assert out.count(f"  {verdict} ") == 4 and out.count("not run: no ") == 2
    assert ("your weights are different" in err) == (tag == "file")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--images", "nowhere"], "does not exist"),
        (["--clip-weights", "none.pt"], "does not exist"),
        (["--plus", "--data-root", "nowhere"], "is no folder"),
        (["--plus", "--backbone", "ViT-B/32"], "leave out"),
    ],
)
def test_bad_usage(options: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["verify", *options]) == 2
    assert message in capsys.readouterr().err


@pytest.fixture(scope="module")
def rn50(seeded_weights: Callable[[str], Path]) -> Path:
    return seeded_weights("RN50")


def test_seeded_weights_differ_without_failing(
    rn50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["verify", "--clip-weights", str(rn50)]) == 2
    assert "FAIL" not in capsys.readouterr().out


@pytest.fixture
def at_hand(rn50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Fill a folder of weights with a stand-in for RN50 and for the two files of prompts that are learned on it."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "RN50.safetensors").symlink_to(rn50)
    for variable, value in {"CLIPIQA_WEIGHTS_DIR": folder, "HF_HUB_OFFLINE": 1, "TORCH_HOME": tmp_path}.items():
        monkeypatch.setenv(variable, str(value))

    def install(shape: tuple[int, ...] = (16, 512)) -> None:
        generator = torch.Generator().manual_seed(0)
        bare = 0.02 * torch.randn(shape, generator=generator)
        metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True)
        with torch.no_grad():
            metric.prompt_learner.ctx.add_(0.02 * torch.randn((2, 16, 512), generator=generator))
        for name, content in {"clipiqa+": bare, "clipiqa+_rn50_512": {"params": metric.state_dict()}}.items():
            path = folder / PUBLISHED[name].file
            torch.save(content, path)
            monkeypatch.setitem(PYIQA_FILES, path.name, hashlib.sha256(path.read_bytes()).hexdigest())

    return install


@pytest.fixture
def data_root(tmp_path: Path) -> Path:
    """KonIQ-10k as pyiqa lays it out, of nine small pictures."""
    root = tmp_path / "datasets"
    images = root / "koniq10k/512x384"
    images.mkdir(parents=True)
    paths = distorted_photos(images, sorted(BUNDLED.glob("*.jpg"))[:1], (48, 40))
    (root / "meta_info").mkdir()
    rows = [f"{path.name},{10 + index},{'train' if index == 4 else 'test'}" for index, path in enumerate(paths)]
    (root / "meta_info/meta_info_KonIQ10kDataset.csv").write_text("img_name,MOS,official_split\n" + "\n".join(rows))
    return root


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        ({}, None, ""),
        ({"shape": (16, 768)}, "clipiqa+", "width 768"),
        ({}, "damaged", "damaged"),
    ],
)
def test_files_of_learned_prompts(
    at_hand: Callable[..., None], tmp_path: Path, capsys: pytest.CaptureFixture[str], options: dict[str, object],
    name: str | None, message: str,
) -> None:  # fmt: skip
    at_hand(**options)
    if name == "damaged":
        name, path = "clipiqa+", tmp_path / "weights" / PUBLISHED["clipiqa+"].file
        path.write_bytes(path.read_bytes()[:-100])
    assert main(["verify", "--plus"]) == (0 if name is None else 1)
    said = dict(line.split(": ", 1) for line in capsys.readouterr().out.splitlines()[:3])
    if name is None:
        assert "ctx 16×512 around Good photo..|Bad photo.." in said["clipiqa+"]
        assert said["clipiqa+_vitL14_512"].startswith("not run: not on this machine: CLIP")
    else:
        assert said[name].startswith("FAIL: ") and re.search(message, said[name])


def test_correlations_on_a_data_set(
    at_hand: Callable[..., None], data_root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stand-ins cannot give the published ones; then our own results are taken for published, and others."""
    at_hand()
    ran: list[Comparison] = []
    monkeypatch.setattr(verification, "compare", lambda *a, **k: ran.append(compare(*a, **k)) or ran[0])
    assert main(["verify", "--plus", "--data-root", str(data_root)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("SROCC on koniq10k") == printed.count("PLCC on koniq10k") == printed.count("FAIL") // 2 == 2
    assert "livec, koniq10k-1024, tid2013" in printed and "pyiqa's benchmark table" in printed
    assert len(ran[0].data_sets[0].scores) == 8  # the test part
    monkeypatch.setattr(verification, "compare", lambda *_, **__: ran[0])

    def checks(srocc: float, plcc: float, verdict: str = "ok") -> list[Check]:
        monkeypatch.setattr(verification, "find_published", lambda *_: PublishedCorrelations(srocc, plcc, "a test"))
        monkeypatch.setattr(verification, "_check_file", lambda name: (verdict, ""))
        return list(verification.verify_learned_prompts(data_root).checks[:2])

    monkeypatch.setattr(verification, "PUBLISHED", ["clipiqa+", "clipiqa+_rn50_512"])
    srocc, plcc = (check.got for check in checks(2.0, 2.0))
    assert [check.verdict for check in checks(srocc, plcc)] == ["ok", "ok"]
    assert [check.verdict for check in checks(srocc + 0.01, plcc)] == ["FAIL", "ok"]
    assert [check.verdict for check in checks(srocc + 0.01, plcc, "differs")] == ["differs", "ok"]
