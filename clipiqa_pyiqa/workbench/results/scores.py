"""Scores of any tool in a file or folder, their good ends, chosen images, and scores of videos."""

from __future__ import annotations

import functools
import math
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...checks import FilePath, checked
from ...errors import CLIPIQAError, Kind
from ...files.printable import printable
from ...logger import log
from ...text import counted, few, nearest
from ..files.csv_files import PATH_COLUMNS, find_column
from ..files.journal import Cells
from ..images.formats import VIDEOS
from ..images.image import MISSING
from ..names.members import split_name
from ..sources.stores import address_of, is_remote, source_at
from .checks import check_row
from .columns import Column, Record, read_scales
from .formats import METRIC, RECORD, SCALE, SUFFIXES, Head, checked_reading, format_of, read_cells, read_head
from .row import FIELDS, NUMBERS

if TYPE_CHECKING:
    import pandas

_NO_SCORES = {*FIELDS, METRIC, SCALE, "index", "id", "", "rank", "n", "split", "unnamed: 0"}


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
    reading: Record = field(default_factory=dict)
    file: str = ""
    ours: bool = False

    @functools.cached_property
    def errors(self) -> dict[str, str]:
        return _filled(self.other["error"]) if "error" in self.other else {}

    @property
    def flags(self) -> dict[str, str]:
        return _filled(self.other["flag"]) if self.ours and "flag" in self.other else {}

    @property
    def unread(self) -> dict[str, str]:
        """Return image -> why it could not be read."""
        is_unread = self.other["width"].isna() & self.other["kind"].ne(Kind.NOT_IN_FILE)
        return _filled(self.other[is_unread]["error"])

    def changed(self, names: Iterable[str], path: Callable[[str], str]) -> list[str]:
        """Return the names whose file or shard has changed since it was scored, as stamps tell."""
        stamps = self.other["stamp"].to_dict() if self.ours and "stamp" in self.other else {}
        now = functools.cache(lambda file: source_at(file).stamp())
        found = list[str]()
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
    def of(cls, head: Head, rows: Iterable[Cells], file: str = "") -> Scores:
        """Return the scores in rows of results (column -> value, or its text)."""
        import pandas

        table = pandas.DataFrame(list(rows), columns=head.names[:-2])
        table.index = pandas.Index(table.pop("path").map(str), name="path", dtype=object)
        for name in (*head.scores, *NUMBERS):
            table[name] = _numbers(table[name])
        frame = table[head.scores].astype(float)
        other = table.drop(columns=head.scores)
        return cls(frame, other, head.by_name, head.reading, file, ours=True)

    def under(self, names: Iterable[str]) -> Scores:
        """Return the scores of images, in order, under their names as given; the newest row of an image counts."""
        import pandas

        # pandas' own text type refuses names that are not UTF-8
        axis = pandas.Index(list(names), name="path", dtype=object)
        newest = (each[~each.index.duplicated(keep="last")] for each in (self.frame, self.other))
        frame, other = (each.reindex(list(map(printable, axis))).set_axis(axis) for each in newest)
        return replace(self, frame=frame, other=other)


def is_score_file(path: FilePath) -> bool:
    """Return whether a path names a file of scores, or a folder of results of a run on Ray."""
    if not os.path.isdir(path):
        return Path(path).suffix.lower() in SUFFIXES
    return is_folder_of_rows(path) and not is_remote(address_of(path))


@checked
def read_scores(
    path: FilePath,
    *,
    columns: Sequence[str] | None = None,
    key: str | None = None,
) -> Scores:
    """Return the scores in a file of any tool, or in a folder of results of a run on Ray.

    Args:
        path: A CSV, JSON lines or Parquet file, one row per image; or a folder that ``clipiqa score --engine ray``
            wrote, perhaps in a store.
        columns: The columns of scores; None finds them.
        key: The column of image names; None finds it.
    """
    import pandas

    is_folder = is_folder_of_rows(path)
    address = address_of(path)
    path = Path(path).expanduser()
    rows, head = _rows_of_folder(address) if is_folder else _rows(path)
    if not rows:
        raise CLIPIQAError(f"{str(path)!r} has no rows: score images first.")
    table = pandas.DataFrame(rows)
    try:
        known = head.by_name if head else read_scales(table.get(SCALE, ()))
    except ValueError as error:
        raise CLIPIQAError(f"{str(path)!r} holds scores of several runs ({error}): name a file of one run.") from error
    key = key or ("path" if head else None)
    name = find_column(path, list(table.columns), key, PATH_COLUMNS, option="key")
    table.index = pandas.Index(table.pop(name).map(str), name="path", dtype=object)
    if "" in table.index:
        raise CLIPIQAError(f"{str(path)!r} has a row without a name in the column {name!r}: add it, or delete the row.")
    others = [each for each in table if str(each).lower().strip() not in _NO_SCORES]
    values = {each: _numbers(table[each]) for each in columns or others if each in table}
    numbers = [each for each in values if each in known or values[each].notna().any()]
    if missing := [each for each in columns or () if each not in numbers]:
        raise CLIPIQAError(
            f"{str(path)!r} has no numbers called {missing[0]!r}: {nearest(missing[0], map(str, others))}"
        )
    if not numbers:
        raise CLIPIQAError(
            f"{str(path)!r} has no column of numbers: its columns are {', '.join(map(str, (name, *table.columns)))}."
        )
    chosen = columns or [each for each in numbers if each in known] or numbers
    for each in chosen:
        cells = [cell for cell in table[each][values[each].isna()] if isinstance(cell, str) and cell.strip()]
        if cells:
            has_comma = any(re.fullmatch(r"\s*[+-]?\d+,\d+\s*", cell) for cell in cells)
            log.warning(
                f"no number, so missing: {counted(len(cells), 'score')} of {str(each)!r} in {str(path)!r} "
                f"({few(dict.fromkeys(cells))}{'; a decimal comma must be a point' if has_comma else ''})."
            )
    frame = pandas.DataFrame({str(each): values[each].astype(float) for each in chosen})
    ours = bool(known) or any(str(cell).startswith("clipiqa") for cell in table.get(METRIC, ()))
    used = list(chosen)
    if ours:
        used += [SCALE, METRIC]
    other = table.drop(columns=used, errors="ignore")
    return Scores(frame, other, known, head.reading if head else {}, str(path), ours)


def is_folder_of_rows(path: FilePath) -> bool:
    """Return whether a path may be a folder of Parquet files that a run on Ray wrote; in a store any folder may be."""
    address = address_of(path)
    return is_remote(address) or os.path.isfile(os.path.join(address, RECORD))


def _rows_of_folder(address: str) -> tuple[list[Cells], Head]:
    from .parquet_folder import ParquetFolder  # imports pyarrow

    folder = ParquetFolder(address)
    head = folder.finished_head()
    rows = folder.table().to_pylist()
    with checked_reading(Path(address), "parquet"):
        for row in rows:
            check_row(row, head.scores)
    return rows, head


def _rows(path: Path) -> tuple[list[Cells], Head | None]:
    if not path.suffix and not path.exists():
        raise CLIPIQAError(f"{str(path)!r} does not exist: name a file of scores.")
    format = format_of(path)
    with checked_reading(path, format):
        damage = list[str]()
        head = read_head(path, format)
        rows = list(read_cells(path, format, damage))
        if damage:
            raise ValueError(f"it is damaged: {damage[0]}")
        return rows, head


def _filled(texts: pandas.Series) -> dict[str, str]:
    return {str(name): str(text) for name, text in texts.fillna("").items() if text}


def _numbers(values: pandas.Series) -> pandas.Series:
    import pandas

    return pandas.to_numeric(values if values.dtype.kind in "iuf" else values.map(str), "coerce")


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
_ALSO_LOWER = "lpips-alex lpips_alex lpips_vgg mse rmse mae l1 l2 error loss distance dmos kid fvd"
_ALSO_HIGHER = "psnr-y psnr_y psnr-rgb psnr_rgb ssim-y ssim_y ssim-rgb ssim_rgb mos vmaf"
"""Well-known scores that pyiqa does not have, or not under this name."""
_KNOWN = {
    **dict.fromkeys(f"{LOWER_BETTER} {_ALSO_LOWER}".lower().split(), True),
    **dict.fromkeys(f"{HIGHER_BETTER} {_ALSO_HIGHER}".lower().split(), False),
}


@dataclass(frozen=True)
class Direction:
    """Whether low scores are good, and the reason."""

    lower_better: bool
    because: str

    def __str__(self) -> str:
        return f"{'lower' if self.lower_better else 'higher'} is better ({self.because})"


def direction_by_name(column: str) -> bool | None:
    """Return whether low scores are good, if an arrow at the end or the whole name tells; None otherwise."""
    name = column.lower().strip()
    if name.endswith("↓"):
        return True
    if name.endswith("↑"):
        return False
    return _KNOWN.get(name)


def known_word(column: str) -> str:
    """Return a known score's name that stands beside other words, as in ``ssim_loss``, or ``''``.

    The other words may turn its direction round.
    """
    if direction_by_name(column) is not None:
        return ""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", " ", column).lower()  # ssimLoss, SSIMLoss
    names = "|".join(re.escape(name) for name in sorted(_KNOWN, key=len, reverse=True))
    match = re.search(rf"(?<![a-z0-9])({names})(?![a-z0-9])", spaced)
    return match[1] if match else ""


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
                f"{run.file!r} does not say whether a low or a high {column!r} is good: pass lower_better or "
                "higher_better."
            )
    if by_name is not None:
        return Direction(by_name, "by its name")
    word = known_word(column)
    if word:
        raise CLIPIQAError(
            f"nothing says whether a low or a high {column!r} is good, as {word!r} is not its whole name: pass "
            "lower_better or higher_better, or name other columns (`by`)."
        )
    return Direction(False, "assumed, as its name is unknown; if wrong, use the option lower-better")


_SHARE = "percentage such as 10%"
CUTS = dict.fromkeys(("worst", "best"), f"a number of images, or a {_SHARE}")
CUTS |= {"below": f"a number, or a {_SHARE}", "above": f"a number, or a {_SHARE}", "drop_worst": f"a {_SHARE}"}
"""Condition of :func:`choose` -> the values that it takes, in words."""


def choose(
    names: Any, scores: Any, lower_better: bool, cuts: Mapping[str, Any]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places of the worst images (the worst first), and of the best images (the best first).

    A share such as ``'10%'`` counts the images that have a score, and is rounded down. Images with equal scores are in
    order of name. An image without a score (NaN) is never chosen.

    Args:
        cuts: ``worst`` and ``best`` choose a number or a share; without both, the first array holds all images that the
            other conditions leave. ``above`` leaves images at least as good as a score, ``below`` worse images; a share
            means the score that this share does not reach. ``drop_worst`` leaves out a share.
    """
    import pyarrow
    from pyarrow.compute import sort_indices

    quality = np.asarray(scores, float) * (-1 if lower_better else 1)
    table = pyarrow.table({"quality": quality, "name": names})

    def ordered(way: str) -> NDArray[np.intp]:
        places = sort_indices(table, [("quality", way), ("name", "ascending")]).to_numpy()
        return places[~np.isnan(quality[places])]

    left = ordered("ascending")
    known = quality[left]
    ends = {name: _count(name, cut, known, lower_better) for name, cut in cuts.items() if cut is not None}
    if ends.get("above", 0) > ends.get("below", len(left)):
        raise CLIPIQAError(
            f"above and below leave no image, as {'low' if lower_better else 'high'} scores are good: exchange the two."
        )
    left = left[max(ends.get("above", 0), ends.get("drop_worst", 0)) : ends.get("below")]
    if not {"worst", "best"} & ends.keys():
        return left, left[:0]
    worst = left[: ends.get("worst", 0)]
    rest = ordered("descending")
    return worst, rest[np.isin(rest, left) & ~np.isin(rest, worst)][: ends.get("best", 0)]


def unscored_note(names: Iterable[str]) -> list[str]:
    """Return a sentence about images that :func:`choose` leaves out, if there are any."""
    names = list(names)
    return [f"{counted(len(names), 'image')} left out, without a score or not readable: {few(names)}"] if names else []


def _count(name: str, cut: Any, quality: NDArray[np.float64], lower_better: bool) -> int:
    text = str(cut).strip()
    try:
        value = Decimal(text.removesuffix("%"))
        if text.endswith("%"):
            if 0 <= value <= 100:
                return int(value * len(quality) / 100)
        elif name in ("above", "below") and not value.is_nan():
            return int(np.searchsorted(quality, float(-value if lower_better else value)))
        elif name in ("worst", "best") and value.is_finite() and 1 <= value == value.to_integral_value():
            return int(min(value, Decimal(len(quality))))
    except ArithmeticError:
        pass
    raise CLIPIQAError(f"{name} must be {CUTS[name]}; got {cut!r}.")


def videos_of(names: Iterable[str]) -> list[str]:
    """Return the video of each frame; other images stand for themselves."""
    shards = ((name, split_name(name)[0]) for name in names)
    return [shard if shard.lower().endswith(VIDEOS) else name for name, shard in shards]


def per_video(scores: Scores) -> Scores:
    """Return scores with one row per video: the mean of its frames, missing if a frame or a part has no score."""
    videos = videos_of(scores.frame.index)
    if videos == [*scores.frame.index]:
        return scores
    frame = scores.frame.groupby(videos, sort=False).agg(lambda values: values.mean(skipna=False))
    return replace(scores, frame=frame, other=scores.other.groupby(videos, sort=False).first())


def judge_videos(scores: Scores) -> Scores:
    """Return a row per video, with five columns for each score NAME of its frames; ``frames`` is their number.

    ``NAME``: the mean. ``NAME p5``: the 5th percentile; the 95th, ``NAME p95``, if low scores are good. ``NAME worst
    second``: the mean of the worst second, which begins at ``NAME worst at``. ``NAME flicker``: the median of
    ``|a - 2 b + c|`` over neighbouring scores a, b, c; left out if no video has three. A video with a frame or a part
    that has no score gets none, but an ``error``.
    """
    import pandas

    rows = dict[str, dict[str, Any]]()
    columns = dict[str, Column]()
    videos = pandas.Index(videos_of(scores.frame.index))  # pandas would take a list of one for a list of keys
    for video, own in scores.frame.groupby(videos, sort=False):
        if not video.lower().endswith(VIDEOS):
            continue
        row: dict[str, Any] = {"frames": own.notna().any(axis=1).sum()}
        rows[video] = row
        for name in scores.names:
            if (values := own[name]).notna().all():
                is_low = find_direction([scores], name).lower_better
                of_seconds = values.groupby(lambda frame: math.floor(float(split_name(frame)[1]))).mean()
                worst, tail = (of_seconds.idxmax(), 95) if is_low else (of_seconds.idxmin(), 5)
                row |= {name: values.mean(), f"{name} p{tail}": values.quantile(tail / 100)}
                row |= {f"{name} worst second": of_seconds[worst], f"{name} worst at": worst}
                row[f"{name} flicker"] = values.diff().diff().abs().median()
        row["error"] = next(filter(None, map(scores.errors.get, own.index)), None)
    table = pandas.DataFrame.from_dict(rows, orient="index").rename_axis("path").dropna(axis=1, how="all")
    for name in scores.names:
        made = scores.columns.get(name, Column(name)).record
        for each in (name, f"{name} p5", f"{name} p95", f"{name} worst second", f"{name} flicker"):
            if each in table:
                ends = {"range": [0, None], "lower_better": True} if each == f"{name} flicker" else {}
                columns[each] = Column(each, {**made, **ends, "of_video": each})
    return Scores(table[[*columns]], table, columns, scores.reading)
