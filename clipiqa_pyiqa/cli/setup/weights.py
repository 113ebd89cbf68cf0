"""Show where every checkpoint would come from, or fill a folder with them."""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ...errors import WeightsError
from ...files.names import plain_lines
from ..options.tables import aligned

if TYPE_CHECKING:
    from ...weights.published import PublishedFile, Release
    from ...weights.search import Copy

    _Wanted = tuple[PublishedFile, Release | None]  # the release is None for prompt files

_HEADER = ("FILE", "STATE", "SIZE", "SHA-256", "WHERE")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Show for every backbone and prompt file where it would come from, its size, hash and state; nothing is "
        "downloaded. With --download-to, fill a folder for CLIPIQA_WEIGHTS_DIR."
    )
    parser.add_argument("--download-to", metavar="DIR", type=Path, help="put the files into this folder")
    parser.add_argument(
        "--backbone",
        nargs="+",
        default=[],
        metavar="NAME[:TAG]",
        help="only these backbones, such as RN50 or ViT-B/32:laion2b_s34b_b79k",
    )
    parser.add_argument("--revision", metavar="REV", help="of the hub's repository, in place of the one known by hash")
    parser.add_argument(
        "--prompts", action="store_true", help="only the published prompt files (with --backbone: also)"
    )


def run(args: argparse.Namespace) -> int:
    wanted = _wanted(args.backbone, args.prompts)
    if args.revision:
        wanted = [(_at_revision(file, args.revision), known) for file, known in wanted]
    return _table(wanted) if args.download_to is None else _fill(args.download_to, wanted)


def _wanted(backbones: list[str], prompts: bool) -> list[_Wanted]:
    """What the arguments name: everything, if they name nothing."""
    from ...prompts.published import PROMPT_FILES, prompt_file
    from ...weights.published import release, usual_tag
    from ...weights.selection import BACKBONES, canonical_backbone

    everything = not backbones and not prompts
    wanted: list[_Wanted] = []
    for name in BACKBONES if everything else backbones:
        backbone, _, tag = name.partition(":")
        name = canonical_backbone(backbone)
        known = release(name, tag or usual_tag(name))
        wanted.append((known.file, known))
    if everything or prompts:
        wanted += [(prompt_file(name), None) for name in PROMPT_FILES]
    return wanted


def _at_revision(file: PublishedFile, revision: str) -> PublishedFile:
    """A file as it is at another revision of its repository on the hub, of which no hash is known."""
    if not file.hub:
        raise WeightsError(f"--revision is one of a repository on the hub, and {file.title} is in none: leave it out.")
    return dataclasses.replace(file, revision=revision, hub_sha256="", caches=(), urls=())


def _table(wanted: list[_Wanted]) -> int:
    rows = [_HEADER, *(_row(file, known) for file, known in wanted)]
    print("\n".join(aligned(rows)))
    return 1 if any(row[1] == "damaged" for row in rows) else 0


def _row(file: PublishedFile, known: Release | None) -> tuple[str, str, str, str, str]:
    """One line: the copy that would be used; or else the first damaged one; or else where it would be downloaded."""
    from ...weights.folder import VARIABLE
    from ...weights.search import copies, download_places, is_offline

    damaged = None
    for copy in copies(file):
        problem = _problem(copy, known)
        size = f"{copy.path.stat().st_size / 1e6:.1f} MB"
        where = f"{copy.source}: {copy.path}"
        if not problem:
            return file.title, "found", size, copy.sha256[:12], where
        damaged = damaged or (file.title, "damaged", size, copy.sha256[:12], f"{where}: {problem}")
        if copy.source == VARIABLE:  # the user chose that folder: nothing is used in its place
            break
    state = "missing (offline)" if is_offline() else "would be downloaded"
    return damaged or (file.title, state, "-", file.sha256[:12] or "-", " or ".join(download_places(file)))


def _problem(copy: Copy, known: Release | None) -> str:
    """Why a copy cannot be used, in words; empty if it can."""
    from ...weights.selection import weights_in

    if copy.damage or known is None:
        return copy.damage
    try:
        weights_in(copy, known)
    except WeightsError as error:
        return str(error)
    return ""


def _fill(folder: Path, wanted: list[_Wanted]) -> int:
    from ...weights.folder import add_to_folder
    from ...weights.search import copies_in_folder, find

    failures = 0
    for file, known in wanted:
        if file.bundled:
            print(f"{file.title}: not copied, every installation of this package has it")
            continue
        try:
            present = next((copy for copy in copies_in_folder(folder, file) if not _problem(copy, known)), None)
            if present:
                print(f"{file.title}: already there, {present.path}")
                continue
            copy = find(file)
            if problem := _problem(copy, known):
                raise WeightsError(problem)
            print(f"{file.title}: {add_to_folder(folder, copy.path, file.folder_name(copy.path))}")
        except (WeightsError, OSError) as error:
            failures += 1
            reason = str(error).splitlines()[0].removeprefix(file.title).lstrip()
            print(f"clipiqa weights: {file.title}: {plain_lines(reason)}", file=sys.stderr)
    return 1 if failures else 0
