"""Result files, read back as rows."""

from pathlib import Path

from clipiqa_pyiqa.errors import CLIPIQAError
from clipiqa_pyiqa.results.formats import format_of, read_cells, read_head, reading, typed
from clipiqa_pyiqa.results.rows import FIELDS, Row


def read_results(path):
    """Return the head and the rows of a result file or a journal; damage is an error."""
    path, damage = Path(path), []
    format = format_of(path)
    with reading(path, format):
        head, cells = read_head(path, format), list(read_cells(path, format, damage))
        if damage:
            raise CLIPIQAError(f"damaged: {damage}")
        names = head.scores if head else list(cells[0])[1 : list(cells[0]).index(FIELDS[0])]
        rows = [Row.from_dict(typed(row, names), names) for row in cells]
    return head, rows


def write_results(results, rows):
    """Write the rows whose images an earlier run does not have."""
    with results:
        for row in rows:
            known = results.known.places.get(row.path)
            if known is None or known in results.known.failures:
                results.append(row)
