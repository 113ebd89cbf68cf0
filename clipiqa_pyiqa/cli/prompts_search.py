"""``clipiqa prompts search``: find the best prompt pairs."""

from pathlib import Path

from ..errors import counted
from .options.groups import Learning, creation
from .options.terminal import frame_as_text


def run(
    learning: Learning,
    scores: str,
    *,
    candidates: str | None = None,
    templates: list[str] | None = None,
    ensemble: int = 5,
    out: Path | None = None,
    overwrite: bool = False,
    bootstrap: int = 1000,
    seed: int = 123,
) -> int:
    """Find the prompt pairs that agree best with scores that people gave.

    The pairs and their ensemble are chosen on the split 'train'. Their SROCC (rank correlation) is measured on held-out
    images: the split 'test', or else 'val'.

    examples:
      clipiqa prompts search scores.csv --candidates my_pairs.txt --templates '{} photo.' '{} picture.'

    Args:
        scores (CSV|NAME): a CSV file of paths and scores, or a data set
        candidates (FILE): one 'positive|negative' pair per line; default: the package's antonyms
        templates (TEXT): wordings of the pairs; default: the package's wordings, or '{}' with --candidates
        ensemble: most pairs to average
        out (-o FILE): write every candidate to this CSV file
        overwrite: replace an existing --out
        bootstrap: resamples per interval
        seed: seed of resamples and of a random split
    """
    from ..files.writing import check_output, write_text

    table = learning.table(scores, seed, needed=("train",))
    if out is not None:
        check_output(out, overwrite=overwrite, inputs=table.frame["path"])
    options = learning.start()
    from ..learning.word_search import read_words, search_prompts
    from ..metric import CLIPIQA
    from ..report.table import csv_table

    findings = search_prompts(
        table,
        words=read_words(candidates) if candidates else None,
        templates=templates,
        metric=CLIPIQA(**learning.given()),
        seed=seed,
        ensemble=ensemble,
        bootstrap=bootstrap,
        **options,
    )
    found = findings.frame()
    if out is not None:
        write_text(out, csv_table(found))
    print(
        f"{table.name}: {counted(len(findings.ranked), 'pair')}, chosen on {counted(findings.chosen_on, 'image')}, "
        f"measured on {findings.held_out:,} held out (split {'val' if table.part('test').empty else 'test'!r})"
    )
    shown = (found.index < 10) | (found.index >= len(findings.ranked))
    print(frame_as_text(found[shown], ["SROCC held out"]))
    for name, finding in {"best pair": findings.ranked[0], "ensemble": findings.ensemble}.items():
        print(
            f"The {name}:\n  {creation('clipiqa', prompts=[pair.texts for pair in finding.pairs], **learning.given())}"
        )
    return 0
