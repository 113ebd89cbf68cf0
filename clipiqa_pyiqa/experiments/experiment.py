"""What the paper's experiments share: their images, a folder that keeps scores as they come, saving."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias, TypedDict, TypeVar

from ..arguments import checked
from ..errors import CLIPIQAError, ImageError
from ..files.locking import locked
from ..files.names import free_name
from ..files.writing import check_folder, replacing, write_text
from ..prompts.pairs import PromptPair
from ..report.plotting import plain_texts
from ..scoring.result_files import Output
from ..scoring.rows import frame_csv
from ..sources.inputs import find_inputs
from .scores import Record, Scores, score_images

if TYPE_CHECKING:
    import pandas
    import torch
    from matplotlib.figure import Figure
    from PIL.Image import Image

    Content: TypeAlias = pandas.DataFrame | Figure | Image | str | None

Paths = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]
_KEEPING = ("out", "resume", "overwrite", "progress", "pictures")
PICTURES = ("png", "svg", "pdf")
_FILES = (".png", ".svg", ".html", ".csv", ".json", ".jpg", ".pdf")


class RunOptions(TypedDict, total=False):
    """Options of every experiment: where its scores and results are kept, and how images are scored.

    Attributes:
        out: Folder that keeps every score as it comes, and the results at the end; by default nothing is kept.
        resume: Go on with the scores that an earlier run left there; with all of them there, only draw anew.
        overwrite: Replace what is there.
        progress: Called after each score with how many are new, and how many there will be in all.
        pictures: ``'png'``, ``'svg'`` or ``'pdf'``: how figures are written; sheets of photos are PNG in place of SVG.
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


@checked
def check_kinds(
    *,
    out: str | Path | None = None,
    resume: bool = False,
    overwrite: bool = False,
    progress: Callable[[int, int], object] | None = None,
    pictures: str = "png",
    device: str | torch.device | None = None,
    batch_size: int = 8,
    workers: int | None = None,
    apply_exif: bool = True,
    max_side: int | None = None,
    max_pixels: int | None = None,
) -> None:
    """Raise for run options of a wrong kind."""


class ExperimentResult(ABC):
    """What an experiment of the paper came to.

    Attributes:
        failed: Files that were left out -> why, as a sentence.
        provenance: Which CLIP-IQA, and whatever else the scores depend on.
        intervals: Columns of the summary -> the two columns of their 95 % intervals.
    """

    failed: Mapping[str, str]
    provenance: Mapping[str, Any]
    intervals: ClassVar[Mapping[str, tuple[str, str]]] = {}

    @abstractmethod
    def summary(self) -> pandas.DataFrame:
        """The table that the command prints."""

    @abstractmethod
    def contents(self) -> Iterator[tuple[str, Content]]:
        """Names of files and what is in them: tables, pictures, texts; None for a picture with nothing to show."""

    def details(self) -> dict[str, Any]:
        """What else stands in ``summary.json``."""
        return {}

    def notes(self) -> list[str]:
        """What a reader of the summary should know besides, as clauses."""
        return []

    def save(self, folder: str | os.PathLike[str], *, pictures: str = "png") -> None:
        """Write tables, pictures and ``summary.json``, which also says what was left out and which CLIP-IQA it was.

        Args:
            folder: Made if need be.
            pictures: ``'png'``, ``'svg'`` or ``'pdf'``; sheets of photos are PNG in place of SVG.

        Raises:
            CLIPIQAError: The folder cannot be written.
        """
        self._save(Path(folder).expanduser(), self.contents(), "summary.json", pictures)

    def which(self) -> str:
        """Which CLIP-IQA made the scores, in a few words for below a picture; empty if it is unknown."""
        said = self.provenance
        return f"CLIP-IQA, {said['backbone']}, {said['weights']}" if {"backbone", "weights"} <= set(said) else ""

    def _save(self, folder: Path, contents: Iterable[tuple[str, Content]], summary: str, pictures: str = "png") -> None:
        with _writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        said = {
            **{"summary": records(self.summary()), **self.details()},
            **{"left_out": dict(self.failed), "provenance": dict(self.provenance)},
        }
        with locked(folder):  # another run's pictures among ours would show what our tables do not
            for name, content in contents:
                _write(folder / picture_name(name, pictures, content), content, self.which())
            _write(folder / summary, json.dumps(said, indent=2, ensure_ascii=False) + "\n")


Result = TypeVar("Result", bound=ExperimentResult)


class ResultFolder:
    """Where an experiment's scores are kept as they come, and its results at the end; makes the folder.

    Args:
        options: Of the experiment.
        names: Of the files that will be written.
        inputs: Files that are never replaced.
        scores: Name of the file of scores.

    Raises:
        CLIPIQAError: The folder cannot be written, holds files of these names (unless told to resume or overwrite), or
            ``resume`` and ``overwrite`` do not go together.
    """

    def __init__(
        self, options: RunOptions, names: Iterable[str], inputs: Iterable[str], scores: str = "scores.csv"
    ) -> None:
        self.scoring: dict[str, Any] = {**options}
        check_kinds(**self.scoring)
        usual = (None, False, False, None, "png")
        out, self.resume, self.overwrite, self.progress, self.pictures = map(self.scoring.pop, _KEEPING, usual)
        if self.pictures not in PICTURES:
            known = ", ".join(map(repr, PICTURES))
            raise CLIPIQAError(f"pictures are written as one of {known}, but {self.pictures!r} was asked for.")
        self.path, self.scores = None if out is None else Path(out).expanduser(), scores
        if self.resume and (self.overwrite or self.path is None):
            raise CLIPIQAError("resume goes on with what is in out, overwrite drops it: give out, and one of the two.")
        if self.path is None:
            return
        if self.path.suffix.lower() in _FILES and not self.path.is_dir():
            raise CLIPIQAError(f"--out takes a folder, but {str(self.path)!r} is the name of a file.")
        if self.path.is_file():
            raise CLIPIQAError(f"--out takes a folder, but {str(self.path)!r} is a file: name another place.")
        with _writing(self.path):
            self.path.mkdir(parents=True, exist_ok=True)
        if not os.access(self.path, os.W_OK):
            raise CLIPIQAError(f"results cannot be written to {str(self.path)!r}: permission denied.")
        Record(self.path / scores, self.resume, self.overwrite)
        names = [other for name in names for other in (name, picture_name(name, self.pictures))]
        earlier = self.resume and Output(self.path / scores, "csv", resume=True).earlier() is not None
        check_folder(self.path, dict.fromkeys(names), overwrite=self.overwrite or earlier, inputs=inputs)

    def record(self, total: int) -> Record:
        """Keeps the rows of that many scores, and reports each."""
        counter, report = itertools.count(1), self.progress
        path = None if self.path is None else self.path / self.scores
        return Record(path, self.resume, self.overwrite, lambda row: report and report(next(counter), total))

    def score(self, metric: Any, files: Sequence[str], columns: Mapping[str, Sequence[PromptPair]]) -> Scores:
        """Scores of these files, kept as they come; see :func:`~.scores.score_images`."""
        return score_images(metric, files, columns, record=self.record(len(files)), **self.scoring)

    def saved(self, result: Result) -> Result:
        """The result itself, once it is in the folder, if there is one."""
        if self.path is not None:
            result.save(self.path, pictures=self.pictures)
        return result


@checked
def find_images(
    paths: str | os.PathLike[str] | Iterable[str | os.PathLike[str]],
    command: str,
    out: str | os.PathLike[str] | None = None,
) -> list[str]:
    """The files that paths stand for; what is none is an error, since an experiment without it would be another.

    Pictures that lie in ``out``, the folder for results, come from an earlier run and do not count, unless named.

    Raises:
        ImageError: A path stands for no image, or all lie in ``out``.
    """
    given = [os.fspath(path) for path in ([paths] if isinstance(paths, str | os.PathLike) else paths)]
    inputs = find_inputs(given)
    if inputs.problems:
        raise ImageError(f"{inputs.problem}: name images or folders of images for `clipiqa {command}`.")
    if not inputs.paths:
        raise ImageError("there are no images to score.")
    if out is None:
        return inputs.paths
    ours = os.path.join(os.path.abspath(out), "")
    found = [path for path in inputs.paths if path in given or not os.path.abspath(path).startswith(ours)]
    if not found:
        raise ImageError(f"all images lie in {str(out)!r}, where the results would go: name another folder as --out.")
    return found


def file_names(questions: Iterable[str]) -> dict[str, str]:
    """Questions -> parts of files' names, no two alike, also where case does not count."""
    names: dict[str, str] = {}
    taken: set[str] = set()
    for question in questions:
        kept = "".join(c if c.isalnum() or c in "-_" else "-" for c in question)
        names[question] = free_name("-".join(filter(None, kept.split("-")))[:60] or "question", taken)
    return names


def records(frame: pandas.DataFrame) -> list[dict[str, Any]]:
    """A frame's rows for JSON in full precision (pandas would round p of 1e-12 to 0); NaN becomes None."""
    objects = frame.astype(object)
    return objects.where(objects.notna(), None).to_dict(orient="records")


def picture_name(name: str, pictures: str, content: Any = None) -> str:
    """The name of a picture in another format; photos, which SVG is no format for, and other files keep theirs."""
    is_sheet = content is not None and not hasattr(content, "savefig")
    if not name.endswith(".png") or (is_sheet and pictures == "svg"):
        return name
    return f"{name.removesuffix('png')}{pictures}"


def _write(path: Path, content: Content, which: str = "") -> None:
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


@contextlib.contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CLIPIQAError(f"results cannot be written to {str(path)!r}: {error.strerror or error}.") from error
