"""Published numbers and earlier tables beside a computed one, and changes that may explain differences."""

import json
import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import torch
from pandas import DataFrame, Series, concat, to_numeric

from ...checks import FilePath
from ...errors import CLIPIQAError
from ...logger import log
from ...text import few, first_of, nearest, reason
from ..files.csv_files import read_rows
from ..metrics.kinds import Metric, Preprocess
from ..metrics.parsing import parse_metrics
from ..results.columns import changes
from ..results.formats import Head
from .method_images import MethodImages
from .method_table import IMAGES, MethodTable
from .protocols import without_alpha

_CELL = ["test_set", "method", "image"]
_HASHES = {"sha256": "the image", "reference_sha256": "the reference"}
_ROUNDING = 1e-5
"""Largest difference of scores that agree: relative above 1, absolute below. Threads and processors cause less."""
_VARIANTS = (  # change -> metric, as written after -m; a row has the variants of one metric
    {"RGB": "psnr-rgb", "Y of YCbCr (16 to 235)": "psnr-y", "Y of YIQ (0 to 255)": "psnry"},
    {"RGB": "ssim-rgb", "Y of YCbCr (16 to 235)": "ssim-y", "Y of YIQ (0 to 255)": "ssim"},
    {
        "five prompt pairs": "clipiqa:prompts=pyiqa",
        "one prompt pair": "clipiqa:prompts=quality",
        "clipiqa+": "clipiqa+",
        "clipiqa+_vitL14_512": "clipiqa+_vitL14_512",
    },
    {
        "LIVE's parameters": "niqe",
        "MATLAB's parameters": "niqe_matlab",
        "LIVE's parameters, Y of YCbCr (16 to 235)": "niqe:test_y_channel=true,color_space=ycbcr",
    },
    {"KonIQ": "maniqa", "PIPAL": "maniqa-pipal"},
    {"KonIQ": "musiq", "SPAQ": "musiq-spaq"},
    {"AlexNet": "lpips", "VGG": "lpips-vgg"},
)
_WEIGHTS = ("backbone", "clip_weights", "pretrained_model_path")  # options that a change keeps


def read_expected(
    given: FilePath | Iterable[FilePath], images: MethodImages
) -> tuple[DataFrame | None, dict[Path, DataFrame]]:
    """Return published numbers, and the rows of earlier tables' files ``images.csv``.

    Published numbers have the columns ``test_set``, ``method``, ``averaged``, ``metric``, ``published`` (as text).

    Args:
        given: CSV files (a row per method, or per image with a column ``image``; a column per metric, optionally
            ``test_set``), texts such as ``'ours: psnr=27.92 ssim=0.7835'``, and ``images.csv`` of earlier tables.
    """
    tables = []
    sources = [given] if isinstance(given, str | os.PathLike) else given
    earlier = {}
    for each in sources:
        line = re.fullmatch(r"([^:]+):(\s*[^\s=]+=\S+(?:\s+[^\s=]+=\S+)*)\s*", str(each))
        path = Path(each).expanduser()
        if line:
            rows = DataFrame([{"method": line[1], **dict(pair.split("=", 1) for pair in line[2].split())}])
        else:
            rows = _read_csv(path)
        if {*_CELL, "sha256"} <= {*rows}:
            sets = path.with_name("sets.csv")
            earlier[path] = concat([rows, *map(_read_csv, [sets] if sets.exists() else [])])
            continue
        rows = rows.apply(lambda column: column.str.strip())
        is_averaged = "image" in rows
        if is_averaged:
            rows = _means(rows, images)
        rows = rows.assign(test_set=rows.get("test_set", ""), averaged=is_averaged)
        tables.append(rows.melt(["test_set", "method", "averaged"], var_name="metric", value_name="published"))
    if not any(map(len, tables)):
        if not earlier:
            raise CLIPIQAError(
                "no published number is given: name a CSV file in `expect`, with commas between its columns, or "
                "'METHOD: LABEL=NUMBER …'."
            )
        return None, earlier
    found = concat(tables, ignore_index=True)
    is_missing = found["published"].str.lower().isin(["", "-", "–", "—", "n/a", "nan"])
    found["published"] = found["published"].mask(is_missing, "–")
    no_numbers = found[~found["published"].str.fullmatch(r"–|[+-]?(\d+\.?\d*|\.\d+)")]
    if len(no_numbers):
        each = next(no_numbers.itertuples())
        raise CLIPIQAError(
            f"{each.metric} of {each.method!r} must be a number, as in a table with a column per metric; got "
            f"{each.published!r:.80}."
        )
    return found, earlier


def with_published(found: MethodTable, published: DataFrame) -> MethodTable:
    """Return the table with the published numbers of its methods, metrics and test sets, and the names of others."""
    labels = [*found.columns, *found.protocol.not_computed]
    expected = published.copy()
    unknown = list[str]()
    for what, known in {"method": found.methods, "metric": labels, "test_set": found.test_sets}.items():
        lower = {name.lower(): name for name in known}
        if len(known) == 1:
            lower[""] = known[0]
        expected[what] = published[what].str.lower().map(lower)
        lost = published[what][expected[what].isna() & (published["published"] != "–")].unique()
        unknown += [f"{what} {name!r}: {nearest(name, known)}" for name in lost]
    expected = expected[expected["metric"].isin(found.columns)].dropna()
    lost = first_of(unknown, 5)
    if expected.empty:
        raise CLIPIQAError(f"no published number matches the table: {lost or 'none is of its metrics and methods'}")
    expected["computed"] = [found.mean(row.test_set, row.metric, row.method) for row in expected.itertuples()]
    if lost:
        log.warning(f"published, but not in this table: {lost}")
    return replace(found, expected=add_units(expected, "computed"), unknown=lost)


def add_units(found: DataFrame, column: str) -> DataFrame:
    """Return the rows with ``units`` (``column`` minus ``published``) and ``agrees`` (at most one unit apart).

    One unit is 1 in the last digit of ``published``. ``agrees`` is NaN without a published number.
    """
    numbers = to_numeric(found["published"], "coerce")
    digits = found["published"].map(decimals).astype(float)
    units = (found[column] - numbers) * 10.0**digits
    return found.assign(units=units, agrees=(units.abs() <= 1 + 1e-6).astype(object).where(numbers.notna()))


def decimals(number: str) -> int:
    """Return how many digits a number, given as text, has after its point."""
    return len(number.partition(".")[2])


def _read_csv(path: Path) -> DataFrame:
    try:
        rows = DataFrame([row for _, row in read_rows(path)[0]])
    except CLIPIQAError as error:
        raise CLIPIQAError(f"{error} Give a CSV file of published numbers, or 'METHOD: LABEL=NUMBER …'.") from error
    rows.columns = rows.columns.str.strip()
    return rows if {"method", "image"} & {*rows} else rows.rename(columns={rows.columns[0]: "method"})


def _means(rows: DataFrame, images: MethodImages) -> DataFrame:
    """Return the means of the numbers of images, over the images of the table."""
    names = images.files.index
    rows.index = rows.pop("image").map(lambda name: os.path.splitext(name)[0])
    if lacking := [name for name in names if name not in rows.index]:
        raise CLIPIQAError(f"there are no published numbers of {few(lacking)}: leave these images out of the table.")

    def mean(column: Series) -> str:  # 'nan' for a column of hashes
        numbers = to_numeric(column, errors="coerce")
        digits = column.str.partition(".")[2].str.len().max()
        odd = column[numbers.isna()]
        return str(odd.iloc[0]) if 0 < len(odd) < len(column) else f"{numbers.mean():.{digits}f}"

    rows = rows.loc[names].assign(method=rows.get("method", ""))
    return rows.groupby("method", sort=False).agg(mean).reset_index()


def explain(found: MethodTable, score: Callable[[Sequence[Metric], bool], MethodTable]) -> DataFrame:
    """Return a trial of every change to the metrics whose published numbers differ.

    Args:
        score: Function that scores the images with given metrics; True drops alpha (transparency).

    Returns:
        Columns ``test_set``, ``method``, ``metric``, ``change``, ``option`` that makes the change, ``value``, ``units``
        (above the published number), ``verdict`` (``'fits'``, ``'refuted'``, ``'not tried'``), ``reason``.
    """
    assert found.expected is not None
    wrong = found.expected[found.expected["agrees"].eq(False)]
    is_transparent = any(without_alpha(path) is not None for path in found.images.inputs)
    trials = [wrong.iloc[:0].assign(change="", option="", value=math.nan, reason="")]
    for metric in found.built:
        label = metric.label
        cells = wrong[wrong["metric"] == label]
        if cells.empty or metric.mode in ("set", "file"):
            continue
        no_alpha = metric if is_transparent else replace(metric, error="no image has transparency")
        for drop_alpha, options in (
            (False, _changes(metric)),
            (True, [("alpha dropped", "save the images without transparency", no_alpha)]),
        ):
            tried = [(name, option, replace(each, label=f"{label} ({name})")) for name, option, each in options]
            other = score([each for *_, each in tried], drop_alpha)  # reads each image once for all changes
            for change, option, each in tried:
                means = [other.mean(cell.test_set, each.label, cell.method) for cell in cells.itertuples()]
                why = other.columns[each.label].error
                trials.append(cells.assign(change=change, option=option, value=means, reason=why))
    every = add_units(concat(trials), "value")
    every["verdict"] = every["agrees"].map({True: "fits", False: "refuted"}).mask(every["value"].isna(), "not tried")
    return every[["test_set", "method", "metric", "change", "option", "value", "units", "verdict", "reason"]]


def _changes(metric: Metric) -> Iterator[tuple[str, str, Metric]]:
    """Yield each change in words, its option, and the changed metric."""
    name = metric.name
    label = metric.label
    usual = metric.preprocess
    weights = {key: value for key, value in metric.options.items() if key in _WEIGHTS}
    for texts in _VARIANTS:
        variants = parse_metrics(texts, also=("FR",))
        if name not in [variant.name for variant in variants]:
            continue
        for variant in variants:
            more = weights if variant.name == name else {}
            options = {**more, **variant.options}
            if (variant.name, options) != (name, dict(metric.options)):
                text = f"{label}={texts[variant.label]}"
                text += "".join(f"{',' if ':' in text else ':'}{key}={value}" for key, value in more.items())
                yield variant.label, f"-m {quote(text)}", replace(variant, options=options, preprocess=usual)
    others = [replace(usual, crop=crop) for crop in (0, 4)]
    if metric.mode == "NR":
        others += [Preprocess(square=512), Preprocess(center=224), Preprocess(center=512)]
    others.append(replace(usual, autocast=True))
    for each in others:
        view = {key: value for key, value in vars(each).items() if value != getattr(usual, key)}
        option = f"--protocol FILE with views: {json.dumps({label: view})}"
        if metric.mode == "FR" and view.keys() == {"crop"}:
            option = f"--crop-border {each.crop}"
        error = "there is no CUDA here" if each.autocast and not torch.cuda.is_available() else ""
        if view:
            words = "fp16 (autocast)" if "autocast" in view else each.words
            yield words, option, replace(metric, preprocess=each, error=error)


def differences(found: MethodTable, earlier: Mapping[Path, DataFrame]) -> DataFrame:
    """Return what differs from earlier tables, in columns ``what``, ``was``, ``now`` and ``why``.

    For the earlier methods and metrics, it compares the records of metrics, the hashes of files, and every score.
    """
    lines = list[tuple[str, ...]]()
    ours = {name: made for name, made in found.stored[IMAGES].head.record["columns"].items() if name in found.columns}
    for path, rows in earlier.items():
        causes = {}
        records = _records(path)
        gone = [label for label in records if label not in ours]
        lines += [(label, "one of the metrics", "not computed", "") for label in gone]
        for label in filter(ours.get, records):
            changed = changes(records[label], ours[label])
            causes[label] = ", ".join(f"{label} {key} changed" for key, *_ in changed)
            lines += [(f"{label} {key}", was, now, "") for key, was, now in changed]
        names = [
            name for name in dict.fromkeys([*_HASHES, *causes, *found.columns]) if name in {*rows}.difference(gone)
        ]
        both = concat({"was": _cells(rows, names), "now": _cells(found.scores, names, found.sets)}, axis=1)
        both = both[both.index.isin({*rows["method"]} - {""}, level="method")].fillna("").astype(str)
        was, now = (to_numeric(both[side], errors="coerce") for side in both)
        both = both[(both["was"] != both["now"]) & ~((was - now).abs() <= _ROUNDING * was.abs().clip(lower=1))]
        for (*cell, name), (before, after) in both.iterrows():
            files = ", ".join(f"{what} changed" for key, what in _HASHES.items() if (*cell, key) in both.index)
            why = files or causes.get(name) or "another machine, device, number of threads or version of a library"
            place = " ".join([*filter(None, (cell[1], cell[2] or cell[0])), name])
            lines.append((place, before or "nothing", after or "nothing", "" if name in _HASHES else why))
    return DataFrame(lines, columns=["what", "was", "now", "why"])


def _cells(rows: DataFrame, names: Sequence[str], *more: DataFrame) -> Series:
    cells = concat([rows, *more]).fillna({"image": ""}).drop_duplicates(_CELL).set_index(_CELL)
    return cells.reindex(columns=names).astype(object).stack()


def _records(path: Path) -> dict[str, Any]:
    """Return label -> record of its metric in ``images.csv.provenance.json``; empty without this file."""
    try:
        record = json.loads(path.with_name(f"{path.name}.provenance.json").read_text(encoding="utf-8"))
        return {column.name: column.record for column in Head.of(record).columns}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, RecursionError) as error:
        raise CLIPIQAError(
            f"{path.name}.provenance.json beside {str(path)!r} cannot be read: {reason(error):.200}."
        ) from error
