"""Errors for users, each of one sentence; options that functions share, and checks of arguments."""

from __future__ import annotations

import functools
import inspect
import logging
import numbers
import os
import re
import sys
import types
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar, Union, cast, get_args, get_origin
from unicodedata import is_normalized

if TYPE_CHECKING:
    import torch

BUILTIN_VARIABLE = "CLIPIQA_PYIQA_BUILTIN"
log = logging.getLogger("clipiqa_pyiqa")


class Kind(StrEnum):
    """The kind of problem that an input has."""

    MISSING = "missing"
    EMPTY = "empty"
    NOT_A_FILE = "not a file"
    NOT_AN_IMAGE = "not an image"
    DAMAGED = "damaged"
    DAMAGED_ARCHIVE = "damaged archive"
    OUTSIDE = "path outside"
    TOO_SMALL = "too small"
    TOO_LARGE = "too large"
    OUT_OF_MEMORY = "out of memory"
    UNCLEAR_SCALE = "unclear scale"
    NOT_FINITE = "not finite"
    UNREADABLE = "unreadable"
    NOT_ASKED = "not asked"  # by the run that wrote the row, or not since the image has changed
    NOT_IN_FILE = "not in file"  # only another tool's score is missing
    OTHER = "other"


class CLIPIQAError(ValueError):
    """Base of all errors that this package raises on bad input.

    Attributes:
        reason: What is wrong and what to do, without ``name``.
        name: The input with the problem, such as a file.
    """

    def __init__(self, reason: str = "", kind: Kind = Kind.OTHER, name: str = "") -> None:
        super().__init__(f"{name!r} {reason}." if name else reason)
        self.reason, self.kind, self.name = reason, kind, name


class PromptError(CLIPIQAError):
    """A prompt or a template cannot be used."""


class ImageError(CLIPIQAError):
    """An image cannot be scored."""


class WeightsError(CLIPIQAError):
    """A checkpoint cannot be found, trusted or used."""


class OutputError(CLIPIQAError, OSError):
    """A file cannot be written, or must not be replaced."""


class ConfigError(CLIPIQAError):
    """A configuration file cannot be used."""


class OptionError(CLIPIQAError, TypeError):
    """An argument has a wrong type or value."""


def import_pyiqa(module: str = "") -> Any:
    """Return pyiqa, or a module of pyiqa; raise :class:`CLIPIQAError` if pyiqa is not installed."""
    if find_spec("pyiqa") is None:
        raise CLIPIQAError("this needs pyiqa, which is not installed: run `pip install pyiqa`.")
    return import_module(f"pyiqa{module}")


def keeps_pyiqas_classes() -> bool:
    """Return whether the user wants pyiqa's own classes instead of this package's."""
    return os.environ.get(BUILTIN_VARIABLE, "0") not in ("", "0")


def shown(value: object) -> str:
    """Return a value's repr on one line of at most 80 characters."""
    text = " ".join(repr(value).split())
    return text if len(text) <= 80 else text[:79] + "…"


def first_of(messages: Iterable[str], most: int = 1) -> str:
    """Return the first messages and the number of further messages."""
    sentences = [message.rstrip(".") for message in messages]
    more = len(sentences) - most
    return "; ".join(sentences[:most]) + (f" (and {more} more like it)" if more > 0 else "")


def few(names: Iterable[str]) -> str:
    """Return five names, and how many follow."""
    first = [repr(name) if is_normalized("NFC", name) else ascii(name) for name in names]  # é and é look alike
    return ", ".join(first[:5]) + (f" and {len(first) - 5} more" if len(first) > 5 else "")


def counted(count: int, noun: str) -> str:
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"


def twice_in(names: Iterable[str]) -> str:
    """Return the first name that occurs twice; empty if there is none."""
    return next((name for name, count in Counter(names).items() if count > 1), "")


def nearest(name: str, known: Iterable[str]) -> str:
    """Return the end of a message: the known names that are similar to ``name``, or all known names."""
    import difflib  # imported here, so that `import clipiqa_pyiqa` stays fast

    known = list(known)
    lower = {entry.lower(): entry for entry in known}
    found = [lower[entry] for entry in difflib.get_close_matches(name.lower(), lower)]
    return f"did you mean {' or '.join(map(repr, found))}?" if found else f"known names are {', '.join(known)}."


def is_out_of_memory(error: BaseException) -> bool:
    # torch's CPU allocator raises a plain RuntimeError
    words = ("out of memory", "can't allocate memory", "not enough memory")
    return isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and any(w in str(error) for w in words))


def reason(error: BaseException) -> str:
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(text.split()).rstrip(".") or type(error).__name__


MIN_SIDE = 32  # smallest height and width, in pixels, that the image towers take
OVERSHOOT = 0.5
"""Largest allowed distance of a pixel from [0, 1]: networks overshoot a little; more means another range of pixels."""
BOUNDS = {  # parameter or option -> smallest and largest allowed value
    "batch_size": (1, 65_536),
    "workers": (1, 256),
    "actors": (1, 4096),
    "threads": (1, 256),
    "processes": (0, 256),
    "seed": (0, (1 << 32) - 1),
    "bootstrap": (0, 1_000_000),
    "count": (1, 500),
    "steps": (3, 1_000_000),
    "scale": (1, 8),
    "max_side": (MIN_SIDE, 1_000_000_000),
    "max_pixels": (MIN_SIDE**2, 1_000_000_000),
    "crop_border": (0, 4096),
    "epochs": (1, 1_000_000),
    "lr": (0, 1000),
    "crop": (0, 2048),
    "n_ctx": (1, 75),
    "crops": (1, 1000),
}
FilePath = str | os.PathLike[str]
Progress = Callable[..., object]
"""Function of the numbers of finished and of all units (None: unknown), which may have further arguments."""


def silent(*state: object) -> None:
    """Show no progress."""


Function = TypeVar("Function", bound=Callable[..., Any])
_NUMBERS = {"int": numbers.Integral, "float": numbers.Real}  # NumPy's numbers are accepted too
_WORDS = {numbers.Integral: "an int", numbers.Real: "a finite number", type(None): "None"}
_LISTS = (Iterable, Sequence, Collection)


# The options that public functions and commands share: names, kinds, defaults and documentation.


@dataclass(frozen=True)
class Machine:
    """The machine.

    Args:
        device (DEVICE): cpu, cuda, cuda:N or mps; default: cuda if there is a GPU, else cpu
        workers: threads that decode; default: one per core, at most 8
        threads: images scored at once, each on a thread; default: one per usable core
        memory (SIZE): memory for decoding, such as 2G; default: half of all memory
        huge: also decode images above PIL's limit, 179 megapixels
    """

    device: str | None = None
    workers: int | None = None
    threads: int | None = None
    memory: str | None = None
    huge: bool = False


@dataclass(frozen=True)
class Batches(Machine):
    """Batches.

    Args:
        batch_size: images of equal size that are scored together
        processes: processes in which named metrics of pyiqa score, each with a thread
    """

    batch_size: int = 8
    processes: int = 0

    def keywords(self) -> dict[str, Any]:
        """Return the options as functions take them, without ``device``."""
        names = ScoringOptions.__annotations__.keys() - {"device"}
        return {name: getattr(self, name) for name in names if hasattr(self, name)}


@dataclass(frozen=True)
class Sizes:
    """Sizes of images.

    Args:
        max_side (PX): longest allowed side; larger images are shrunk
        max_pixels: most allowed pixels; larger images are shrunk
    """

    max_side: int | None = None
    max_pixels: int | None = None

    @property
    def limits(self) -> dict[str, int]:
        """Those of both limits that are set."""
        limits = {"max_side": self.max_side, "max_pixels": self.max_pixels}
        return {name: limit for name, limit in limits.items() if limit is not None}


@dataclass(frozen=True)
class Reading(Sizes):
    """Images.

    Args:
        apply_exif: turn images upright as their EXIF orientation says
        damaged: JPEGs with lost or overwritten bytes: 'refuse' reports an error, 'keep' scores the image
    """

    apply_exif: bool = True
    damaged: Literal["refuse", "keep"] = "refuse"
    min_side = MIN_SIDE  # no option: smallest height and width of images


class AnySize(Reading):
    """Reading where each metric has a smallest size of its own, or none."""

    min_side = 1


@dataclass(frozen=True)
class SharedOptions(Reading, Batches):
    """Options of reading and scoring."""


class BatchOptions(TypedDict, total=False):
    """Options of scoring in Python, as in :class:`Batches`."""

    device: str | torch.device | None
    batch_size: int
    workers: int | None
    processes: int


class ComparisonOptions(BatchOptions, total=False):
    """Options of scoring and the sizes of images in Python, as in :class:`Batches` and :class:`Sizes`."""

    max_side: int | None
    max_pixels: int | None


class ScoringOptions(ComparisonOptions, total=False):
    """Options of reading and scoring in Python, as in :class:`SharedOptions`."""

    apply_exif: bool
    damaged: Literal["refuse", "keep"]


class RunOptions(ScoringOptions, total=False):
    """Also options of the metrics, as for :func:`~clipiqa_pyiqa.score_paths`."""

    trust_weights: bool
    strict: bool


_CURES = dict.fromkeys(
    ("backbone", "clip_weights", "pos_embedding", "precision", "prompts"),
    "it belongs to the metric, as in CLIPIQA(backbone='mini') or 'clipiqa:backbone=mini'.",
)
_CURES |= dict.fromkeys(("best", "worst"), "ask the result, as in rank('mini', 'photos').best(10).")
_CURES |= {"device": "move the metric, as in CLIPIQA().to('cuda').", "data_range": "divide 8-bit values by 255."}
"""Option that a function does not have -> what to do instead."""


def documentation(thing: Any) -> tuple[str, str, dict[str, tuple[list[str], str]]]:
    """Return a docstring's first line, other text before ``Args:``, and argument -> (words in parentheses, help)."""
    text, _, arguments = _docstring(thing).partition("\nArgs:\n")
    summary, _, more = text.partition("\n")
    entries = re.findall(r"^ {4}(\w+)(?: \(([^)]*)\))?: ((?:.*\n?)(?: {8}.*\n?)*)", arguments, re.M)
    return summary, more.strip(), {name: (words.split(), " ".join(text.split())) for name, words, text in entries}


def _docstring(thing: Any) -> str:
    if sys.flags.optimize < 2:
        return inspect.cleandoc(thing.__doc__ or "")
    import ast  # `python -OO` keeps docstrings in the source only

    (definition,) = ast.parse(inspect.getsource(thing)).body
    assert isinstance(definition, ast.FunctionDef | ast.ClassDef)
    return ast.get_docstring(definition) or ""


def checked(function: Function) -> Function:
    """Return the function with a check of its arguments' names, types, bounds and paths, which raises ``OptionError``.

    Its signature shows the options of an unpacked ``TypedDict`` one by one.
    """
    given = inspect.signature(function)
    parameters = [each for parameter in given.parameters.values() for each in _unpacked(parameter, function.__module__)]
    signature = given.replace(parameters=parameters)
    name_of_it = function.__qualname__.removesuffix(".__init__")

    @functools.cache
    def hints() -> dict[str, list[Any]]:
        return {each.name: _alternatives(_evaluated(each.annotation, function.__module__)) for each in parameters}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            arguments = signature.bind(*args, **kwargs).arguments
        except TypeError as error:
            unknown = next((name for name in kwargs if name not in signature.parameters), None)
            if unknown is None:
                raise OptionError(f"{name_of_it}(): {error}.") from None
            cure = _CURES.get(unknown) or nearest(unknown, [name for name in signature.parameters if name != "self"])
            raise OptionError(f"{name_of_it}() has no option {unknown!r}: {cure}") from None
        for name, wanted in hints().items():
            if name not in arguments:
                continue
            value = arguments[name]
            if not any(_is(value, hint) for hint in wanted):
                raise OptionError(
                    f"{name} must be {' or '.join(map(_words, wanted))}; got {shown(value)} ({type(value).__name__})."
                )
            if name in BOUNDS and value is not None:
                check_bounds(name, value)
            if isinstance(value, str | os.PathLike) and {Path, os.PathLike} & set(wanted):
                check_path(name, value)
        return function(*args, **kwargs)

    call.__signature__ = signature  # type: ignore[attr-defined]
    return cast(Function, call)


def _unpacked(parameter: inspect.Parameter, module: str) -> list[inspect.Parameter]:
    """Return a parameter, or the keywords of ``**options: Unpack[…]``, with the defaults of ``SharedOptions``.

    ``**options: Annotated[Any, CLIPIQA]`` are those of this class, which checks their values.
    """
    if not str(parameter.annotation).startswith(("Unpack[", "Annotated[")):
        return [parameter]
    *others, options = get_args(_evaluated(parameter.annotation, module))
    if others:
        given = inspect.signature(options).parameters.values()
        return [each.replace(kind=each.KEYWORD_ONLY, annotation="Any") for each in given if each.name != "prompts"]
    return [
        inspect.Parameter(
            name, parameter.KEYWORD_ONLY, default=getattr(SharedOptions, name, ...), annotation=hint.__forward_arg__
        )
        for name, hint in options.__annotations__.items()
    ]


def choice(option: str, value: Any, choices: Mapping[Any, Any]) -> Any:
    """Return the choice for a value of an option; raise ``CLIPIQAError`` if the value is unknown."""
    try:
        return choices[value]
    except (KeyError, TypeError):
        raise CLIPIQAError(f"{option} must be one of {', '.join(map(repr, choices))}; got {shown(value)}.") from None


def check_bounds(name: str, value: int) -> None:
    least, most = BOUNDS.get(name, (1, 1_000_000_000))
    if not least <= value <= most:
        raise OptionError(f"{name} must be between {least:,} and {most:,}; got {value:,}.")


def check_keys(options: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in options:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {where}: {nearest(str(key), known)}")


def check_storage(out: object, resume: bool, overwrite: bool, drop_vanished: bool = False) -> None:
    """Raise OptionError for an option of stored results that would have no effect."""
    if resume and out is None:
        raise OptionError("`resume` needs `out`, the results to continue.")
    if overwrite and out is None:
        raise OptionError("`overwrite` needs `out`, the results to replace.")
    if drop_vanished and not resume:
        raise OptionError("drop_vanished needs `resume`: only rows of an earlier run can be left out.")


def check_path(name: str, value: FilePath) -> None:
    if not os.fspath(value):
        raise OptionError(f"{name} must be a path; got an empty text.")
    try:
        os.stat(Path(value).expanduser())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (RuntimeError, ValueError, OSError) as error:  # an unknown ~user, a NUL byte, or a name that is too long
        problem = str(getattr(error, "strerror", error)).rstrip(".")
        raise OptionError(f"{name} must be a path; got {shown(os.fspath(value))}: {problem}.") from error


def _is(value: Any, hint: Any) -> bool:
    """Return whether a value fits a type hint; True is not a number, and a text is not a list."""
    if hint is Any:
        return True
    if hint in _NUMBERS.values():
        return isinstance(value, hint) and not isinstance(value, bool) and abs(value) < 1 << 63  # also refuses NaN
    if hint in _LISTS:
        return isinstance(value, hint) and not isinstance(value, str | bytes)
    if get_origin(hint) is Literal:
        return any(isinstance(value, type(each)) and value == each for each in get_args(hint))
    return isinstance(value, hint)


def _evaluated(annotation: Any, module: str) -> Any:
    """Return an annotation's type; Any for none, or for a name that only type checkers import."""
    names = {**globals(), **vars(sys.modules[module]), **_NUMBERS}
    try:
        return eval(annotation, names)
    except (NameError, TypeError):
        return Any


def _alternatives(hint: Any) -> list[Any]:
    hints = get_args(hint) if get_origin(hint) in (types.UnionType, Union) else [hint]
    return [each if get_origin(each) is Literal else get_origin(each) or each for each in hints]


def _words(hint: Any) -> str:
    if get_origin(hint) is Literal:
        return " or ".join(map(repr, get_args(hint)))
    return _WORDS.get(hint) or str(hint.__name__)
