"""Files of earlier versions in ``tests/contract/frozen``, and the inputs that they name.

A row is kept while the record of its column stays the same, and size and time of its image (or its shard): so
:func:`make_inputs` sets all times, and writes no image whose size depends on a library. As a script, this makes the
files that are not there yet, with the package that is installed: ``python tests/helpers/frozen_files.py``.
"""

import io
import os
import runpy
import shlex
import shutil
import sys
import tarfile
import tempfile
from contextlib import chdir, suppress
from pathlib import Path
from unittest import mock

import numpy as np
import pandas
import pyarrow
import scipy.io
import torch
from photos import PHOTOS, distorted_photos
from PIL import Image, ImageFilter
from pyarrow import parquet

FROZEN = Path(__file__).parents[1] / "contract/frozen"
FIRST = FROZEN / "first"
SECOND = FROZEN / "second"
"""Two editions of the same results: :func:`freeze` makes what the second lacks."""
BUNDLED = Path(__file__).parents[1] / "data"
MOMENT = 1_700_000_000_000_000_000
"""The time of each image in nanoseconds; a whole second, as some disks know nothing finer."""

OURS = "mini sharp=mini:prompts=sharpness taste.safetensors head.safetensors"
SEVERAL = f"score photos -m {OURS} judge=judge.csv:lower_better=true"
SHARDS = "shards/photos.tar shards/photos.parquet"
COMMANDS = {
    "one.csv": "score photos -m mini",
    "one.jsonl": "score photos -m mini",
    "one.parquet": "score photos -m mini",
    "several.csv": SEVERAL,
    "several.jsonl": SEVERAL,
    "several.parquet": SEVERAL,
    "questions.csv": "score photos --backbone mini --prompts quality sharpness 'Crisp photo.|Hazy photo.' pyiqa",
    "shrunk.csv": "score photos --max-side 96 --no-exif -m mini",
    "shards.csv": f"score {SHARDS} photos -m {OURS} judge=judge_of_all.csv:lower_better=true",
    "shards.jsonl": f"score {SHARDS} -m mini",
    "shards.parquet": f"score {SHARDS} --keep caption -m mini",
    "compare": "compare -d mine=opinions.csv --bootstrap 100 -m mini sharp=mini:prompts=sharpness",
    "table": "table --methods one=pictures/one two=pictures/two -m mini sharp=mini:prompts=sharpness",
}
"""Result file or folder -> the command line that made it in a folder of the inputs, without ``--out``."""

SCORES_OF_FOLDERS = {"compare": ["scores/mine.parquet"], "table": ["images.csv", "images.csv.provenance.json"]}
"""Folder of results -> the files that are its memory; all others are made from these."""

NAMED = "score photos/blue-periwinkle.jpg photos/canyon-wren.jpg -m mini niqe cnniqa entropy"
"""The command line of ``named.csv``, and of ``without_parameters.csv``, which does not tell the parameters of pyiqa's
metrics; their files are those of :func:`fill_cache`."""
NAMED_BY_PYIQA = "0.1.16"
"""The version of pyiqa that made both: the records of its metrics tell it."""

INTERRUPTED = ("one.csv", "several.parquet", "shards.csv", "added.csv")
"""Files whose run was interrupted after two rows: ``interrupted`` holds what was left, with a journal.

``added.csv`` had the scores of :data:`BEFORE` when the interrupted run began.
"""
COMMANDS_OF_INTERRUPTED = {**COMMANDS, "added.csv": SEVERAL}
BEFORE = "score photos -m mini"


def make_inputs(folder):
    """Fill a folder with images, shards of images, opinions, learned prompts, a head, and another tool's scores."""
    for name in ("photos", "shards", "pictures/one", "pictures/two"):
        (folder / name).mkdir(parents=True)
    for file in (FROZEN / "inputs").iterdir():
        shutil.copyfile(file, folder / file.name)
    (folder / "photos.parquet").rename(folder / "shards/photos.parquet")
    for photo in BUNDLED.glob("*.jpg"):
        shutil.copyfile(photo, folder / "photos" / photo.name)
    (folder / "photos/empty.jpg").touch()
    (folder / "photos/a shade, of grey.ppm").write_bytes(picture(48, 40, 1))
    (folder / "photos/small.ppm").write_bytes(picture(16, 16, 2))
    for added, name in enumerate(("one", "two")):
        for number in range(3):
            (folder / f"pictures/{name}/{number}.ppm").write_bytes(picture(64, 48, 5 + number, 8 * added))
    save_tar(folder / "shards/photos.tar")
    for path in folder.rglob("*"):
        if path.is_file():
            os.utime(path, ns=(MOMENT, MOMENT))


def fill_cache(folder):
    """Write files that metrics of pyiqa load by default, with plain numbers."""
    parameters = {"mu_prisparam": np.full((1, 36), 2.0), "cov_prisparam": np.eye(36)}
    scipy.io.savemat(folder / "niqe_modelparameters.mat", parameters)
    shapes = {"conv1": (50, 3, 7, 7), "fc1": (800, 100), "fc2": (800, 800), "fc3": (1, 800)}
    numbers = {f"{name}.weight": torch.full(shape, 0.01) for name, shape in shapes.items()}
    numbers |= {f"{name}.bias": torch.full(shape[:1], 0.01) for name, shape in shapes.items()}
    torch.save({"params": numbers}, folder / "CNNIQA_koniq10k-e6f14c91.pth")


def picture(width, height, step, added=0):
    """Return a PPM file of stripes."""
    pixels = bytes((step * number + added * (number % 7)) % 256 for number in range(3 * width * height))
    return b"P6 %d %d 255\n" % (width, height) + pixels


def save_tar(path):
    """Write a tar archive of the bundled photos, each with a caption."""
    with tarfile.open(path, "w") as archive:
        for photo in sorted(BUNDLED.glob("*.jpg")):
            caption = b'{"caption": "%s"}' % photo.stem.encode()
            for name, content in ((photo.name, photo.read_bytes()), (f"{photo.stem}.json", caption)):
                member = tarfile.TarInfo(name)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))


def command(line):
    """Run a line of ``clipiqa``."""
    with mock.patch.object(sys, "argv", ["clipiqa", *shlex.split(line)]), suppress(SystemExit):
        runpy.run_module("clipiqa_pyiqa", run_name="__main__")


def freeze(folder):
    """Make the files that the second edition lacks, in a folder of the inputs."""
    (folder / "interrupted").mkdir()
    for name, line in COMMANDS.items():
        if not (SECOND / name).exists():
            command(f"{line} --out {name} --device cpu -q")
            copy_results(folder, SECOND, name)
            if name == "compare":
                move_images(SECOND / "compare/scores/mine.parquet", "/frozen")
    if not (SECOND / "named.csv").exists():
        from pyiqa.utils import download_util

        fill_cache(folder)
        download_util.DEFAULT_CACHE_DIR = str(folder)
        command(f"{NAMED} --out named.csv --device cpu -q")
        copy_results(folder, SECOND, "named.csv")
    for name in INTERRUPTED:
        if not (SECOND / f"interrupted/{name}.part.jsonl").exists():
            if name == "added.csv":
                command(f"{BEFORE} --out interrupted/{name} --device cpu -q")
            interrupt(name)
            copy_results(folder, SECOND, f"interrupted/{name}")


def copy_results(source, target, name):
    """Copy a result file with what lies beside it (provenance, journal), or the scores in a folder of results."""
    files = [Path(name, file) for file in SCORES_OF_FOLDERS.get(name, ())]
    if not files:
        files = [file.relative_to(source) for file in source.glob(f"{name}*")]
    for file in files:
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source / file, target / file)


def move_images(file, folder):
    """Let the rows of a Parquet file name images in another folder: ``compare`` records absolute paths."""
    rows = parquet.read_table(file)
    paths = rows["path"].to_pylist()
    before = os.path.commonpath(paths)
    moved = pyarrow.array([path.replace(before, str(folder), 1) for path in paths])
    rows = rows.set_column(rows.schema.get_field_index("path"), rows.schema.field("path"), moved)
    metadata = parquet.read_metadata(file).metadata
    rows = rows.replace_schema_metadata({key: metadata[key] for key in metadata if key != b"ARROW:schema"})
    parquet.write_table(rows, file, write_page_checksum=True)


def interrupt(name):
    """End the run of a file after two rows."""
    from clipiqa_pyiqa import score_paths

    words = shlex.split(COMMANDS_OF_INTERRUPTED[name])
    cut = words.index("-m")
    with score_paths(words[cut + 1 :], words[1:cut], out=f"interrupted/{name}", resume=True, device="cpu") as run:
        for _ in range(2):
            next(run)


LEARNED = FROZEN / "learned"
"""Learned prompts, heads, and their scores in float64 of the three images that ``images.png`` holds."""
FITS = {
    "affine.safetensors": "--method affine",
    "affine-stages.safetensors": "--method affine --fit-on stages --own-scale --lower-better",
    "ridge.safetensors": "--method ridge --own-scale",
    "ridge-stages.safetensors": "--method ridge --fit-on stages",
}
"""Head -> options of the ``clipiqa fit`` that made it."""
SIDE = 96


def learned_images():
    """Return the images as a batch ``(N, 3, 96, 96)`` in float64."""
    pixels = torch.from_numpy(np.array(Image.open(LEARNED / "images.png")))
    return pixels.unflatten(0, (-1, SIDE)).permute(0, 3, 1, 2).double() / 255


def freeze_learned(folder):
    """Make the files of :data:`LEARNED` in a folder: three cuttings, prompts after two epochs, heads."""
    from clipiqa_pyiqa import CLIPIQA, save_prompt_file

    LEARNED.mkdir()
    cuttings = [Image.open(photo).convert("RGB").crop((0, 0, SIDE, SIDE)) for photo in sorted(BUNDLED.glob("*.jpg"))]
    cuttings.append(cuttings[0].filter(ImageFilter.GaussianBlur(2)))
    Image.fromarray(np.concatenate([np.asarray(each) for each in cuttings])).save(LEARNED / "images.png")
    (folder / "rated").mkdir()
    rated = distorted_photos(folder / "rated", PHOTOS, (64, 48), parts=2)
    rows = [f"{path},{1 + 4 * number / len(rated)}" for number, path in enumerate(rated)]
    (folder / "rated.csv").write_text("\n".join(["path,mos", *rows]))
    common = "rated.csv --backbone mini --range 1 5 --device cpu -q --features features --out"
    command(f"train {common} run --epochs 2 --batch-size 8")
    shutil.copyfile(folder / "run/last.safetensors", LEARNED / "prompts.safetensors")
    learned = CLIPIQA("clipiqa+", pretrained_model_path=LEARNED / "prompts.safetensors")
    save_prompt_file(learned.prompt_learner, LEARNED / "prompts.pth")
    for name, options in FITS.items():
        command(f"fit {common} {LEARNED / name} {options}")
    columns = {}
    for file in sorted((*LEARNED.glob("*.safetensors"), *LEARNED.glob("*.pth"))):
        metric = CLIPIQA("clipiqa+", backbone="mini", pretrained_model_path=file).eval()
        columns[file.name] = metric(learned_images())[:, 0].tolist()
    pandas.DataFrame(columns).to_csv(LEARNED / "scores.csv", index=False)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary, chdir(temporary):
        make_inputs(Path(temporary))
        freeze(Path(temporary))
        if not LEARNED.exists():
            freeze_learned(Path(temporary))
