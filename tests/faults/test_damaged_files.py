"""Damaged files of every kind that is read: each is read, or refused in one sentence of ours; what has our checksum is
never read otherwise than it was written.

``pytest tests/faults --long`` runs twenty times the trials.
"""

import contextlib
import io
import warnings

import pandas as pd
import pytest
import torch
from assertions import time_limit
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from inputs import make_world
from PIL import Image
from shard_makers import picture, samples, save_parquet, save_tar
from tensors import normal
from torch.utils._pytree import tree_map_only
from weights_fakes import save_archive

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, ImageError
from clipiqa_pyiqa.weights.checkpoint import open_checkpoint
from clipiqa_pyiqa.weights.published import MINI_FILE
from clipiqa_pyiqa.workbench.experiments.votes import read_votes
from clipiqa_pyiqa.workbench.images.formats import readable_formats
from clipiqa_pyiqa.workbench.images.image import File
from clipiqa_pyiqa.workbench.images.memory_limit import limit_memory
from clipiqa_pyiqa.workbench.opinions.score_table import read_score_table
from clipiqa_pyiqa.workbench.options import AnySize
from clipiqa_pyiqa.workbench.results.score_files import read_scores
from clipiqa_pyiqa.workbench.sources.finding import find_sources

TOKENS = (b"\0", b"\xff\xfe", b"nan", b"1e999", b'"', b"\r", b"\n\n", "\u202e".encode(), b"9" * 400, b",", b"{}")


def budget(count):
    """A fixed number of the same trials each time."""
    return settings(max_examples=count, deadline=None, database=None, derandomize=True, phases=[Phase.generate])


def mutated(content, generator):
    """Bytes of it replaced, zeroed, lost, doubled, put in or cut off; or lines lost, doubled or exchanged."""
    lines = content.splitlines(keepends=True)
    if len(lines) > 2 and generator.random() < 0.2:
        one, other = generator.sample(range(len(lines)), 2)
        lines[one] = generator.choice((lines[one] * 2, b"", lines[other]))
        return b"".join(lines)
    at = generator.randrange(len(content))
    lost = content[at : at + generator.choice((1, 1, 4, 16, 64))]
    new = generator.choice((generator.randbytes(len(lost)), bytes(len(lost)), b"", lost * 2, generator.choice(TOKENS)))
    return content[:at] + new + generator.choice((content[at + len(lost) :], content[at + len(lost) :], b""))


REFUSED = "refused"


def outcome(read, path):
    """What was read, tensors as lists, or ``REFUSED``; fails unless the refusal is one sentence of ours."""
    try:
        with time_limit(60), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return tree_map_only(torch.Tensor, lambda tensor: (tensor.dtype, tensor.tolist()), read(path))
    except CLIPIQAError as error:
        assert str(error).count("\n") < 2 and len(str(error)) < 3000
        return REFUSED


def damaged(path, read, count):
    """The outcomes of reading the file with ``count`` damages; the file is whole again in the end."""
    content = path.read_bytes()
    found = []

    @budget(count)
    @given(st.randoms(use_true_random=False))
    def damage(generator):
        path.write_bytes(mutated(content, generator))
        found.append(outcome(read, path))

    damage()
    path.write_bytes(content)
    return found


def check_that_damage_is_refused(path, read, count):
    """What was written is all that is ever read."""
    whole = outcome(read, path)
    found = damaged(path, read, count)
    assert REFUSED in found and all(each in (REFUSED, whole) for each in found)


@pytest.fixture
def folder(tmp_path):
    """A folder with one file of every kind that others make."""
    make_world(tmp_path)
    scores = pd.read_csv(tmp_path / "base.csv")
    scores.to_json(tmp_path / "base.jsonl", orient="records", lines=True)
    scores.to_parquet(tmp_path / "base.parquet")
    save_tar(tmp_path / "shard.tar", samples([10, 20, 30]))
    save_tar(tmp_path / "shard.tar.gz", samples([10, 20, 30]), "w:gz")
    save_parquet(tmp_path / "shard.parquet", {"image": [picture(grey) for grey in (10, 20, 30)]})
    return tmp_path


def read_shards(path):
    """Pictures that cannot be read are named one by one."""
    for shard in find_sources(str(path)).sources:
        for entry in shard.entries():
            with contextlib.suppress(ImageError):
                entry.load(AnySize())


READERS = {
    "scores.csv": lambda path: read_score_table(path, root=path.parent, skip_missing=True, needed=("train",)),
    "votes.csv": lambda path: read_votes(path, root=path.parent),
    "base.csv": read_scores,
    "base.jsonl": read_scores,
    "base.parquet": read_scores,
    "shard.tar": read_shards,
    "shard.tar.gz": read_shards,
    "shard.parquet": read_shards,
}


@pytest.mark.slow
def test_damaged_files_of_others_are_read_or_refused(folder, times):
    for name in READERS:
        assert outcome(READERS[name], folder / name) != REFUSED
        damaged(folder / name, READERS[name], 60 * times)


def test_damaged_weights_are_refused(tmp_path, times):
    """A TorchScript archive and a state dict of torch's, whose members have a CRC; mini's file by its hash."""
    state = {f"visual.layer{n}.weight": normal(6, 5, seed=n).half() for n in range(8)}
    torch.save(state, tmp_path / "plain.pt")
    for path in (save_archive(tmp_path / "RN50.pt", state), tmp_path / "plain.pt"):
        check_that_damage_is_refused(path, lambda path: dict(open_checkpoint(path)), 15 * times)
    copy = tmp_path / "mini.safetensors"
    copy.write_bytes(MINI_FILE.read_bytes())
    damaged(copy, lambda path: CLIPIQA(backbone="mini", clip_weights=str(path)) and None, 3 * times)


def encoded_pictures():
    """A small picture in every format that PIL here can write and we read."""
    Image.init()
    source = Image.effect_noise((56, 44), 60)
    found = {}
    for kind in sorted(set(readable_formats()) & set(Image.SAVE)):
        for mode in ("RGB", "L", "RGBA", "P", "CMYK", "1", "I;16"):
            file = io.BytesIO()
            with contextlib.suppress(OSError, ValueError, KeyError):  # a mode that the format has not
                source.convert(mode).save(file, kind, progressive=mode == "L")
                Image.open(io.BytesIO(file.getvalue())).load()
                found[f"{kind} {mode}"] = file.getvalue()
    return found


def test_mutated_images_are_read_or_refused(tmp_path, times):
    """Every format: a picture of sane size or a sentence, within bounds of memory; and never a crash."""
    path = tmp_path / "image"
    pictures = encoded_pictures()
    assert len({name.split()[0] for name in pictures}) >= 8

    def read(path):
        record = File(path).load(AnySize())
        assert record.pixels.dtype == torch.uint8 and record.pixels.shape[0] == 3

    @budget(2 * len(pictures) * times)
    @given(st.sampled_from(list(pictures)), st.randoms(use_true_random=False), st.sampled_from([1, 1, 2, 5]))
    def damage(name, generator, changes):
        bad = pictures[name]
        for _ in range(changes):
            bad = mutated(bad or b"x", generator)
        path.write_bytes(bad)
        outcome(read, path)

    limit_memory(200_000_000)
    try:
        damage()
    finally:
        limit_memory(None)
