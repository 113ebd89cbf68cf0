"""The recipes of docs/scale.md run against the real packages, and give the scores of the files."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
from PIL import Image
from shard_makers import save_tar

from clipiqa_pyiqa import CLIPIQA, score_paths

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/scale.md").read_text(encoding="utf-8")
BLOCKS = PAGE.partition("\n## Pipelines\n")[2].split("```python\n")[1:]
TAILS = {  # package -> what prints {name: score}
    "datasets": "files = photos['image']; names = [each['path'] for each in files]\n"
    "show(names, scored['quality'])\nassert scored.column_names == ['image', 'quality', 'sharpness', 'flag', 'error']",
    "ray": "rows = good.take_all(); show([row['path'] for row in rows], [row['quality'] for row in rows])",
    "webdataset": "show(*([*keys] for keys in [scored[0][0]]), scored[0][1]['quality'])",
    "daft": "rows = scored.to_pydict(); show(rows['path'], rows['quality'])",
}
READ_IMAGES, LOADER = "ray.data.read_images('photos/', include_paths=True)", "shardshuffle=False)"
SWAPS = {  # the other forms that the page names
    "datasets, decoded": ("photos = photos.cast_column('image', Image(decode=False))", ""),
    "datasets, one process": (", num_proc=2", ""),
    "ray, shards": (READ_IMAGES, "ray.data.read_webdataset('shards/')"),
    "ray, shards, undecoded": (READ_IMAGES, "ray.data.read_webdataset('shards/', decoder=None)"),
    **{
        f"webdataset, {form}": (LOADER, f"{LOADER}.decode('{form}')")
        for form in ("pil", "rgb8", "rgb", "torchrgb8", "torchrgb")
    },
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Photos of several sizes, without losses, and a shard of the same."""
    folder = tmp_path_factory.mktemp("pipelines")
    (folder / "photos").mkdir()
    for number, (name, size) in enumerate({"canyon-wren": (128, 96), "blue-periwinkle": (96, 128)}.items()):
        with Image.open(ROOT / f"tests/data/{name}.jpg") as image:
            image.convert("RGB").resize(size).save(folder / f"photos/{number}.png")
    save_tar(folder / "shards/000.tar", {path.name: path.read_bytes() for path in sorted(folder.glob("photos/*"))})
    return folder


@pytest.fixture(scope="module")
def expected(folder):
    metric = CLIPIQA(backbone="mini").eval()
    scores = score_paths(metric, folder / "photos", device="cpu").frame()["quality"]
    return {Path(path).stem: score for path, score in scores.items()}


@pytest.mark.parametrize("recipe", [*TAILS, *SWAPS])
def test_a_recipe_gives_the_scores_of_the_files(recipe, folder, expected):
    package = recipe.partition(",")[0]
    before, after = SWAPS.get(recipe, ("", ""))
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install '.[pipelines]'")
    (block,) = (text.split("```")[0] for text in BLOCKS if f"import {package}\n" in text or f"from {package} " in text)
    assert before in block
    tail = TAILS[package]
    if "decoded" in recipe:
        tail = tail.replace("photos['image']", "photos.cast_column('image', Image(decode=False))['image']")
    if "shards" in recipe:
        tail = tail.replace("row['path']", "row['__key__']")
    show = "import json\ndef show(names, scores): print('FOUND', json.dumps(dict(zip(names, map(float, scores)))))\n"
    quiet = {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    quiet |= {"HF_DATASETS_CACHE": str(folder / "cache"), "DAFT_PROGRESS_BAR": "0"}
    done = subprocess.run(
        [sys.executable, "-c", (block.replace(before, after) if before else block) + show + tail],
        cwd=folder,
        env=os.environ | quiet,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("FOUND "))
    found = {Path(name).stem: score for name, score in json.loads(line[6:]).items()}
    assert found == pytest.approx(expected, abs=1e-5)  # another number of threads rounds otherwise
