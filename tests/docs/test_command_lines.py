"""Every line of ``clipiqa`` in the README and in docs/ runs as it stands, or the page says why it is not run.

The lines of a block run one after the other, in a folder that holds what the pages speak of (``photos/``, ``gt/``,
``scores.csv``, …), offline, with seeded stand-ins for CLIP's weights. A comment before a block excuses lines:
``<!-- not run: REASON -->`` all of them, ``<!-- not run with WORD, WORD: REASON -->`` those that contain a word.
"""

import re
import shlex
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas
import pytest
from PIL import Image
from shard_makers import save_tar

from clipiqa_pyiqa.workbench.commands import main

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "docs/examples/README.md"]
FENCE = re.compile(
    r"^(?:<!-- not run(?: with (?P<words>[^:]+))?: (?P<why>.+?) -->\n+)?```(?P<language>[a-z]*) *\n(?P<code>.*?)^```",
    re.M | re.S,
)
COMMAND = re.compile(r"^(?:\w+=\S+ )*clipiqa ", re.M)


class Block(NamedTuple):
    page: str
    lines: list[str]
    excusing_words: list[str]
    reason: str

    def is_run(self, line):
        if not self.reason:
            return True
        return bool(self.excusing_words) and not any(word in line for word in self.excusing_words)


def blocks():
    """Return the blocks of commands of all pages."""
    found = []
    for page in PAGES:
        for match in FENCE.finditer(page.read_text(encoding="utf-8")):
            lines = [line for line in match["code"].replace("\\\n", " ").splitlines() if COMMAND.match(line)]
            words = (match["words"] or "").split(", ") if match["words"] else []
            if lines and match["language"] in ("", "sh", "bash"):
                found.append(Block(page.relative_to(ROOT).as_posix(), lines, words, match["why"] or ""))
    return found


RESULTS = ("gt", "out/bic", "out/bicubic", "out/ours", "out/hat", "release-1", "release-2")
BLOCKS = blocks()
RUN = [block for block in BLOCKS if any(map(block.is_run, block.lines))]


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """What the pages speak of: rated photos, results of methods, two releases, scores of two runs, a list of shards."""
    folder = tmp_path_factory.mktemp("world")
    pixels = np.random.default_rng(0)
    photos = [f"photos/{number:02d}.jpg" for number in range(16)]
    pictures = {
        "photo.jpg a.jpg b.jpg out/x_bm3d.png out/x_ours.png out/y_bm3d.png out/y_ours.png": (96, 80),
        " ".join(photos): (64, 64),
        " ".join(f"{place}/{name}.png" for place in RESULTS for name in "abc"): (64, 64),
    }
    for names, (width, height) in pictures.items():
        for number, name in enumerate(names.split()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = pixels.normal(128, 5 + 5 * number, (height, width, 3))
            Image.fromarray(noise.clip(0, 255).astype(np.uint8)).save(path)
    for number, name in enumerate(("a.jpg", "b.jpg")):
        save_tar(
            folder / f"shards/{number:03d}.tar",
            {name: (folder / name).read_bytes(), f"{name[0]}.json": b'{"caption": "a bird"}'},
        )
    opinions = [1 + number % 5 for number in range(16)]
    splits = ["train"] * 10 + ["val"] * 3 + ["test"] * 3
    pandas.DataFrame({"image": photos, "mos": opinions, "split": splits}).to_csv(folder / "scores.csv", index=False)
    everything = {"image": photos, "mos": opinions, "niqe": range(16), "judge": opinions[::-1]}
    pandas.DataFrame(everything).to_csv(folder / "all.csv", index=False)
    for name in ("base", "new"):
        scores = pandas.DataFrame({"path": photos, "quality": np.linspace(0.2, 0.8, 16)})
        scores.to_csv(folder / f"{name}.csv", index=False)
        scores.to_parquet(folder / f"{name}.parquet")
    (folder / "table.yml").write_text("methods: [ours=out/ours, hat=out/hat]\nreference: gt\nmetrics: [psnr, piqe]\n")
    for name in ("tests", "configs", "docs"):
        (folder / name).symlink_to(ROOT / name)
    return folder


@pytest.fixture
def folder(world, tmp_path, seeded_weights, monkeypatch):
    """A copy of the world in which commands run, offline."""
    monkeypatch.chdir(shutil.copytree(world, tmp_path / "world", symlinks=True))
    monkeypatch.setenv("CLIPIQA_WEIGHTS_DIR", str(seeded_weights("RN50").parent))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    return Path.cwd()


def words_of(line):
    """Return the words of a line without the program, comment and redirection."""
    words = shlex.split(line, comments=True)[1:]
    return words[: words.index(">")] if ">" in words else words


def scores_of(words):
    """Return the file that ``score`` is to write, if there is one."""
    return words[words.index("--out") + 1] if words[0] == "score" and "--out" in words else None


@pytest.mark.parametrize("block", RUN, ids=lambda block: f"{block.page}:{block.lines[0][:60]}")
def test_lines_run_as_they_stand(block, folder):
    lines = [words_of(line) for line in block.lines if block.is_run(line)]
    for file in filter(None, map(scores_of, lines)):
        (folder / file).unlink(missing_ok=True)  # a page may call opinions and scores alike
    for words in lines:
        assert main(words) == 0, shlex.join(words)


def test_a_word_that_excuses_lines_stands_in_one():
    for block in BLOCKS:
        for word in block.excusing_words:
            assert any(word in line for line in block.lines), (block.page, word)
    assert sum(block.is_run(line) for block in BLOCKS for line in block.lines) > 30
