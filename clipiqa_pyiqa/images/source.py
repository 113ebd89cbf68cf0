"""One image before it is read: a file, a member of an archive, or a name without an image."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Protocol

from ..errors import ImageError


class ImageSource(Protocol):
    """One image before it is read: a file, a member of an archive, a cell of a table."""

    @property
    def name(self) -> str:
        """What rows and messages call it."""

    def read(self) -> bytes:
        """All its bytes, as they are. Raises ``ImageError``."""


@dataclass(frozen=True)
class FileSource:
    """An image file, named by its path."""

    name: str

    def read(self) -> bytes:
        path = self.name
        try:
            status = os.stat(path)  # before opening: a pipe would block
            if stat.S_ISDIR(status.st_mode):
                raise ImageError(f"{path!r} is a folder, but an image file was expected.")
            if not stat.S_ISREG(status.st_mode):
                raise ImageError(f"{path!r} is a pipe or a device, but an image file was expected.")
            if status.st_size == 0:
                raise ImageError(f"{path!r} is empty (0 bytes).")
            with open(path, "rb") as file:
                return file.read()
        except ImageError:
            raise
        except FileNotFoundError as error:
            raise ImageError(f"{path!r} does not exist.") from error
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise ImageError(f"{path!r} cannot be opened: {reason(error)}.") from error


@dataclass(frozen=True)
class NoImage:
    """A name for which there is no image, and why, as a sentence: a source that cannot be read."""

    name: str
    problem: str

    def read(self) -> bytes:
        raise ImageError(self.problem)


def reason(error: BaseException) -> str:
    """An exception's message as part of a sentence."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__
