"""What the experiments share: their options, the folder of their results, and the files in it."""

from __future__ import annotations

import itertools
import json
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypedDict, TypeVar

from ..errors import CLIPIQAError, ImageError
from ..errors.arguments import checked
from ..files.locking import locked
from ..files.names import free_name
from ..files.writing import check_folder, replacing, write_text
from ..report.plotting import plain_texts
from ..scoring.result_files import Output
from ..scoring.rows import frame_csv
from ..sources.inputs import find_inputs
from .scores import Record

if TYPE_CHECKING:
    import pandas
    import torch
    from matplotlib.figure import Figure
    from PIL.Image import Image

    Content: TypeAlias = pandas.DataFrame | Figure | Image | str | None

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
PICTURES = ("png", "svg", "pdf")
_KEEPING = ("out", "resume", "overwrite", "progress", "pictures")
_FILES = (".png", ".svg", ".html", ".csv", ".json", ".jpg", ".pdf")


class RunOptions(TypedDict, total=False):
    """Options of every experiment: where its scores and results are kept, and how images are scored.

    Attributes:
        out: Folder that keeps every score as it comes, and the results at the end; by default nothing is kept.
        resume: Go on with the scores that an earlier run left there; with all of them there, only draw anew.
        overwrite: Replace what is there.
        progress: Called after each score with the number of new scores and the number of all.
        pictures: Format of the figures: ``'png'``, ``'svg'`` or ``'pdf'``; sheets of photos are PNG in place of SVG.
        device, batch_size, workers, apply_exif, max_side, max_pixels: As for :func:`~.scores.score_images`.
    """

    out: str | os.PathLike[str] | None
    resume: bool
    overwrite: bool
    progress: Callable[[int, int], object] | None
    pictures: str
    device: str | torch.device
    batch_size: int
    workers: int | None
    apply_exif: bool
    max_side: int | None
    max_pixels: int | None


class ExperimentResult(ABC):
    """Result of an experiment.

    Attributes:
        failed: Files that were left out -> why, as a sentence.
        provenance: Which CLIP-IQA, and everything else that the scores depend on.
        intervals: Columns of the summary -> the two columns of their 95 % intervals.
    """

    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    intervals: ClassVar[Mapping[str, tuple[str, str]]] = {}

    @abstractmethod
    def summary(self) -> pandas.DataFrame:
        """Return the table that the command prints."""

    @abstractmethod
    def contents(self) -> dict[str, Content]:
        """Return the tables, pictures and texts by the names of their files; None for a picture of nothing."""

    def details(self) -> dict[str, Any]:
        """Return further values for ``summary.json``."""
        return {}

    def notes(self) -> list[str]:
        """Return remarks for the reader of the summary, as clauses."""
        return []

    def save(self, folder: str | os.PathLike[str], *, pictures: str = "png") -> None:
        """Write tables, pictures and ``summary.json``, which also holds the images left out and the provenance.

        Args:
            folder: Made if need be.
            pictures: ``'png'``, ``'svg'`` or ``'pdf'``; sheets of photos are PNG in place of SVG.

        Raises:
            CLIPIQAError: The folder cannot be written.
        """
        write_results(self, folder, self.contents(), pictures=pictures)


Result = TypeVar("Result", bound=ExperimentResult)


def prepare(
    options: RunOptions, names: Iterable[str], inputs: Iterable[str], total: int, scores: str = "scores.csv"
) -> tuple[Record, dict[str, Any]]:
    """Check the options of a run and make its folder, before any work.

    Args:
        options: Of the experiment.
        names: Files that will be written.
        inputs: Files that are never replaced.
        total: Number of scores.
        scores: Name of the file of scores.

    Returns:
        The record that keeps the scores, and the options for scoring.

    Raises:
        CLIPIQAError: The folder cannot be written, holds files of these names (without ``resume`` and ``overwrite``),
            or ``resume`` and ``overwrite`` do not go together.
        TypeError: There is no such option.
    """
    if unknown := options.keys() - RunOptions.__annotations__.keys():
        raise TypeError(f"unknown option {min(unknown)!r}: known are {', '.join(RunOptions.__annotations__)}.")
    scoring: dict[str, Any] = {**options}
    out, resume, overwrite, progress, pictures = map(scoring.pop, _KEEPING, (None, False, False, None, "png"))
    if pictures not in PICTURES:
        raise CLIPIQAError(f"pictures must be one of {', '.join(PICTURES)}; got {pictures!r}.")
    if resume and (overwrite or out is None):
        raise CLIPIQAError("resume goes on with what is in out, overwrite drops it: give out, and one of the two.")
    count = itertools.count(1)

    def tell(_: object) -> None:
        if progress is not None:
            progress(next(count), total)

    if out is None:
        return Record(progress=tell), scoring
    place = Path(out).expanduser()
    if not place.is_dir() and (place.suffix.lower() in _FILES or place.is_file()):
        raise CLIPIQAError(f"out must be a folder; got the file {str(place)!r}.")
    record = Record(check_folder(place, ()) / scores, resume, overwrite, tell)
    earlier = resume and Output(place / scores, "csv", resume=True).earlier() is not None
    files = dict.fromkeys(file for name in names for file in (name, picture_name(name, pictures)))
    check_folder(place, files, overwrite=overwrite or earlier, inputs=inputs)
    return record, scoring


def saved(result: Result, options: RunOptions) -> Result:
    """Return the result, once it is saved in ``out``, if that was given."""
    out = options.get("out")
    if out is not None:
        result.save(out, pictures=options.get("pictures", "png"))
    return result


def write_results(
    result: ExperimentResult,
    folder: str | os.PathLike[str],
    contents: Mapping[str, Content],
    summary: str = "summary.json",
    pictures: str = "png",
) -> None:
    """Write the files of a result, and its summary as JSON."""
    place, provenance = check_folder(folder, ()), dict(result.provenance)
    which = "CLIP-IQA, {backbone}, {weights}".format(**provenance) if "weights" in provenance else ""
    said = {"summary": records(result.summary()), **result.details(), "left_out": dict(result.failed)}
    with locked(place):  # so that pictures and tables are those of one run
        for name, content in contents.items():
            _write(place / picture_name(name, pictures, content), content, which)
        text = json.dumps({**said, "provenance": provenance}, indent=2, ensure_ascii=False)
        write_text(place / summary, text + "\n")


@checked
def find_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]], out: str | os.PathLike[str] | None = None
) -> list[str]:
    """Return the image files of paths; a path without images is an error, since results would not be comparable.

    Pictures in ``out``, the folder for results, come from an earlier run and do not count, unless they are named.

    Raises:
        ImageError: A path holds no image, or all lie in ``out``.
    """
    given = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    inputs = find_inputs(given)
    if inputs.problems:
        raise ImageError(f"{inputs.problem}: name images or folders of images.")
    ours = None if out is None else os.path.join(os.path.abspath(out), "")
    found = [p for p in inputs.paths if p in given or ours is None or not os.path.abspath(p).startswith(ours)]
    if not found:
        raise ImageError("there are no images to score" + (f" outside out={str(out)!r}." if inputs.paths else "."))
    return found


def file_names(questions: Iterable[str], form: str) -> dict[str, str]:
    """Return a file's name for each question, no two alike, also where case does not count."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for question in questions:
        kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in question)
        words = "-".join(filter(None, kept.split("-")))[:60]
        names[question] = form.format(free_name(words or "question", taken))
    return names


def records(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """Return a frame's rows for JSON in full precision (pandas would round p of 1e-12 to 0); NaN becomes None."""
    objects = frame.astype(object)
    return objects.where(objects.notna(), None).to_dict(orient="records")


def picture_name(name: str, pictures: str, content: Any = None) -> str:
    """Return a picture's name in another format; photos, which are no SVG, and other files keep theirs."""
    is_sheet = content is not None and not hasattr(content, "savefig")
    if not name.endswith(".png") or (is_sheet and pictures == "svg"):
        return name
    return f"{name.removesuffix('png')}{pictures}"


def _write(path: Path, content: Content, which: str) -> None:
    if content is None:
        path.unlink(missing_ok=True)  # of an earlier run
    elif isinstance(content, str):
        write_text(path, content)
    elif hasattr(content, "to_csv"):
        write_text(path, frame_csv(content))
    else:
        from ..report.contact_sheet import footed
        from ..report.plotting import captioned

        picture: Any = content
        with replacing(path) as partial, warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Glyph .* missing from")  # shown as boxes: names are in the CSV
            if hasattr(picture, "savefig"):
                captioned(plain_texts(picture), which).savefig(partial, dpi=150)
            else:
                (footed(picture, which) if which else picture).save(partial)
