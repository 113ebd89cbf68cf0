"""Downloads that leave a whole, checked file or none, also when several processes want the same one."""

from __future__ import annotations

import time
import urllib.request
from http.client import HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from filelock import FileLock
from tqdm import tqdm

from ..files.hashes import hash_file, sha256_of
from ..files.writing import replacing

MOST_BYTES = 12 << 30  # that a file may have whose size nobody knows: open_clip's largest towers have 10 GB
_TIMEOUT = 30  # seconds without a byte
_GRACE = 60  # seconds that a download may take however few bytes come
_SLOWEST = 20_000  # bytes a second, on average, after that
_PIECE = 1 << 18
_LOOPBACK = ("localhost", "127.0.0.1", "::1")


def from_url(url: str, target: Path, sha256: str, most: int = MOST_BYTES) -> Path:
    """Download a URL to ``target``: written beside it, checked, then renamed. Proxy variables are honoured.

    It ends: after 30 seconds of silence, when fewer than 20 kB a second come, or at ``most`` bytes.

    Args:
        url: What to download.
        target: Where to put it. What lies there is replaced, unless it already has the hash: a process that waited
            while another one downloaded finds the file and returns.
        sha256: The hash that it must have, or its beginning; nothing is downloaded that has none.
        most: Bytes that it may have.

    Raises:
        OSError: If the download fails, breaks off, does not end, is not by https or has another hash. Then ``target``
            is as it was.
    """
    if not sha256:
        raise OSError(f"nobody says which hash {target.name} must have, so it is not downloaded: fetch it yourself")
    check_scheme(url)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not (target.is_file() and sha256_of(target).startswith(sha256)):
            with replacing(target) as partial:
                _stream(url, partial, target.name, most)
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


def check_pace(size: int, seconds: float, most: int = MOST_BYTES) -> None:
    """Raise for a download that does not end: too many bytes so far, or too few for the time."""
    if size > most:
        raise OSError(f"it has more than the {most:,} bytes that were expected at most")
    if seconds > _GRACE and size < _SLOWEST * (seconds - _GRACE):
        raise OSError(f"it is too slow: {size:,} bytes came in {seconds:.0f} s")


def check_scheme(url: str) -> None:
    """Raise for what strangers on the way could change: anything but https, or http on this machine."""
    parts = urlsplit(url)
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise OSError(f"{parts.scheme}://{parts.hostname} is not asked, since only https is")


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Follows no redirection away from https."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> urllib.request.Request | None:
        check_scheme(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _stream(url: str, path: Path, title: str, most: int) -> None:
    request = urllib.request.Request(url, headers={"User-Agent": "clipiqa-pyiqa"})
    start = time.monotonic()
    with (
        urllib.request.build_opener(_SafeRedirects).open(request, timeout=_TIMEOUT) as response,
        path.open("wb") as file,
    ):
        expected = response.length  # None if the server does not say
        if expected is not None and expected > most:
            raise OSError(f"it has {expected:,} bytes, but {most:,} at most were expected")
        with tqdm.wrapattr(file, "write", total=expected, desc=title) as progress:
            while piece := _piece(response):
                progress.write(piece)
                check_pace(file.tell(), time.monotonic() - start, most)
        if expected is not None and file.tell() != expected:
            raise OSError(f"it broke off after {file.tell()} of {expected} bytes")


def _piece(response: HTTPResponse) -> bytes:
    """What has come, without waiting for more: a trickle must not pass for silence that is about to end."""
    return response.read1(_PIECE)
