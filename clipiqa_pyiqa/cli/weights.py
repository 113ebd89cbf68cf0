"""``clipiqa weights``: list or download checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .options.terminal import aligned, tell

if TYPE_CHECKING:
    from ..weights.inventory import FileAtHand


def run(*, download_to: Path | None = None, backbone: Sequence[str] = (), prompt_files: bool = False) -> int:
    """Show the source of every checkpoint, or download checkpoints into a folder.

    Only --download-to downloads files. CLIPIQA_WEIGHTS_DIR can name the folder later.

    Args:
        download_to (DIR): put the files into this folder
        backbone (-b NAME[:TAG]): only these backbones, such as RN50 or ViT-B/32:laion2b_s34b_b79k
        prompt_files: only the published prompt files; with --backbone, prompt files too
    """
    from ..weights.inventory import weights_at_hand

    report = (lambda file: None) if download_to is None else _report
    found = weights_at_hand(backbone, prompts=prompt_files, download_to=download_to, report=report)
    if download_to is None:
        rows = [("FILE", "STATE", "SIZE", "SHA-256", "WHERE")]
        for file in found.files:
            size = "-" if file.size is None else f"{file.size / 1e6:.1f} MB"
            rows.append((file.title, file.state, size, file.sha256[:12] or "-", file.where))
        print("\n".join(aligned(rows)))
    return 0 if found.complete else 1


def _report(file: FileAtHand) -> None:
    say = tell if file.state == "failed" else print
    say(f"{file.title}: {file.state}, {file.where}")
