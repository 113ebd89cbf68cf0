"""``clipiqa prompts search``: find the best prompt pairs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import counted
from .options.model import Model, start
from .options.scored_images import Scored, Store, creation
from .options.tables import aligned

if TYPE_CHECKING:
    from ..learning.word_search import Finding


def run(
    scored: Scored,
    model: Model,
    store: Store,
    scores: str,
    *,
    candidates: str | None = None,
    templates: list[str] | None = None,
    ensemble: int = 5,
    out: Path | None = None,
    overwrite: bool = False,
    top: int = 10,
    bootstrap: int = 1000,
    seed: int = 123,
) -> int:
    """Find the prompt pairs that agree best with scores that people gave.

    The split 'train' chooses the pairs and their ensemble. The SROCC (rank correlation) is measured on held-out images:
    split 'test', or else 'val'.

    examples:
      clipiqa prompts search scores.csv
      clipiqa prompts search scores.csv --candidates my_pairs.txt --templates '{} photo.' '{} picture.'

    Args:
        scores (CSV|NAME): a CSV file of paths and scores, or a data set
        candidates (FILE): one 'positive|negative' pair per line; default: the package's antonyms
        templates (TEXT): wordings of the pairs; default: the package's wordings, or '{}' with --candidates
        ensemble: most pairs in the ensemble
        out (-o FILE): write every candidate to this CSV file
        overwrite: replace an existing --out
        top: pairs to show
        bootstrap: resamples per interval
        seed: seed of resamples and a random split
    """
    from ..files.writing import check_output
    from ..learning.words import read_words

    words = read_words(candidates) if candidates else None
    if out is not None:
        check_output(out, overwrite=overwrite, inputs=[path for path in (scores, candidates) if path is not None])
    device = start(store, model.backbone or "RN50")
    from ..learning.word_search import search_prompts
    from ..metric import CLIPIQA

    table = scored.table(scores, seed, needed=("train",))
    findings = search_prompts(
        table,
        words=words,
        templates=templates,
        metric=CLIPIQA(**model.given()),
        device=device,
        seed=seed,
        ensemble=ensemble,
        bootstrap=bootstrap,
        **store.keywords(),
    )
    if out is not None:
        findings.save(out)
    split = "test" if table.rows("test") else "val"
    print(
        f"{table.name}: {counted(len(findings.ranked), 'pair')}, chosen on "
        f"{counted(findings.chosen_on, 'image')}, reported on "
        f"{findings.held_out:,} held out (split {split!r}), which are not used for the choice"
    )
    if findings.unknown:
        print(f"left out: {counted(findings.unknown, 'pair')} with words that {model.backbone or 'RN50'} never saw")
    mean = f"mean of {len(findings.ensemble.pairs)}"
    heads = ("", "positive", "negative", "SROCC chosen by", "SROCC held out", "95 % interval", "PLCC held out")
    rows: list[tuple[str, ...]] = [heads]
    rows += [_row(str(rank), found) for rank, found in enumerate(findings.ranked[:top], start=1)]
    rows += [_row("paper", findings.paper), ("mean", mean, "", *_row("", findings.ensemble)[3:])]
    print("", *aligned(rows), "", "The best pair:", _usage(model, findings.ranked[0]), sep="\n")
    if len(findings.ensemble.pairs) > 1:
        print(f"The ensemble, the {mean} pairs:", _usage(model, findings.ensemble), sep="\n")
    else:
        print("No second pair helps: the ensemble is the best pair alone.")
    if out is not None:
        print(f"Every pair is in {out}.")
    return 0


def _usage(model: Model, found: Finding) -> str:
    from ..learning.word_search import as_prompts

    return "  " + creation("clipiqa", model.given(), prompts=as_prompts(found.pairs))


def _row(label: str, found: Finding) -> tuple[str, ...]:
    pair, estimate = found.pairs[0], found.srocc
    interval = f"[{estimate.low:.4f}, {estimate.high:.4f}]"
    numbers = f"{found.chosen_by:.4f}", f"{estimate.value:.4f}", interval, f"{found.plcc:.4f}"
    return label, pair.positive, pair.negative, *numbers
