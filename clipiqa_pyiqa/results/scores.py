"""Scores of any tool, read from a file or a folder, and the good end of each score."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import CLIPIQAError, counted, few, nearest
from ..files.csv_files import PATH_COLUMNS, find_column
from ..files.names import below_common, printable
from ..images.image import MISSING
from ..sources.finding import images_in, split_name
from ..sources.stores import source_at
from .columns import Column, read_scales
from .formats import METRIC, SCALE, SUFFIXES, Head, checked_reading, format_of, read_cells, read_head
from .rows import FIELDS, NUMBERS

if TYPE_CHECKING:
    import pandas

logger = logging.getLogger("clipiqa_pyiqa")
_NO_SCORES = {*FIELDS, METRIC, "index", "id", "", "rank", "n", "split", "unnamed: 0"}


@dataclass(frozen=True)
class Scores:
    """Scores of images.

    Attributes:
        frame: Column per score (NaN: missing); the index holds image names, which may repeat.
        columns: Score column -> what is known of it; empty for files of other tools.
    """

    frame: pandas.DataFrame
    other: pandas.DataFrame
    columns: Mapping[str, Column] = field(default_factory=dict)
    reading: Mapping[str, Any] = field(default_factory=dict)
    errors: Mapping[str, str] = field(default_factory=dict)
    file: str = ""
    ours: bool = False

    @property
    def flags(self) -> dict[str, str]:
        return _filled(self.other["flag"]) if self.ours and "flag" in self.other else {}

    def changed(self, names: Iterable[str], path: Callable[[str], str]) -> list[str]:
        """Return the names whose file or shard has changed since it was scored, as stamps tell."""
        stamps = self.other["stamp"].to_dict() if self.ours and "stamp" in self.other else {}
        now, found = functools.cache(lambda file: source_at(file).stamp()), list[str]()
        for name in names:
            stamp = now(split_name(path(name))[0] or path(name))
            if stamps.get(name) and stamp not in (None, MISSING, *str(stamps[name]).split(",")):
                found.append(name)
        return found

    @property
    def names(self) -> list[str]:
        """The names of the scores."""
        return list(self.frame.columns)

    @classmethod
    def of(cls, head: Head, rows: Iterable[Mapping[str, Any]], file: str = "") -> Scores:
        """Return the scores in rows of results (column -> value, or its text)."""
        import pandas

        table = pandas.DataFrame(list(rows), columns=[name for name in head.names if name not in (SCALE, METRIC)])
        names = pandas.Index(table.pop("path").map(str), name="path", dtype=object)
        for name in (*head.scores, *NUMBERS):
            table[name] = _numbers(table[name])
        frame = table[head.scores].astype(float).set_axis(names)
        other = table.drop(columns=head.scores).set_axis(names)
        columns = {column.name: column for column in head.columns}
        return cls(frame, other, columns, head.reading, _filled(other["error"]), file, ours=True)

    def under(self, names: Iterable[str]) -> Scores:
        """Return the scores of images, in order, under their names as given; the newest row of an image counts."""
        import pandas

        # pandas' own text type refuses names that are not UTF-8
        axis = pandas.Index(list(names), name="path", dtype=object)
        shown = {printable(name): name for name in axis}
        newest = (each[~each.index.duplicated(keep="last")] for each in (self.frame, self.other))
        frame, other = (each.reindex(list(map(printable, axis))).set_axis(axis) for each in newest)
        errors = {shown[name]: error for name, error in self.errors.items() if name in shown}
        return replace(self, frame=frame, other=other, errors=errors)


def is_score_file(path: str | os.PathLike[str]) -> bool:
    """Return whether a path names a file of scores, or a folder of results by shard."""
    if not os.path.isdir(path):
        return Path(path).suffix.lower() in SUFFIXES
    from .folder import read_run

    with contextlib.suppress(CLIPIQAError):
        return read_run(os.fspath(path)) is not None and not any(images_in(path))
    return False


def read_scores(
    path: str | os.PathLike[str],
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
    partial: bool | None = None,
) -> Scores:
    """Return the scores in a file of any tool, or in a folder of results by shard.

    Args:
        path: A CSV, JSON lines or Parquet file, one row per image; or the folder that ``clipiqa score`` wrote.
        columns: The columns of scores; None finds the columns.
        key: The column of image names; None finds the column.
        partial: Accept an unfinished folder of results; None: the caller has no such option.
    """
    path = Path(path).expanduser()
    import pandas

    rows, head = _rows(path, partial)
    table = pandas.DataFrame(rows)
    try:
        known = {column.name: column for column in head.columns} if head else read_scales(table.get(SCALE, ()))
    except ValueError as error:
        raise CLIPIQAError(f"{str(path)!r} holds scores of several runs ({error}): name a file of one run.") from error
    name = find_column(path, list(table.columns), key, PATH_COLUMNS, "path", option="key")
    names = pandas.Index(table[name].map(str), name="path", dtype=object)
    others = [each for each in table if each != name and str(each).lower().strip() not in _NO_SCORES]
    values = {each: _numbers(table[each]) for each in columns or others if each in table}
    numbers = [each for each in values if each in known or values[each].notna().any()]
    if missing := [each for each in columns or () if each not in numbers]:
        raise CLIPIQAError(
            f"{str(path)!r} has no numbers called {missing[0]!r}: {nearest(missing[0], map(str, others))}"
        )
    if not numbers:
        listed = ", ".join(map(str, table.columns))
        raise CLIPIQAError(f"{str(path)!r} has no column of numbers: its columns are {listed}.")
    chosen = columns or [each for each in numbers if each in known] or numbers
    for each in chosen:
        cells = [cell for cell in table[each][values[each].isna()] if isinstance(cell, str) and cell.strip()]
        if cells:
            comma = any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", cell) for cell in cells)
            hint = "; a decimal comma must be a point" if comma else ""
            lost = f"{counted(len(cells), 'score')} of {str(each)!r} in {str(path)!r}"
            logger.warning("no number, so missing: %s (%s%s).", lost, few(dict.fromkeys(cells)), hint)
    scores = {str(each): values[each].to_numpy(float) for each in chosen}
    errors = {} if "error" not in table else _filled(table["error"].set_axis(names))
    ours = bool(known) or any(str(cell).startswith("clipiqa") for cell in table.get(METRIC, ()))
    ends = [end for end in (SCALE, METRIC) if ours and end in table]
    other = table.drop(columns=[name, *chosen, *ends]).set_axis(names)
    frame = pandas.DataFrame(scores, names)
    return Scores(frame, other, known, head.reading if head else {}, errors, str(path), ours)


def _rows(path: Path, partial: bool | None) -> tuple[list[dict[str, Any]], Head | None]:
    if path.is_dir():
        from .folder import summary_of

        found = summary_of(path, partial=partial)
        for line in found.notes():
            logger.warning("%s.", line)
        return [row for table in found.tables() for row in table.to_pylist()], found.head
    if not path.suffix and not path.exists():
        raise CLIPIQAError(f"{str(path)!r} does not exist: name a file of scores.")
    format = format_of(path)
    with checked_reading(path, format):
        damage = list[str]()
        head, rows = read_head(path, format), list(read_cells(path, format, damage))
        if damage or not rows:
            raise ValueError(f"it is damaged: {damage[0]}" if damage else "it has no rows")
        return rows, head


def _filled(texts: pandas.Series) -> dict[str, str]:
    return {str(name): str(text) for name, text in texts.fillna("").items() if text}


def _numbers(values: pandas.Series) -> pandas.Series:
    import pandas

    return pandas.to_numeric(values if values.dtype.kind in "iuf" else values.map(str), "coerce")


def matching_names(*runs: Sequence[str]) -> list[list[str]]:
    """Return each run's image names below its common folder, without suffixes; as given if no name is then shared."""
    found = []
    for names in runs:
        below = below_common(names)
        stems = [re.sub(r"\.\w*[a-zA-Z]\w*$", "", below[name]) for name in names]  # not the seconds of a frame
        found.append(stems if len(set(stems)) == len(below) else [below[name] for name in names])
    return found if set.intersection(*map(set, found)) else [list(names) for names in runs]


_COMMON = dict.fromkeys(("mse", "rmse", "mae", "l1", "l2", "error", "loss", "distance", "dmos", "kid", "fvd"), True)
_COMMON |= {"mos": False, "vmaf": False}
"""Name of a well-known score that pyiqa does not have -> whether a low score is good."""
LOWER_BETTER = (
    "lpips lpips-vgg lpips+ lpips-vgg+ stlpips stlpips-vgg dists deepdc gmsd nlpd mad piqe niqe niqe_matlab ilniqe "
    "brisque brisque_matlab pi pieapp msswd fid sfid fid_dinov2 afine_nr afine_fr afine_all_scale afine_all"
)
HIGHER_BETTER = (
    "ahiq ckdn ssim ssimc psnr psnry fsim ms_ssim vif vsi cw_ssim nrqm cnniqa musiq musiq-ava musiq-paq2piq "
    "musiq-spaq nima nima-koniq nima-spaq nima-vgg16-ava paq2piq dbcnn maniqa maniqa-pipal maniqa-kadid clipiqa "
    "clipiqa+ clipiqa+_vitL14_512 clipiqa+_rn50_512 fgresq fgresq_pair tres tres-flive hyperiqa metaiqa uranker "
    "clipscore entropy topiq_nr topiq_nr-flive topiq_nr-spaq topiq_nr-face topiq_nr_swin-face topiq_nr-face-v1 "
    "topiq_fr topiq_fr-pipal topiq_iaa topiq_iaa_res50 laion_aes liqe liqe_mix wadiqam_fr wadiqam_nr qalign "
    "qalign_8bit qalign_4bit qrealign qrealign-mini qrealign-lite qrealign-pro compare2score unique arniqa "
    "arniqa-live arniqa-csiq arniqa-tid arniqa-kadid arniqa-clive arniqa-flive arniqa-spaq dmm maclip qualiclip "
    "qualiclip+ qualiclip+-clive qualiclip+-flive qualiclip+-spaq inception_score"
)
"""Names of pyiqa's metrics, also for machines without pyiqa."""
_KNOWN = {**_COMMON, **dict.fromkeys(LOWER_BETTER.split(), True), **dict.fromkeys(HIGHER_BETTER.split(), False)}


@dataclass(frozen=True)
class Direction:
    """Whether low scores are good, and the reason."""

    lower_better: bool
    because: str

    def __str__(self) -> str:
        return f"{'lower' if self.lower_better else 'higher'} is better ({self.because})"


def direction_by_name(column: str) -> bool | None:
    """Return whether low scores are good, as far as a column's name tells."""
    name = column.lower().strip()
    by_name = _KNOWN.get(name, _KNOWN.get(re.split(r"[\s_(-]", name)[0]))
    return {"↓": True, "↑": False}.get(name[-1:], by_name)


def find_direction(runs: Sequence[Scores], column: str, given: bool | None = None) -> Direction:
    """Return a column's direction; ``given`` is the option ``lower_better``, or None if it is not set."""
    for run in runs:
        lower_better = run.columns[column].lower_better if column in run.columns else None
        if lower_better is None:
            continue
        name = os.path.basename(run.file) or "the metric"
        if given in (None, lower_better):
            return Direction(lower_better, f"as {name} says")
        return Direction(not lower_better, f"as the option says, unlike {name}")
    if given is not None:
        return Direction(given, "as the option says")
    by_name = direction_by_name(column)
    for run in runs:
        if run.ours and (by_name is None or not run.columns):
            raise CLIPIQAError(
                f"{run.file!r} is a file of clipiqa score, but its column 'scale' does not say whether a low or a high "
                f"{column!r} is good: pass lower_better or higher_better."
            )
    if by_name is None:
        return Direction(False, "assumed, as its name is unknown; if wrong, pass lower_better")
    return Direction(by_name, "by its name")
