"""`clipiqa verify --plus` on stand-in files: what must be so, and correlations on a data set against published ones."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from photos import BUNDLED, distorted_photos

from clipiqa_pyiqa import CLIPIQA
from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison import verification_of_prompts as verify_plus
from clipiqa_pyiqa.comparison.compare import compare
from clipiqa_pyiqa.comparison.results import Comparison
from clipiqa_pyiqa.comparison.verification import Check
from clipiqa_pyiqa.datasets.published_correlations import PublishedCorrelations
from clipiqa_pyiqa.prompts.files import PUBLISHED, describe


@pytest.fixture(scope="module")
def rn50(seeded_weights: Callable[[str], Path]) -> Path:
    return seeded_weights("RN50")


@pytest.fixture
def at_hand(rn50: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Fill a folder of weights with a stand-in for RN50 and for the two files of prompts that are learned on it."""
    folder = tmp_path / "weights"
    folder.mkdir()
    (folder / "RN50.safetensors").symlink_to(rn50)
    for variable, value in {"CLIPIQA_WEIGHTS_DIR": folder, "HF_HUB_OFFLINE": 1, "TORCH_HOME": tmp_path}.items():
        monkeypatch.setenv(variable, str(value))

    def install(shape: tuple[int, ...] = (16, 512), words: tuple[str, str] = ("Good photo.", "Bad photo.")) -> None:
        generator = torch.Generator().manual_seed(0)
        bare = 0.02 * torch.randn(shape, generator=generator)
        metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True, prompts=words)
        with torch.no_grad():
            metric.prompt_learner.ctx.add_(0.02 * torch.randn((2, 16, 512), generator=generator))
        contents = {"clipiqa+": bare, "clipiqa+_rn50_512": {"params": metric.state_dict()}}
        sums = []
        for name, content in contents.items():
            path = folder / PUBLISHED[name].file
            torch.save(content, path)
            sums.append(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n")
        (folder / "SHA256SUMS").write_text("".join(sums))

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


def test_files_that_are_what_they_must_be(at_hand, capsys):
    at_hand()
    one, two, three = verify_plus.check_files()
    assert (one.verdict, two.verdict) == ("ok", "ok"), (one.said, two.said)
    assert "ctx 16×512 around Good photo..|Bad photo.." in one.said and "ctx 2×16×512" in two.said
    assert three.verdict == "not run" and "ViTL14" in three.said and "OpenAI's ViT-L/14" in three.said
    assert main(["verify", "--plus"]) == 0
    assert "pass --data-root DIR" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "name", "message"),
    [
        ({"shape": (8, 512)}, "clipiqa+", r"shape \(8, 512\), expected \(16, 512\)"),
        ({"shape": (16, 768)}, "clipiqa+", "width 768"),
        (
            {"words": ("Nice photo.", "Poor photo.")},
            "clipiqa+_rn50_512",
            r"around nice photo\.\|poor photo\., expected",
        ),
    ],
)
def test_files_that_are_not(at_hand, capsys, options, name, message):
    at_hand(**options)
    verdicts = {check.name: check for check in verify_plus.check_files()}
    assert verdicts[name].verdict == "FAIL" and re.search(message, verdicts[name].said)
    assert main(["verify", "--plus"]) == 1


def test_damaged_file_fails(at_hand, tmp_path):
    at_hand()
    path = tmp_path / "weights" / PUBLISHED["clipiqa+"].file
    path.write_bytes(path.read_bytes()[:-100])
    check = next(verify_plus.check_files())
    assert check.verdict == "FAIL" and "damaged" in check.said


def test_correlations_on_a_data_set(at_hand, data_root, monkeypatch, capsys):
    """Stand-ins cannot give the published ones; then our own results are taken for published, and others."""
    at_hand()
    ran: list[Comparison] = []
    monkeypatch.setattr(verify_plus, "compare", lambda *a, **k: ran.append(compare(*a, **k)) or ran[0])
    assert main(["verify", "--plus", "--data-root", str(data_root)]) == 1
    printed = capsys.readouterr().out
    assert printed.count("SROCC on koniq10k") == printed.count("PLCC on koniq10k") == printed.count("FAIL") // 2 == 2
    assert "livec, koniq10k-1024, tid2013" in printed and "pyiqa's benchmark table" in printed
    (data,), _ = verify_plus.find_data_sets(data_root)
    assert len(data.paths) == 8  # the test part
    monkeypatch.setattr(verify_plus, "compare", lambda *_, **__: ran[0])

    def checks(srocc: float, plcc: float, binding: bool) -> list[Check]:
        monkeypatch.setattr(verify_plus, "find_published", lambda *_: PublishedCorrelations(srocc, plcc, "a test"))
        holds = {"clipiqa+": binding, "clipiqa+_rn50_512": binding}
        return list(verify_plus.check_data_sets(list(holds), [data], binding=holds))[:2]

    srocc, plcc = (check.got for check in checks(2.0, 2.0, True))
    assert [check.verdict for check in checks(srocc, plcc, True)] == ["ok", "ok"]
    assert [check.verdict for check in checks(srocc + 0.01, plcc, True)] == ["FAIL", "ok"]
    assert [check.verdict for check in checks(srocc + 0.01, plcc, False)] == ["differs", "ok"]


def test_bad_usage(at_hand, tmp_path, capsys):
    assert main(["verify", "--plus", "--data-root", str(tmp_path / "nowhere")]) == 2
    assert "is no folder" in capsys.readouterr().err
    assert main(["verify", "--plus", "--backbone", "ViT-B/32"]) == 2
    assert "leave out" in capsys.readouterr().err


def test_what_a_file_must_be_is_stated_for_each(rn50):
    assert set(verify_plus.SHAPES) == set(PUBLISHED)
    metric = CLIPIQA("clipiqa+", pretrained=False, clip_weights=rn50, quick_gelu=True)
    words = describe(metric.prompt_learner)
    assert (words["base_positive"].lower(), words["base_negative"].lower()) == verify_plus.WORDS
