"""Lines of the pages that hand photos to other programs, run by bash as they stand: coreutils, rsync and exiftool."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from photos import dng, photo_like
from PIL import Image
from torchvision.transforms.functional import to_pil_image

pytestmark = pytest.mark.slow

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = f"""
set -e -o pipefail
python() {{ {shlex.quote(sys.executable)} "$@"; }}
clipiqa() {{ python -c 'import sys; from clipiqa_pyiqa.workbench.commands import main; sys.exit(main())' "$@"; }}
"""


def lines_of(page, heading):
    """The commands in the ``bash`` blocks below a heading, up to the next heading."""
    section = (DOCS / page).read_text(encoding="utf-8").split(f"# {heading}\n")[1].split("\n##")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)
    return [[line for line in block.splitlines() if not line.startswith("#")] for block in blocks]


def run(*lines):
    """Run lines of bash in the current folder; skip the test if one names a program that is not installed."""
    for program in ("exiftool", "rsync"):
        if any(program in line for line in lines) and not shutil.which(program):
            pytest.skip(f"{program} is not installed")
    script = PROGRAMS + "\n".join(lines)
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Twenty photos in two folders, and their scores, from 0 to 19 in the order of their names."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(DOCS.parent))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    names = [f"photos/{'a' if number < 10 else 'b'}/{number:02d}.jpg" for number in range(20)]
    pixels = photo_like(40, 48, 20)
    for name, image in zip(names, pixels, strict=True):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        to_pil_image(image).save(name)
    pandas.DataFrame({"path": names, "quality": range(20)}).to_csv("scores.csv", index=False)
    return names


def names_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in Path(folder).rglob("*") if path.is_file())


def test_previews_of_raw_files_are_written_beside_them(photos):
    with Image.open(photos[0]) as photo:
        Path("photos/a/raw.dng").write_bytes(dng(photo))
    (lines,) = lines_of("scoring.md", "What is scored")
    run(*lines)
    with Image.open("photos/a/raw.jpg") as preview:
        assert preview.size == (48, 40)


def test_picked_photos_are_copied_and_moved(photos):
    copy, move, *_ = lines_of("scoring.md", "With the picked photos")[0]
    run(copy)
    assert names_below("best") == ["photos/b/18.jpg", "photos/b/19.jpg"] and len(names_below("photos")) == 20
    run(move)
    assert names_below("worst") == ["00.jpg", "01.jpg", "02.jpg", "03.jpg"] and len(names_below("photos")) == 16


@pytest.mark.parametrize("number, folder", [(0, "best"), (1, "worst"), (2, "worst"), (3, "worst")])
def test_two_picked_photos_of_one_name_both_arrive(photos, number, folder):
    Path("photos/a/19.jpg").write_bytes(b"another of this name")
    pandas.DataFrame({"path": ["photos/a/19.jpg", "photos/b/19.jpg"], "quality": [1, 2]}).to_csv("scores.csv")
    contents = {Path("photos", name, "19.jpg").read_bytes() for name in "ab"}
    run(lines_of("scoring.md", "With the picked photos")[0][number].replace("20%", "100%").replace("10%", "100%"))
    assert {path.read_bytes() for path in Path(folder).rglob("19.jpg*")} == contents


def test_photos_move_with_their_raw_and_xmp_files(photos):
    for name in ("00.cr3", "00.jpg.xmp", "00.xmp", "000.jpg", "19.xmp"):
        Path("photos/a", name).write_text(name)
    run(lines_of("scoring.md", "With the picked photos")[0][2])
    assert names_below("worst") == ["00.cr3", "00.jpg", "00.jpg.xmp", "00.xmp", "01.jpg", "02.jpg", "03.jpg"]
    assert {"a/000.jpg", "a/19.xmp"} <= set(names_below("photos"))


def test_rsync_keeps_the_tree_and_takes_photos_back(photos):
    copy, *_, move, back = lines_of("scoring.md", "With the picked photos")[0]
    before = {name: os.stat(name).st_mtime_ns for name in photos}
    run(copy)
    assert names_below("best") == ["photos/b/18.jpg", "photos/b/19.jpg"]
    run(move)
    assert names_below("worst") == [f"photos/a/0{number}.jpg" for number in range(4)]
    assert len(names_below("photos")) == 16
    run(back)
    assert {name: os.stat(name).st_mtime_ns for name in photos} == before  # so that their scores hold


@pytest.mark.parametrize("number", range(5))
def test_no_photo_is_overwritten(photos, number):
    """Two photos have one name, and wherever a line writes lie files with the names of others."""
    Path("photos/a/19.jpg").write_bytes(b"another of this name")
    pandas.DataFrame({"path": [*photos, "photos/a/19.jpg"], "quality": range(21)}).to_csv("scores.csv", index=False)
    for folder in ("best", "worst", "best/photos/b", "worst/photos/a"):
        Path(folder).mkdir(parents=True, exist_ok=True)
        for name in ("00.jpg", "01.jpg", "18.jpg", "19.jpg"):
            Path(folder, name).write_bytes(b"there before")
    before = sorted(path.read_bytes() for path in Path().rglob("*.jpg"))
    line = lines_of("scoring.md", "With the picked photos")[0][number].replace("20%", "100%").replace("10%", "100%")
    subprocess.run(["bash", "-c", PROGRAMS + line])  # some say by their exit code that they leave photos where they are
    after = [path.read_bytes() for path in Path().rglob("*.jpg*")]
    assert all(after.count(content) >= before.count(content) for content in before)


def test_a_name_that_is_no_text_is_moved_with_the_others(photos):
    odd = os.fsdecode(b"photos/a/caf\xe9 \n.jpg")
    os.rename("photos/a/00.jpg", odd)
    run("clipiqa score photos/a --backbone mini --quiet --out scores.csv --overwrite")
    run(lines_of("scoring.md", "With the picked photos")[0][1].replace("20%", "100%"))
    assert not os.path.exists(odd) and len(names_below("worst")) == 10


def test_a_list_of_paths_is_moved(photos):
    """As the button of the page copies it."""
    page = (DOCS / "scoring.md").read_text(encoding="utf-8")
    line = re.search(r"`(xargs -d [^`]+)`", page)[1]
    Path("list.txt").write_text("\n".join(os.path.abspath(name) for name in photos[:3]))
    Path("worst").mkdir()
    run(line)
    assert names_below("worst") == ["00.jpg", "01.jpg", "02.jpg"]


def ratings():
    """Name -> rating of the photos that have one."""
    listed = run("exiftool -q -csv -r -if '$XMP:Rating' -XMP:Rating photos/").splitlines()[1:]
    return {Path(name).name: int(rating) for name, rating in (line.split(",") for line in listed)}


def test_ratings_are_written_from_scores(photos):
    run("exiftool -q -overwrite_original -XMP:Rating=5 photos/a/00.jpg")
    (lines,) = lines_of("scoring.md", "Ratings")
    run(*lines)
    counts = pandas.Series(ratings()).sort_index().tolist()
    assert counts == [5, 1, 2, 2, 2, 2, *[3] * 8, 4, 4, 4, 4, 5, 5]


def test_a_head_is_fitted_to_ratings_in_photos(photos):
    given = {name: 1 + number % 5 for number, name in enumerate(photos[:12])}
    run(*(f"exiftool -q -overwrite_original -XMP:Rating={rating} {name}" for name, rating in given.items()))
    inside, _ = lines_of("training.md", "From a photo program's ratings")
    assert "fitted to 12 rated photos" in run(*inside)
    assert Path("taste.safetensors").is_file()


def test_a_head_is_fitted_to_ratings_beside_photos(photos):
    given = {name: 1 + number % 5 for number, name in enumerate(photos[:12])}
    run(*(f"exiftool -q -XMP:Rating={rating} {name}.xmp" for name, rating in given.items()))
    inside, beside = lines_of("training.md", "From a photo program's ratings")
    run(*beside)
    read = pandas.read_csv("rated.csv").set_index("SourceFile")["Rating"]
    assert read.to_dict() == given
    assert "fitted to 12 rated photos" in run(inside[-1])
