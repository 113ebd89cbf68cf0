"""Shards for tests: tar archives and Parquet files of grey images, whose brightness is known, whole and damaged."""

from __future__ import annotations

import io
import json
import tarfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow
from PIL import Image
from pyarrow import parquet
from standin import Brightness

from clipiqa_pyiqa import score_sources
from clipiqa_pyiqa.scoring.shards.summary import ShardedResult


def picture(grey: int, size: tuple[int, int] = (40, 40), format: str = "PNG") -> bytes:
    """The bytes of a uniformly grey image."""
    file = io.BytesIO()
    Image.new("RGB", size, (grey,) * 3).save(file, format)
    return file.getvalue()


def save_tar(path: Path, members: Mapping[str, bytes | None], mode: str = "w") -> Path:
    """A tar archive of these members, in their order; None stands for a link."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if data is None:
                info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
            info.size = len(data or b"")
            archive.addfile(info, io.BytesIO(data or b""))
    return path


def samples(greys: Sequence[int], first: int = 0) -> dict[str, bytes]:
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


def save_parquet(path: Path, columns: dict[str, Any], schema: Any = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    parquet.write_table(pyarrow.table(columns, schema=schema), path, row_group_size=2)
    return path


def score(sources: Any, out: Path | str, metric: Any = None, **options: Any) -> ShardedResult:
    """Score shards by their brightness."""
    return score_sources(metric or Brightness(), sources, out=out, device="cpu", workers=1, **options)


def header_at(path: Path, member: str) -> int:
    """The offset of a member's header."""
    with tarfile.open(path) as archive:
        return archive.getmember(member).offset
