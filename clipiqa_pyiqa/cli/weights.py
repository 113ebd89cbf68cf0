"""``clipiqa weights``: list or download checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options.progress import tell
from .options.tables import aligned

if TYPE_CHECKING:
    from ..weights.inventory import FileAtHand

_HEADER = ("FILE", "STATE", "SIZE", "SHA-256", "WHERE")


def run(*, download_to: Path | None = None, backbone: Sequence[str] = (), prompt_files: bool = False) -> int:
    """Show the source of every checkpoint, or download checkpoints into a folder.

    Only --download-to downloads files. CLIPIQA_WEIGHTS_DIR can name the folder later.

    Args:
        download_to (DIR): put the files into this folder
        backbone (-b NAME[:TAG]): only these backbones, such as RN50 or ViT-B/32:laion2b_s34b_b79k
        prompt_files: only the published prompt files; with --backbone, prompt files too
    """
    from ..weights.inventory import weights_at_hand

    report = _report if download_to is not None else lambda file: None
    found = weights_at_hand(backbone, prompts=prompt_files, download_to=download_to, report=report)
    if download_to is None:
        print("\n".join(aligned([_HEADER, *map(_row, found.files)])))
    return 0 if found.complete else 1


def _row(file: FileAtHand) -> tuple[str, ...]:
    size = "-" if file.size is None else f"{file.size / 1e6:.1f} MB"
    return file.title, file.state, size, file.sha256[:12] or "-", file.where


def _report(file: FileAtHand) -> None:
    if file.state == "failed":
        tell(f"{file.title}: {file.where}")
    else:
        what = "" if file.state == "copied" else f"{file.state}, "
        print(f"{file.title}: {what}{file.where}", flush=True)
