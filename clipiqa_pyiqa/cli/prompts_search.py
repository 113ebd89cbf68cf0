"""``clipiqa prompts search``: which words ask best, on images with scores that people gave."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import counted
from .options.model import Model, start
from .options.scored_images import Scored, Store, loading

if TYPE_CHECKING:
    from ..learning.word_search import Finding, Findings


def run(
    scored: Scored,
    model: Model,
    store: Store,
    scores: str | None = None,
    *,
    candidates: str | None = None,
    templates: list[str] | None = None,
    ensemble: int = 5,
    out: Path | None = None,
    overwrite: bool = False,
    top: int = 10,
    bootstrap: int = 1000,
    intervals: int = 100,
    seed: int = 123,
) -> int:
    """Find the prompt pairs that agree best with scores that people gave.

    Ranks, and the ensemble, are chosen on the images of the split 'train'; the SROCC reported is that on the held-out
    ones ('test', or 'val' if there is no 'test'), which had no say. Each image is encoded once, into the store that
    `clipiqa train` uses.

    examples:
      clipiqa prompts search scores.csv
      clipiqa prompts search koniq10k --data-root datasets --out pairs.csv
      clipiqa prompts search scores.csv --candidates my_pairs.txt --templates '{} photo.' '{} picture.'

    Args:
        scores (CSV|NAME): a CSV file of paths and scores, or a data set of pyiqa's
        scored: what people said of the images
        model: which CLIP
        store: stored features
        candidates (FILE): pairs, one 'positive|negative' a line; by default our list of antonyms
        templates (TEXT): wordings to put the words in; by default those in which our words make sentences, with
            --candidates '{}'
        ensemble: most pairs in the ensemble
        out (-o FILE): write every candidate here, as CSV
        overwrite: replace --out if it exists
        top: pairs to show
        bootstrap: resamples per interval
        intervals: best pairs that get an interval
        seed: of the resamples, and of the split if there is none
    """
    from ..files.writing import check_output
    from ..learning.words import read_words

    words = read_words(candidates) if candidates else None
    if out is not None:
        check_output(out, overwrite=overwrite, inputs=[path for path in (scores, candidates) if path is not None])
    device = start(store, model.backbone or "RN50")
    from ..learning.word_search import search_prompts
    from ..metric import CLIPIQA

    table = scored.table(scores, {}, seed, needed=("train",))
    findings = search_prompts(
        table,
        words=words,
        templates=templates,
        metric=CLIPIQA(**model.given()),
        device=device,
        features=store.features,
        workers=store.workers,
        seed=seed,
        say=store.say(),
        ensemble=ensemble,
        intervals=max(intervals, top),
        bootstrap=bootstrap,
    )
    if out is not None:
        findings.save(out)
    print("\n".join(_report(model, findings, top, out, "test" if table.rows("test") else "val", table.name)))
    return 0


def _report(model: Model, findings: Findings, top: int, out: Path | None, split: str, name: str) -> Iterator[str]:
    yield (
        f"{name}: {counted(len(findings.ranked), 'pair')}, chosen on "
        f"{counted(findings.chosen_on, 'image')}, reported on "
        f"{findings.held_out:,} held out (split {split!r}), which had no say"
    )
    if findings.unknown:
        yield f"left out: {counted(findings.unknown, 'pair')} with words that {model.backbone or 'RN50'} never saw"
    yield ""
    rows: list[tuple[str, ...]] = [
        ("", "positive", "negative", "SROCC chosen by", "SROCC held out", "95 % interval", "PLCC held out")
    ]
    rows += [_row(str(rank), found) for rank, found in enumerate(findings.ranked[:top], start=1)]
    rows.append(_row("paper", findings.paper))
    mean = f"mean of {len(findings.ensemble.candidates)}"
    rows.append(("mean", mean, "", *_numbers(findings.ensemble)))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
    yield ""
    yield "The best pair:"
    yield from _usage(model, findings.ranked[0])
    if len(findings.ensemble.candidates) > 1:
        yield f"The ensemble, the {mean} pairs:"
        yield from _usage(model, findings.ensemble)
    else:
        yield "No second pair helps: the ensemble is the best pair alone."
    if out is not None:
        yield f"Every pair is in {out}."


def _usage(model: Model, found: Finding) -> Iterator[str]:
    from ..learning.word_search import as_prompts

    yield "  " + loading("clipiqa", model.given(), prompts=as_prompts(found.candidates))


def _row(label: str, found: Finding) -> tuple[str, ...]:
    pair = found.candidates[0].pair
    return (label, pair.positive, pair.negative, *_numbers(found))


def _numbers(found: Finding) -> tuple[str, ...]:
    estimate = found.srocc
    interval = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
    return (f"{found.chosen_by:.4f}", f"{estimate.value:.4f}", interval, f"{found.plcc:.4f}")
