"""Errors of reading images: each names its image, and truncated files are refused."""

import contextlib
import errno
import threading
from collections.abc import Iterator

from PIL import Image, ImageFile, UnidentifiedImageError

from ...errors import ImageError, Kind
from ...text import reason

_lock = threading.Lock()
_readers = 0  # threads that read now; guarded by the lock, as the next value is
_callers_setting = False  # PIL's setting before the first of them began to read


@contextlib.contextmanager
def whole_files() -> Iterator[None]:
    """Let PIL refuse truncated files in this context; the last of several threads restores the caller's setting."""
    global _readers, _callers_setting
    with _lock:
        if _readers == 0:
            _callers_setting = ImageFile.LOAD_TRUNCATED_IMAGES  # pyiqa's data sets set it to True
        _readers += 1
        ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        yield
    finally:
        with _lock:
            _readers -= 1
            if _readers == 0:
                ImageFile.LOAD_TRUNCATED_IMAGES = _callers_setting


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
        half_of_limit = Image.MAX_IMAGE_PIXELS or 0
        raise ImageError(
            f"has more than {2 * half_of_limit:,} pixels, PIL's limit against decompression bombs; if "
            "you trust the file, raise it (--huge, in Python PIL.Image.MAX_IMAGE_PIXELS = None)",
            Kind.TOO_LARGE,
            path,
        ) from error
    except MemoryError as error:
        raise ImageError("does not fit in memory when decoded", Kind.OUT_OF_MEMORY, path) from error
    except Exception as error:  # for damaged files PIL raises many kinds of errors, from SyntaxError to struct.error
        if code := getattr(error, "errno", None):
            kind = Kind.NOT_A_FILE if code in (errno.EISDIR, errno.EINVAL) else Kind.UNREADABLE
            raise ImageError(f"cannot be opened: {reason(error)}", kind, path) from error
        raise ImageError(f"is truncated or damaged: {reason(error)}", Kind.DAMAGED, path) from error
