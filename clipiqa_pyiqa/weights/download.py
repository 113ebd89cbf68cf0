"""Downloads with a known hash, and with limits of time, pauses and size."""

import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from functools import lru_cache
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from filelock import FileLock
from huggingface_hub import constants, get_hf_file_metadata, hf_hub_download, hf_hub_url
from huggingface_hub.errors import RemoteEntryNotFoundError
from huggingface_hub.utils import build_hf_headers
from tqdm import tqdm

from ..files.reading import hash_file, sha256_of
from ..files.writing import replacing
from .published_file import PublishedFile

_CONNECTION = 3  # seconds until a host must have accepted a connection
ANSWER = 60  # seconds until a server must have answered
SILENCE = 30  # longest pause in seconds
GRACE = 60  # first seconds of a download, in which any speed is accepted
SLOWEST = 20_000  # lowest average speed after these seconds, in bytes per second
LARGEST_DOWNLOAD = 12 << 30  # largest download; open_clip's largest towers have 10 GB
_TRIES = 3  # number of attempts if a connection breaks off
_PIECE = 1 << 18

constants.HF_HUB_DISABLE_TELEMETRY = True  # telemetry would first read a list from the server, without a limit of size


def from_hub(file: PublishedFile) -> Path:
    """Return the path of a file, downloaded into the hub's cache."""
    # hf_hub_download has no limit for a slow server. So our download puts the file into the cache first, by its ETag.
    for name in file.hub_names:
        url = hf_hub_url(file.hub, name, revision=file.revision or None)
        try:
            etag = with_timeout(get_hf_file_metadata, url).etag or ""
            break
        except RemoteEntryNotFoundError:
            if name == file.hub_names[-1]:
                raise
    sha256 = file.hub_hash(name, etag)
    from_url(url, file.hub_folder / "blobs" / Path(etag or sha256).name, sha256, with_timeout(build_hf_headers))
    return Path(with_timeout(hf_hub_download, file.hub, name, revision=file.revision or None))


def from_url(url: str, target: Path, sha256: str, headers: Mapping[str, str] | None = None) -> Path:
    """Download a URL to ``target``, and check the hash."""
    if not sha256:
        raise OSError(f"no SHA-256 is known for {target.name}, so it is not downloaded")
    request = urllib.request.Request(url, headers={"User-Agent": "clipiqa-pyiqa"})
    for name, value in (headers or {}).items():
        request.add_unredirected_header(name, value)
    target.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{target}.lock"):
        if not (target.is_file() and sha256_of(target).startswith(sha256)):
            with replacing(target) as partial:
                _stream(request, partial)
                digest = hash_file(partial)
                if not digest.startswith(sha256):
                    raise OSError(f"its SHA-256 is {digest[:8]}…, not {sha256[:8]}…: the file was not kept")
    return target


def _stream(request: urllib.request.Request, path: Path) -> None:
    start, title = time.monotonic(), request.full_url.rpartition("/")[2]
    with path.open("wb") as file, tqdm(desc=title, unit="B", unit_scale=True) as progress:
        for tries_left in reversed(range(_TRIES)):
            request.add_header("Range", f"bytes={file.tell()}-")
            try:
                with with_timeout(urllib.request.urlopen, request, timeout=SILENCE) as response:
                    if response.status != 206:  # the server sends the whole file
                        file.truncate(file.seek(0))
                    while piece := response.read1(_PIECE):  # bytes that have arrived
                        progress.update(file.write(piece))
                        size, seconds = file.tell(), time.monotonic() - start
                        progress.total = size + (response.length or 0)  # `length`: bytes still to come
                        if progress.total > LARGEST_DOWNLOAD:
                            raise OSError(f"it has more than {LARGEST_DOWNLOAD:,} bytes, the limit of a download")
                        if seconds > GRACE and size < SLOWEST * (seconds - GRACE):
                            raise OSError(f"the download is too slow: {size:,} bytes in {seconds:.0f} s")
                    if not response.length:
                        return
                    raise ConnectionError(f"the download broke off {response.length:,} bytes before its end")
            except (ConnectionError, TimeoutError, HTTPException):
                if not tries_left:
                    raise


def unreachable(url: str) -> str:
    """Return why a URL's host takes no connection, or ``''``; the answer holds for up to a minute."""
    if urllib.request.getproxies():
        return ""
    parts = urlsplit(url)
    return _unconnected(parts.hostname, parts.port or {"http": 80}.get(parts.scheme, 443), time.monotonic() // 60)


@lru_cache
def _unconnected(host: str, port: int, minute: float) -> str:
    try:
        with_timeout(socket.create_connection, (host, port), limit=_CONNECTION).close()
    except OSError as error:
        return f"no connection: {error}" if str(error) else "no connection"
    return ""


def with_timeout(call: Callable[..., Any], *args: Any, limit: float = ANSWER, **options: Any) -> Any:
    """Return the result of a call; raise an error if the call takes more seconds than ``limit``."""
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(call(*args, **options))
        except BaseException as error:
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True, name="clipiqa-download").start()
    return answer.result(timeout=limit)
