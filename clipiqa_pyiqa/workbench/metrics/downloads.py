"""Downloads of weights that pyiqa, torch and the hub's client begin: which file could not be fetched."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from pathlib import Path
from typing import Any, NamedTuple, cast

from ...machine import import_pyiqa
from ..files.streams import output_as_messages

_ANNOUNCED = re.compile(r'Downloading: "([^"]+)" to (.+)')  # as pyiqa and torch print it before they download
_ADDRESS = re.compile(r"https?://[^\s'\"]*[\w/]")


class _Download(NamedTuple):
    address: str
    path: str


class _ListeningStream:
    """A stream that passes on what is written, and remembers the downloads that are announced there."""

    def __init__(self, stream: Any, downloads: list[_Download]) -> None:
        self._stream = stream
        self._downloads = downloads

    def write(self, text: str) -> Any:
        self._downloads.extend(_Download(address, path.strip()) for address, path in _ANNOUNCED.findall(text))
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class Downloads:
    """The downloads that begin while a metric is built."""

    def __init__(self) -> None:
        self._announced = list[_Download]()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Send what is printed to standard error, and remember the downloads that it announces."""
        stream = cast(Any, _ListeningStream(sys.stderr, self._announced))
        with redirect_stderr(stream), output_as_messages():
            yield

    def missing_file(self, error: BaseException) -> str:
        """Return a clause about the file that an error says could not be downloaded; empty if there is none."""
        unfinished = [download for download in self._announced if not os.path.exists(download.path)]
        if unfinished:
            address, path = unfinished[-1]
            clause = f"; fetch {address} and save it as {path}"
            # pyiqa's own files can be options of its metrics; torchvision's networks cannot
            return f"{clause}, or name a copy (NAME:pretrained_model_path=FILE)" if _is_pyiqas(path) else clause
        address = _address_in(error)
        if "/resolve/" not in address:
            return ""
        return f"; {address} is missing in the hub's cache, {_hub_cache()}"


def _is_pyiqas(path: str) -> bool:
    cache = import_pyiqa(".utils.download_util").DEFAULT_CACHE_DIR
    return Path(path).parent == Path(os.path.abspath(cache))


def _address_in(error: BaseException | None) -> str:
    """Return the address that an error or its cause tells; empty if there is none."""
    while error is not None:
        request = getattr(error, "request", None)  # of the hub's client
        told = _ADDRESS.search(f"{error} {getattr(request, 'url', '')}")
        if told:
            return told[0]
        error = error.__cause__ or error.__context__
    return ""


def _hub_cache() -> str:
    from huggingface_hub import constants

    return str(constants.HF_HUB_CACHE)
