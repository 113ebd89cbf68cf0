"""``table``: several methods, test sets and metrics, from what is asked for to the result."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from ...arguments import checked
from ...datasets.specification import CompareError
<<<<<<< HEAD
from ...errors import ImageError
from ...files.journal import JournalFolder
=======
>>>>>>> main
from ...files.locking import locked
from ...images.batches import default_workers
from ..compare import pick_device, settings_of
from ..distributed import Processes
<<<<<<< HEAD
from ..metrics import BuiltMetric, MetricSpec, check_weights
from ..pipeline import Options, Progress, score_data_set
from ..scorers import UNREADABLE, ScoreStore, StoredScore, group_metrics, own_random_state
from .matching import Pictures, Place, match_pictures, parse_methods
from .presets import Preset, computed_on, find_preset, needs_reference, parse_table_metrics
from .results import Column, MethodTable, check_table_folder
from .whole_sets import score_set

_REFERENCES_KEPT = 8  # decoded references that wait for the other methods' images
=======
from ..metrics import BuiltMetric, check_weights
from ..pipeline import Options, Progress
from ..results import MetricResult
from ..score_store import ScoreStore, writing
from .asked import Asked, parse_table_metrics
from .matching import Place, match_pictures, parse_methods
from .protocols import CERTAINTY, Protocol, read_protocol
from .results import MethodTable, check_table_folder
from .scoring import data_set, score_pictures, unread_pictures
from .values import Column
>>>>>>> main


@checked
def table(
    methods: Mapping[str, Place] | Iterable[str],
    metrics: Any = None,
    *,
    reference: Place | None = None,
    baseline: str | None = None,
    protocol: str | Path | None = None,
    values: Mapping[str, float] | None = None,
    crop_border: int | None = None,
    skip_missing: bool = False,
    by_folder: bool = True,
    out: str | Path | None = None,
    device: str | torch.device | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    seed: int = 0,
    resume: bool = False,
    overwrite: bool = False,
    trust_weights: bool = False,
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
        protocol: Metrics that somebody else computes, and how: a name of :func:`~.protocols.protocol_files`, or one's
            own file. ``metrics`` come on top, and one of the same label takes the place of the protocol's.
        values: Numbers for the protocol's formula, such as ``{'speedup': 113.85}``.
        crop_border: Pixels cut off each side before full-reference metrics, as super-resolution papers do; default the
            protocol's, or 0.
        skip_missing: Leave pictures that not all methods and the references have out of all, in place of an error.
        by_folder: Take the first sub-folder for the test set, if every picture lies in one.
        out: A folder that keeps scores as they come, in ``parts/``. None keeps nothing.
        device, batch_size, workers, seed, trust_weights, progress, settings: As for
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
    asked, changed = parse_table_metrics(metrics, chosen, crop_border)
    inputs = dict(values or {})
    _check_asked(folders, asked, chosen, inputs, reference, baseline)
    if resume and overwrite:
        raise CompareError("resume keeps the scores in out and overwrite drops them: give one of the two.")
    if out is None and (resume or overwrite):
        raise CompareError("resume and overwrite need --out DIR (out=DIR), the folder with the scores.")
    check_weights([each.spec for each in asked], trust_weights)
    report = progress or (lambda *_: None)
    options = Options(pick_device(device, Processes()), batch_size, workers or default_workers(), seed, report)
    removed, average = (chosen.removed, chosen.average) if chosen else ("", "images")
    pictures = match_pictures(
        folders, reference, skip_missing=skip_missing, by_folder=by_folder, removed=removed, average=average
    )
    data = data_set(pictures, any(each.spec.mode == "FR" for each in asked))

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
        return MethodTable(scores, sets, columns, pictures, first, chosen, inputs, tuple(notes), known)

    if out is None:
<<<<<<< HEAD
        if resume or overwrite:
            raise CompareError("resume and overwrite need --out DIR (out=DIR), the folder with the scores.")
        return work(JournalFolder(None, StoredScore))
=======
        return work(ScoreStore(None))
>>>>>>> main
    folder = check_table_folder(out, pictures.inputs, overwrite=overwrite, resume=resume)
    with locked(folder):
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
<<<<<<< HEAD


def _data_set(pictures: Pictures, fidelity: bool) -> DataSet:
    """Every file of every method, picture by picture, with its reference behind it where one is needed."""
    items = [(pictures.files[method][name], name) for name in pictures.names for method in pictures.methods]
    why: dict[int, str] = {}

    @functools.lru_cache(_REFERENCES_KEPT)
    def reference(name: str) -> Tensor:
        return read_image(pictures.references[name], min_side=1).pixels

    def load(index: int) -> Tensor:
        path, name = items[index]
        pixels = read_image(path, min_side=1).pixels
        if not fidelity:
            return pixels
        try:
            theirs = reference(name)
        except ImageError as error:
            why[index] = str(error)
            return pixels
        if theirs.shape != pixels.shape:
            sizes = [f"{found.shape[2]}×{found.shape[1]}" for found in (pixels, theirs)]
            why[index] = f"it is {sizes[0]} px, but its reference {sizes[1]} px: they must be of one size"
            return pixels
        return torch.cat([pixels, theirs])  # (6, H, W)

    keys = tuple(_key(path, pictures.references.get(name) if fidelity else None) for path, name in items)
    return DataSet(
        "methods", keys, None, load, identity="methods",
        no_reference=lambda index: why.get(index, "there are no reference images"),
    )  # fmt: skip


def _key(path: str, reference: str | None) -> str:
    """A file by which its scores are known: of another file of that name, or another reference, there are none yet."""
    stamps = []
    for file in filter(None, (path, reference)):
        try:
            status = os.stat(file)
            stamps.append((os.path.abspath(file), status.st_size, status.st_mtime_ns))
        except OSError:
            stamps.append((file, 0, 0))
    return f"{printable(os.path.abspath(path))}#{hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:12]}"


def _cropped(metric: BuiltMetric | str, border: int) -> BuiltMetric | str:
    """A full-reference metric that looks at what lies inside the border only."""
    if isinstance(metric, str) or metric.spec.mode != "FR" or not border:
        return metric
    score = metric.score

    def inside(*images: Tensor) -> Any:
        for x in images:
            if min(x.shape[-2:]) <= 2 * border:
                raise ImageError(f"nothing is left of {x.shape[-1]}×{x.shape[-2]} px without a border of {border} px")
        return score(*(x[..., border:-border, border:-border].contiguous() for x in images))

    return replace(metric, score=inside, provenance={**metric.provenance, "crop_border": str(border)})


def _score_sets(metric: BuiltMetric, pictures: Pictures, store: ScoreStore, seed: int) -> None:
    for key, files, references in _sets(pictures):
        if not store.is_done(metric.key, key):
            store.add(metric.key, key, score_set(metric, files, references, seed))
    store.close()


def _sets(pictures: Pictures) -> Iterable[tuple[str, list[str], list[str]]]:
    """Key of each test set of each method, its files, and the references."""
    for test_set, names in pictures.test_sets.items():
        references = [pictures.references[name] for name in names] if pictures.references else []
        for method in pictures.methods:
            files = [pictures.files[method][name] for name in names]
            stamps = [_key(path, None) for path in [*files, *references]]
            yield (
                f"{test_set}/{method}#{hashlib.sha256(json.dumps(stamps).encode()).hexdigest()[:12]}",
                files,
                references,
            )


def _columns(
    specs: Sequence[MetricSpec],
    built: Mapping[str, BuiltMetric | str],
    store: ScoreStore,
    data: DataSet,
    pictures: Pictures,
    border: int,
) -> dict[str, Column]:
    columns = {}
    unread = store.entries.get(UNREADABLE, {})
    readable = [key for key in data.paths if key not in unread or not unread[key].error]
    for spec in specs:
        metric = built[spec.label]
        keys = [key for key, *_ in _sets(pictures)] if spec.of_sets else readable
        entries = store.entries.get(metric.key, {}) if isinstance(metric, BuiltMetric) else {}
        found = {key.rpartition("#")[0]: entries[key] for key in keys if key in entries}
        result = metric_result(spec, metric, found, len(keys))
        columns[spec.label] = Column(
            result, spec.mode, spec.of_sets, computed_on(spec), border if spec.mode == "FR" else 0
        )
    return columns


def _scores(
    columns: Mapping[str, Column],
    built: Mapping[str, BuiltMetric | str],
    store: ScoreStore,
    data: DataSet,
    pictures: Pictures,
) -> pandas.DataFrame:
    where = {name: test_set for test_set, names in pictures.test_sets.items() for name in names}
    rows = []
    keys = iter(data.paths)
    for name in pictures.names:
        for method in pictures.methods:
            key = next(keys)
            row: dict[str, Any] = {
                "test_set": where[name],
                "image": name,
                "method": method,
                "path": pictures.files[method][name],
            }
            for label, column in columns.items():
                if not column.of_sets:
                    row[label] = _score(built[label], store, key)
            rows.append(row)
    labels = [label for label, column in columns.items() if not column.of_sets]
    frame = pandas.DataFrame(rows, columns=["test_set", "image", "method", "path", *labels])
    return frame.astype(dict.fromkeys(labels, float))


def _set_scores(
    columns: Mapping[str, Column], built: Mapping[str, BuiltMetric | str], store: ScoreStore, pictures: Pictures
) -> pandas.DataFrame:
    labels = [label for label, column in columns.items() if column.of_sets]
    rows = []
    keys = iter([key for key, *_ in _sets(pictures)] if labels else [])
    for test_set in pictures.test_sets:
        for method in pictures.methods if labels else ():
            key = next(keys)
            rows.append({"test_set": test_set, "method": method} | {n: _score(built[n], store, key) for n in labels})
    frame = pandas.DataFrame(rows, columns=["test_set", "method", *labels])
    return frame.astype(dict.fromkeys(labels, float))


def _score(metric: BuiltMetric | str, store: ScoreStore, key: str) -> float:
    entry: StoredScore | None = None if isinstance(metric, str) else store.get(metric.key, key)
    return math.nan if entry is None or entry.score is None else entry.score
=======
    known = protocol.values if protocol else {}
    if unknown := [name for name in inputs if name not in known]:
        raise CompareError(f"no formula has the value {unknown[0]!r}: known are {', '.join(known) or 'none'}.")
>>>>>>> main


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
            yield f"{protocol.score} = {protocol.formula}, of {_OF[protocol.per_picture]}."
        if protocol.average != "images":
            yield f"Means are {_average(protocol)}; they are not compared picture by picture."
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
    nets = {label: metric.net for label, metric in built.items() if isinstance(metric, BuiltMetric) and metric.net}
    single = [n for n, net in nets.items() if len(net.prompts) == 1 and net.prompt_learner is None and net.head is None]
    if single:
        yield (
            f"{', '.join(single)}: one prompt pair, as in the CLIP-IQA paper; most restoration papers took pyiqa's "
            f"five ({single[0]}=clipiqa:prompts=pyiqa)."
        )


_OF = {False: "the averaged metrics", True: "each picture, then averaged"}


def _average(protocol: Protocol) -> str:
    if isinstance(protocol.average, str):
        return "the means of the sub-folders' means"
    return f"weighted: {', '.join(f'{name} {weight:g}' for name, weight in protocol.average.items())}"


def _grouped(said: Mapping[str, str]) -> dict[str, list[str]]:
    """What is said -> the labels of which it is said, without those of which nothing is."""
    found: dict[str, list[str]] = {}
    for label, words in said.items():
        if words:
            found.setdefault(words, []).append(label)
    return found
