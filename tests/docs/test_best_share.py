"""The blocks of docs/scale.md that keep the best 30 % run as they stand, and keep captions and trees."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
from importlib.util import find_spec
from pathlib import Path

import pandas
import pytest
from photos import blurred, photo_like
from PIL import Image
from shard_makers import save_tar
from torchvision.transforms.functional import center_crop, pil_to_tensor, to_pil_image

from clipiqa_pyiqa import CLIPIQA, score_paths

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
SECTION = (ROOT / "docs/scale.md").read_text(encoding="utf-8").split("\n## Keep the best\n")[1].split("\n## ")[0]
BLOCKS = re.findall(r"^```(bash|python)\n(.*?)^```", SECTION, re.M | re.S)
PROGRAMS = f"""
set -e -o pipefail
python() {{ {shlex.quote(sys.executable)} "$@"; }}
clipiqa() {{ python -c 'import sys; from clipiqa_pyiqa.workbench.commands import main; sys.exit(main())' "$@"; }}
"""
QUIET = {"HF_HUB_OFFLINE": "1", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def block_with(text):
    """The code of the section's only block with a text."""
    (code,) = (code for _, code in BLOCKS if text in code)
    return code


def needs(package):
    if find_spec(package) is None:
        pytest.skip(f"{package} is not installed: pip install '.[pipelines]'")


def run(*command):
    environment = os.environ | QUIET | {"HF_DATASETS_CACHE": os.path.abspath("cache")}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Ten photos in two folders, the same in two shards and a Parquet file with captions; the best three."""
    folder = tmp_path_factory.mktemp("best")
    names = []
    for number, pixels in enumerate(photo_like(96, 128, 10)):
        name = f"photos/{'ab'[number % 2]}/{number}.jpg"
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        blurred(to_pil_image(pixels), 0.3 * number).save(folder / name)
        names.append(name)
    contents = {Path(name).stem: (folder / name).read_bytes() for name in names}
    for shard in range(2):
        files = {}
        for stem in list(contents)[shard::2]:
            files[f"{stem}.jpg"] = contents[stem]
            files[f"{stem}.txt"] = f"caption of {stem}".encode()
        save_tar(folder / f"shards/{shard:03d}.tar", files)
    images = [{"bytes": content, "path": f"{stem}.jpg"} for stem, content in contents.items()]
    captions = [f"caption of {stem}" for stem in contents]
    pandas.DataFrame({"image": images, "caption": captions}).to_parquet(folder / "images.parquet")
    scores = score_paths(CLIPIQA(backbone="mini").eval(), folder / "photos", device="cpu").frame()["quality"]
    return folder, {Path(name).stem for name in scores.nlargest(3).index}, contents


@pytest.fixture
def best(made, tmp_path, monkeypatch):
    """The stems of the best three, where the page's blocks run."""
    folder, stems, _ = made
    shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
    monkeypatch.chdir(tmp_path)
    return stems


def check_parquet(table, best, contents):
    """Captions stay, and the images are the same bytes."""
    assert set(table["caption"]) == {f"caption of {stem}" for stem in best}
    assert {image["bytes"] for image in table["image"]} == {contents[stem] for stem in best}


def test_a_folder_keeps_its_tree(best, made):
    if not shutil.which("rsync"):
        pytest.skip("rsync is not installed")
    run("bash", "-c", PROGRAMS + block_with("rsync"))
    copied = {path.relative_to("best").as_posix() for path in Path("best").rglob("*.jpg")}
    assert copied == {f"photos/{'ab'[int(stem) % 2]}/{stem}.jpg" for stem in best}


def test_tars_keep_their_captions(best, made):
    needs("webdataset")
    run(sys.executable, "-c", block_with("ShardWriter"))
    with tarfile.open("best-000000.tar") as tar:
        contents = {name: tar.extractfile(name).read() for name in tar.getnames()}
    assert contents.keys() == {f"{stem}.{suffix}" for stem in best for suffix in ("jpg", "txt")}
    assert all(contents[f"{stem}.jpg"] == made[2][stem] for stem in best)
    assert all(contents[f"{stem}.txt"] == f"caption of {stem}".encode() for stem in best)


def test_a_parquet_file_keeps_its_columns(best, made):
    run(sys.executable, "-c", block_with("parquet.write_table"))
    check_parquet(pandas.read_parquet("best.parquet"), best, made[2])


def test_a_data_set_keeps_its_columns(best, made):
    needs("datasets")
    run(sys.executable, "-c", block_with("load_dataset"))
    check_parquet(pandas.read_parquet("best.parquet"), best, made[2])


def test_a_run_on_ray_data_keeps_its_columns(best, made):
    needs("ray")
    run(sys.executable, "-c", block_with("import ray"))
    check_parquet(pandas.read_parquet("best"), best, made[2])


def test_batches_of_a_loader_are_scored(best):
    show = "\nimport json; print('FOUND', json.dumps([data.samples[place][0] for place in best_data.indices]))"
    said = run(sys.executable, "-c", block_with("DataLoader") + show)
    (line,) = (line for line in said.splitlines() if line.startswith("FOUND "))
    metric = CLIPIQA(backbone="mini").eval()
    scores = {}
    for path in map(str, Path("photos").rglob("*.jpg")):
        with Image.open(path) as image:
            scores[path] = metric(center_crop(pil_to_tensor(image), [96, 96])[None] / 255).item()
    assert json.loads(line[6:]) == sorted(scores, key=scores.get, reverse=True)[:3]
