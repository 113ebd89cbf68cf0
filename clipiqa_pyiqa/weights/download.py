"""Downloads of published files whose hash is known."""

import contextlib
import re
from pathlib import Path

import torch
from huggingface_hub import get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import RemoteEntryNotFoundError

from ..files import hash_file, replacing
from .published import PublishedFile


def download_from_hub(file: PublishedFile) -> Path:
    """Download a file with the hub's client, and return its path in the hub's cache.

    Raises ``OSError`` if the hub does not name the file by its SHA-256, or if the download has another one, and what
    the hub's client raises.
    """
    name, etag = _name_and_etag(file)
    known = file.hub_sha256 if name == file.hub_names[0] else ""
    # The client names the file in its cache by the server's word, which must not lead out of the cache.
    if not re.fullmatch("[0-9a-f]{64}", etag) or not etag.startswith(known):
        raise OSError(f"the server calls {name} {etag!r}, not by its SHA-256 {known[:8]}, so it is not downloaded")
    path = Path(hf_hub_download(file.hub, name, revision=file.revision or None, force_download=True))
    _check_hash(path, etag)
    return path


def _name_and_etag(file: PublishedFile) -> tuple[str, str]:
    """Return the first name under which the hub has the file, and what the hub says of its content."""
    for name in file.hub_names:
        with contextlib.suppress(RemoteEntryNotFoundError):
            return name, get_hf_file_metadata(hf_hub_url(file.hub, name, revision=file.revision or None)).etag or ""
    raise OSError(f"{file.title} is not there")


def download_from_url(url: str, target: Path, sha256: str) -> Path:
    """Download a URL to ``target``, and return it; a file that is there stays if the download fails.

    Raises ``OSError`` if no hash is known or the file has another one, and if the server fails.
    """
    if not sha256:
        raise OSError(f"no SHA-256 is known for {target.name}, so it is not downloaded")
    target.parent.mkdir(parents=True, exist_ok=True)
    with replacing(target) as partial:
        torch.hub.download_url_to_file(url, str(partial))
        _check_hash(partial, sha256)
    return target


def _check_hash(path: Path, sha256: str) -> None:
    """Delete a file, and the hub's link to it, and raise OSError if its hash is another."""
    digest = hash_file(path)
    if not digest.startswith(sha256):
        path.resolve().unlink()
        path.unlink(missing_ok=True)
        raise OSError(f"its SHA-256 is {digest[:8]}…, not {sha256[:8]}…: the file was deleted")
