"""Every block of Python in the README and in docs/ runs as it stands, or says in a comment before it why it is not run.

A block runs in a folder of its own that holds what the pages speak of (``photos/``, ``photo.jpg``, ``scores.csv``, …),
offline, with seeded stand-ins for CLIP's weights, in a process that is forked from one that has imported torch already.
``<!-- not run: REASON -->`` before a block excuses it. ``test_command_lines.py`` runs commands.
"""

import re
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from shard_makers import save_tar

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "docs/examples/README.md"]
FENCE = re.compile(r"^(?:<!-- not run: (?P<why>.+?) -->\n+)?```(?P<language>[a-z]*) *\n(?P<code>.*?)^```", re.M | re.S)


class Block(NamedTuple):
    page: str
    language: str
    code: str
    why_not: str


BLOCKS = [
    Block(page.relative_to(ROOT).as_posix(), match["language"], match["code"], match["why"] or "")
    for page in PAGES
    for match in FENCE.finditer(page.read_text(encoding="utf-8"))
]


def of(*languages):
    """The blocks in these languages that are not excused."""
    return [
        pytest.param(block, id=f"{block.page}:{block.code.strip().splitlines()[0][:60]}")
        for block in BLOCKS
        if block.language in languages and not block.why_not
    ]


@pytest.fixture
def folder(tmp_path):
    """What the pages speak of."""
    (tmp_path / "tests").mkdir()
    for name in ("tests/data", "configs", "docs"):
        (tmp_path / name).symlink_to(ROOT / name)  # a block may write files, which the clone must not see
    (tmp_path / "photos").mkdir()
    for source, names in (("canyon-wren", "photo a photos/1"), ("blue-periwinkle", "b photos/2")):
        with Image.open(ROOT / f"tests/data/{source}.jpg") as image:
            small = image.resize((128, 96))
        for name in names.split():
            small.save(tmp_path / f"{name}.jpg")
    for number, name in enumerate("ab"):
        samples = {f"{name}.jpg": (tmp_path / f"{name}.jpg").read_bytes(), f"{name}.json": b'{"caption": "a bird"}'}
        save_tar(tmp_path / f"shards/{number:03d}.tar", samples)
    rows = "".join(f"photos/{1 + n % 2}.jpg,{0.2 + 0.5 * (n % 2)}\n" for n in range(2))
    (tmp_path / "scores.csv").write_text(f"image,mos\n{rows}")
    save_file({"ctx": torch.zeros(1)}, tmp_path / "best.safetensors", {"model_type": "clipiqa+"})
    return tmp_path


@pytest.fixture
def variables(seeded_weights):
    return {"CLIPIQA_WEIGHTS_DIR": str(seeded_weights("RN50").parent), "HF_HUB_OFFLINE": "1", "PYTHONPATH": str(ROOT)}


def test_every_kind_of_block_is_known():
    assert {block.language for block in BLOCKS} <= {"python", "sh", "bash", "yaml", "js", "bibtex", ""}
    assert sum(block.language == "python" and not block.why_not for block in BLOCKS) > 10


@pytest.mark.parametrize("block", of("python"))
def test_python(block, folder, variables, forked):
    if "from basicsr" in block.code and find_spec("basicsr") is None:
        pytest.skip("basicsr is not installed")
    yamls = [other.code for other in BLOCKS if other.page == block.page and other.language == "yaml"]
    if yamls:
        (folder / "train.yml").write_text(yamls[0])
    done = forked.run("", folder, code=block.code, variables=variables)
    assert done.code == 0, done.out + done.err
    assert done.out.strip() or "print(" not in block.code, "the block shows nothing"
