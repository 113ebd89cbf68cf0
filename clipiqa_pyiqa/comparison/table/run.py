"""``table``: several methods, test sets and metrics, scored and put side by side."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np
import torch
from pandas import DataFrame, concat
from torch import Tensor

from ...errors import (
    AnySize,
    CLIPIQAError,
    ComparisonOptions,
    FilePath,
    ImageError,
    Progress,
    Reading,
    Sizes,
    checked,
    counted,
    log,
    nearest,
    silent,
)
from ...files.printable import printable
from ...files.reading import FileHashes, hash_file
from ...files.yaml import shipped
from ...images.image import File, Image
from ...images.reader import ImageRecord, shrunk
from ...metrics.building import build
from ...metrics.metric import Metric, MetricSet
from ...metrics.parsing import of_methods
from ...report.report import About
from ...results.results import Output, Results
from ...scoring.engine import Options, outputs
from ..compare import run_settings
from ..scored_images import MetricResult, limits_text, score_all
from .matching import MethodImages, match_images, parse_methods
from .protocols import NO_PROTOCOL, Protocol, fit_sizes, read_protocol, table_metrics, without_alpha
from .published import differences, read_expected, with_published
from .published import explain as try_changes
from .results import IMAGES, OTHERS, SETS, MethodTable

_TRIALS = "trials.csv"


@checked
def table(
    methods: Mapping[str, FilePath] | Iterable[str],
    metrics: Any = None,
    *,
    reference: FilePath | None = None,
    baseline: str | None = None,
    protocol: str | Path | None = None,
    only: Sequence[str] = (),
    values: Mapping[str, float] | None = None,
    crop_border: int | None = None,
    expect: str | Path | Sequence[str] | None = None,
    explain: bool = False,
    skip_missing: bool = False,
    out: str | Path | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    sd: bool = True,
    describe: bool = False,
    progress: Progress = silent,
    **batches: Unpack[ComparisonOptions],
) -> MethodTable:
    """Return scores of several methods on the same images, side by side.

    Args:
        methods: Name -> folder or pattern, or texts ``'NAME=FOLDER'``; see
            :func:`~clipiqa_pyiqa.sources.naming.named_images`.
        metrics: Metrics as for :func:`~clipiqa_pyiqa.comparison.compare.compare`, and ``psnr-y``, ``psnr-rgb``,
            ``ssim-y``, ``ssim-rgb``.
        baseline: Method to compare others with; by default the first.
        protocol: Name or file of a protocol; ``metrics`` add to its metrics, or replace metrics of the same label.
        values: Numbers for the protocol's formula: ``{'speedup': 113.85}``.
        crop_border: Pixels cut off each side before full-reference metrics; default the protocol's, or 0.
        expect: As for :func:`~.published.read_expected`.
        explain: Try changes that may explain differences from published numbers.
        skip_missing: Leave out images that a method or the reference lacks; otherwise raise.
        describe: Build the metrics for :meth:`MethodTable.describe`, and without ``out`` score no image.
        resume: Compute only the scores that ``out`` lacks; changed files are scored again.
        seed, overwrite, trust_weights, strict, progress: As for ``compare``.
        batches: As for ``compare``; references shrink with their images. A protocol, and metrics of sets, take whole
            images only.
    """
    folders, inputs = parse_methods(methods), dict(values or {})
    chosen = read_protocol(protocol) if protocol is not None else NO_PROTOCOL
    wanted, changed = table_metrics(metrics, chosen, crop_border, trust_weights)
    if only:
        labels, asked = {m.label.lower(): m.label for m in wanted}, {name.lower() for name in only}
        for name in asked - labels.keys():
            raise CLIPIQAError(f"`only` names {name!r}: {nearest(name, labels)}")
        left_out = {label: "not asked for" for name, label in labels.items() if name not in asked}
        wanted = [metric for metric in wanted if metric.label not in left_out]
        chosen = replace(chosen, not_computed={**chosen.not_computed, **left_out})
    needing = [m.label for m in wanted if m.mode == "FR" or (m.mode == "set" and m.name != "inception_score")]
    if needing and reference is None:
        raise CLIPIQAError(
            f"{', '.join(needing)} cannot do without reference images: name their folder in `reference`."
        )
    baseline_name = baseline or next(iter(folders))
    if baseline_name not in folders:
        raise CLIPIQAError(
            f"the baseline {baseline_name!r} is not one of the methods: choose one of {', '.join(folders)}."
        )
    for name in inputs.keys() - chosen.values:
        raise CLIPIQAError(f"the protocol's formula has no value {name!r}.")
    options = Options.of(batches, seed=seed)
    _check_sizes(options, chosen, wanted)
    images = match_images(folders, reference, chosen, skip_missing=skip_missing)
    for line in images.left_out:
        log.warning(line)
    if describe and out is None:
        expect, images = None, replace(images, files=images.files[:0])
    paths = images.files.map(printable).to_dict("list")
    wanted = [of_methods(metric, paths) if metric.mode == "file" else metric for metric in wanted]
    files = outputs(out, (IMAGES, SETS), OTHERS, images.inputs, resume=resume, overwrite=overwrite)
    published, earlier = (None, {}) if expect is None else read_expected(expect, images)
    if explain and published is None:
        raise CLIPIQAError("`explain` needs published numbers in `expect`.")
    if files:
        files[SETS].drop_vanished = False  # their rows name no files
        # columns of trials may have been made in another way
        files[_TRIALS] = Output(files[IMAGES].path.with_name(_TRIALS), resume=True, overwrite=True)
    score = functools.partial(score_versions, images, baseline_name, files, options, progress, chosen.unequal)
    found = score(wanted, strict=strict)
    if chosen.per_picture:
        rows = found.scores[found.of_images].to_dict("records")
        found.scores[chosen.score] = [chosen.combine(row, inputs) for row in rows]
    if chosen.score:
        found.columns[chosen.score] = MetricResult()
    notes = [
        *(chosen.sentences(changed) if chosen.name else ()),
        *images.left_out,
        *found.notes,
    ]
    sources = _sources(folders, reference, protocol, expect)
    settings = run_settings(options)
    found = replace(
        found,
        protocol=chosen,
        inputs=inputs,
        settings=settings,
        notes=notes,
        sd=sd,
        sources=sources,
        sizes=Sizes(**options.limits),
    )
    if published is not None:
        found = with_published(found, published)
    if explain:
        found = replace(found, explained=try_changes(found, score))
    return replace(found, changed=differences(found, earlier)) if earlier else found


def _check_sizes(sizes: Sizes, protocol: Protocol, metrics: Sequence[Metric]) -> None:
    """Raise ``CLIPIQAError`` if a size limit is set, but something takes whole images only."""
    if not sizes.limits:
        return
    option = next(iter(sizes.limits))
    if protocol.name:
        raise CLIPIQAError(
            f"protocol {protocol.name!r} says which size metrics see: leave out {option}, or write a protocol of your "
            "own with a `view`."
        )
    if all(metric.mode == "file" for metric in metrics):
        raise CLIPIQAError(f"all scores are in files, so that no image is shrunk: leave out {option}.")
    of_sets = [metric.label for metric in metrics if metric.mode == "set"]
    if of_sets:
        raise CLIPIQAError(f"{', '.join(of_sets)} reads whole images from their folders: leave it out, or {option}.")


def _sources(
    methods: Mapping[str, str],
    reference: FilePath | None,
    protocol: FilePath | None,
    expect: FilePath | Sequence[FilePath] | None,
) -> dict[str, About]:
    """Return what a table is made from: places of images, and files with their SHA-256."""
    sources: dict[str, About] = {}
    for method, place in methods.items():
        sources[f"method {method}"] = {"images": _shown_path(place)}
    if reference is not None:
        sources["reference"] = {"images": _shown_path(reference)}
    if protocol is not None and str(protocol).lower() not in shipped(protocols=True):
        sources["protocol"] = _file_source(protocol)
    texts = [expect] if isinstance(expect, str | os.PathLike) else expect or ()
    for number, text in enumerate(texts, 1):
        is_file = os.path.isfile(os.path.expanduser(text))
        sources[f"published numbers {number}"] = _file_source(text) if is_file else str(text)
    return sources


def _file_source(path: FilePath) -> dict[str, str]:
    return {"file": _shown_path(path), "sha256": hash_file(Path(path).expanduser())}


def _shown_path(path: FilePath) -> str:
    return printable(os.path.abspath(Path(path).expanduser()))


def score_versions(
    matched: MethodImages,
    baseline: str,
    files: Mapping[str, Output],
    options: Options,
    progress: Progress,
    unequal: str,
    metrics: Sequence[Metric],
    drop_alpha: bool | None = None,
    strict: bool = False,
) -> MethodTable:
    """Return the scores of every image and set; ``drop_alpha``: ignore transparency, for a trial."""
    reads_references = unequal or any(metric.mode == "FR" for metric in metrics)
    how: dict[str, Any] = dict(options.limits)
    how |= {"unequal": unequal} if unequal and matched.references else {}
    how |= {"alpha": "dropped"} if drop_alpha else {}
    built = [build(metric, options.device, options.seed, strict) for metric in metrics]
    for place, metric in enumerate(built):
        if metric.mode != "file":
            seen = tuple(replace(each, record={**each.record, **how}) for each in metric.columns)
            built[place] = replace(metric, columns=seen)
    # eight decoded references are kept for the other methods' images
    read_reference = functools.lru_cache(8)(_read) if reads_references else None
    images = matched.files.rename_axis(index="image", columns="method").stack().rename("path").reset_index()
    images.insert(0, "test_set", images["image"].map(matched.test_sets))
    images["sha256"] = [_sha256(path, matched.hashes) for path in images["path"]]
    if matched.references:
        hashes = {name: _sha256(path, matched.hashes) for name, path in matched.references.items()}
        images["reference_sha256"] = images["image"].map(hashes)
    items = [
        _Pair(row.path, matched.references.get(row.image, ""), unequal, bool(drop_alpha), read_reference)
        for row in images.itertuples()
    ]
    stored, columns, notes = dict[str, Results](), dict[str, MetricResult](), list[str]()

    def scored(name: str, rows: DataFrame, asked: Sequence[Image]) -> DataFrame:
        of_sets = name == SETS
        chosen = [metric for metric in built if (metric.mode == "set") == of_sets]
        ready = MetricSet(_of_folders(metric) if of_sets else metric for metric in chosen if not metric.error)
        noun, joined = "set" if of_sets else "image", rows.drop(columns="path", errors="ignore")
        title, output = f"{noun}s", files.get(name)
        found = score_all(title, asked, chosen, ready, output, options, progress, joined, noun, reading={})
        stored[name] = found.results
        columns.update(found.metrics)
        notes.extend(f"Left out of all methods: {reason}" for reason in found.unread.values())
        if options.limits:
            extent = f"{found.shrunk:,} of {counted(len(asked), 'image')}"
            with_reference = ", with their references" if matched.references else ""
            notes.append(f"{extent} shrunk {limits_text(options)}{with_reference}, before metrics saw them.")
        return concat([rows, found.scores.reset_index(drop=True)], axis=1)

    scores = scored(IMAGES if drop_alpha is None else _TRIALS, images, items)
    sets = images.groupby(["test_set", "method"], sort=False)[["image", "path"]].agg(list).reset_index()
    heads = sets[["test_set", "method"]]
    if any(metric.mode == "set" for metric in built):
        with tempfile.TemporaryDirectory() as root:
            folders = []
            for row in sets.itertuples():
                references = [matched.references[image] for image in row.image if matched.references]
                linked = [row.path, references] if references else [row.path]
                folders.append(_Set(f"{row.test_set}/{row.method}", linked, root))
            heads = scored(SETS, heads, folders)
    in_order = {metric.label: columns[metric.label] for metric in built}
    return MethodTable(scores, heads, in_order, built, matched, baseline, notes=notes, stored=stored)


@dataclass(frozen=True)
class _Pair(Image):
    """An image of a method, with its reference if there is one; the stamp holds both files."""

    name: str
    reference: str
    unequal: str
    drop_alpha: bool
    read_reference: Callable[[str, bool], Tensor] | None

    def stamp(self) -> str | None:
        stamps = [File(file).stamp() for file in (self.name, self.reference) if file]
        return None if None in stamps else ",".join(map(str, stamps))

    def load(self, reading: Reading) -> ImageRecord:
        pixels = _read(self.name, self.drop_alpha)
        reference: Any = None
        if self.reference and self.read_reference:
            try:
                reference = self.read_reference(self.reference, self.drop_alpha)
                pixels, reference = fit_sizes(pixels, reference, self.unequal)
            except ImageError as error:
                reference = str(error)
        if isinstance(reference, Tensor):  # of the image's size, so that both shrink alike
            reference = shrunk(reference, reading)
        record = replace(ImageRecord.of(pixels), pixels=shrunk(pixels, reading))
        return record if reference is None else replace(record, reference=reference)


def _read(path: str, drop_alpha: bool) -> Tensor:
    pixels = without_alpha(path) if drop_alpha else None
    return File(path).load(AnySize()).pixels if pixels is None else pixels


def _sha256(path: str, hashes: FileHashes) -> str:
    with contextlib.suppress(OSError):
        return hashes.of([path])[0]
    return ""


@dataclass(frozen=True)
class _Set(Image):
    """A method's images of a test set, and perhaps their references.

    Metrics of sets take folders of links in place of pixels.
    """

    name: str
    linked: Sequence[Sequence[str]]
    root: str

    def stamp(self) -> str:
        stamps = ([(os.path.abspath(file), File(file).stamp()) for file in files] for files in self.linked)
        return ",".join(hashlib.sha256(json.dumps(each).encode()).hexdigest()[:12] for each in stamps)

    def load(self, reading: Reading) -> ImageRecord:
        folders = []
        for files in self.linked:
            folders.append(tempfile.mkdtemp(dir=self.root))
            for number, path in enumerate(files):
                Path(folders[-1], f"{number:06}{Path(path).suffix}").symlink_to(os.path.abspath(path))
        return ImageRecord.of(torch.zeros(3, 1, 1, dtype=torch.uint8), reference=folders)


def _of_folders(metric: Metric) -> Metric:
    """Return a metric of sets that takes the folder of images and perhaps that of references."""

    def score(*folders: str) -> np.float64:
        given = folders[:1] if metric.name == "inception_score" else folders
        with contextlib.redirect_stdout(sys.stderr):
            output = metric.score(*given, **({} if metric.instance is not None else {"verbose": False}))
        # of inception_score, the mean
        return np.float64(next(iter(output.values())) if isinstance(output, Mapping) else output)

    return replace(metric, score=score)
