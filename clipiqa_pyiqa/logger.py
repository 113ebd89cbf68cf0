"""The package's logger, whose messages are plain lines."""

from __future__ import annotations

import logging

from .files.printable import plain_lines


def _has_plain_lines(record: logging.LogRecord) -> bool:
    """Return True for each message, after its lines were made plain: a file's name may hold what a terminal obeys."""
    record.msg = plain_lines(record.getMessage())
    record.args = ()
    return True


log = logging.getLogger("clipiqa_pyiqa")
log.addFilter(_has_plain_lines)
