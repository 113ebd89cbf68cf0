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
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from PIL import Image
from shard_makers import picture, samples, save_parquet, save_tar
from standin import Brightness
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


def outcome(read):
    """What was read, or ``REFUSED``; fails unless the refusal is one sentence of ours."""
    try:
        with time_limit(60), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return read()
    except CLIPIQAError as error:
        assert str(error).count("\n") < 2 and len(str(error)) < 3000
        return REFUSED


def trials(path, read, count, whole=None):
    """Damage the file ``count`` times, and return how often it is refused; with ``whole``, nothing else may be read."""
    content, refused = path.read_bytes(), 0

    @budget(count)
    @given(st.randoms(use_true_random=False))
    def damage(generator):
        nonlocal refused
        path.write_bytes(mutated(content, generator))
        found = outcome(lambda: read(path))
        refused += found == REFUSED
        assert whole is None or found in (REFUSED, whole)

    damage()
    path.write_bytes(content)
    return refused


def text(content):
    return lambda path: path.write_text(content)


def frame(write):
    found = pd.DataFrame({"path": [f"{n}.png" for n in range(9)], "quality": [n / 9 for n in range(9)], "n": range(9)})
    return lambda path: write(found, path)


OPINIONS = "image,mos,split\n" + "".join(f"{n}.png,{n / 7},{'train' if n % 3 else 'val'}\n" for n in range(12))
VOTES = "attribute,first,second,choice\n" + "quality,0.png,1.png,first\nsharpness,1.png,2.png,tie\n" * 3
PICTURES = {"image": [picture(grey) for grey in (10, 20, 30)], "caption": ["a", "b", "c"]}


def entries(path):
    """What the pictures of a shard come to; those that cannot be read are named one by one."""
    found = []
    for shard in find_shards(str(path)).items:
        for entry in shard.entries():
            try:
                found.append(int(read_image(entry, min_side=1).pixels.sum()))
            except ImageError:
                found.append(-1)
    return found


FOREIGN = {
    "opinions.csv": (text(OPINIONS), lambda path: read_score_table(path, root=path.parent, skip_missing=True)),
    "votes.csv": (text(VOTES), lambda path: read_votes(path, root=path.parent, skip_missing=True)),
    "scores.csv": (frame(pd.DataFrame.to_csv), read_any_scores),
    "scores.jsonl": (frame(lambda f, path: f.to_json(path, orient="records", lines=True)), read_any_scores),
    "scores.parquet": (frame(pd.DataFrame.to_parquet), read_any_scores),
    "pairs.txt": (text("# words\nGood photo.|Bad photo.\nCrisp photo.|Hazy photo.\n"), read_words),
    "shard.tar": (lambda path: save_tar(path, samples([10, 20, 30])), entries),
    "shard.tar.gz": (lambda path: save_tar(path, samples([10, 20, 30]), "w:gz"), entries),
    "shard.parquet": (lambda path: save_parquet(path, PICTURES), entries),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_damaged_files_of_others_are_read_or_refused(tmp_path, name, times):
    make, read = FOREIGN[name]
    for n in range(12):
        Image.new("RGB", (40, 40), (9 * n,) * 3).save(tmp_path / f"{n}.png")
    path = tmp_path / name
    make(path)
    assert outcome(lambda: read(path)) != REFUSED
    trials(path, read, 60 * times)


def test_damaged_results_of_shards_are_refused(tmp_path, times):
    save_tar(tmp_path / "0.tar", samples([10, 20, 30, 40]))
    score_sources(Brightness(), str(tmp_path / "0.tar"), out=tmp_path / "scored", device="cpu")
    path = tmp_path / "scored/0.parquet"

    def read(path):
        said = read_shard_result(str(path))
        return said.failures, said.header, said.shard, read_table(str(path)).to_pydict()

    assert trials(path, read, 60 * times, whole=read(path))


def test_damaged_heads_are_refused(tmp_path, times):
    path, x = tmp_path / "head.safetensors", torch.rand(1, 3, 40, 40)
    (tmp_path / "scores.csv").write_text(OPINIONS)
    for n in range(12):
        Image.effect_noise((40, 40), 9 + 8 * n).convert("RGB").save(tmp_path / f"{n}.png")
    metric = CLIPIQA(backbone="mini")
    fit(tmp_path / "scores.csv", metric=metric, method="ridge", device="cpu", features=tmp_path / "store").save(path)

    def read(path):
        return CLIPIQA("clipiqa+", pretrained_model_path=str(path), backbone="mini")(x).tolist()

    assert trials(path, read, 8 * times, whole=read(path))


def test_damaged_weights_are_refused(tmp_path, times):
    """A TorchScript archive and a state dict of torch's, whose members have a CRC; mini's file by its hash."""
    generator = torch.Generator().manual_seed(0)
    state = {f"visual.layer{n}.weight": torch.randn(6, 5, generator=generator).half() for n in range(8)}
    archive, plain = save_archive(tmp_path / "RN50.pt", state), tmp_path / "plain.pt"
    torch.save(state, plain)

    def read(path):
        opened = open_checkpoint(path)
        return {key: (value.dtype, tuple(value.shape), value.numpy().tobytes()) for key, value in opened.items()}

    for path in (archive, plain):
        assert trials(path, read, 15 * times, whole=read(path))
    copy = tmp_path / "mini.safetensors"
    copy.write_bytes(MINI_FILE.read_bytes())
    trials(copy, lambda path: CLIPIQA(backbone="mini", clip_weights=str(path)) and None, 3 * times)


def encoded_pictures():
    """A small picture in every format that PIL here can write and we read."""
    Image.init()
    source = Image.effect_noise((56, 44), 60)
    found = {}
    for kind in sorted(set(readable_formats()) & set(Image.SAVE)):
        for mode in ("RGB", "L", "RGBA", "P", "CMYK", "1", "I;16"):
            file = io.BytesIO()
            with contextlib.suppress(OSError, ValueError, KeyError):  # a mode that the format has not
                source.convert(mode).save(file, kind)
                Image.open(io.BytesIO(file.getvalue())).load()
                found[f"{kind} {mode}"] = file.getvalue()
    for options in ({"progressive": True}, {"restart_marker_blocks": 2}):
        source.save(file := io.BytesIO(), "JPEG", **options)
        found[f"JPEG {options}"] = file.getvalue()
    return found


def test_mutated_images_are_read_or_refused(tmp_path, times):
    """Every format: a picture of sane size or a sentence, within bounds of memory; and never a crash."""
    path, pictures = tmp_path / "image", encoded_pictures()
    assert len({name.split()[0] for name in pictures}) > 8 and image_suffixes()

    def read():
        record = read_image(path, min_side=1)
        assert record.pixels.dtype == torch.uint8 and record.pixels.shape[0] == 3

    @budget(2 * len(pictures) * times)
    @given(st.sampled_from(list(pictures)), st.randoms(use_true_random=False), st.sampled_from([1, 1, 2, 5]))
    def damage(name, generator, changes):
        bad = pictures[name]
        for _ in range(changes):
            bad = mutated(bad or b"x", generator)
        path.write_bytes(bad)
        outcome(read)

    limit_memory(200_000_000)
    try:
        damage()
    finally:
        limit_memory(None)
