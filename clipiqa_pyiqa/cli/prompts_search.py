"""``clipiqa prompts search``: find the best prompt pairs."""

from __future__ import annotations

from pathlib import Path

from ..errors import counted
from .options.model import Model, start
from .options.scored_images import OpinionOptions, Store, creation
from .options.terminal import frame_as_text


def run(
    scored: OpinionOptions,
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

    The pairs and their ensemble are chosen on the split 'train'. Their SROCC (rank correlation) is measured on held-out
    images: the split 'test', or else 'val'.

    examples:
      clipiqa prompts search scores.csv
      clipiqa prompts search scores.csv --candidates my_pairs.txt --templates '{} photo.' '{} picture.'

    Args:
        scores (CSV|NAME): a CSV file of paths and scores, or a data set
        candidates (FILE): one 'positive|negative' pair per line; default: the package's antonyms
        templates (TEXT): wordings of the pairs; default: the package's wordings, or '{}' with --candidates
        ensemble: most pairs to average
        out (-o FILE): write every candidate to this CSV file
        overwrite: replace an existing --out
        top: pairs to show
        bootstrap: resamples per interval
        seed: seed of resamples and of a random split
    """
    from ..files.writing import check_output
    from ..learning.word_search import read_words

    words = read_words(candidates) if candidates else None
    if out is not None:
        check_output(out, overwrite=overwrite, inputs=[path for path in (scores, candidates) if path is not None])
    device = start(store)
    import pandas

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
    print(
        f"{table.name}: {counted(len(findings.ranked), 'pair')}, chosen on {counted(findings.chosen_on, 'image')}, "
        f"measured on {findings.held_out:,} held out (split {'val' if table.part('test').empty else 'test'!r})"
    )
    if findings.unknown:
        print(f"left out: {counted(findings.unknown, 'pair')} with words that {model.backbone or 'RN50'} never saw")
    named = {str(rank): found for rank, found in enumerate(findings.ranked[:top], start=1)}
    named |= {"paper": findings.paper, "ensemble": findings.ensemble}
    rows = []
    for name, found in named.items():
        pair, srocc = found.pairs[0], found.srocc
        texts = (pair.positive, pair.negative) if name != "ensemble" else (f"mean of {len(found.pairs)}", "")
        rows.append((name, *texts, found.chosen_by, srocc.value, srocc.low, srocc.high, found.plcc))
    columns = [
        "",
        "positive",
        "negative",
        "SROCC chosen by",
        "SROCC held out",
        "SROCC held out low",
        "SROCC held out high",
        "PLCC held out",
    ]
    print(frame_as_text(pandas.DataFrame(rows, columns=columns), ["SROCC held out"]))
    for name, found in {"best pair": findings.ranked[0], "ensemble": findings.ensemble}.items():
        prompts = [(each.positive, each.negative) for each in found.pairs]
        print(f"The {name}:\n  {creation('clipiqa', model.given(), prompts=prompts)}")
    return 0
