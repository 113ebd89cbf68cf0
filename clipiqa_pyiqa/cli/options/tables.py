"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...files.names import one_line


def aligned(rows: Sequence[Sequence[str]], left: Sequence[bool] = ()) -> Iterator[str]:
    """Yield a table's lines; ``left`` says which columns align left, by default all."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    sides = ["<" if is_left else ">" for is_left in left or [True] * len(widths)]
    for row in rows:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True))
        yield "  ".join(cells).rstrip()
