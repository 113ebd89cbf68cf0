"""Result files, read back as rows, and written."""

from pathlib import Path

from clipiqa_pyiqa import CLIPIQAError
from clipiqa_pyiqa.errors import Kind
from clipiqa_pyiqa.workbench.results.formats import format_of
from clipiqa_pyiqa.workbench.results.reading import checked_reading, read_cells, read_header
from clipiqa_pyiqa.workbench.results.row import FIELDS, NUMBERS, Row


def read_results(path):
    """Return the head and the rows of a result file or a journal; damage is an error."""
    path = Path(path)
    damage = []
    format = format_of(path)
    with checked_reading(path, format):
        header = read_header(path, format)
        cells = list(read_cells(path, format, damage))
        if damage:
            raise CLIPIQAError(f"damaged: {damage}")
        names = header.score_names if header else list(cells[0])[1 : list(cells[0]).index(FIELDS[0])]
        return header, [_row(each, names) for each in cells]


def _row(cells, names):
    scores = tuple(None if cells.get(name) in (None, "") else float(cells[name]) for name in names)
    facts = {name: cells[name] for name in FIELDS}
    for name in facts.keys() & set(NUMBERS):
        facts[name] = int(cells[name]) if cells[name] else None
    kind = Kind(facts["kind"]) if facts["kind"] else None
    return Row(cells["path"], None if set(scores) <= {None} else scores, **{**facts, "kind": kind})


def write_results(results, rows):
    """Write the rows whose images an earlier run does not have, or could not score."""
    with results:
        for row in rows:
            earlier_row = results.earlier.row(row.path)
            if earlier_row is None or earlier_row.failure is not None:
                results.append(row)
