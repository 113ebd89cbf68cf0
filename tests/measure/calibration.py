"""NIQE and BRISQUE of pyiqa's five calibration images beside the scores that pyiqa published; two rows of README.md.

python tests/measure/calibration.py IMAGES PUBLISHED.csv [niqe=PARAMETERS] [brisque=PARAMETERS]

IMAGES is the folder ``ResultsCalibra/dist_dir`` of pyiqa's repository, and PUBLISHED.csv the file
``ResultsCalibra/calibration_summary.csv``, whose rows with ``(ours)`` are pyiqa's. Parameters that are not given are
downloaded by pyiqa.
"""

import sys
from pathlib import Path

import pandas
from timing import head, row

from clipiqa_pyiqa import score_paths

METRICS = ("niqe", "brisque")


def calibration_scores(images, parameters):
    """Return a row per image and a column per metric."""
    specs = [f"{name}:pretrained_model_path={parameters[name]}" if name in parameters else name for name in METRICS]
    labelled = [f"{name}={spec}" for name, spec in zip(METRICS, specs, strict=True)]
    scores = score_paths(labelled, images, device="cpu").frame()
    return scores.rename(index=lambda path: Path(path).name)


def main(images, published, *given):
    scores = calibration_scores(images, dict(text.split("=", 1) for text in given))
    theirs = pandas.read_csv(published, index_col=0)
    head("image", *(f"{name}: {whose}" for name in METRICS for whose in ("published", "computed here")))
    for image in scores.index:
        cells = [(theirs.at[f"{name}(ours)", image], scores.at[image, name]) for name in METRICS]
        row(image, *(f"{score:.4f}" for pair in cells for score in pair))


if __name__ == "__main__":
    main(*sys.argv[1:])
