"""``table``: several methods, test sets and metrics, from what is asked for to the result."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from ...datasets.specification import CompareError
from ...errors.arguments import SharedOptions, checked
from ...files.journal import JournalFolder
from ...files.locking import locked as held
from ...files.writing import write_text
from ...images.batches import default_workers
from ..compare import pick_device, settings_of
from ..distributed import Processes
from ..metrics import BuiltMetric, check_weights
from ..pipeline import Options, Progress
from ..results import MetricResult
from ..scorers import ScoreStore, StoredScore
from .asked import Asked, parse_table_metrics
from .expected import match_expected, read_expected
from .explain import explain as explained
from .lock import compare_locks, make_lock, read_lock
from .matching import Place, match_pictures, parse_methods
from .protocols import CERTAINTY, OF, UNEQUAL, Protocol, make_protocol, read_protocol, weighted
from .results import MethodTable, check_table_folder
from .scoring import data_set, has_alpha, score_pictures, unread_pictures
from .values import Column


@checked
def table(
    methods: Mapping[str, Place] | Iterable[str],
    metrics: str | Iterable[str] | Mapping[str, Any] | None = None,
    *,
    reference: Place | None = None,
    baseline: str | None = None,
    protocol: str | Path | None = None,
    values: Mapping[str, float] | None = None,
    crop_border: int | None = None,
    expect: str | Path | Sequence[str] | None = None,
    explain: bool = False,
    lock: str | Path | None = None,
    locked: str | Path | None = None,
    skip_missing: bool = False,
    by_folder: bool = True,
    out: str | Path | None = None,
    device: str | torch.device | None = SharedOptions.device,
    batch_size: int = SharedOptions.batch_size,
    workers: int | None = SharedOptions.workers,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
    strict: bool = False,
    progress: Progress | None = None,
    settings: Mapping[str, str] | None = None,
) -> MethodTable:
    """Score the same pictures as several methods made them, and set the methods side by side.

    Args:
        methods: Name -> folder or pattern, or ``'NAME=FOLDER'`` texts. Files belong together by their path within the
            folder, without suffix; where names differ, patterns (``'out/*_ours.png'``) pair by what ``*`` matches.
        metrics: Any of pyiqa's, no-reference, full-reference and of whole sets, as for
            :func:`~clipiqa_pyiqa.comparison.compare.compare`; also ``psnr-y``, ``psnr-rgb``, ``ssim-y``, ``ssim-rgb``.
        reference: Folder or pattern of the references, for metrics that need one.
        baseline: The method that the others are compared with; default the first.
        protocol: Metrics that somebody else computes, and how: a name that ``clipiqa protocols`` lists, or one's
            own file. ``metrics`` come on top, and one of the same label takes the place of the protocol's.
        values: Numbers for the protocol's formula, such as ``{'speedup': 113.85}``.
        crop_border: Pixels cut off each side before full-reference metrics, as super-resolution papers do; default the
            protocol's, or 0.
        expect: Published numbers, beside which those computed here are set: a CSV file (a row per method, columns named
            by label), a text such as ``'ours: psnr=27.92 niqe=6.4902'``, or several.
        explain: Try what may explain a published number that differs.
        lock: A file to write, with all that the numbers depend on.
        locked: Such a file: its metrics and options are computed again; ``changed`` of the result says what differs.
        skip_missing: Leave pictures that not all methods and the references have out of all, in place of an error.
        by_folder: Take the first sub-folder for the test set, if every picture lies in one.
        out: A folder that keeps scores as they come, in ``parts/``. None keeps nothing.
        seed, trust_weights, strict, progress, settings: As for
            :func:`~clipiqa_pyiqa.comparison.compare.compare`.
        resume: Go on with the scores in ``out``; of files that have changed since, new ones are made.
        overwrite: Delete them first.

    Returns:
        The table; its ``save(folder)`` writes it as Markdown, LaTeX, CSV and HTML.

    Raises:
        CompareError: Something asked for is unknown, missing or contradictory. What is wrong with one metric or one
            image is in the result instead.
    """
    folders, chosen = parse_methods(methods), read_protocol(protocol) if protocol is not None else None
    inputs, before = dict(values or {}), read_lock(locked) if locked is not None else None
    if before is not None:
        if metrics or protocol or inputs or crop_border is not None:
            raise CompareError("locked brings metrics, protocol and options of its own: leave those out.")
        chosen, metrics, crop_border, inputs, seed, by_folder = _of_lock(before)
    kept = {"metrics": _texts(metrics, lock), "crop_border": crop_border, "values": inputs, "seed": seed}
    kept["by_folder"] = by_folder
    asked, changed = parse_table_metrics(metrics, chosen, crop_border)
    published = read_expected(expect) if expect is not None else []
    if explain and not published:
        raise CompareError("explain needs published numbers: give them with --expect (expect=).")
    _check_asked(folders, asked, chosen, inputs, reference, baseline)
    if resume and overwrite:
        raise CompareError("resume keeps the scores in out and overwrite drops them: give one of the two.")
    if out is None and (resume or overwrite):
        raise CompareError("resume and overwrite need --out DIR (out=DIR), the folder with the scores.")
    check_weights([each.spec for each in asked], trust_weights)
    report = progress or (lambda *_: None)
    where = pick_device(device, Processes())
    options = Options(where, batch_size, workers or default_workers(), seed, report, strict)
    removed, average = (chosen.removed, chosen.average) if chosen else ("", "images")
    pictures = match_pictures(
        folders, reference, skip_missing=skip_missing, by_folder=by_folder, removed=removed, average=average
    )
    fidelity, unequal = any(each.spec.mode == "FR" for each in asked), chosen.unequal if chosen else ""
    data = data_set(pictures, fidelity, unequal)

    def work(store: ScoreStore) -> MethodTable:
        scores, sets, columns, built = score_pictures(data, asked, pictures, store, options)
        if chosen and chosen.per_picture:
            rows = scores[[label for label in columns if label in scores]].to_dict("records")
            scores[chosen.score] = [chosen.combine(row, inputs) for row in rows]
            columns[chosen.score] = Column(MetricResult(chosen.score, provenance={"metric": chosen.formula}), view="")
        known = {**settings_of(Processes(), options), "seed": str(seed), **(settings or {})}
        notes = [*_notes(chosen, changed, asked, columns, built, options.device)]
        notes += [f"{line}." for line in pictures.left_out]
        notes += [f"Left out of all methods: {problem}" for problem in unread_pictures(data, store)]
        first = baseline or pictures.methods[0]
        found = MethodTable(scores, sets, columns, pictures, first, chosen, inputs, tuple(notes), known)
        if published:
            matched, lost = match_expected(published, found)
            said = [f"Published, but not in this table: {', '.join(lost)}."] if lost else []
            found = replace(found, expected=tuple(matched), notes=(*found.notes, *said))
        if explain:

            def other(variants: list[Asked], drop_alpha: bool) -> MethodTable:
                seen = data_set(pictures, fidelity, unequal, drop_alpha)
                scores, sets, columns, _ = score_pictures(seen, variants, pictures, store, options)
                return MethodTable(scores, sets, columns, pictures, first)

            alpha = any(map(has_alpha, pictures.inputs))
            found = replace(found, explained=tuple(explained(found.wrong, asked, other, alpha)))
        if lock is not None or before is not None:
            here = make_lock(found, kept, built)
            if before is not None:
                found = replace(found, changed=tuple(compare_locks(before, here)))
            if lock is not None:
                write_text(Path(lock).expanduser(), json.dumps(here, indent=1, ensure_ascii=False) + "\n")
        return found

    if out is None:
        return work(JournalFolder(None, StoredScore))
    folder = check_table_folder(out, pictures.inputs, overwrite=overwrite, resume=resume)
    with held(folder):
        store = JournalFolder(folder / "parts" / data.identity, StoredScore)
        if overwrite:
            store.clear()
        store.load()
        return work(store)


def _check_asked(
    methods: Mapping[str, str],
    asked: Sequence[Asked],
    protocol: Protocol | None,
    inputs: Mapping[str, float],
    reference: Place | None,
    baseline: str | None,
) -> None:
    needing = [each.spec.label for each in asked if each.needs_reference]
    if needing and reference is None:
        raise CompareError(
            f"{', '.join(needing)} need{'s' * (len(needing) == 1)} reference images: name their folder with "
            "--reference (reference=), or leave the metric out."
        )
    if baseline is not None and baseline not in methods:
        raise CompareError(f"the baseline {baseline!r} is none of the methods: choose one of {', '.join(methods)}.")
    known = protocol.values if protocol else {}
    if unknown := [name for name in inputs if name not in known]:
        raise CompareError(f"no formula has the value {unknown[0]!r}: known are {', '.join(known) or 'none'}.")


def _notes(
    protocol: Protocol | None,
    changed: Sequence[str],
    asked: Sequence[Asked],
    columns: Mapping[str, Column],
    built: Mapping[str, BuiltMetric | str],
    device: torch.device,
) -> Iterable[str]:
    """What to say under the table, a sentence each, but for how to read it."""
    if protocol:
        yield f"Protocol {protocol.name}: {protocol.title}; {CERTAINTY[protocol.certainty]} ({protocol.cited})."
        if changed:
            yield f"This is not protocol {protocol.name} any longer: {', '.join(changed)} changed."
        if protocol.score:
            yield f"{protocol.score} = {protocol.formula}, of {OF[protocol.per_picture]}."
        if protocol.average != "images":
            how = "over sequences" if isinstance(protocol.average, str) else weighted(protocol.average)
            yield f"Means are {how}; they are not compared picture by picture."
        if protocol.unequal:
            yield f"Pictures that are not of their reference's size: {UNEQUAL[protocol.unequal]}."
        yield from protocol.notes
    for words, labels in _grouped({label: column.computed_on for label, column in columns.items()}).items():
        yield f"{' and '.join(labels)} {'is' if len(labels) == 1 else 'are'} computed {words}."
    seen = {label: column.view for label, column in columns.items() if not column.of_sets}
    for words, labels in _grouped(seen).items():
        yield f"What {', '.join(labels)} {'sees' if len(labels) == 1 else 'see'}: {words}."
    if cast := [each.spec.label for each in asked if each.view.autocast]:
        here = "as here" if device.type == "cuda" else "but in fp32 here"
        yield f"{', '.join(cast)}: the source computes in fp16 (autocast on CUDA), {here}."
    if any(each.spec.of_sets for each in asked):
        yield (
            "Metrics of whole sets are one value for each set, so without a deviation; they depend on how many images "
            "there are."
        )
    nets = {label: metric.net for label, metric in built.items() if isinstance(metric, BuiltMetric)}
    nets = {label: net for label, net in nets.items() if hasattr(net, "prompts")}
    single = [n for n, net in nets.items() if len(net.prompts) == 1 and net.prompt_learner is None and net.head is None]
    if single:
        yield (
            f"{', '.join(single)}: one prompt pair, as in the CLIP-IQA paper; most restoration papers took pyiqa's "
            f"five ({single[0]}=clipiqa:prompts=pyiqa)."
        )


def _texts(metrics: Any, lock: str | Path | None) -> Any:
    """Metrics as a lock keeps them."""
    given = [metrics] if isinstance(metrics, str) else list(metrics or ())
    if lock is not None and (isinstance(metrics, Mapping) or not all(isinstance(each, str) for each in given)):
        raise CompareError("a lock needs metrics by their names: metrics that were made already cannot be made again.")
    return given


def _of_lock(lock: Mapping[str, Any]) -> tuple[Protocol | None, list[str], int | None, dict[str, float], int, bool]:
    """Protocol, metrics, border, numbers, seed and whether sub-folders are test sets, of a lock."""
    asked, protocol = lock["asked"], lock.get("protocol")
    try:
        if protocol is not None:
            given = {key: value for key, value in protocol.items() if key not in ("name", "sha256")}
            protocol = make_protocol(str(protocol["name"]), given)
        metrics = [str(text) for text in asked["metrics"]]
        border = None if asked["crop_border"] is None else int(asked["crop_border"])
        inputs = {str(name): float(value) for name, value in asked["values"].items()}
        return protocol, metrics, border, inputs, int(asked["seed"]), bool(asked["by_folder"])
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise CompareError(f"the lock is damaged: {error}.") from error


def _grouped(said: Mapping[str, str]) -> dict[str, list[str]]:
    """What is said -> the labels of which it is said, without those of which nothing is."""
    found: dict[str, list[str]] = {}
    for label, words in said.items():
        if words:
            found.setdefault(words, []).append(label)
    return found
