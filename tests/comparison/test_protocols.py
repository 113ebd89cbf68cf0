"""Protocols, published numbers, explanations and locks of ``clipiqa table``."""

from __future__ import annotations

import csv
import functools
import hashlib
import json
import math
import os
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
from torchvision.transforms.functional import resize

from clipiqa_pyiqa.cli import main
from clipiqa_pyiqa.comparison.table.protocols import evaluate, formula_names, read_protocol
from clipiqa_pyiqa.comparison.table.run import table
from clipiqa_pyiqa.comparison.verification import check_osediff
from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.files.yaml import shipped

PHOTO = Path(__file__).parents[1] / "data/canyon-wren.jpg"
SHARED = Path(__file__).parents[3] / "shared/data"
OSEDIFF, NIQE = SHARED / "osediff", SHARED / "weights/niqe_modelparameters.mat"
FILES = {"niqe": NIQE, "brisque": SHARED / "weights/brisque_svm_weights.pth"}
SEEDED = ("lpips", "lpips-vgg", "dists", "musiq", "musiq-spaq", "maniqa", "maniqa-pipal")
RN50 = ("osediff", "refir", "sinsr")  # protocols that are tried with seeded RN50; the others with mini
CPU: Any = {"device": "cpu", "workers": 1}
CREATE = pyiqa.create_metric
Y, YIQ = ({"test_y_channel": True, "color_space": space} for space in ("ycbcr", "yiq"))
FIVE = {"prompts": "pyiqa"}
Metric = tuple[str, dict[str, Any]]


class StandIn:
    """A metric in place of one whose weights are not here: another number for other pixels, names or options."""

    def __init__(self, name: str, options: dict[str, Any]) -> None:
        seed = hashlib.sha256(json.dumps([name, options], sort_keys=True).encode()).digest()
        self.weights = torch.rand(3, 8, 8, generator=torch.Generator().manual_seed(int.from_bytes(seed[:4], "big")))

    def __call__(self, x: Any, reference: Any = None, **verbose: bool) -> Any:
        if isinstance(x, str):
            return float(len(os.listdir(x)))
        seen = torch.nn.functional.conv2d(x, self.weights[None], stride=3).mean()
        return (seen if reference is None else seen - 0.7 * torch.tanh(self(reference))).view(1, 1) / 100


def create(name: str, device: Any = None, **options: Any) -> Callable[..., Any]:
    real = name.startswith(("psnr", "ssim")) or options.get("backbone") == "mini"
    return CREATE(name, device=device, **options) if real else StandIn(name, options)


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pyiqa, "create_metric", create)


class Remembered:
    """A metric that computes each picture once: the same pictures meet it in many tests."""

    def __init__(self, metric: Callable[..., Tensor]) -> None:
        self.metric = metric
        self.known: dict[bytes, Tensor] = {}

    def __call__(self, *images: Tensor) -> Tensor:
        key = hashlib.sha256(b"".join(x.numpy().tobytes() + bytes(str(x.shape), "ascii") for x in images)).digest()
        if key not in self.known:
            with torch.no_grad():
                self.known[key] = self.metric(*images).reshape(1, 1)
        return self.known[key]


@functools.cache
def pyiqas(name: str, options: str) -> Callable[..., Any]:
    """pyiqa's metric itself: with its own parameters where their file is here, or with seeded weights.

    lpips, dists and maniqa load the weights of AlexNet, VGG and ViT-B/8 also with ``pretrained=False``: these networks
    are seeded, too, and maniqa's is narrow and sees one crop of a picture, so that it takes seconds.
    """
    given = json.loads(options)
    if name in FILES:
        return Remembered(CREATE(name, device="cpu", pretrained_model_path=str(FILES[name]), **given))
    vit, narrow = timm.create_model, {"embed_dim": 48, "dim_mlp": 48, "test_sample": 1}
    with pytest.MonkeyPatch.context() as patch:
        for net in ("alexnet", "vgg16"):
            build = getattr(torchvision.models, net)
            patch.setattr(torchvision.models, net, lambda build=build, **_: build())
        patch.setattr(timm, "create_model", lambda name, **_: vit(name, depth=10, embed_dim=48, num_heads=4))
        torch.manual_seed(len(name))
        metric = CREATE(name, device="cpu", pretrained=False, **(narrow if name.startswith("maniqa") else {}), **given)
    for module in metric.net.modules() if name.startswith("lpips") else ():
        if isinstance(module, torch.nn.Conv2d):  # as initialized, all pictures are alike to AlexNet
            torch.nn.init.kaiming_normal_(module.weight)
            if module.bias is None:  # the weights of a distance
                module.weight.data.abs_()
            else:
                torch.nn.init.zeros_(module.bias)
    if name.startswith("maniqa"):  # whose last ReLU would make every score 0
        torch.nn.init.ones_(metric.net.fc_score[3].bias)
    return Remembered(metric)


def seeded(clip: dict[str, Any], name: str, device: Any = None, **options: Any) -> Callable[..., Any]:
    """A metric as a protocol asks for it; a stand-in where nothing but downloaded weights makes it work."""
    if name == "clipiqa":
        return CREATE(name, device="cpu", **clip, **options)
    if name in SEEDED or (name in FILES and FILES[name].is_file()):
        return pyiqas(name, json.dumps(options))
    return create(name, device, **options)


def make_pictures(root: Path, width: int, height: int, start: int = 0) -> Path:
    """Six pictures in two folders, as ``ours`` made them and as they are."""
    photo = Image.open(PHOTO).convert("RGB").resize((900, 600))
    for number in range(6):
        name = f"{'CelebA' if number < 4 else 'CelebChild'}/{number}.png"
        left, top = start + 50 * number, start + 60 * number
        crop = photo.crop((left, top, left + width, top + height))
        for method, radius in {"gt": 0.0, "ours": 1.0}.items():
            (root / method / name).parent.mkdir(parents=True, exist_ok=True)
            crop.filter(ImageFilter.GaussianBlur(radius)).save(root / method / name)
    return root


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("pictures"), 576, 240)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_pictures(tmp_path_factory.mktemp("small"), 232, 112, 180)


def tensor(path: Path, side: int = 0) -> Tensor:
    image = Image.open(path).convert("RGB")
    image = image.resize((side, side)) if side else image
    return torch.from_numpy(np.asarray(image).transpose(2, 0, 1)[None].astype(np.float32) / 255)


RESTORATION: dict[str, Metric] = {
    **{"psnr": ("psnr", Y), "ssim": ("ssim", Y), "lpips": ("lpips", {}), "dists": ("dists", {}), "niqe": ("niqe", {})},
    **{"musiq": ("musiq", {}), "maniqa": ("maniqa-pipal", {}), "clipiqa": ("clipiqa", FIVE)},
}
KONIQ = RESTORATION | {"maniqa": ("maniqa", {})}


def some(labels: str, known: dict[str, Metric] = RESTORATION) -> dict[str, Metric]:
    return {label: known[label] for label in labels.split()}


NTIRE = some("lpips dists clipiqa maniqa musiq niqe psnr", KONIQ)
FACTS: dict[str, tuple[dict[str, Metric], dict[str, int]]] = {  # what the sources' scripts compute, and borders
    **dict.fromkeys(("osediff", "tsd-sr", "adcsr", "stablesr"), (RESTORATION, {})),
    "seesr": (RESTORATION, {"psnr": 4, "ssim": 4}),
    "ccsr": (some("psnr ssim lpips"), dict.fromkeys(("psnr", "ssim", "lpips"), 4)),
    "refir": (some("psnr ssim lpips niqe musiq clipiqa"), dict.fromkeys(RESTORATION, 4)),
    "sinsr": (some("clipiqa musiq psnr lpips ssim"), {}),
    "s3diff": (KONIQ, {}),
    "invsr": (KONIQ | {"lpips-vgg": ("lpips-vgg", {})}, {}),
    "faithdiff": (
        some("lpips dists niqe musiq maniqa")
        | {"psnr": ("psnr", {}), "ssim": ("ssim", {}), "paq2piq": ("paq2piq", {})}
        | {"clipiqa": ("clipiqa+_vitL14_512", {})},
        {},
    ),
    **dict.fromkeys(("ntire", "ntire-mobile"), (NTIRE, {"psnr": 4})),
    "ntire-faces": (some("niqe clipiqa maniqa musiq", KONIQ) | {"qalign": ("qalign", {})}, {}),
    "raim-hdr": ({"psnr": ("psnr", {}), "ssim": ("ssim", {}), "lpips": ("lpips", {})}, {}),
    "basicsr": (some("psnr"), {"psnr": 4}),
    "vbench": ({"musiq": ("musiq-spaq", {})}, {}),
    "worldscore": ({"clipiqa+": ("clipiqa+", {}), "laion_aes": ("laion_aes", {})}, {}),
    "stablevsr": (some("clipiqa musiq niqe"), {}),
    "paper": (
        {name: (name, {}) for name in ("brisque", "niqe", "clipiqa", "cnniqa", "hyperiqa", "musiq", "clipiqa+")},
        {},
    ),
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


@pytest.mark.parametrize("name", FACTS)
def test_numbers_are_those_of_the_sources_script(
    name: str, pictures: Path, small: Path, seeded_weights: Callable[[str], Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    metrics, borders = FACTS[name]
    pictures = pictures if name == "vbench" else small  # which shrinks those of more than 512 px
    clip = {"clip_weights": seeded_weights("RN50"), "quick_gelu": True} if name in RN50 else {"backbone": "mini"}
    make = functools.partial(seeded, clip)
    monkeypatch.setattr(pyiqa, "create_metric", make)
    rows = []
    for path in sorted((pictures / "ours").glob("*/*.png")):
        there = pictures / "gt" / path.relative_to(pictures / "ours")
        x, gt = (tensor(p, 512 if name == "worldscore" else 0) for p in (path, there))
        if name == "vbench":
            x = resize(x, [int(240 * 512 / 576), 512], antialias=False)
        row = {}
        for label, (metric, options) in metrics.items():
            crop = borders.get(label, 0)
            seen = [i[..., crop : i.shape[-2] - crop, crop : i.shape[-1] - crop].contiguous() for i in (x, gt)]
            made = make(metric, device="cpu", **options)
            row[label] = float(made(*seen[: 1 + (label in FULL_REFERENCE)]))
        rows.append(row)
    shares = [0.25 * 2 / 3] * 4 + [0.5 * 1 / 3] * 2 if name == "ntire-faces" else [1 / 6] * 6
    shares = [1 / 8] * 4 + [1 / 4] * 2 if name in ("vbench", "stablevsr") else shares
    expected = {label: sum(s * row[label] for s, row in zip(shares, rows, strict=True)) for label in metrics}
    values = {"speedup": 113.85} if name == "ntire-mobile" else None
    found = table(
        {"ours": pictures / "ours"}, protocol=name, values=values, reference=pictures / "gt", by_folder=False, **CPU
    )
    got = {label: found.mean("", label, "ours") for label in found.labels}
    for label, value in expected.items():
        assert got[label] == pytest.approx(value, abs=1e-6), label
        assert np.std([row[label] for row in rows]) > 1e-5, f"{label} does not tell pictures apart"
    if name in ("ntire", "ntire-mobile", "raim-hdr", "vbench", "worldscore"):
        each = [score_of(name, row) for row in rows] if name in ("raim-hdr", "worldscore") else []
        right = np.mean(each) if each else score_of(name, expected)
        assert got[found.score] == pytest.approx(right, rel=1e-6)  # a power of 2 enlarges what its parts are off by
    if name == "ntire-faces":  # its FID is not computed here
        assert math.isnan(got["faces score"]) and "missing: fid, identity" in found.table()
    assert found.protocol is not None
    for label, why in found.protocol.not_computed.items():
        assert f"{label}: not computed here: {why}" in found.table()
    if name in ("sinsr", "s3diff"):
        assert "fp16 (autocast on CUDA), but in fp32 here" in found.table()
    if stood_in := [label for label in metrics if label in FILES and not FILES[label].is_file()]:
        pytest.skip(f"but for {', '.join(stood_in)}, whose parameters are not beside this repository")


@pytest.mark.usefixtures("stand_ins")
@pytest.mark.parametrize("name", ["ntire", "invsr", "raim-hdr", "osediff"])
def test_pictures_of_unequal_sizes_are_treated_as_the_source_treats_them(
    name: str, small: Path, tmp_path: Path
) -> None:
    theirs = small / "gt/CelebA/0.png"
    (tmp_path / "ours").mkdir()
    Image.open(theirs).filter(ImageFilter.GaussianBlur(1)).resize((240, 108)).save(tmp_path / "ours/0.png")
    x, gt = tensor(tmp_path / "ours/0.png"), tensor(theirs)
    if name == "ntire":
        x, gt = resize(x, [108, 232]), resize(gt, [108, 232])
    elif name == "invsr":
        x, gt = x[..., :232], gt[..., :108, :]
    else:
        scaled = Image.open(tmp_path / "ours/0.png").resize((232, 112), Image.Resampling.BILINEAR)
        x = torch.from_numpy(np.asarray(scaled).transpose(2, 0, 1)[None] / np.float32(255))
    found = table({"ours": tmp_path / "ours"}, protocol=name, reference=theirs.parent, skip_missing=True, **CPU)
    metrics, borders = FACTS[name]
    for label in ("psnr", "lpips"):
        value, crop = found.mean("", label, "ours"), borders.get(label, 0)
        if name == "osediff":  # its script does not say
            assert math.isnan(value) and "it is 240×108 px, but its reference is 232×112 px" in found.table()
            continue
        seen = [i[..., crop : i.shape[-2] - crop, crop : i.shape[-1] - crop].contiguous() for i in (x, gt)]
        made = create(metrics[label][0], device="cpu", **metrics[label][1])
        assert value == pytest.approx(float(made(*seen)), abs=1e-6), label


@pytest.mark.skipif(not OSEDIFF.is_dir(), reason="needs OSEDiff's twelve results beside this repository")
def test_osediffs_own_numbers_are_reproduced() -> None:
    with (OSEDIFF / "drealsr_published.csv").open() as file:
        published = {row["image"].removesuffix(".png"): row for row in csv.DictReader(file)}
    metrics = [f"niqe=niqe:pretrained_model_path={NIQE}"] if NIQE.is_file() else []
    protocol = read_protocol("osediff")
    metrics += [f"{label}={protocol.metrics[label]}" for label in ("psnr", "ssim")]
    found = table({"ours": OSEDIFF / "sr"}, metrics, reference=OSEDIFF / "hr", **CPU)
    assert len(found.scores) == 12
    for row in found.scores.to_dict("records"):
        for label, tolerance in {"psnr": 1e-5, "ssim": 1e-5, "niqe": 0.02}.items():
            if label in row:
                assert row[label] == pytest.approx(float(published[row["image"]][label]), abs=tolerance), label


@pytest.mark.skipif(not OSEDIFF.is_dir(), reason="needs OSEDiff's twelve results beside this repository")
def test_golden_pictures_are_known_by_their_hashes(tmp_path: Path) -> None:
    (tmp_path / "other.png").write_bytes(b"another picture")
    median, largest = check_osediff(lambda x: 0.5, [tmp_path / "other.png", *(OSEDIFF / "sr").iterdir()])
    assert median.subject == "median distance of 12 pictures of OSEDiff" and 0 < median.got < largest.got
    assert check_osediff(lambda x: 0.5, [tmp_path / "other.png"]) == []


class TestFormula:
    def test_arithmetic(self) -> None:
        values = {"a": 3.0, "clipiqa+": 0.5, "none": math.nan}
        assert formula_names("min(a, 2) ** -'clipiqa+' + max(a)") == ["a", "clipiqa+"]
        assert evaluate("-a ** 2 / 2 + min(a, 1, 'clipiqa+') * +4 - 1e1", values) == -4.5 + 2 - 10
        assert math.isnan(evaluate("max(0, none)", values)) and math.isnan(evaluate("1 / (a - 3)", values))
        assert math.isnan(evaluate("(0 - a) ** 0.5", values)) and math.isnan(evaluate("9.0 ** 9 ** 9", values))

    @pytest.mark.parametrize(
        "formula",
        [
            "__import__('os')",
            "a.b",
            "a[0]",
            "a if a else a",
            "lambda: a",
            "print(a)",
            "min(a, key=a)",
            "True",
            "a +",
            "b",
        ],
    )
    def test_nothing_else_is_run(self, formula: str) -> None:
        with pytest.raises(CLIPIQAError, match="the formula"):
            evaluate(formula, {"a": 1.0})

    @pytest.mark.parametrize("formula", ["(" * 900 + "a" + ")" * 90, "-" * 600 + "a", "a" * 2000])
    def test_it_is_bounded(self, formula: str) -> None:
        with pytest.raises(CLIPIQAError, match="the formula"):
            evaluate(formula, {})


class TestOwnProtocol:
    GOOD = "title: T\ncertainty: user\nsource: {said: here}\nmetrics: {m: psnr}\n"

    def test_is_read_by_path_and_what_is_given_wins(self, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "own.yml").write_text(self.GOOD + "view: {crop: 4}\nscore: s\nformula: m / 10\n")
        given: Any = {"reference": pictures / "gt", "by_folder": False, **CPU}
        methods = {"ours": pictures / "ours"}
        found = table(methods, protocol=tmp_path / "own.yml", **given)
        assert "Protocol own: T; as its users reconstructed it (here)." in found.table()
        assert "picture that m sees: a border of 4 px left out." in found.table() and "follow" not in found.table()
        value = found.mean("", "m", "ours")
        assert found.mean("", "s", "ours") == pytest.approx(value / 10)
        changed = table(methods, protocol=tmp_path / "own.yml", crop_border=0, **given)
        assert changed.mean("", "m", "ours") != value
        assert "not follow protocol own: the border that is left out changed" in changed.table()

    @pytest.mark.parametrize(
        ("more", "message"),
        [
            ("metric: {}", "unknown key 'metric'"),
            ("certainty: code", "certainty"),
            ("score: s\nformula: n / 10", "formula of protocol 'own' has 'n'"),
            ("score: 1", "score of protocol 'own' is of a wrong kind: got 1"),
            ("view: {crop: 1.5}", "a view of protocol 'own' may only set crop, .*; got crop: 1.5"),
            ("view: {crop: true}", "a view of protocol 'own' may only set crop"),
            ("views: {n: {crop: 1}}", "views of protocol 'own' has 'n'"),
            ("average: pictures", "average of protocol 'own' has 'pictures'"),
        ],
    )
    def test_bad_files(self, more: str, message: str, tmp_path: Path) -> None:
        (tmp_path / "own.yml").write_text(self.GOOD + more)
        with pytest.raises(CLIPIQAError, match=message):
            read_protocol(tmp_path / "own.yml")

    def test_the_command_lists_and_shows(self, capsys: pytest.CaptureFixture[str]) -> None:
        assert main(["protocols"]) == 0 and "osediff" in capsys.readouterr().out
        assert main(["protocols", "OSEDiff"]) == 0
        said = capsys.readouterr().out
        assert "test_metrics.py 127-139, 181-220" in said and "maniqa-pipal, whole images" in said
        assert main(["protocols", "osedif"]) == 2 and "did you mean 'osediff'" in capsys.readouterr().err


def printed(pictures: Path, metric: str, view: str, tmp_path: Path) -> str:
    """The mean of a metric that sees pictures so, with six digits."""
    text = f"title: T\ncertainty: user\nsource: {{}}\nmetrics: {{m: '{metric}'}}\nview: {{{view}}}\n"
    (tmp_path / "planted.yml").write_text(text)
    protocol = tmp_path / "planted.yml"
    methods = {"ours": pictures / "ours"}
    found = table(methods, protocol=protocol, reference=pictures / "gt", by_folder=False, **CPU)
    return f"{found.mean('', 'm', 'ours'):.6f}"


class TestExpect:
    @pytest.mark.usefixtures("stand_ins")
    @pytest.mark.parametrize(
        ("asked", "planted", "view", "change"),
        [
            ("psnr", "psnr:test_y_channel=true,color_space=ycbcr", "", "Y of YCbCr (16 to 235)"),
            ("psnr-y", "psnr:test_y_channel=true,color_space=yiq", "", "Y of YIQ (0 to 255)"),
            ("psnr-y", "psnr", "", "RGB"),
            ("ssim", "ssim:color_space=ycbcr", "", "Y of YCbCr (16 to 235)"),
            ("ssim-y", "ssimc", "", "RGB"),
            ("psnr", "psnr", "crop: 4", "a border of 4 px left out"),
            ("clipiqa:backbone=mini", "clipiqa:backbone=mini,prompts=pyiqa", "", "five prompt pairs"),
            ("clipiqa:backbone=mini,prompts=pyiqa", "clipiqa:backbone=mini", "", "one prompt pair"),
            ("clipiqa:prompts=pyiqa", "clipiqa+_vitL14_512", "", "clipiqa+_vitL14_512"),
            ("niqe", "niqe_matlab", "", "MATLAB's parameters"),
            ("niqe", "niqe:test_y_channel=true,color_space=ycbcr", "", "LIVE's parameters, Y of YCbCr (16 to 235)"),
            ("maniqa", "maniqa-pipal", "", "PIPAL"),
            ("maniqa", "maniqa", "square: 512", "squashed to 512×512 px"),
            ("musiq", "musiq", "center: 224", "the middle 224×224 px"),
            ("lpips", "lpips-vgg", "", "VGG"),
        ],
    )
    def test_a_planted_change_is_found_and_no_other(
        self, asked: str, planted: str, view: str, change: str, pictures: Path, tmp_path: Path
    ) -> None:
        number = printed(pictures, planted, view, tmp_path)
        given: Any = {"reference": pictures / "gt", "by_folder": False, "explain": True, **CPU}
        found = table({"ours": pictures / "ours"}, f"m={asked}", expect=f"ours: m={number}", **given)
        rows = found.explained
        assert rows is not None and list(rows["change"][rows["verdict"] == "fits"]) == [change]
        assert f"m: {change} fits; " in found.table() and not found.agrees
        reasons = dict(zip(rows["change"], rows["reason"], strict=True))
        assert torch.cuda.is_available() or "no CUDA" in reasons["fp16 (autocast)"]
        assert reasons["alpha dropped"] == "no picture has transparency"

    def test_dropped_alpha_is_found(self, small: Path, tmp_path: Path) -> None:
        fog = Image.linear_gradient("L").resize((232, 112))
        for path in (small / "ours/CelebA").iterdir():
            picture = Image.open(path)
            picture.putalpha(fog)
            (tmp_path / "ours").mkdir(exist_ok=True)
            picture.save(tmp_path / "ours" / path.name)
        given: Any = {"reference": small / "gt/CelebA", **CPU}
        opaque = table({"ours": small / "ours/CelebA"}, "psnr", **given).mean("", "psnr", "ours")
        found = table({"ours": tmp_path / "ours"}, "psnr", expect=f"ours: psnr={opaque:.5f}", explain=True, **given)
        rows = found.explained
        assert rows is not None and list(rows["change"][rows["verdict"] == "fits"]) == ["alpha dropped"]

    def test_exit_codes_files_and_page(
        self, pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        command = ["table", "--methods", f"ours={pictures}/ours", "--reference", f"{pictures}/gt", "-m", "psnr", "piqe"]
        command += ["--one-set", "--device", "cpu", "-q", "--out", str(tmp_path / "out")]
        assert main(command) == 0
        found = table({"ours": pictures / "ours"}, ["psnr", "piqe"], reference=pictures / "gt", by_folder=False, **CPU)
        psnr, piqe = (found.mean("", label, "ours") for label in ("psnr", "piqe"))
        paper = tmp_path / "paper.csv"
        paper.write_text(f"Method,PSNR,piqe,other\nOurs,{psnr:.2f},{piqe:.3f},1\nTheirs,1,1,1\n")
        assert main([*command, "--resume", "--expect", str(paper)]) == 0
        said = capsys.readouterr().out
        assert "2 of 2 published numbers agree" in said and f"published {psnr:.2f}" in said
        assert "Published, but not in this table: metric 'other', method 'Theirs'" in said
        assert main([*command, "--resume", "--expect", f"ours: psnr={psnr:.2f} piqe={piqe + 1:.3f}", "--explain"]) == 1
        rows = list(csv.DictReader((tmp_path / "out/expect.csv").open()))
        assert [row["agrees"] for row in rows] == ["True", "False"] and abs(float(rows[1]["units"]) + 1000) < 1
        assert {row["metric"] for row in csv.DictReader((tmp_path / "out/explain.csv").open())} == {"piqe"}
        page = (tmp_path / "out/report.html").read_text()
        assert "Beside published numbers" in page and "no change that was tried fits" in page

    @pytest.mark.parametrize(
        ("expect", "message"),
        [
            ("theirs: psnr=27", "no published number matches the table: method 'theirs'"),
            ("ours: lpips=1", "metric 'lpips'"),
            ("ours: psnr=high", "psnr of 'ours' must be a number; got 'high'"),
            ("paper.csv", "the published numbers 'paper.csv' cannot be read: No such file"),
        ],
    )
    def test_bad_numbers(self, expect: str, message: str, pictures: Path) -> None:
        with pytest.raises(CLIPIQAError, match=message):
            table({"ours": pictures / "ours"}, "psnr", reference=pictures / "gt", by_folder=False, expect=expect, **CPU)


class TestLock:
    def test_round_trip_and_what_changed(self, pictures: Path, tmp_path: Path) -> None:
        for who in ("ours", "gt"):
            for path in (pictures / who).glob("*/*.png"):
                (tmp_path / who).mkdir(exist_ok=True)
                Image.open(path).crop((0, 0, 64, 64)).save(tmp_path / who / path.name)
        lock, given = tmp_path / "table.lock.json", {"reference": tmp_path / "gt", **CPU}
        table({"ours": tmp_path / "ours"}, "clipiqa=clipiqa:backbone=mini", protocol="basicsr", lock=lock, **given)
        again = table({"ours": tmp_path / "ours"}, locked=lock, **given)
        assert (
            again.changed is not None and again.changed.empty and again.agrees and again.labels == ["psnr", "clipiqa"]
        )
        Image.new("RGB", (64, 64), "gray").save(tmp_path / "ours/1.png")
        kept = json.loads(lock.read_text())
        kept["versions"]["torch"] = "1.0"
        kept["scores"]["clipiqa"]["ours/2"] = 0.25
        lock.write_text(json.dumps(kept))
        later = table({"ours": tmp_path / "ours"}, locked=lock, **given)
        assert later.changed is not None and not later.agrees
        changed = later.changed.set_index("what")
        assert changed.at["versions torch", "was"] == "1.0" and {"picture 1 of ours", "mean psnr of ours"} <= {
            *changed.index
        }
        assert "psnr of ours/2" not in changed.index
        assert changed.at["psnr of ours/1", "why"] == "the picture of ours changed"
        assert changed.at["clipiqa of ours/2", "why"] == "versions torch changed"

    def test_means_of_every_test_set_are_kept(self, small: Path, tmp_path: Path) -> None:
        lock = tmp_path / "table.lock.json"
        found = table({"ours": small / "ours"}, "psnr", reference=small / "gt", lock=lock, **CPU)
        means = {f"psnr of {s} ours": found.mean(s, "psnr", "ours") for s in ("CelebA", "CelebChild")}
        assert json.loads(lock.read_text())["means"] == means

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            ("{", "it is not JSON"),
            ('{"schema": 2}', "has the schema 2; this version reads schema 1"),
            ('{"schema": 1}', "is damaged: 'asked' is missing"),
        ],
    )
    def test_bad_locks(self, text: str, message: str, pictures: Path, tmp_path: Path) -> None:
        (tmp_path / "l.json").write_text(text)
        with pytest.raises(CLIPIQAError, match=message):
            table({"ours": pictures / "ours"}, locked=tmp_path / "l.json", **CPU)


def test_a_sentence_per_metric(pictures: Path) -> None:
    metrics = ["psnr-y", "CLIPIQA=clipiqa:backbone=mini,prompts=pyiqa"]
    found = table(
        {"ours": pictures / "ours"}, metrics, reference=pictures / "gt", crop_border=4, by_folder=False, **CPU
    )
    psnr, clipiqa = found.describe().splitlines()
    assert psnr.startswith("psnr-y: pyiqa 0.1.") and "a border of 4 px left out, fp32." in psnr
    assert "CLIPIQA: clipiqa-pyiqa" in clipiqa and "five prompt pairs, mini bundled" in clipiqa
    assert r"\item CLIPIQA: clipiqa-pyiqa" in found.describe("latex") and "one prompt pair" not in found.table()
