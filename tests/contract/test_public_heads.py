"""Damaged files of every kind that is read: each is read, or refused in one sentence of ours; what has our checksum is
never read otherwise than it was written.

``pytest tests/faults --long`` runs twenty times the trials.
"""

import warnings

import pandas as pd
import pytest
import torch
from assertions import time_limit
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from inputs import make_world
from shard_makers import picture, samples, save_parquet, save_tar
from torch.utils._pytree import tree_map_only

from clipiqa_pyiqa import CLIPIQA, CLIPIQAError, fit

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


def test_damaged_heads_are_refused(folder, metric, times):
    path = folder / "head.safetensors"
    x = torch.rand(1, 3, 40, 40)
    fit(folder / "scores.csv", metric=metric, method="affine", device="cpu", features=folder / "store").save(path)

    def read(path):
        return CLIPIQA("clipiqa+", pretrained_model_path=str(path), backbone="mini")(x)

    check_that_damage_is_refused(path, read, 8 * times)
