"""The folder of results of ``compare`` and ``table``."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from ..errors import CLIPIQAError
from ..errors.arguments import check_resume
from ..files.writing import check_folder


def check_result_folder(
    folder: str | os.PathLike[str], names: Iterable[str], inputs: Iterable[str], *, overwrite: bool, resume: bool
) -> Path:
    """Return the folder of results; raise if it has one of the files ``names``, unless its ``parts/`` holds scores."""
    folder = Path(folder).expanduser()
    check_resume(folder, resume, overwrite)
    is_ours = any(folder.glob("parts/*/*.jsonl"))
    if is_ours and not (resume or overwrite):
        raise CLIPIQAError(
            f"{str(folder)!r} holds the scores of an earlier run: continue it (`resume`) or delete them (`overwrite`)."
        )
    existing = [name for name in names if os.path.lexists(folder / name)]
    return check_folder(folder, existing, overwrite=overwrite or is_ours, inputs=inputs)
