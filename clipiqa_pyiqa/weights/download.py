"""Downloads whose hash is checked."""

from __future__ import annotations

import re
import shutil
import urllib.request
from pathlib import Path

from filelock import FileLock
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import RemoteEntryNotFoundError
from tqdm import tqdm

from ..files.hashes import hash_file, sha256_of
from ..files.writing import replacing
from .published import PublishedFile

_SILENCE = 30  # longest pause in seconds


def from_hub(file: PublishedFile) -> tuple[Path, str]:
    """Return path and SHA-256 of a file, downloaded into the hub's cache."""
    for name in file.hub_names:
        try:  # hf_hub_download alone would try an unreachable hub for 20 seconds
            etag = get_hf_file_metadata(hf_hub_url(file.hub, name, revision=file.revision or None)).etag or ""
            break
        except RemoteEntryNotFoundError:
            if name == file.hub_names[-1]:
                raise
    known = file.hub_sha256 if name == file.hub_names[0] else ""
    sha256 = known or (etag if re.fullmatch("[0-9a-f]{64}", etag) else "")  # the ETag of a large file is its SHA-256
    if not sha256:
        raise OSError(f"no SHA-256 is known for {name}, so it is not downloaded")
    for _ in range(2):  # the first may be a damaged file in the cache
        path = Path(hf_hub_download(file.hub, name, revision=file.revision or None))
        digest = hash_file(path)
        if digest.startswith(sha256):
            return path, sha256
        path.resolve().unlink()
    raise _wrong_hash(digest, sha256)


def from_url(url: str, target: Path, sha256: str) -> Path:
    """Download a URL to ``target``, and check the hash."""
    if not sha256:
        raise OSError(f"no SHA-256 is known for {target.name}, so it is not downloaded")
    request = urllib.request.Request(url, headers={"User-Agent": "clipiqa-pyiqa"})
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not (target.is_file() and sha256_of(target).startswith(sha256)):
            with replacing(target) as partial:
                with (
                    urllib.request.urlopen(request, timeout=_SILENCE) as response,
                    partial.open("wb") as file,
                    tqdm.wrapattr(file, "write", total=response.length, desc=target.name) as progress,
                ):
                    shutil.copyfileobj(response, progress)
                digest = hash_file(partial)
                if not digest.startswith(sha256):
                    raise _wrong_hash(digest, sha256)
    return target


def _wrong_hash(digest: str, expected: str) -> OSError:
    return OSError(f"its SHA-256 is {digest[:8]}…, not {expected[:8]}…: the file was not kept")
