"""The hub's copies of published files: pinned revisions, the hub's cache, and downloads into it."""

from __future__ import annotations

import re
import socket
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future, wait
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from huggingface_hub import constants, hf_hub_download
from huggingface_hub.errors import EntryNotFoundError

from ..files.hashes import sha256_of
from .download import MOST_BYTES, check_pace, check_scheme

PINNED = {  # repository -> the revision that is downloaded, and the SHA-256 of its open_clip_model.safetensors
    "timm/resnet50_clip.openai": (
        "ec3d92cf63a5f9d591f0d611b736895966c73076",
        "da0baa37fb2211eee5729ab69ed587eb10d48f5b7076ceeed01552fc3d4cb4ee",
    ),
    "timm/vit_base_patch32_clip_224.openai": (
        "a6f597a30f7b82c51704746581f9a4e41421e878",
        "e6d1bd7789aa45192b3bf90570a789b478bae1b74ebcce7eddd908e83a2b7c31",
    ),
    "timm/vit_base_patch16_clip_224.openai": (
        "977e3dd0ec55ab8da155f2fbeb6b5f54948b6e3d",
        "4b8699299b1e8997753c64b052ba32031449d5d853f55a039148560ee02b820f",
    ),
    "timm/vit_large_patch14_clip_224.openai": (
        "18d0535469bb561bf468d76c1d73aa35156c922b",
        "9ce2e8a8ebfff3793d7d375ad6d3c35cb9aebf3de7ace0fc7308accab7cd207e",
    ),
}
SIZES = {  # repository -> bytes of that file; OpenAI's own archives, in fp16, have fewer
    "timm/resnet50_clip.openai": 408_291_932,
    "timm/vit_base_patch32_clip_224.openai": 605_143_284,
    "timm/vit_base_patch16_clip_224.openai": 598_516_980,
    "timm/vit_large_patch14_clip_224.openai": 1_710_517_724,
}
_TIMEOUT = 10  # seconds until a connection stands, or metadata came


def cached(repository: str, names: tuple[str, ...], revision: str, sha256: str) -> Iterator[tuple[Path, str]]:
    """The copies in the hub's cache, each with the SHA-256 that it must have (or its beginning; empty if unknown).

    Args:
        repository: On the hub.
        names: The file's names there, best first.
        revision: The one that is wanted; empty for ``main``. Others are used where its hash is known from elsewhere.
        sha256: Of the first name at this revision; empty if unknown.
    """
    snapshots = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}", "snapshots")
    main = ""
    with suppress(OSError):
        main = (snapshots.parent / "refs" / "main").read_text(encoding="utf-8").strip()
    revisions = [revision] if revision and not sha256 else [revision or main, main]
    if not revision or sha256:  # one that somebody else pinned, which no reference names
        with suppress(OSError):
            revisions += sorted(path.name for path in snapshots.iterdir())
    for name in names:
        for each in dict.fromkeys(filter(None, revisions)):
            if (path := snapshots / each / name).is_file():
                pinned = sha256 if name == names[0] and each == revision else ""
                yield path, pinned or blob_hash(path)


def blob_hash(path: Path) -> str:
    """The SHA-256 by which the hub's cache names the content of a large file; empty if it does not tell."""
    name = path.resolve().name
    return name if re.fullmatch(r"[0-9a-f]{64}", name) else ""


def download(
    repository: str, names: tuple[str, ...], revision: str, sha256: str, most: int = MOST_BYTES
) -> tuple[Path, str]:
    """Download a file from the hub, or from ``HF_ENDPOINT``'s mirror, into the hub's cache.

    A blob that has just come and is not what it should be is removed, and asked for once more.

    Args:
        repository, names, revision, sha256: As for :func:`cached`.
        most: Bytes that it may have.

    Returns:
        The file, and the SHA-256 that it must have.

    Raises:
        OSError: If that fails; the hub's client may raise other exceptions, too.
    """
    _check_reachable(constants.ENDPOINT)
    for number, name in enumerate(names, start=1):
        there = {path.resolve() for path, _ in cached(repository, (name,), revision, sha256)}
        for _ in range(2):
            try:
                path = _fetched(repository, name, revision, most)
            except EntryNotFoundError as error:
                # Being offline is an error of this class, too, and not one that another name would mend.
                if number == len(names) or isinstance(error, FileNotFoundError):
                    raise
                break
            ours = sha256 if name == names[0] else ""
            if constants.ENDPOINT.startswith("http:") and not ours:
                with suppress(OSError):  # of https's absence
                    check_scheme(constants.ENDPOINT)
                    ours = blob_hash(path)
            else:
                ours = ours or blob_hash(path)
            expected, blob = ours, path.resolve()
            if not expected:
                path.unlink(missing_ok=True)
                if blob not in there:
                    blob.unlink(missing_ok=True)
                raise OSError(f"nobody who can be trusted says which hash {name} must have: it was not kept")
            if sha256_of(path).startswith(expected):
                return path, expected
            if blob in there:
                raise OSError(f"the hub's cache has a damaged {name}: delete {blob}")
            path.unlink(missing_ok=True)
            blob.unlink(missing_ok=True)
        else:
            raise OSError(f"{name} came damaged twice: its SHA-256 does not start {expected[:8]}; it was not kept")
    raise AssertionError("a file has at least one name")


def _fetched(repository: str, name: str, revision: str, most: int = MOST_BYTES) -> Path:
    """What the hub's client downloads, which would wait for ever for a trickle; given up, it ends with the process."""
    done: Future[str] = Future()

    def fetch() -> None:
        try:
            done.set_result(hf_hub_download(repository, name, revision=revision or None, etag_timeout=_TIMEOUT))
        except BaseException as error:
            done.set_exception(error)

    blobs, start = Path(constants.HF_HUB_CACHE, f"models--{repository.replace('/', '--')}", "blobs"), time.monotonic()
    threading.Thread(target=fetch, daemon=True, name="clipiqa-hub").start()
    while not wait([done], timeout=1).done:
        check_pace(sum(map(_size, blobs.glob("*.incomplete"))), time.monotonic() - start, most)
    return Path(done.result())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:  # it is whole by now
        return 0


def _check_reachable(url: str) -> None:
    """Fail at once where the hub's client, which tries again and again, would take about a minute."""
    if urllib.request.getproxies():
        return  # only the client knows whether its proxy reaches it
    parts = urlsplit(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    socket.create_connection((parts.hostname or "", port), timeout=_TIMEOUT).close()
