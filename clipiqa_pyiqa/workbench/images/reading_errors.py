"""Errors of reading images: each names its image, and truncated files are refused."""

import contextlib
import errno
import threading
from collections.abc import Iterator

from PIL import Image, ImageFile, UnidentifiedImageError

from ...errors import ImageError, Kind
from ...text import reason_of


class _PilSetting:
    """PIL's setting for truncated files, which all threads of the process share: False while one of them reads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._readers = 0  # threads that read now
        self._callers = False  # the setting before the first of them began to read

    def begin_reading(self) -> None:
        with self._lock:
            if self._readers == 0:
                self._callers = ImageFile.LOAD_TRUNCATED_IMAGES  # pyiqa's data sets set it to True
            self._readers += 1
            ImageFile.LOAD_TRUNCATED_IMAGES = False

    def end_reading(self) -> None:
        with self._lock:
            self._readers -= 1
            if self._readers == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = self._callers


_pil_setting = _PilSetting()


@contextlib.contextmanager
def whole_files() -> Iterator[None]:
    """Let PIL refuse truncated files in this context; the last of several threads restores the caller's setting."""
    _pil_setting.begin_reading()
    try:
        yield
    finally:
        _pil_setting.end_reading()


@contextlib.contextmanager
def named_errors(path: str) -> Iterator[None]:
    """Raise all errors of reading as an ``ImageError`` with the image's name; files are read as by ``whole_files``."""
    try:
        with whole_files():
            yield
    except ImageError as error:
        raise ImageError(error.reason, error.kind, error.name or path) from error
    except FileNotFoundError as error:
        raise ImageError("does not exist", Kind.MISSING, path) from error
    except UnidentifiedImageError as error:
        problem = "is not an image in a format that can be read, or its beginning is damaged"
        raise ImageError(problem, Kind.NOT_AN_IMAGE, path) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        limit = Image.MAX_IMAGE_PIXELS or 0  # PIL warns above it, and raises above twice as many
        if isinstance(error, Image.DecompressionBombError):
            limit *= 2
        raise ImageError(
            f"has more than {limit:,} pixels, PIL's limit against decompression bombs; if "
            "you trust the file, raise it (--huge, in Python PIL.Image.MAX_IMAGE_PIXELS = None)",
            Kind.TOO_LARGE,
            path,
        ) from error
    except MemoryError as error:
        raise ImageError("does not fit in memory when decoded", Kind.OUT_OF_MEMORY, path) from error
    except Exception as error:  # for damaged files PIL raises many kinds of errors, from SyntaxError to struct.error
        if code := getattr(error, "errno", None):
            kind = Kind.NOT_A_FILE if code in (errno.EISDIR, errno.EINVAL) else Kind.UNREADABLE
            raise ImageError(f"cannot be opened: {reason_of(error)}", kind, path) from error
        raise ImageError(f"is truncated or damaged: {reason_of(error)}", Kind.DAMAGED, path) from error
