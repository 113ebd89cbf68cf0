"""Protocols, published numbers, explanations and locks of ``clipiqa table``."""

from __future__ import annotations

import csv
import functools
import json
import math
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyiqa
import pytest
import timm
import torch
import torchvision
from PIL import Image, ImageFilter
from torch import Tensor
from torchvision.transforms.functional import center_crop, resize

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison.table.protocols import evaluate, read_protocol
from clipiqa_pyiqa.comparison.table.results import MethodTable
from clipiqa_pyiqa.comparison.table.run import table
from clipiqa_pyiqa.comparison.verification import check_osediff
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.files.yaml import shipped

PHOTO = Path(__file__).parents[1] / "data/canyon-wren.jpg"
SHARED = Path(__file__).parents[3] / "shared/data"
OSEDIFF, NIQE = SHARED / "osediff", SHARED / "weights/niqe_modelparameters.mat"
FILES = {"niqe": NIQE, "brisque": SHARED / "weights/brisque_svm_weights.pth"}
CREATE = pyiqa.create_metric
Metric = tuple[str, dict[str, Any]]


class StandIn:
    """A metric in place of one whose weights are not here: another number for other pixels, names or options."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        seed = zlib.crc32(json.dumps([name, options], sort_keys=True).encode())
        self.weights = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(seed))

    def __call__(self, x: Any, reference: Any = None, **verbose: bool) -> Any:
        if isinstance(x, str):  # folders, as FID has them
            pairs = zip(sorted(Path(x).iterdir()), sorted(Path(reference).iterdir()), strict=True)
            return sum(float(self(tensor(ours), tensor(theirs))) for ours, theirs in pairs)
        seen = torch.nn.functional.conv2d(x, self.weights, stride=3).mean()
        return (seen if reference is None else seen - 0.7 * torch.tanh(self(reference))).view(1, 1) / 100


def create(name: str, device: Any = None, **options: Any) -> Callable[..., Any]:
    real = name.startswith(("psnr", "ssim")) or options.get("backbone") == "mini"
    return CREATE(name, device=device, **options) if real else StandIn(name, options)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyiqa, "create_metric", create)


@functools.cache
def pyiqas(name: str, options: str) -> Callable[..., Tensor]:
    """pyiqa's metric with its own parameters or seeded weights, which computes each picture once.

    With ``pretrained=False``, lpips, dists and maniqa still load AlexNet, VGG and ViT-B/8, which are seeded, too.
    """
    given, narrow = json.loads(options), {"embed_dim": 48, "dim_mlp": 48, "test_sample": 1}
    given |= {"pretrained_model_path": str(FILES[name])} if name in FILES else {"pretrained": False}
    vit, nets = timm.create_model, {net: getattr(torchvision.models, net) for net in ("alexnet", "vgg16")}
    with pytest.MonkeyPatch.context() as patch:
        for net, build in nets.items():
            patch.setattr(torchvision.models, net, lambda build=build, **_: build())
        patch.setattr(timm, "create_model", lambda name, **_: vit(name, depth=10, embed_dim=48, num_heads=4))
        torch.manual_seed(len(name))
        metric = CREATE(name, device="cpu", **(narrow if name == "maniqa" else {}), **given)
    for module in metric.net.modules() if name == "lpips" else ():
        if isinstance(module, torch.nn.Conv2d):  # as initialized, all pictures are alike to AlexNet
            torch.nn.init.kaiming_normal_(module.weight)
            if module.bias is None:  # the weights of a distance
                module.weight.data.abs_()
            else:
                torch.nn.init.zeros_(module.bias)
    if name == "maniqa":  # whose last ReLU would make every score 0
        torch.nn.init.ones_(metric.net.fc_score[3].bias)
    known: dict[bytes, Tensor] = {}

    def score(*images: Tensor) -> Tensor:
        key = b"".join(x.numpy().tobytes() for x in images)
        if key not in known:
            with torch.no_grad():
                known[key] = metric(*images).reshape(1, 1)
        return known[key]

    return score


def seeded(clip: dict[str, Any], name: str, device: Any = None, **options: Any) -> Callable[..., Any]:
    """A metric as a protocol asks for it; a stand-in where nothing but downloaded weights makes it work."""
    if name == "clipiqa":
        return CREATE(name, device="cpu", **clip, **options)
    if name in ("lpips", "dists", "musiq", "maniqa") or (name in FILES and FILES[name].is_file()):
        return pyiqas(name, json.dumps(options))
    return create(name, device, **options)


def make_pictures(root: Path, width: int, height: int, start: int = 0) -> Path:
    """Six pictures in two folders, as ``ours`` made them and as they are; ``set`` has them in one folder."""
    photo = Image.open(PHOTO).convert("RGB").resize((900, 600))
    for number in range(6):
        left, top = start + 50 * number, start + 60 * number
        crop = photo.crop((left, top, left + width, top + height))
        for method, radius in {"gt": 0.0, "ours": 1.0}.items():
            for folder in (f"{method}/{'CelebA' if number < 4 else 'CelebChild'}", f"set/{method}"):
                (root / folder).mkdir(parents=True, exist_ok=True)
                crop.filter(ImageFilter.GaussianBlur(radius)).save(root / folder / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("small"), 232, 112, 180)


def compare(pictures: Path, metrics: Any = None, **options: Any) -> MethodTable:
    given = {"reference": pictures / "gt", "by_folder": False, "device": "cpu", "workers": 1, **options}
    return table({"ours": pictures / "ours"}, metrics, **given)


def tensor(path: Path, side: int = 0) -> Tensor:
    image = Image.open(path).convert("RGB")
    image = image.resize((side, side)) if side else image
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1)[None].astype(np.float32) / 255)


Y = {"test_y_channel": True, "color_space": "ycbcr"}
RESTORATION: dict[str, Metric] = {
    **{"psnr": ("psnr", Y), "ssim": ("ssim", Y), "clipiqa": ("clipiqa", {"prompts": "pyiqa"})},
    **{name: (name, {}) for name in ("lpips", "dists", "fid", "niqe", "musiq")},
    "maniqa": ("maniqa-pipal", {}),
}
KONIQ = RESTORATION | {"maniqa": ("maniqa", {})}


def some(labels: str, known: dict[str, Metric] = RESTORATION) -> dict[str, Metric]:
    return {label: known.get(label, (label, {})) for label in labels.split()}


NTIRE = some("lpips dists clipiqa maniqa musiq niqe psnr", KONIQ)
FACTS: dict[str, tuple[dict[str, Metric], dict[str, int]]] = {  # what the sources' scripts compute, and borders
    **dict.fromkeys(("osediff", "tsd-sr", "adcsr"), (RESTORATION, {})),
    "stablesr": (some("psnr ssim lpips dists niqe musiq maniqa clipiqa"), {}),
    "seesr": (RESTORATION, {"psnr": 4, "ssim": 4}),
    "ccsr": (some("psnr ssim lpips fid"), dict.fromkeys(("psnr", "ssim", "lpips"), 4)),
    "refir": (some("psnr ssim lpips fid niqe musiq clipiqa"), dict.fromkeys(RESTORATION, 4)),
    "sinsr": (some("clipiqa musiq psnr lpips ssim"), {}),
    "s3diff": (KONIQ, {}),
    "invsr": (some("psnr ssim lpips lpips-vgg dists niqe musiq maniqa clipiqa", KONIQ), {}),
    "faithdiff": (
        RESTORATION
        | {"psnr": ("psnr", {}), "ssim": ("ssim", {}), "paq2piq": ("paq2piq", {})}
        | {"clipiqa": ("clipiqa+_vitL14_512", {})},
        {},
    ),
    **dict.fromkeys(("ntire", "ntire-mobile"), (NTIRE, {"psnr": 4})),
    "ntire-faces": (some("niqe clipiqa maniqa musiq qalign", KONIQ), {}),
    "raim-hdr": ({"psnr": ("psnr", {}), "ssim": ("ssim", {}), "lpips": ("lpips", {})}, {}),
    "basicsr": (some("psnr"), {"psnr": 4}),
    "vbench": ({"musiq": ("musiq-spaq", {})}, {}),
    "worldscore": (some("clipiqa+ laion_aes"), {}),
    "stablevsr": (some("clipiqa musiq niqe"), {}),
    "paper": (some("brisque niqe clipiqa cnniqa hyperiqa musiq clipiqa+", {}), {}),
}
FULL_REFERENCE = ("psnr", "ssim", "lpips", "lpips-vgg", "dists")


def score_of(protocol: str, m: dict[str, float]) -> float:
    """The sources' final scores, of means or of one picture."""
    if protocol == "raim-hdr":
        return 30 * m["psnr"] / 50 + 22.5 * (m["ssim"] - 0.5) / 0.5 + 30 * (1 - m["lpips"] / 0.4)
    if protocol == "vbench":
        return m["musiq"] / 100
    if protocol == "worldscore":
        constants = {
            "clipiqa+": (0.5842, 0.0441, -1.8342, 1.8703),
            "laion_aes": (5.5952, 0.2561, -2.9342, 1.9741),
        }
        x = {n: ((m[n] - mean) / std - low) / (high - low) for n, (mean, std, low, high) in constants.items()}
        return 100 * float(np.mean([np.clip(0.25 + 0.5 * each, 0, 1) for each in x.values()]))
    score = (1 - m["lpips"]) + (1 - m["dists"]) + m["clipiqa"] + m["maniqa"] + m["musiq"] / 100
    score += max(0.0, (10 - m["niqe"]) / 10)
    return score if protocol == "ntire" else 2**score * 113.85**0.2


def test_every_protocol_is_tested() -> None:
    assert set(FACTS) == set(shipped(protocols=True))


@pytest.mark.parametrize(
    ("name", "backbone"), [*((name, "mini") for name in FACTS), pytest.param("sinsr", "RN50", marks=pytest.mark.long)]
)
def test_numbers_are_those_of_the_sources_script(
    name: str,
    backbone: str,
    small: Path,
    seeded_weights: Callable[[str], Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    metrics, borders = FACTS[name]
    pictures = make_pictures(tmp_path, 576, 240) if name == "vbench" else small  # vbench shrinks those above 512 px
    clip: dict[str, Any] = {"backbone": backbone}
    if backbone == "RN50":
        clip = {"clip_weights": seeded_weights(backbone), "quick_gelu": True}
    make = functools.partial(seeded, clip)
    monkeypatch.setattr(pyiqa, "create_metric", make)
    rows = []
    for path in sorted((pictures / "ours").glob("*/*.png")):
        there = pictures / "gt" / path.relative_to(pictures / "ours")
        x, gt = (tensor(p, 512 if name == "worldscore" else 0) for p in (path, there))
        if name == "vbench":
            x = resize(x, [int(240 * 512 / 576), 512], antialias=False)
        row = {}
        for label in metrics.keys() - {"fid"}:
            metric, options = metrics[label]
            sides = [side - 2 * borders.get(label, 0) for side in x.shape[-2:]]
            seen = [center_crop(image, sides).contiguous() for image in (x, gt)]
            row[label] = float(make(metric, **options)(*seen[: 1 + (label in FULL_REFERENCE)]))
        rows.append(row)
    shares = [0.25 * 2 / 3] * 4 + [0.5 * 1 / 3] * 2 if name == "ntire-faces" else [1 / 6] * 6
    shares = [1 / 8] * 4 + [1 / 4] * 2 if name in ("vbench", "stablevsr") else shares
    expected = {label: sum(s * row[label] for s, row in zip(shares, rows, strict=True)) for label in rows[0]}
    values = {"speedup": 113.85} if name == "ntire-mobile" else None
    found = compare(pictures, protocol=name, values=values)
    got = {label: found.mean("", label, "ours") for label in found.labels}
    for label, value in expected.items():
        assert got[label] == pytest.approx(value, abs=1e-6), label
        assert np.std([row[label] for row in rows]) > 1e-5, f"{label} does not tell pictures apart"
    if name in ("ntire", "ntire-mobile", "raim-hdr", "vbench", "worldscore"):
        parts = rows if name in ("raim-hdr", "worldscore") else [expected]
        right = np.mean([score_of(name, each) for each in parts])
        assert got[found.protocol.score] == pytest.approx(right, rel=1e-6)  # a power enlarges what parts are off by
    if "fid" in metrics:
        whole = make("fid")(str(pictures / "set/ours"), str(pictures / "set/gt"))
        assert got["fid"] == pytest.approx(whole, abs=1e-6) and whole
    said = found.table()
    if name == "ntire-faces":  # its FID is not computed here
        assert math.isnan(got["faces score"]) and "faces score: its formula needs all of its scores" in said
    assert all(f"{label}: not computed here: {why}" in said for label, why in found.protocol.not_computed.items())
    assert ("fp32 (in the source fp16, by autocast on CUDA)" in said) == (name in ("sinsr", "s3diff"))


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("name", ["ntire", "invsr", "raim-hdr", "osediff"])
def test_pictures_of_unequal_sizes_are_treated_as_the_source_treats_them(
    name: str, small: Path, tmp_path: Path
) -> None:
    (tmp_path / "ours").mkdir()
    picture = Image.open(small / "set/ours/0.png").resize((240, 108))
    picture.save(tmp_path / "ours/0.png")
    x, gt = tensor(tmp_path / "ours/0.png"), tensor(small / "set/gt/0.png")
    if name == "ntire":
        x, gt = resize(x, [108, 232]), resize(gt, [108, 232])
    elif name == "invsr":
        x, gt = x[..., :232], gt[..., :108, :]
    else:
        scaled = picture.resize((232, 112), Image.Resampling.BILINEAR)
        x = torch.from_numpy(np.asarray(scaled).transpose(2, 0, 1)[None] / np.float32(255))
    found = compare(tmp_path, protocol=name, reference=small / "set/gt", skip_missing=True)
    value = found.mean("", "lpips", "ours")
    if name == "osediff":  # its script does not say
        assert math.isnan(value) and "it is 240×108 px, but its reference is 232×112 px" in found.table()
    else:
        assert value == pytest.approx(float(create("lpips")(x, gt)), abs=1e-6)


@pytest.mark.skipif(not OSEDIFF.is_dir(), reason="needs OSEDiff's twelve results beside this repository")
@pytest.mark.parametrize(
    ("label", "tolerance"),
    [
        ("psnr", 1e-5),
        *(pytest.param(*each, marks=pytest.mark.long) for each in (("ssim", 1e-5), ("niqe", 0.02))),
    ],
)
def test_osediffs_own_numbers_are_reproduced(label: str, tolerance: float) -> None:
    with (OSEDIFF / "drealsr_published.csv").open() as file:
        published = {row["image"].removesuffix(".png"): float(row[label]) for row in csv.DictReader(file)}
    metric = f"{label}={read_protocol('osediff').metrics[label]}"
    metric += f":pretrained_model_path={NIQE}" * (label == "niqe")
    found = table({"ours": OSEDIFF / "sr"}, metric, reference=OSEDIFF / "hr", device="cpu", workers=1)
    assert len(found.scores) == 12
    for image, score in zip(found.scores["image"], found.scores[label], strict=True):
        assert score == pytest.approx(published[image], abs=tolerance)


@pytest.mark.skipif(not OSEDIFF.is_dir(), reason="needs OSEDiff's twelve results beside this repository")
def test_golden_pictures_are_known_by_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(b"another picture")
    median, largest = check_osediff(lambda x: 0.5, [tmp_path / "other.png", *(OSEDIFF / "sr").iterdir()])
    assert median.subject == "median distance of 12 images of OSEDiff" and 0 < median.got < largest.got
    assert check_osediff(lambda x: 0.5, [tmp_path / "other.png"]) == []


def test_arithmetic() -> None:
    values = {"a": 3.0, "clipiqa+": 0.5, "none": math.nan}
    assert evaluate("-a ** 2 / 2 + min(a, 1, 'clipiqa+') * +4 - 1e1", values) == -4.5 + 2 - 10
    for undefined in ("max(0, none)", "1 / (a - 3)", "(0 - a) ** 0.5", "9.0 ** 9 ** 9"):
        assert math.isnan(evaluate(undefined, values))


@pytest.mark.parametrize(
    "formula",
    [
        *("__import__('os')", "a.b", "a[0]", "a if a else a", "lambda: a", "print(a)", "min(a, key=a)", "True", "a +"),
        *("b", "(" * 900 + "a" + ")" * 90, "-" * 600 + "a", "a" * 2000),
    ],
)
def test_nothing_but_bounded_arithmetic_is_run(formula: str) -> None:
    with pytest.raises(CLIPIQAError, match="the formula"):
        evaluate(formula, {"a": 1.0})


GOOD = "title: T\ncertainty: user\nsource: {said: here}\nmetrics: {m: psnr}\n"


def test_an_own_protocol_is_read_by_path_and_what_is_given_wins(small: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.yml"
    own.write_text(GOOD + "view: {crop: 4}\nscore: s\nformula: m / 10\n")
    found = compare(small, protocol=own)
    said = found.table()
    assert "Protocol own: T; as its users reconstructed it (here)." in said and "not follow" not in said
    assert "on RGB, a border of 4 px left out, fp32." in said
    value = found.mean("", "m", "ours")
    assert found.mean("", "s", "ours") == pytest.approx(value / 10)
    changed = compare(small, "M=ssim", protocol=own, crop_border=0)
    assert changed.mean("", "m", "ours") != value and changed.labels == ["m", "s"]
    assert "not follow protocol own: m, the border that is left out changed" in changed.table()


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ("metric: {}", "unknown key 'metric'"),
        ("certainty: code", "certainty"),
        ("score: s\nformula: n / 10", "'n' is no metric or value of the protocol"),
        ("score: 1", "score of protocol 'own' must be a text; got 1"),
        ("view: {crop: 1.5}", "crop of a view of protocol 'own' must be a whole number; got 1.5"),
        ("view: {crop: -1}", "pixels in a view of protocol 'own' must be at least 0"),
        ("view: {crop: null}", "pixels in a view of protocol 'own' must be at least 0"),
        ("views: {m: 4}", "a view of protocol 'own' must map .*; got 4"),
        ("views: {n: {crop: 1}}", "views of protocol 'own' has 'n'"),
        ("average: pictures", "average of protocol 'own' has 'pictures'"),
    ],
)
def test_bad_protocols(more: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "own.yml").write_text(GOOD + more)
    with pytest.raises(CLIPIQAError, match=message):
        read_protocol(tmp_path / "own.yml")


def test_the_command_lists_and_shows_protocols(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["protocols"]) == 0 and "osediff" in capsys.readouterr().out
    assert main(["protocols", "OSEDiff"]) == 0
    said = capsys.readouterr().out
    assert "test_metrics.py 127-139, 181-220" in said and "maniqa: maniqa-pipal" in said
    assert main(["protocols", "osedif"]) == 2 and "did you mean 'osediff'" in capsys.readouterr().err


def fits(found: MethodTable) -> list[str]:
    assert found.explained is not None
    return list(found.explained["change"][found.explained["verdict"] == "fits"])


class TestExpect:
    @pytest.mark.usefixtures("stand_ins")
    @pytest.mark.parametrize(
        ("asked", "planted", "view", "change"),
        [
            ("psnr", "psnr:test_y_channel=true,color_space=ycbcr", "", "Y of YCbCr (16 to 235)"),
            ("psnr-y", "psnr:test_y_channel=true,color_space=yiq", "", "Y of YIQ (0 to 255)"),
            ("ssim-y", "ssimc", "", "RGB"),
            ("psnr", "psnr", "crop: 4", "a border of 4 px left out"),
            ("clipiqa:backbone=mini", "clipiqa:backbone=mini,prompts=pyiqa", "", "five prompt pairs"),
            ("clipiqa:backbone=mini,prompts=pyiqa", "clipiqa:backbone=mini", "", "one prompt pair"),
            ("clipiqa:prompts=pyiqa", "clipiqa+", "", "clipiqa+"),
            ("clipiqa:prompts=pyiqa", "clipiqa+_vitL14_512", "", "clipiqa+_vitL14_512"),
            ("niqe", "niqe_matlab", "", "MATLAB's parameters"),
            ("niqe", "niqe:test_y_channel=true,color_space=ycbcr", "", "LIVE's parameters, Y of YCbCr (16 to 235)"),
            ("maniqa", "maniqa-pipal", "", "PIPAL"),
            ("maniqa", "maniqa", "square: 512", "squashed to 512×512 px"),
            ("musiq", "musiq", "center: 224", "only the middle 224×224 px"),
            ("lpips", "lpips-vgg", "", "VGG"),
        ],
    )
    def test_a_planted_change_is_found_and_no_other(
        self, asked: str, planted: str, view: str, change: str, small: Path, tmp_path: Path
    ) -> None:
        text = f"title: T\ncertainty: user\nsource: {{}}\nmetrics: {{m: '{planted}'}}\nview: {{{view}}}\n"
        (tmp_path / "planted.yml").write_text(text)
        number = compare(small, protocol=tmp_path / "planted.yml").mean("", "m", "ours")
        found = compare(small, f"m={asked}", expect=f"ours: m={number:.6f}", explain=True)
        assert fits(found) == [change] and f"m: {change} fits; " in found.table() and not found.agrees

    def test_a_change_sees_pictures_of_the_protocols_size_and_may_lack_its_weights(
        self, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def make(name: str, **options: Any) -> Callable[..., Any]:
            if name == "niqe_matlab":
                raise OSError("no weights")
            return create(name, **options)

        monkeypatch.setattr(pyiqa, "create_metric", make)
        (tmp_path / "ours").mkdir()
        Image.open(small / "set/ours/0.png").resize((240, 108)).save(tmp_path / "ours/0.png")
        given = {"protocol": tmp_path / "own.yml", "reference": small / "set/gt", "skip_missing": True, "strict": True}
        text = GOOD.replace("m: psnr", "m: niqe, p: psnr") + "unequal: cut\n"
        given["protocol"].write_text(text + "view: {crop: 4}\n")
        number = compare(tmp_path, **given).mean("", "m", "ours")
        given["protocol"].write_text(text)
        found = compare(tmp_path, expect=f"ours: m={number:.6f}", explain=True, **given)
        assert fits(found) == ["a border of 4 px left out"]

    def test_dropped_alpha_is_found(self, small: Path, tmp_path: Path) -> None:
        (tmp_path / "ours").mkdir()
        for path in (small / "set/ours").iterdir():
            picture = Image.open(path)
            picture.putalpha(Image.linear_gradient("L").resize((232, 112)))
            picture.save(tmp_path / "ours" / path.name)
        opaque = compare(small / "set", "psnr").mean("", "psnr", "ours")
        expect = f"ours: psnr={opaque:.5f}"
        assert fits(compare(tmp_path, "psnr", reference=small / "set/gt", expect=expect, explain=True)) == [
            "alpha dropped"
        ]

    def test_exit_codes_files_and_page(self, small: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        command = ["table", "--methods", f"ours={small}/ours", "--reference", f"{small}/gt", "-m", "psnr", "ssim"]
        command += ["--one-set", "--device", "cpu", "-q", "--out", str(tmp_path / "out")]
        found = compare(small, ["psnr", "ssim"])
        psnr, ssim = (found.mean("", label, "ours") for label in ("psnr", "ssim"))
        (tmp_path / "paper.csv").write_text(f"Method,PSNR,ssim,other\nOurs,{psnr:.2f},{ssim:.3f},1\nTheirs,1,-,\n")
        assert main([*command, "--expect", str(tmp_path / "paper.csv")]) == 0
        said = capsys.readouterr().out
        assert "2 of 2 published numbers agree" in said and f"{psnr:.2f}" in said
        assert "Published, but not in this table: method 'Theirs', metric 'other'" in said
        (tmp_path / "names.csv").write_text("method\nours\n")
        assert main([*command, "--resume", "--expect", str(tmp_path / "names.csv")]) == 2
        assert "no published number matches the table" in capsys.readouterr().err
        assert main([*command, "--resume", "--expect", f"ours: psnr={psnr:.2f} ssim={ssim + 1:.3f}", "--explain"]) == 1
        rows = list(csv.DictReader((tmp_path / "out/expect.csv").open()))
        assert [row["agrees"] for row in rows] == ["True", "False"] and abs(float(rows[1]["units"]) + 1000) < 1
        assert {row["metric"] for row in csv.DictReader((tmp_path / "out/explain.csv").open())} == {"ssim"}
        page = (tmp_path / "out/report.html").read_text()
        assert "Beside published numbers" in page and "no change that was tried fits" in page


class TestLock:
    def test_round_trip_and_what_changed(self, small: Path, tmp_path: Path) -> None:
        for path in small.glob("set/*/*.png"):
            (tmp_path / path.parent.name).mkdir(exist_ok=True)
            Image.open(path).crop((0, 0, 64, 64)).save(tmp_path / path.parent.name / path.name)
        lock = tmp_path / "table.lock.json"
        compare(tmp_path, "clipiqa=clipiqa:backbone=mini", protocol="basicsr", lock=lock)
        again = compare(tmp_path, locked=lock)
        assert again.changed is not None and again.changed.empty and again.agrees
        assert again.labels == ["psnr", "clipiqa"]
        kept = json.loads(lock.read_text())
        cpu, kept["versions"]["cpu"] = kept["versions"]["cpu"], "another"
        kept["scores"]["clipiqa"]["ours"]["2"] += 1e-7
        kept["means"]["psnr ours"] *= 1 + 9e-6
        lock.write_text(json.dumps(kept))
        elsewhere = compare(tmp_path, locked=lock)
        assert elsewhere.agrees and elsewhere.changed is not None and [*elsewhere.changed["what"]] == ["versions cpu"]
        Image.new("RGB", (64, 64), "gray").save(tmp_path / "ours/1.png")
        kept["versions"] |= {"torch": "1.0", "cpu": cpu}
        kept["scores"]["clipiqa"]["ours"]["2"] = 0.25
        lock.write_text(json.dumps(kept))
        later = compare(tmp_path, locked=lock)
        assert later.changed is not None and not later.agrees
        changed = later.changed.set_index("what")
        assert changed.at["versions torch", "was"] == "1.0"
        assert {"pictures ours 1", "means psnr ours"} <= {*changed.index} and "scores psnr ours 2" not in changed.index
        assert changed.at["scores psnr ours 1", "why"] == "pictures ours 1 changed"
        assert changed.at["scores clipiqa ours 2", "why"] == "versions torch changed"
        for change, message in (
            ({"schema": 2}, "schema 2; this version reads schema 1"),
            ({"asked": {}}, "is damaged"),
            ({"scores": None}, "is damaged"),
        ):
            lock.write_text(json.dumps(kept | change))
            with pytest.raises(CLIPIQAError, match=message):
                compare(tmp_path, locked=lock)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"expect": "theirs: psnr=27"}, "no published number matches the table: method 'theirs'"),
        ({"expect": "ours: lpips=1"}, "metric 'lpips'"),
        ({"expect": "ours: psnr=high"}, "psnr of 'ours' must be a number; got 'high'"),
        ({"expect": "paper.csv"}, "the published numbers 'paper.csv' cannot be read: No such file"),
        ({"locked": "paper.lock"}, "the lock 'paper.lock' cannot be read: No such file"),
        ({"locked": PHOTO}, "it is not JSON"),
    ],
)
def test_bad_input(options: dict[str, Any], message: str, small: Path) -> None:
    with pytest.raises(CLIPIQAError, match=message):
        compare(small, None if "locked" in options else "psnr", **options)


def test_a_sentence_per_metric(small: Path) -> None:
    found = compare(small, ["psnr-y", "CLIPIQA=clipiqa:backbone=mini,prompts=pyiqa"], crop_border=4)
    psnr, clipiqa = found.describe().splitlines()
    assert psnr.startswith("psnr-y: pyiqa 0.1.") and "a border of 4 px left out, fp32." in psnr
    assert "CLIPIQA: clipiqa-pyiqa" in clipiqa and "five prompt pairs, mini bundled" in clipiqa
    assert r"\item CLIPIQA: clipiqa-pyiqa" in found.describe("latex")
