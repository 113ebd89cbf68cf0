"""What headers and rows of results must be; both are checked when a file is read, since anyone may have written it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from ...errors import Kind
from ...text import shown
from ..files.journal import Cells

_DEEPEST = 20  # levels of objects and lists in one another; far more end Python's own reading and writing of JSON


def check_header(record: Any) -> None:
    """Raise ``ValueError`` if the header of a result file lacks a field or has one of another type."""
    if not isinstance(record, Mapping):
        raise ValueError(f"its header is {shown(record)}, but must be a JSON object")
    for part in ("columns", "reading", "joined"):
        if part not in record:
            raise ValueError(f"its header lacks {part!r}")
        if not isinstance(record[part], Mapping):
            raise ValueError(f"{part!r} of its header is {shown(record[part])}, but must be a JSON object")
    if is_deep(record):
        raise ValueError("its header is nested too deeply")
    for name, fields in record["columns"].items():
        check_record(name, fields)
    _check_fields("its reading", record["reading"], _READING)
    if not _are_texts(record["joined"]):
        raise ValueError(f"'joined' of its header is {shown(record['joined'])}, but must be texts by name")


def check_record(name: str, record: Any) -> None:
    """Raise ``ValueError`` if a column's record has a field of another type, or lacks one that belongs to another."""
    if not isinstance(record, Mapping):
        raise ValueError(f"the record of {name!r} is {shown(record)}, but must be a JSON object")
    _check_fields(f"the record of {name!r}", record, _RECORD)
    for field in ("score_range", "lower_better"):
        if "head" in record and record.get(field) is None:
            raise ValueError(f"the record of {name!r} has a head, but no {field}")


def check_row(cells: Cells, scores: Iterable[str]) -> None:
    """Raise ``ValueError`` if a row lacks a column or has a cell of another type; cells of csv files are texts."""
    for name in ("path", "width", "kind", "error", "stamp"):
        if name not in cells:
            raise ValueError(f"a row lacks {name!r}")
    path = cells["path"]
    kind = cells["kind"]
    if not isinstance(path, str):
        raise ValueError(f"a row has the path {shown(path)}, but it must be a text")
    for name in ("kind", "error", "stamp"):
        if not isinstance(cells[name], str | None):
            raise ValueError(f"the row of {path!r:.80} has the {name} {shown(cells[name])}, but it must be a text")
    if kind and kind not in _KINDS:
        raise ValueError(f"the row of {path!r:.80} has the unknown kind {kind!r:.80}")
    _check_numbers(cells, scores)
    if is_deep(cells):
        raise ValueError(f"the row of {path!r:.80} is nested too deeply")


def _check_numbers(cells: Cells, scores: Iterable[str]) -> None:
    path = cells["path"]
    if not isinstance(cells["width"], int | str | None):
        raise ValueError(f"the row of {path!r:.80} has the width {shown(cells['width'])}, but it must be a number")
    for name in scores:
        if not _is_score(cells.get(name)):
            raise ValueError(f"the row of {path!r:.80} has the {name} {shown(cells[name])}, but it must be a number")


def is_deep(value: Any) -> bool:
    """Return whether objects and lists are nested in one another on more than 20 levels."""
    level = [value]
    for _ in range(_DEEPEST):
        level = [part for whole in level for part in _parts(whole)]
        if not level:
            return False
    return True


def _parts(whole: Any) -> Iterable[Any]:
    if isinstance(whole, Mapping):
        return whole.values()
    return whole if isinstance(whole, list | tuple) else ()


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_null(value: Any) -> bool:
    return isinstance(value, str | None)


def _is_truth_or_null(value: Any) -> bool:
    return isinstance(value, bool | None)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300


def _is_score(cell: Any) -> bool:
    if cell is None or cell == "":
        return True
    try:
        float(cell)
    except (TypeError, ValueError, OverflowError):
        return False
    return not isinstance(cell, bool)


def _is_range(value: Any) -> bool:
    return isinstance(value, list | tuple) and len(value) == 2 and all(map(_is_number, value))


def _is_open_range(value: Any) -> bool:
    if not isinstance(value, list | tuple):
        return False
    return len(value) == 2 and all(end is None or _is_number(end) for end in value)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_text, value))


def _are_questions(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(map(_is_list_of_texts, value))


def _is_object(value: Any) -> bool:
    return isinstance(value, Mapping)


def _are_texts(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value.values()))


def _is_learned(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("shape"), list | tuple):
        return False
    return _is_text(value.get("sha256")) and _is_text_or_null(value.get("from")) and "trained" in value


def _is_head(value: Any) -> bool:
    if not isinstance(value, Mapping) or "rated_photos" not in value:
        return False
    return all(_is_text(value.get(name)) for name in ("sha256", "method", "fit_on"))


_Fields = Mapping[str, tuple[Callable[[Any], bool], str]]
"""Field -> whether a value is what it must be, and what that is."""

_TEXTS = (
    "metric version backbone weights weights_sha256 precision pos_embedding view seen "
    "file file_sha256 pyiqa parameters error hash"
)
_RECORD: _Fields = {
    **dict.fromkeys(_TEXTS.split(), (_is_text, "a text")),
    "metric_version": (_is_text_or_null, "a text or null"),
    "lower_better": (_is_truth_or_null, "true, false or null"),
    "range": (_is_open_range, "two numbers or nulls"),
    "score_range": (_is_range, "two numbers"),
    "questions": (_are_questions, "lists of texts"),
    "options": (_is_object, "a JSON object"),
    "files": (_are_texts, "texts by name"),
    "learned": (_is_learned, "an object with sha256, from, trained and shape"),
    "head": (_is_head, "an object with sha256, method, fit_on and rated_photos"),
}
_READING: _Fields = {
    "versions": (_are_texts, "texts by name"),
    "decoders": (_are_texts, "texts by name"),
    "keep": (_is_list_of_texts, "a list of texts"),
    "device": (_is_text, "a text"),
}
_KINDS = frozenset(Kind)


def _check_fields(what: str, record: Mapping[str, Any], fields: _Fields) -> None:
    for name in fields.keys() & record.keys():
        is_usable, kind = fields[name]
        if not is_usable(record[name]):
            raise ValueError(f"{what} has the {name} {shown(record[name])}, which must be {kind}")
