"""The gallery: every kind of picture that the package makes, each with the command that made it here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageFilter

import clipiqa_pyiqa

PHOTOS = Path(clipiqa_pyiqa.__file__).parent / "data/photos"


class Picture(NamedTuple):
    title: str
    command: str
    """What a user types after ``clipiqa``, in a folder with the bundled photos and blurred copies of them."""
    files: tuple[str, ...]
    says: str


GALLERY = (
    Picture(
        "The demonstration",
        "demo --out demo.png",
        ("demo.png",),
        "Bundled photos, degraded in four ways, with mini's scores.",
    ),
    Picture(
        "Look and feel",
        "radar photos/*.jpg --backbone mini --out radar",
        ("radar/radar.png",),
        "The paper's Fig. 1.",
    ),
    Picture(
        "Attributes changed in steps",
        "sweep photos --backbone mini --max-side 192 --scales 1 --out sweep",
        ("sweep/sweep.png",),
        "The paper's Fig. 4: whether each score follows its own change.",
    ),
    Picture(
        "The best and the worst",
        "rank photos blurred --backbone mini --prompts sharpness --out rank",
        ("rank/rank*.png",),
        "The paper's Fig. 3 and 6: photos at both ends of a question.",
    ),
    Picture(
        "Where in the photo",
        "map photos/oakland-zoo-otters.jpg --backbone mini --prompts sharpness --out map",
        ("map/*.png",),
        "The score of each place, laid over the photo.",
    ),
)


INTRODUCTION = (
    "Every picture that the package makes, with the command that made it: on the three bundled photos (`photos/`, CC0) "
    "and copies of them blurred by 1.5 px (`blurred/`), asked of [mini](mini.md)."
)
DRAWN = (  # title, script in docs/images, what the picture shows, text
    (
        "Forms of the loss",
        "loss_gradients",
        "Loss and gradient by score",
        "[What the loss does](loss.md) at every score.",
    ),
    ("Photo, map and radar", "first_page", "A photo, its map and radar", "The picture of the [first page](index.md)."),
)


def build(source: Path) -> None:
    """Run the commands, write ``gallery.md`` with their pictures, and show these on ``index.md``."""
    lines = [f"# Gallery\n\n{INTRODUCTION}\n"]
    shown = ["\n## What it draws\n\n[Every picture with its command](gallery.md).\n\n````{container} pictures"]
    (source / "gallery").mkdir()
    with tempfile.TemporaryDirectory() as folder:
        room = Path(folder)
        shutil.copytree(PHOTOS, room / "photos")
        (room / "blurred").mkdir()
        for path in (room / "photos").glob("*.jpg"):
            Image.open(path).filter(ImageFilter.GaussianBlur(1.5)).save(room / "blurred" / path.name, quality=95)
        for picture in GALLERY:
            run(picture.command, room)
            found = [path for pattern in picture.files for path in sorted(room.glob(pattern))]
            if not found:
                raise FileNotFoundError(f"`clipiqa {picture.command}` made no {' or '.join(picture.files)}")
            lines.append(f"## {picture.title}\n\n{picture.says}\n\n```sh\nclipiqa {picture.command}\n```\n")
            for path in found:
                name = f"{picture.command.split()[0]}-{path.name}"
                shutil.copy(path, source / "gallery" / name)
                lines.append(f"![{picture.title}](gallery/{name})\n")
                options = f":alt: {picture.title}\n:target: gallery.html"
                shown.append(f"```{{image}} gallery/{name}\n{options}\n```\n")
    for title, script, alt, says in DRAWN:
        lines.append(
            f"## {title}\n\n{says}\n\n```sh\npython docs/images/{script}.py\n```\n\n![{alt}](images/{script}.png)\n"
        )
    (source / "gallery.md").write_text("\n".join(lines), encoding="utf-8")
    with open(source / "index.md", "a", encoding="utf-8") as index:
        index.write("\n".join([*shown, "````\n"]))


def run(command: str, room: Path) -> None:
    """Run one of the package's commands in a folder."""
    path = os.pathsep.join(filter(None, (str(Path(clipiqa_pyiqa.__file__).parents[1]), os.environ.get("PYTHONPATH"))))
    said = subprocess.run(
        ["bash", "-c", f'exec "$0" {command}', str(Path(sys.executable).with_name("clipiqa"))],
        cwd=room, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True,
    )  # fmt: skip
    if said.returncode:
        raise RuntimeError(f"`clipiqa {command}` failed: {said.stderr[-2000:]}")
