"""An exported file says what its metric says, in onnxruntime, for any number of images of any size."""

import json
import re
import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from assertions import refused
from photos import PHOTOS, photo_like
from PIL import Image
from repository import skip_without_export
from tensors import assert_close

from clipiqa_pyiqa import CLIPIQA, export_onnx

skip_without_export()
import onnx  # noqa: E402
import onnxruntime  # noqa: E402

ROOT = Path(__file__).parents[2]

SIZES = [(33, 47), (64, 64, 3), (97, 131, 2), (224, 224), (251, 333, 2)]

QUESTIONS = ["quality", "sharpness"]

SEEDED = 4e-5  # a seeded tower of two blocks, whose margins are larger: 1.3e-5 was seen


def run(path, x):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return [torch.from_numpy(value) for value in session.run(None, {"image": x.numpy()})]


@pytest.fixture(scope="module")
def metric(small_compact):
    return CLIPIQA(backbone="mini", clip_weights=small_compact).eval()


@pytest.fixture(scope="module")
def file(metric, once):
    """The small tower with several questions and their maps."""

    def export(folder):
        export_onnx(metric, folder / "small.onnx", QUESTIONS, with_map=True)

    return once("small-export", export) / "small.onnx"


@pytest.mark.parametrize("shape", [*SIZES, "flat"])  # without variance anywhere but at the border
@pytest.mark.slow
def test_scores_and_maps_equal_the_metrics(file, metric, shape):
    x = torch.full((2, 3, 70, 99), 0.5) if shape == "flat" else photo_like(*shape)
    scores, places = run(file, x)
    with torch.no_grad():
        assert_close(scores, metric(x, QUESTIONS, None), atol=SEEDED)
        assert_close(places, metric.score_map(x, QUESTIONS), atol=SEEDED)


@pytest.mark.slow
def test_the_file_holds_its_provenance(file, metric):
    model = onnx.load(file)
    onnx.checker.check_model(model)
    metadata = {prop.key: prop.value for prop in model.metadata_props}
    for key in ("backbone", "weights_sha256", "version"):
        assert metadata[key] == metric.provenance()[key]
    assert json.loads(metadata["columns"]) == QUESTIONS
    assert json.loads(metadata["pairs"])["sharpness"] == [["Sharp photo.", "Blurry photo."]]
    assert "not normalised" in metadata["input"]
    assert [opset.version for opset in model.opset_import] == [18]
    assert model.ir_version == 8
    axes = model.graph.input[0].type.tensor_type.shape.dim
    assert [axis.dim_param or axis.dim_value for axis in axes] == ["N", 3, "H", "W"]


@pytest.mark.slow
def test_the_file_tells_nothing_of_this_machine(file):
    content = file.read_bytes()
    assert b"site-packages" not in content
    assert str(ROOT).encode() not in content


@pytest.mark.slow
def test_the_python_example_gives_the_same_scores(file, metric, tmp_path, monkeypatch, capsys):
    photo = tmp_path / "photo.png"
    Image.open(PHOTOS[0]).convert("RGB").resize((131, 97)).save(photo)
    monkeypatch.setattr(sys, "argv", ["score.py", str(file), str(photo)])
    runpy.run_path(str(ROOT / "docs/examples/onnx/score.py"), run_name="__main__")
    printed = capsys.readouterr().out
    x = torch.from_numpy(np.array(Image.open(photo))).permute(2, 0, 1)[None].float() / 255
    with torch.no_grad():
        expected = metric(x, QUESTIONS, None)[0]
    scores = [float(number) for number in re.findall(r"(?<= )\d\.\d{4}", printed)]
    assert np.allclose(scores, expected, atol=1e-4)
    assert "sharpness" in printed


@pytest.mark.quick
def test_metrics_that_cannot_be_exported_are_refused(tmp_path):
    cropping = CLIPIQA(backbone="mini", pos_embedding="fixed")
    in_bf16 = CLIPIQA(backbone="mini", precision="bf16")
    for net in (cropping, in_bf16, torch.nn.Linear(1, 1)):
        refused(export_onnx, net, tmp_path / "x.onnx")
    assert not any(tmp_path.iterdir())


@pytest.mark.slow
def test_the_browser_example_gives_the_same_scores_in_node(file, metric, tmp_path):
    """The browser's lines, in node, on onnxruntime-web from npm."""
    modules = ROOT / "docs/site/web/node_modules"
    if shutil.which("node") is None or not modules.is_dir():
        pytest.skip("needs node, and `npm ci` in docs/site/web, which fetches onnxruntime-web")
    (tmp_path / "node_modules").symlink_to(modules)
    shutil.copy(ROOT / "docs/examples/onnx/score.mjs", tmp_path)
    x = photo_like(97, 131, 1)
    rgba = torch.cat([x[0] * 255, torch.full((1, 97, 131), 255.0)]).permute(1, 2, 0).byte().numpy()
    (tmp_path / "pixels").write_bytes(rgba.tobytes())
    (tmp_path / "run.mjs").write_text(
        "import { readFileSync } from 'node:fs'; import { load, score } from './score.mjs';\n"
        "const session = await load(new Uint8Array(readFileSync(process.argv[2])));\n"
        "const data = new Uint8Array(readFileSync('pixels'));\n"
        "console.log(JSON.stringify(await score(session, { width: 131, height: 97, data })));\n"
    )
    command = ["node", "--preserve-symlinks", "run.mjs", file]
    node = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    with torch.no_grad():
        expected = metric(x, QUESTIONS, None)[0]
    assert np.allclose(json.loads(node.stdout), expected, atol=1e-5)
