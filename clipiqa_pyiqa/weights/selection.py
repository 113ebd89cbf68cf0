"""Which checkpoint belongs to a backbone, found and checked, with the activation and pixel normalisation it needs."""

from __future__ import annotations

import dataclasses
import logging
from dataclasses import dataclass
from pathlib import Path

from ..errors import WeightsError
from ..files.hashes import sha256_of
from . import search
from .architecture import BACKBONES, canonical_backbone, check_architecture
from .checkpoint import open_checkpoint
from .folder import VARIABLE, weights_folder
from .published import Release, former_mini, recognise, release, tags, usual_tag

__all__ = ["BACKBONES", "Weights", "canonical_backbone", "find_weights", "found_again"]

logger = logging.getLogger("clipiqa_pyiqa")


@dataclass(frozen=True)
class Weights:
    """A checkpoint that was found and checked: small, hashable, picklable.

    Attributes:
        backbone: One of ``BACKBONES``.
        path: The file.
        sha256: Its hash in hex.
        tag: ``'openai'`` or another tag of open_clip; ``'file'`` for a file that nobody published.
        quick_gelu: Whether its transformers use QuickGELU, ``x * sigmoid(1.702 x)``, in place of GELU.
        mean, std: The pixel normalisation that it was trained with, per channel, for pixels in [0, 1].
        source: Where it was found, in words.
    """

    backbone: str
    path: Path
    sha256: str
    tag: str
    quick_gelu: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str

    @property
    def short(self) -> str:
        """Tag and first digits of the hash: ``'openai afeb0e10'`` or ``'file mine.pt 1234abcd'``."""
        name = f"{self.tag} {self.path.name}" if self.tag == "file" else self.tag
        return f"{name} {self.sha256[:8]}"


def find_weights(
    backbone: str = "RN50", clip_weights: str | Path | None = None, quick_gelu: bool | None = None
) -> Weights:
    """Find a backbone's weights and check them.

    In this order: ``clip_weights``, if it is a path, which never touches the network; the folder that
    ``CLIPIQA_WEIGHTS_DIR`` names; the hub cache, torch hub's ``clip/``, ``~/.cache/clip/``; then download, from the hub
    through open_clip, or from the publisher's URL. ``'mini'`` is in this package. Hashes are checked where they are
    known, and the architecture always; no tensor is read.

    Args:
        backbone: One of ``BACKBONES``, however it is written (``'vit-b-32'``).
        clip_weights: A file, or a tag of open_clip (``'openai'``, ``'laion2b_s34b_b79k'``); OpenAI's by default.
        quick_gelu: Only for a file that nobody published: whether it was trained with QuickGELU. Such a file counts
            as if it was, unless this is ``False``.

    Raises:
        WeightsError: If nothing is found (the message lists every place tried), if the file is damaged, unsafe,
            incomplete or of another architecture, or if ``quick_gelu`` contradicts what is known of it.
    """
    backbone = canonical_backbone(backbone)
    if clip_weights is not None and _is_path(clip_weights, backbone):
        path = Path(clip_weights).expanduser()
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "does not exist"
            raise WeightsError(
                f"clip_weights={str(clip_weights)!r} {what}: pass a checkpoint file or a tag of open_clip."
            )
        return _file_weights(backbone, path, "given path", quick_gelu)
    known = release(backbone, usual_tag(backbone) if clip_weights is None else str(clip_weights))
    copy = search.find(known.file)
    return weights_in(copy, known, quick_gelu)


def weights_in(copy: search.Copy, known: Release, quick_gelu: bool | None = None) -> Weights:
    """The weights of a release, from a copy of its file, checked."""
    if not copy.as_published:
        return _file_weights(known.backbone, copy.path, copy.source, quick_gelu)
    return _release_weights(known, copy.path, copy.sha256, copy.source, quick_gelu)


def found_again(weights: Weights) -> Weights:
    """Weights that another process found, by their hash: at their path, or in any place where this machine has them.

    Raises:
        WeightsError: No file with that hash is here; the message says which was replaced.
    """
    paths = [weights.path]
    folder = weights_folder()
    if folder is not None:
        paths.append(folder / weights.path.name)
    if weights.tag in tags(weights.backbone):
        paths += [copy.path for copy in search.copies(release(weights.backbone, weights.tag).file)]
    there = [path for path in dict.fromkeys(paths) if path.is_file()]
    for path in there:
        if sha256_of(path) == weights.sha256:
            return dataclasses.replace(weights, path=path)
    other = f"; {there[0]} is another file by now" if there else ""
    raise WeightsError(
        f"this metric was pickled with {weights.backbone}, {weights.short} ({weights.path}), and no file with that "
        f"SHA-256 is on this machine{other}: put it there, or into the folder that {VARIABLE} names."
    )


def _is_path(clip_weights: str | Path, backbone: str) -> bool:
    """Whether this is a path and not a tag: it has a suffix or a slash, as no tag has, or something lies there."""
    if isinstance(clip_weights, Path) or "/" in clip_weights or Path(clip_weights).suffix:
        return True
    return clip_weights not in tags(backbone) and Path(clip_weights).exists()


def _file_weights(backbone: str, path: Path, source: str, quick_gelu: bool | None) -> Weights:
    """The weights in any file: a published one, if it is recognised, or somebody's own."""
    sha256 = sha256_of(path)
    if edition := former_mini(sha256):
        raise WeightsError(
            f"{path} holds the {edition} edition of mini, which this version does not read: leave it out, and "
            "backbone='mini' means the one in this package."
        )
    known = recognise(path, sha256)
    if known is not None and known.backbone == backbone:
        return _release_weights(known, path, sha256, source, quick_gelu)
    check_architecture(open_checkpoint(path), backbone)
    if quick_gelu is None:
        logger.warning(
            "%s is no published file: it is taken to use QuickGELU, as OpenAI's weights do. "
            "Pass quick_gelu=False if it was trained without, or True to say that this is right.",
            path,
        )
    usual = release(backbone, usual_tag(backbone))
    return Weights(backbone, path, sha256, "file", quick_gelu is not False, usual.mean, usual.std, source)


def _release_weights(known: Release, path: Path, sha256: str, source: str, quick_gelu: bool | None) -> Weights:
    if quick_gelu is not None and quick_gelu != known.quick_gelu:
        raise WeightsError(
            f"quick_gelu={quick_gelu} contradicts {known.file.title} ({path}), which was trained "
            f"{'with' if known.quick_gelu else 'without'} QuickGELU: leave quick_gelu out."
        )
    check_architecture(open_checkpoint(path), known.backbone)
    return Weights(known.backbone, path, sha256, known.tag, known.quick_gelu, known.mean, known.std, source)
