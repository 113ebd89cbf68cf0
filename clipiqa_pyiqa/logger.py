"""The package's logger, whose messages are plain lines."""

from __future__ import annotations

import logging

from .files.printable import plain_lines


class PlainLines(logging.Filter):
    """A filter that lets each message pass, in plain lines: a file's name may hold what a terminal obeys."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = plain_lines(record.getMessage())
        record.args = ()
        return True


log = logging.getLogger("clipiqa_pyiqa")
log.addFilter(PlainLines())
