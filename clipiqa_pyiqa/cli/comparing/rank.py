"""The best and the worst images of a folder, by any question (the paper's Fig. 3, 6, 8 and 9)."""

from __future__ import annotations

import argparse

from ..options import experiment
from ..options.model import positive

EPILOG = """
Every image is encoded once, however many questions are asked. --out DIR receives ranking.csv (every image) and, for
each question, rank-QUESTION.png: the highest and the lowest with their scores.

examples:
  clipiqa rank spaq/ --out rank/
  clipiqa rank ava/images --prompts happy scary complex natural new --out rank/ --resume
"""


def configure(parser: argparse.ArgumentParser) -> None:
    """Declare the options."""
    parser.add_argument("paths", nargs="+", metavar="FOLDER", help="folders, images or quoted globs")
    experiment.configure(parser, EPILOG, prompts="quality")
    parser.add_argument("--count", type=positive, default=10, metavar="N", help="of the best and of the worst (10)")


def run(args: argparse.Namespace) -> int:
    """Score the images, print the extremes of each question and write their pictures."""
    import pandas

    from ...figures.ranking import best_and_worst, rank_sheet, ranking
    from ...figures.scores import score_images
    from ...scoring.rows import printable

    paths = experiment.find_images(args.paths, "rank", args.out)
    run = experiment.Experiment(args)
    columns = run.columns(["quality"])
    metric = run.metric(columns)
    with run.scoring(len(paths)) as options:
        scores = score_images(metric, paths, columns, **options)
    run.table("ranking", ranking(scores))
    rows, names = [], experiment.file_names(scores.questions)
    for question in scores.questions:
        for chosen in best_and_worst(scores, question, args.count):
            for path, row in chosen.sort_values("rank", kind="stable").iterrows():
                known = {"question": question, "rank": int(row["rank"]), "score": row[question]}
                rows.append({**known, "path": printable(path)})
        if run.out is not None:
            run.picture(f"rank-{names[question]}.png", rank_sheet(scores, question, args.count))
    return run.finish(pandas.DataFrame(rows), scores.failed, scores.provenance, images=len(scores.frame))
