"""Tables on a terminal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ...files.names import one_line


def aligned(rows: Sequence[Sequence[str]], left: Sequence[bool] | None = None) -> Iterator[str]:
    """Lines of a table whose columns are as wide as their widest cell; ``left`` says which lean that way (all)."""
    rows = [[one_line(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lean = ["<" if is_left else ">" for is_left in left or [True] * len(widths)]
    for row in rows:
        cells = (f"{cell:{side}{width}}" for cell, side, width in zip(row, lean, widths, strict=True))
        yield "  ".join(cells).rstrip()
