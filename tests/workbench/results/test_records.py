"""The record and the fingerprint of each kind of metric, and the names of all columns, as result files have them.

Another key or value here means that earlier files of such a metric are refused, or scored again.
"""

import csv
import hashlib
import json
import zlib
from importlib.metadata import version

import pyiqa
import pytest
import torch
from frozen_files import FIRST, NAMED_BY_PYIQA, copy_results, fill_cache, make_inputs
from pyarrow import parquet
from weights_fakes import fake_state_dict

from clipiqa_pyiqa import __version__, score_paths
from clipiqa_pyiqa.workbench.results.reading import read_header

NOT_OF_SCORES = ("version", "weights", "file", "files")
"""Fields that say where weights and parameters are from: other fields hold their hashes."""

MINI = {
    "metric": "clipiqa",
    "version": __version__,
    "backbone": "mini",
    "weights": "bundled 11d5fd47",
    "weights_sha256": "11d5fd47ea123a9fd75a601c22065957d0cbe9b139982e8d2cce85fbeca85bb1",
    "quick_gelu": True,
    "precision": "fp32",
    "pos_embedding": "none",
    "range": [0.0, 1.0],
    "lower_better": False,
}
GOOD = ["Good photo.", "Bad photo."]
SHARP = ["Sharp photo.", "Blurry photo."]
PYIQAS = [
    ["Good image", "bad image"],
    ["Sharp image", "blurry image"],
    ["sharp edges", "blurry edges"],
    ["High resolution image", "low resolution image"],
    ["Noise-free image", "noisy image"],
]
TASTE = {
    "sha256": "382b736d218b8e1771195be088e13ee9c36f52eb60d0a5e574a5ef2ec9ba5898",
    "from": "taste.safetensors",
    "trained": False,
    "shape": [2, 16, 64],
}
AFFINE = {
    "sha256": "f2dbfe481f4c25cf5165cf3b2df5edc35c7d259fcc5f89e463ee1bcf433e84ad",
    "method": "affine",
    "fit_on": "features",
    "rated_photos": 36,
}
RIDGE = {
    "sha256": "da7349386ee417d42fdf9b4707e1257a917f4293289428c1a1b54faf04f54942",
    "method": "ridge",
    "fit_on": "features",
    "rated_photos": 36,
}
OF_HEAD = {**MINI, "metric": "clipiqa+", "range": [None, None]}
OF_PYIQA = {"lower_better": False, "seed": 0, "pyiqa": NAMED_BY_PYIQA, "options": {}}
CLIP = {
    "mini": ({**MINI, "questions": [GOOD]}, "009595f1720126d8"),
    "sharp=mini:prompts=sharpness": ({**MINI, "questions": [SHARP]}, "e840050bddf41fa1"),
    "mean=mini:prompts=pyiqa": ({**MINI, "questions": PYIQAS}, "999440731687a08e"),
    "'both=mini:prompts=[quality, sharpness]'": ({**MINI, "questions": [GOOD, SHARP]}, "28e8b7ab0c4bc4a3"),
    "'free=mini:prompts=[[Crisp photo., Hazy photo.]]'": (
        {**MINI, "questions": [["Crisp photo.", "Hazy photo."]]},
        "33ea467b3574726b",
    ),
    "'worded=mini:template=A picture of {}.'": (
        {**MINI, "questions": [["A picture of Good.", "A picture of Bad."]]},
        "60ab91d80d379536",
    ),
    "square=mini:pos_embedding=fixed": ({**MINI, "pos_embedding": "fixed", "questions": [GOOD]}, "bcd6e5c16b6ca53c"),
    "half=mini:precision=fp16": (
        {**MINI, "precision": "fp16", "cpu_arithmetic": "fp32", "questions": [GOOD]},
        "a740e089a23670bb",
    ),
    "taste.safetensors": (
        {**MINI, "metric": "clipiqa+", "questions": [["Good photo..", "Bad photo.."]], "learned": TASTE},
        "00e7b2b3595cfac7",
    ),
    "head.safetensors": ({**OF_HEAD, "score_range": [1.0, 5.0], "head": AFFINE}, "f8e059a64bd7489f"),
    "ridge.safetensors": ({**OF_HEAD, "score_range": [0.0, 1.0], "head": RIDGE}, "0b3d84289dbbd580"),
}
"""A metric as typed -> its column's record and fingerprint."""

OF_FILES = {
    "judge=judge.csv:lower_better=true": (
        {
            "metric": "score",
            "file": "judge.csv",
            "sha256": "949d0d165e9e1e90fb62a125f74fcb3690d3925d7d7effe5e60c757dfa297c8c",
            "range": [None, None],
            "lower_better": True,
        },
        "7e8542278541ae51",
    ),
    "ours=one.parquet": ({**MINI, "questions": [GOOD]}, "009595f1720126d8"),
}

NAMED = {
    "entropy": ({**OF_PYIQA, "metric": "entropy", "range": [0.0, 8.0]}, "24ecb307a9c16382"),
    "grey=entropy:test_y_channel=true": (
        {**OF_PYIQA, "metric": "entropy", "range": [0.0, 8.0], "options": {"test_y_channel": True}},
        "1fdf9d1f51b7237a",
    ),
    "piqe": ({**OF_PYIQA, "metric": "piqe", "range": [0.0, 100.0], "lower_better": True}, "5c91b32164fdc070"),
    "niqe": (
        {
            **OF_PYIQA,
            "metric": "niqe",
            "range": [None, None],
            "lower_better": True,
            "files": {"niqe_modelparameters.mat": ""},
            "parameters": "f7db1d6ef168c7fc",
        },
        "e7bcc2d4b17b5433",
    ),
    "cnniqa": (
        {
            **OF_PYIQA,
            "metric": "cnniqa",
            "range": [None, None],
            "files": {"CNNIQA_koniq10k-e6f14c91.pth": ""},
            "parameters": "b2421403b2809fca",
        },
        "4011fc5dccc241a4",
    ),
}
"""Metrics of pyiqa; hashes of files that this test writes stand for ''."""


@pytest.fixture
def records(tmp_path, clipiqa):
    """``records(['mini', …])`` -> column -> record and fingerprint, in the files of a run over an image."""
    make_inputs(tmp_path)
    copy_results(FIRST, tmp_path, "one.parquet")

    def of(metrics):
        clipiqa(f"score photos/canyon-wren.jpg -m {' '.join(metrics)} --out s.csv --device cpu")
        return records_in(tmp_path / "s.csv")

    return of


def records_in(path):
    """Return column -> record and fingerprint, as a CSV file and its provenance tell them."""
    records = json.loads(path.with_name(f"{path.name}.provenance.json").read_text("utf-8"))["columns"]
    with open(path, encoding="utf-8", newline="") as file:
        scale = next(csv.DictReader(file))["scale"]
    columns = read_header(path, "csv").by_name
    told = {name: column for name, column in columns.items() if column.lower_better is not None}
    assert [text.rpartition(":")[2] for text in scale.split()] == [column.fingerprint[:6] for column in told.values()]
    return {name: (record, columns[name].fingerprint) for name, record in records.items()}


def fingerprint_of(record):
    """Return the fingerprint of a record: a hash of all fields that scores depend on, in the order of their names."""
    fields = {name: value for name, value in record.items() if name not in NOT_OF_SCORES}
    for name in ("learned", "head"):
        if name in fields:
            fields[name] = fields[name]["sha256"]
    return hashlib.sha256(json.dumps(fields, sort_keys=True).encode()).hexdigest()[:16]


def label_of(typed):
    return typed.strip("'").partition("=")[0].removesuffix(".safetensors")


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.mark.quick
@pytest.mark.parametrize("metrics", [CLIP, OF_FILES], ids=["CLIP-IQA", "files"])
def test_metrics_of_clip_and_scores_in_files(metrics, records):
    assert records(metrics) == {label_of(typed): expected for typed, expected in metrics.items()}
    for record, fingerprint in metrics.values():
        assert fingerprint_of(record) == fingerprint


@pytest.mark.skipif(version("pyiqa") != NAMED_BY_PYIQA, reason=f"the fingerprints are those of pyiqa {NAMED_BY_PYIQA}")
def test_metrics_of_pyiqa_by_name(records, tmp_path, monkeypatch):
    (tmp_path / "cache").mkdir()
    fill_cache(tmp_path / "cache")
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "cache"))
    expected = {}
    for typed, (record, fingerprint) in NAMED.items():
        hashes = {"files": {name: sha256(tmp_path / "cache" / name) for name in record.get("files", ())}}
        expected[label_of(typed)] = ({**record, **hashes} if hashes["files"] else record), fingerprint
    assert records(NAMED) == expected
    for record, fingerprint in expected.values():
        assert fingerprint_of(record) == fingerprint


def test_parameters_that_an_option_names(records, tmp_path):
    fill_cache(tmp_path)
    metric = "niqe:pretrained_model_path=niqe_modelparameters.mat"
    digest = sha256(tmp_path / "niqe_modelparameters.mat")
    ((record, fingerprint),) = records([metric]).values()
    assert record == {
        **NAMED["niqe"][0],
        "pyiqa": version("pyiqa"),
        "options": {"pretrained_model_path": digest},
        "files": {"niqe_modelparameters.mat": digest},
    }
    assert fingerprint == fingerprint_of(record)


@pytest.mark.slow
def test_the_family(records, tmp_path):
    towers = {name: fake_state_dict(name) for name in ("RN50", "ViT-B/32")}
    learned = {"ctx": 16, "token_prefix": 1, "token_suffix": 60}  # 77 tokens
    prompts = {f"prompt_learner.{name}": torch.zeros(()).expand(14, rows, 512) for name, rows in learned.items()}
    files = {
        "rn50.pt": towers["RN50"],
        "vit.pt": towers["ViT-B/32"],
        "qualiclip.pth": {**as_part_of_a_metric(towers["RN50"]), "prompts_features": torch.zeros(14, 1024)},
        "learned.pth": {"params": prompts},
        "liqe.pt": {"params": as_part_of_a_metric(towers["ViT-B/32"])},
        "aes.pth": {"weight": torch.zeros(1, 512), "bias": torch.zeros(1)},
    }
    for name, content in files.items():
        torch.save(content, tmp_path / name)

    def expected(metric, backbone, weights, view, low=0.0, high=1.0, file=""):
        digest = sha256(tmp_path / weights)
        return {
            "metric": metric,
            "version": __version__,
            "backbone": backbone,
            "weights": f"file {weights} {digest[:8]}",
            "weights_sha256": digest,
            "quick_gelu": True,
            "precision": "fp32",
            "view": view,
            **({"file": file, "file_sha256": sha256(tmp_path / file)} if file else {}),
            "range": [low, high],
            "lower_better": False,
        }

    patches = "224 px patches at stride 128, and the image squashed"
    fifteen = "15 patches of 224 px"
    metrics = {
        "maclip:clip_weights=rn50.pt": expected("maclip", "RN50", "rn50.pt", patches),
        "qualiclip:clip_weights=qualiclip.pth": expected("qualiclip", "RN50", "qualiclip.pth", "whole image"),
        "qualiclip+:clip_weights=rn50.pt,pretrained_model_path=learned.pth": expected(
            "qualiclip+", "RN50", "rn50.pt", "whole image", file="learned.pth"
        ),
        "liqe:pretrained_model_path=liqe.pt": expected("liqe", "ViT-B/32", "liqe.pt", fifteen, 1.0, 5.0),
        "liqe_mix:pretrained_model_path=liqe.pt": expected("liqe_mix", "ViT-B/32", "liqe.pt", fifteen, 1.0, 5.0),
        "laion_aes:backbone=ViT-B/32,clip_weights=vit.pt,pretrained_model_path=aes.pth": expected(
            "laion_aes", "ViT-B/32", "vit.pt", "224 px of the middle", 1.0, 10.0, "aes.pth"
        ),
    }
    assert [*records(metrics).values()] == [(record, fingerprint_of(record)) for record in metrics.values()]


def as_part_of_a_metric(tower):
    """Return a tower's tensors under the names that they have in a metric's file."""
    return {f"clip_model.{name}": tensor for name, tensor in tower.items()}


class Constant:
    """A metric that gives every image one score."""

    lower_better, score_range, version = True, "0, ~9", 1.5

    def __init__(self):
        self.score = 0.5

    def __call__(self, images):
        return torch.full((len(images),), self.score)


def test_metric_objects(tmp_path):
    """pyiqa's have their options; an object has its version."""
    make_inputs(tmp_path)
    metrics = {"own": Constant(), "theirs": pyiqa.create_metric("entropy", device="cpu")}
    score_paths(metrics, str(tmp_path / "photos/canyon-wren.jpg"), out=tmp_path / "s.csv", device="cpu").run()
    found = records_in(tmp_path / "s.csv")
    for record, fingerprint in found.values():
        assert fingerprint == fingerprint_of(record)
    own = {"metric": f"{__name__}.Constant", "range": [0.0, None], "lower_better": True, "seed": 0}
    own["metric_version"] = "1.5"
    theirs = {"metric": "entropy", "range": [0.0, 8.0], "lower_better": False, "seed": 0, "pyiqa": version("pyiqa")}
    theirs["options"] = {
        "as_loss": False,
        "check_input_range": True,
        "eps": 1e-6,
        "loss_reduction": "mean",
        "seed": 123,
    }
    assert {name: record for name, (record, _) in found.items()} == {"own": own, "theirs": theirs}


def test_a_function_of_which_nothing_is_known(tmp_path):
    make_inputs(tmp_path)
    metric = {"mean": lambda images: images.mean().view(1, 1)}
    score_paths(metric, str(tmp_path / "photos/canyon-wren.jpg"), out=tmp_path / "s.csv", device="cpu").run()
    ((record, fingerprint),) = records_in(tmp_path / "s.csv").values()
    assert record["metric_version"] is None and not fingerprint


def test_a_metric_that_cannot_be_built(records):
    found = records(["mini", "gone=clipiqa:clip_weights=gone.pt"])
    record, _ = found["gone"]
    assert "gone.pt" in record.pop("error")
    assert record == {"metric": "clipiqa", "range": [0.0, 1.0], "lower_better": False}


def test_a_metric_that_sees_a_part_of_the_images(tmp_path, clipiqa):
    make_inputs(tmp_path)
    methods = "--methods one=pictures/one --reference pictures/two"
    clipiqa(f"table {methods} -m psnr-y mini --crop-border 4 --out table --device cpu", 0)
    found = records_in(tmp_path / "table/images.csv")
    psnr, fingerprint = found["psnr-y"]
    assert psnr == {
        "metric": "psnry",
        "range": [None, None],
        "lower_better": False,
        "seed": 0,
        "pyiqa": version("pyiqa"),
        "options": {"color_space": "ycbcr"},
        "seen": "a border of 4 px left out",
    }
    assert fingerprint == fingerprint_of(psnr)
    assert found["mini"] == CLIP["mini"]


# What a file says beside the scores

HEADER = (
    "path mini width height scored_width scored_height exif_orientation converted flag kind error stamp "
    "caption scale metric"
)

PARTS = ("columns", "reading", "joined")
READING = {
    "apply_exif": False,
    "max_side": 96,
    "max_pixels": None,
    "damaged": "refuse",
    "sampling": "1s",
    "keep": ["caption"],
    "device": "cpu",
}


def test_the_columns_of_a_file_and_how_its_images_were_read(tmp_path, clipiqa):
    make_inputs(tmp_path)
    command = "score shards/photos.tar --keep caption --max-side 96 --no-exif -m mini --device cpu --out"
    for name in ("s.csv", "s.jsonl", "s.parquet"):
        clipiqa(f"{command} {name}", 0)
    metadata = parquet.read_metadata(tmp_path / "s.parquet").metadata
    headers = [json.loads((tmp_path / f"{name}.provenance.json").read_text("utf-8")) for name in ("s.csv", "s.jsonl")]
    headers.append(json.loads(metadata[b"clipiqa_pyiqa"]))
    assert [header.keys() for header in headers] == [{"file", "sha256", *PARTS}] * 2 + [
        {"images", "failures", "check", *PARTS}
    ]
    for header in headers:
        assert header["reading"].pop("versions").keys() >= {"clipiqa-pyiqa", "torch", "pillow"}
        assert header["reading"].pop("decoders").keys() >= {"pillow", "simplejpeg"}
        assert header["reading"] == READING and header["joined"] == {"caption": ""}
        assert header["columns"] == {"mini": CLIP["mini"][0]}
    first_line = (tmp_path / "s.csv").read_text("utf-8").partition("\n")[0]
    first_row = json.loads((tmp_path / "s.jsonl").read_text("utf-8").partition("\n")[0])
    schema = parquet.read_schema(tmp_path / "s.parquet")
    names = HEADER.replace(" scale", "").split()  # the heads of the others hold the scale
    assert first_line.split(",") == HEADER.split() and [*first_row] == schema.names == names
    types = {name: str(schema.field(name).type) for name in schema.names}
    assert types == {
        **dict.fromkeys(names, "string"),
        **dict.fromkeys(("width", "height", "scored_width", "scored_height", "exif_orientation"), "int32"),
        "mini": "double",
    }


def test_the_lines_of_a_journal(tmp_path, monkeypatch):
    """The journal that a run leaves has the form of the frozen one."""
    make_inputs(tmp_path)
    monkeypatch.chdir(tmp_path)
    with score_paths(["mini"], "photos", out="one.csv", device="cpu") as run:
        for _ in range(2):
            next(run)
    lines = (tmp_path / "one.csv.part.jsonl").read_bytes().splitlines()
    frozen = (FIRST / "interrupted/one.csv.part.jsonl").read_bytes().splitlines()
    assert len(lines) == len(frozen) == 3
    for line, earlier_line in zip(lines, frozen, strict=True):
        checksum, record = json.loads(line)
        _, earlier_record = json.loads(earlier_line)
        assert line.startswith(b'["%s", ' % checksum.encode()) and int(checksum, 16) == zlib.crc32(line[13:-1])
        assert [*record] == [*earlier_record]
    assert json.loads(lines[0])[1]["head"]["columns"] == {"mini": CLIP["mini"][0]}
