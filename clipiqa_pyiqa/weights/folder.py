"""A folder of weights: what ``CLIPIQA_WEIGHTS_DIR`` names and ``clipiqa weights --download-to`` fills.

It holds files under their well-known names and, if we filled it, ``SHA256SUMS`` in the form of ``sha256sum``, so that a
copy of the folder can be checked, by us and by ``sha256sum -c SHA256SUMS``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from ..files.hashes import sha256_of
from ..files.writing import check_output, replacing

VARIABLE = "CLIPIQA_WEIGHTS_DIR"
SUMS = "SHA256SUMS"


def weights_folder() -> Path | None:
    """The folder that ``CLIPIQA_WEIGHTS_DIR`` names, whether it exists or not; ``None`` if the variable is not set."""
    name = os.environ.get(VARIABLE)
    return Path(name).expanduser() if name else None


def read_sums(folder: Path) -> dict[str, str]:
    """The SHA-256 of each file that the folder's ``SHA256SUMS`` lists; empty if there is none."""
    try:
        lines = (folder / SUMS).read_text(encoding="utf-8").splitlines()
    except OSError:
        return {}
    entries = (line.split(maxsplit=1) for line in lines)
    return {entry[1].removeprefix("*"): entry[0].lower() for entry in entries if len(entry) == 2}


def add_to_folder(folder: Path, source: Path, name: str) -> Path:
    """Copy a file into the folder under ``name`` and list its hash; returns the copy's path.

    Raises:
        OSError: If the folder cannot be written, is full, or gave back other bytes than were written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    digest = sha256_of(source)
    ours = name in read_sums(folder)
    target = check_output(folder / name, ours=lambda _: ours, way_out="move it away, or name another folder")
    with replacing(target) as partial:
        shutil.copyfile(source, partial)
    if sha256_of(target) != digest:
        target.unlink()
        raise OSError(f"{target} could not be copied: its bytes differ from those of {source}")
    sums = {**read_sums(folder), name: digest}
    with replacing(folder / SUMS) as partial:
        partial.write_text("".join(f"{sums[key]}  {key}\n" for key in sorted(sums)), encoding="utf-8")
    return target
