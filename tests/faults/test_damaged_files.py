"""Damaged files of every kind that is read: each is read, or refused in one sentence of ours; what has our checksum is
never read otherwise than it was written.

``pytest tests/faults --long -s`` runs twenty times the trials and prints what they came to.
"""

from __future__ import annotations

import io
import random
import traceback
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from shard_makers import picture, samples, save_parquet, save_tar
from time_limit import time_limit
from weights_fakes import save_archive

from clipiqa_pyiqa.datasets.score_table import read_score_table
from clipiqa_pyiqa.datasets.votes import read_votes
from clipiqa_pyiqa.errors import CLIPIQAError, ImageError
from clipiqa_pyiqa.images.formats import image_suffixes, readable_formats
from clipiqa_pyiqa.images.memory import limit_memory
from clipiqa_pyiqa.images.reader import read_image
from clipiqa_pyiqa.learning.fitting import fit
from clipiqa_pyiqa.learning.words import read_words
from clipiqa_pyiqa.metric import CLIPIQA
from clipiqa_pyiqa.scoring.score_files import read_any_scores
from clipiqa_pyiqa.scoring.shards.results import read_shard_result, read_table
from clipiqa_pyiqa.scoring.shards.run import score_sources
from clipiqa_pyiqa.sources.finding import find_shards
from clipiqa_pyiqa.weights.checkpoint import open_checkpoint
from clipiqa_pyiqa.weights.published import MINI_FILE

TOKENS = (b"\0", b"\xff\xfe", b"nan", b"1e999", b'"', b"\r", b"\n\n", "\u202e".encode(), b"9" * 400, b",", b"{}")


def mutated(content: bytes, generator: random.Random) -> bytes:
    """Bytes of it replaced, zeroed, lost, doubled or put in; or lines lost, doubled or exchanged."""
    at = generator.randrange(len(content))
    end = min(len(content), at + generator.choice((1, 1, 4, 16, 64)))
    kind = generator.choice(("random", "bit", "zero", "cut", "lost", "doubled", "token", "lines"))
    if kind == "lines" and content.count(b"\n") > 1:
        lines = content.splitlines(keepends=True)
        one, other = generator.randrange(len(lines)), generator.randrange(len(lines))
        new = generator.choice(([lines[one]] * 2, [], [lines[other]]))
        return b"".join([*lines[:one], *new, *lines[one + 1 :]])
    middle = {
        **{"random": generator.randbytes(end - at), "zero": bytes(end - at), "lost": b"", "cut": b""},
        **{"bit": bytes([content[at] ^ 1 << generator.randrange(8)]) + content[at + 1 : end]},
        **{"doubled": content[at:end] * 2, "token": generator.choice(TOKENS), "lines": b"\n"},
    }[kind]
    return content[:at] + middle + (b"" if kind == "cut" else content[end:])


def came_to(read: Callable[[], object], path: Path) -> tuple[str, object]:
    """``'read'`` and what was read; ``'refused'``; or what is wrong with the error."""
    try:
        with time_limit(60), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return "read", read()
    except CLIPIQAError as error:
        one_sentence = str(error).count("\n") < 2 and len(str(error)) < 3000
        return ("refused" if one_sentence else f"its length: {str(error)[:300]}"), None
    except Exception as error:
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {Path(frame.filename).name}:{frame.lineno}: {str(error)[:150]}", None


def trials(path: Path, read: Callable[[Path], object], count: int, whole: object = None) -> Counter[str]:
    """Damage the file ``count`` times; fails on errors that are not ours, or, with ``whole``, on anything else read."""
    content, outcomes = path.read_bytes(), Counter[str]()

    @settings(max_examples=count, deadline=None, database=None)
    @given(st.randoms(use_true_random=False))
    def damage(generator: random.Random) -> None:
        path.write_bytes(mutated(content, generator))
        said, found = came_to(lambda: read(path), path)
        outcomes[said] += 1
        assert said == "refused" or (said == "read" and (whole is None or found == whole)), path.read_bytes()[:80]

    damage()
    path.write_bytes(content)
    print(f"\n{path.name}: {dict(outcomes)}")
    return outcomes


def table(path: Path) -> Path:
    rows = "".join(f"{n}.png,{n / 7},{'train' if n % 3 else 'val'}\n" for n in range(12))
    path.write_text(f"image,mos,split\n{rows}")
    return path


def votes(path: Path) -> Path:
    path.write_text("attribute,first,second,choice\n" + "quality,0.png,1.png,first\nsharpness,1.png,2.png,tie\n" * 3)
    return path


def scores(path: Path) -> Path:
    frame = pd.DataFrame({"path": [f"{n}.png" for n in range(9)], "quality": [n / 9 for n in range(9)], "n": range(9)})
    {
        ".csv": lambda: frame.to_csv(path, index=False),
        ".jsonl": lambda: frame.to_json(path, orient="records", lines=True),
        ".parquet": lambda: frame.to_parquet(path),
    }[path.suffix]()
    return path


def words(path: Path) -> Path:
    path.write_text("# words\nGood photo.|Bad photo.\nCrisp photo.|Hazy photo.\n")
    return path


def tar(path: Path) -> Path:
    return save_tar(path, samples([10, 20, 30]))


def packed(path: Path) -> Path:
    return save_tar(path, samples([10, 20, 30]), "w:gz")


def parquet(path: Path) -> Path:
    return save_parquet(path, {"image": [picture(grey) for grey in (10, 20, 30)], "caption": ["a", "b", "c"]})


def entries(path: Path) -> list[int]:
    """What the pictures of a shard come to; those that cannot be read are named one by one."""
    found = []
    for shard in find_shards(str(path)).items:
        for entry in shard.entries():  # type: ignore[union-attr]
            try:
                found.append(int(read_image(entry, min_side=1).pixels.sum()))
            except ImageError:
                found.append(-1)
    return found


FOREIGN: dict[str, tuple[Callable[[Path], Path], Callable[[Path], object]]] = {
    "opinions.csv": (table, lambda path: read_score_table(path, root=path.parent, skip_missing=True)),
    "votes.csv": (votes, lambda path: read_votes(path, root=path.parent, skip_missing=True)),
    "scores.csv": (scores, read_any_scores),
    "scores.jsonl": (scores, read_any_scores),
    "scores.parquet": (scores, read_any_scores),
    "pairs.txt": (words, read_words),
    "shard.tar": (tar, entries),
    "shard.tar.gz": (packed, entries),
    "shard.parquet": (parquet, entries),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_damaged_files_of_others_are_read_or_refused(tmp_path: Path, name: str, times: int) -> None:
    make, read = FOREIGN[name]
    for n in range(12):
        Image.new("RGB", (40, 40), (9 * n,) * 3).save(tmp_path / f"{n}.png")
    path = make(tmp_path / name)
    assert came_to(lambda: read(path), path)[0] == "read"
    trials(path, read, 60 * times)


def shard_results(path: Path) -> Path:
    """The rows of a shard as ``score`` with a folder writes them."""
    folder = path.parent / "scored"
    save_tar(path.parent / "0.tar", samples([10, 20, 30, 40]))
    score_sources(CLIPIQA(backbone="mini"), str(path.parent / "0.tar"), out=folder, device="cpu")
    (written,) = folder.rglob("*.parquet")
    path.write_bytes(written.read_bytes())
    return path


def test_damaged_results_of_shards_are_refused(tmp_path: Path, times: int) -> None:
    path = shard_results(tmp_path / "0.parquet")

    def read(path: Path) -> object:
        said = read_shard_result(str(path))
        return said.failures, said.header, said.shard, read_table(str(path)).to_pydict()

    assert trials(path, read, 60 * times, whole=read(path))["refused"]


def head_file(path: Path) -> Path:
    table(path.parent / "scores.csv")
    for n in range(12):
        Image.effect_noise((40, 40), 9 + 8 * n).convert("RGB").save(path.parent / f"{n}.png")
    options = {"method": "ridge", "device": "cpu", "features": path.parent / "store"}
    fit(path.parent / "scores.csv", metric=CLIPIQA(backbone="mini"), **options).save(path)  # type: ignore[arg-type]
    return path


def test_damaged_heads_are_refused(tmp_path: Path, times: int) -> None:
    path, x = head_file(tmp_path / "head.safetensors"), torch.rand(1, 3, 40, 40)

    def read(path: Path) -> object:
        return CLIPIQA("clipiqa+", pretrained_model_path=str(path), backbone="mini")(x).tolist()

    assert trials(path, read, 8 * times, whole=read(path))["refused"]


def test_damaged_weights_are_refused(tmp_path: Path, times: int) -> None:
    """A TorchScript archive and a state dict of torch's, whose members have a CRC; mini's file by its hash."""
    generator = torch.Generator().manual_seed(0)
    state = {f"visual.layer{n}.weight": torch.randn(6, 5, generator=generator).half() for n in range(8)}
    archive, plain = save_archive(tmp_path / "RN50.pt", state), tmp_path / "plain.pt"
    torch.save(state, plain)

    def read(path: Path) -> object:
        opened = open_checkpoint(path)
        return {key: (value.dtype, tuple(value.shape), value.numpy().tobytes()) for key, value in opened.items()}

    for path in (archive, plain):
        outcomes = trials(path, read, 15 * times, whole=read(path))
        assert outcomes["refused"]
    copy = tmp_path / "mini.safetensors"
    copy.write_bytes(MINI_FILE.read_bytes())
    trials(copy, lambda path: CLIPIQA(backbone="mini", clip_weights=str(path)) and None, 3 * times)


def encoded_pictures() -> dict[str, bytes]:
    """A small picture in every format that PIL here can write and we read."""
    Image.init()
    source = Image.effect_noise((64, 48), 60).convert("RGB").resize((56, 44))
    found: dict[str, bytes] = {}
    for kind in sorted(set(readable_formats()) & set(Image.SAVE)):
        for mode in ("RGB", "L", "RGBA", "P", "CMYK", "1", "I;16"):
            file = io.BytesIO()
            try:
                source.convert("L" if mode == "I;16" else mode).convert(mode).save(file, kind)
                Image.open(io.BytesIO(file.getvalue())).load()
            except Exception:  # a mode that the format has not
                continue
            found[f"{kind} {mode}"] = file.getvalue()
    for name, options in {"progressive": {"progressive": True}, "restart": {"restart_marker_blocks": 2}}.items():
        file = io.BytesIO()
        source.save(file, "JPEG", **options)
        found[f"JPEG {name}"] = file.getvalue()
    return found


def test_mutated_images_are_read_or_refused(tmp_path: Path, times: int) -> None:
    """Every format: a picture of sane size or a sentence, within bounds of memory; and never a crash."""
    limit_memory(200_000_000)
    outcomes: dict[str, Counter[str]] = {}
    path, pictures = tmp_path / "image", encoded_pictures()
    assert len({name.split()[0] for name in pictures}) > 8 and image_suffixes()

    def read() -> None:
        record = read_image(path, min_side=1)
        assert record.pixels.dtype == torch.uint8 and record.pixels.shape[0] == 3

    @settings(max_examples=2 * len(pictures) * times, deadline=None, database=None)
    @given(st.sampled_from(list(pictures)), st.randoms(use_true_random=False))
    def damage(name: str, generator: random.Random) -> None:
        bad = pictures[name]
        for _ in range(generator.choice((1, 1, 2, 5))):
            bad = mutated(bad or b"x", generator)
        path.write_bytes(bad)
        said, _ = came_to(read, path)
        outcomes.setdefault(name.split()[0], Counter())[said] += 1
        assert said in ("read", "refused"), bad[:60]

    try:
        damage()
    finally:
        limit_memory(None)
    total = sum(outcomes.values(), Counter())
    print(f"\nmutated images of {len(pictures)} kinds: {dict(total)}; { ({k: dict(v) for k, v in outcomes.items()}) }")
