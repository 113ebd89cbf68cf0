"""Shards for tests: tar archives and Parquet files of grey images, whose brightness is known, whole and damaged."""

import io
import json
import tarfile
from pathlib import Path

import pyarrow
from PIL import Image
from plain_metrics import Bright
from pyarrow import parquet

from clipiqa_pyiqa import score_paths


def picture(grey, size=(40, 40), format="PNG"):
    """The bytes of a uniformly grey image."""
    file = io.BytesIO()
    Image.new("RGB", size, (grey,) * 3).save(file, format)
    return file.getvalue()


def save_tar(path, members, mode="w"):
    """A tar archive of these members, in their order; None stands for a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(data or b"")
            archive.addfile(info, io.BytesIO(data or b""))
    return path


def samples(greys, first=0):
    """Members of a WebDataset shard: for each level a picture with a .json and a .txt beside it."""
    members = {}
    for number, grey in enumerate(greys, first):
        said = {"caption": f"grey {grey}", "n": number, "tags": ["a"]}
        members |= {
            f"{number:04d}.png": picture(grey, (40 + 8 * (number % 3), 40)),
            f"{number:04d}.json": json.dumps(said).encode(),
            f"{number:04d}.txt": f"text {number}".encode(),
        }
    return members


def save_parquet(path, columns, schema=None):
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns, schema=schema), path, row_group_size=2)
    return path


def score(sources, out, metric=None, **options):
    """Score shards into a file, by their brightness unless a metric is given; return the run."""
    run = score_paths(metric or {"quality": Bright()}, sources, out=out, device="cpu", workers=1, **options)
    run.run()
    return run


def header_at(path, member):
    """The offset of a member's header."""
    with tarfile.open(path) as archive:
        return archive.getmember(member).offset


_stops: dict[Path, int | None] = {}  # outside the metrics, of whose state it would be a part


class Logged:
    """A metric object that notes each image that it scores in a file, and stops after some images."""

    lower_better, score_range = False, "0, 1"

    def __init__(self, log, weight=1.0, stop=None):
        self.weight, self._log = weight, log
        self.version = f"{weight}"
        _stops[log] = stop

    def __call__(self, x):
        if self.calls() == _stops.get(self._log):
            raise KeyboardInterrupt
        with open(self._log, "a") as file:
            file.write("x")
        return x.mean().view(1, 1) * self.weight

    def calls(self):
        """The number of images since the last call of ``reset``."""
        return self._log.stat().st_size if self._log.exists() else 0

    def reset(self, stop=None):
        """Begin to count again; return the number so far."""
        calls, _stops[self._log] = self.calls(), stop
        self._log.unlink(missing_ok=True)
        return calls
