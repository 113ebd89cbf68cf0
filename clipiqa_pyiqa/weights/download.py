"""Downloads that leave a whole, checked file or none, also when several processes want the same one."""

from __future__ import annotations

import shutil
import urllib.request
from pathlib import Path

from filelock import FileLock
from tqdm import tqdm

from ..files.hashes import hash_file, sha256_of
from ..files.writing import written_beside

_TIMEOUT = 30  # seconds without a byte


def from_url(url: str, target: Path, sha256: str) -> Path:
    """Download a URL to ``target``: written beside it, checked, then renamed. Proxy variables are honoured.

    Args:
        url: What to download.
        target: Where to put it. What lies there is replaced, unless it already has the hash: a process that waited
            while another one downloaded finds the file and returns.
        sha256: The hash that it must have, or its beginning; empty if unknown.

    Raises:
        OSError: If the download fails, breaks off or has another hash. Then ``target`` is as it was.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not (target.is_file() and sha256 and sha256_of(target).startswith(sha256)):
            with written_beside(target) as partial:
                _stream(url, partial, target.name)
                digest = hash_file(partial)
                if not digest.startswith(sha256):
                    raise OSError(f"its SHA-256 starts {digest[:8]}, expected {sha256[:8]}: it was not kept")
    return target


def innermost(error: BaseException) -> str:
    """What an error says, on one line that ends with its innermost cause: TLS, proxy, name resolution."""
    cause, seen = error, {id(error)}
    while True:
        reason = getattr(cause, "reason", None)  # urllib's and urllib3's way to carry a cause
        inner = reason if isinstance(reason, BaseException) else cause.__cause__ or cause.__context__
        if inner is None or id(inner) in seen or not str(inner).strip():
            break
        cause = inner
        seen.add(id(cause))
    outer, inmost = (" ".join(str(each).split()).partition(" For more inf")[0] for each in (error, cause))
    return outer if inmost in outer and len(outer) <= 200 else f"{outer[:200].rstrip(' .')}: {inmost[:400]}"


def _stream(url: str, path: Path, title: str) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "clipiqa-pyiqa"})
    with urllib.request.urlopen(request, timeout=_TIMEOUT) as response, path.open("wb") as file:
        expected = response.length  # None if the server does not say
        with tqdm.wrapattr(file, "write", total=expected, desc=title) as progress:
            shutil.copyfileobj(response, progress, 1 << 20)
        if expected is not None and file.tell() != expected:
            raise OSError(f"it broke off after {file.tell()} of {expected} bytes")
