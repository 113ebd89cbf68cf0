"""Lines of the pages that hand photos to other programs, run by bash as they stand: exiftool and coreutils."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas
import pytest
from photos import photo_like
from torchvision.transforms.functional import to_pil_image

DOCS = Path(__file__).parents[2] / "docs"
PROGRAMS = f"""
set -e -o pipefail
python() {{ {shlex.quote(sys.executable)} "$@"; }}
clipiqa() {{ python -c 'import sys; from clipiqa_pyiqa.cli import main; sys.exit(main())' "$@"; }}
"""


def lines_of(page, heading):
    """The lines of the ``bash`` blocks below a heading, up to the next heading."""
    section = (DOCS / page).read_text(encoding="utf-8").split(f"# {heading}\n")[1].split("\n#")[0]
    blocks = re.findall(r"^```bash\n(.*?)^```", section, re.M | re.S)
    return [block.splitlines() for block in blocks]


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
