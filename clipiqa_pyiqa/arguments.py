"""Arguments of public functions, checked against their annotations, so that a wrong kind is told in a sentence."""

from __future__ import annotations

import errno
import functools
import inspect
import math
import numbers
import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, cast

from .errors import OptionError, shown

BOUNDS = {  # the least and the most of whole numbers, by their names in functions and on the command line
    **{"batch_size": (1, 65_536), "workers": (1, 256), "actors": (1, 4096), "threads": (1, 256)},
    **{"seed": (0, (1 << 32) - 1), "bootstrap": (0, 1_000_000), "count": (1, 500), "crop_border": (0, 4096)},
    **{"epochs": (1, 1_000_000), "crop": (0, 2048), "crops": (1, 1000)},
}
Function = TypeVar("Function", bound=Callable[..., Any])
_Check = tuple[Callable[[Any], bool], str]  # whether a value is of a kind, and the kind in words
_PATH: _Check = (lambda value: isinstance(value, os.PathLike), "a path")
_KINDS: dict[str, _Check] = {  # what stands in an annotation
    "None": (lambda value: value is None, "None"),
    "bool": (lambda value: isinstance(value, bool), "True or False"),
    "int": (lambda value: _is(value, numbers.Integral) and -(1 << 63) <= value < 1 << 63, "a whole number"),
    "float": (lambda value: _is(value, numbers.Real) and _is_finite(value), "a finite number"),
    "str": (lambda value: isinstance(value, str), "a text"),
    **dict.fromkeys(("Path", "os.PathLike[str]"), _PATH),
    "torch.device": (lambda value: _has_class(value, "device"), "a device"),
    "torch.dtype": (lambda value: _has_class(value, "dtype"), "a dtype"),
    "ImageSource": (lambda value: hasattr(value, "read") and hasattr(value, "name"), "a source of an image"),
    **dict.fromkeys(
        ("Iterable", "Sequence", "Collection"),
        (
            lambda value: isinstance(value, Iterable) and not isinstance(value, str | bytes) and _is_long(value),
            "a list",
        ),
    ),
    "Mapping": (lambda value: isinstance(value, Mapping), "a mapping"),
    "Callable": (callable, "a function"),
}
_CLASSES = ("Tensor", "ScoreTable", "TrainConfig", "Context", "Output", "Columns")
_KINDS |= {name: (lambda value, name=name: _has_class(value, name), f"a {name}") for name in _CLASSES}  # type: ignore[misc]


def checked(function: Function) -> Function:
    """A function that raises :class:`OptionError` for arguments of another kind than their annotations say.

    Only annotations of plain kinds (``int | None``, ``str | Path``) are looked at, and not what is in a list; what else
    an argument may be, the function says itself. It costs some microseconds a call.
    """
    signature = inspect.signature(function)
    kinds = {name: found for name, parameter in signature.parameters.items() if (found := _kinds(parameter))}
    paths = {name for name in kinds if re.search(r"\bPath\b", str(signature.parameters[name].annotation))}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        for name, value in signature.bind(*args, **kwargs).arguments.items():
            if name in kinds and not any(is_one(value) for is_one, _ in kinds[name]):
                wanted = " or ".join(dict.fromkeys(words for _, words in kinds[name]))
                came = f"{shown(value)} ({type(value).__name__})"
                hint = "; YAML reads 1e-1 as text, and 0.1 as a number" if _is_number(value) else ""
                raise OptionError(f"{name} must be {wanted}, but {came} came{hint}.")
            if name in BOUNDS and value is not None:
                check_bounds(name, value)
            if name in paths and isinstance(value, str | os.PathLike):
                check_path(name, value)
        return function(*args, **kwargs)

    return cast(Function, call)


def check_bounds(name: str, value: int) -> None:
    """Raise ``OptionError`` for a whole number beyond :data:`BOUNDS`; without any of its own, 1 to a billion."""
    least, most = BOUNDS.get(name, (1, 1_000_000_000))
    if not least <= value <= most:
        raise OptionError(f"{name} must be between {least:,} and {most:,}; got {value:,}.")


def _kinds(parameter: inspect.Parameter) -> tuple[_Check, ...]:
    """The kinds in a parameter's annotation; none if there are others in it."""
    if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
        return ()
    text = str(parameter.annotation)
    if text not in _KINDS:
        text = text.replace("os.PathLike[str]", "Path")
        while text != (text := re.sub(r"\[[^][]*\]", "", text)):  # what is in lists
            pass
    names = [part.strip() for part in text.split("|")]
    return tuple(_KINDS[name] for name in names) if all(name in _KINDS for name in names) else ()


def _is_number(value: Any) -> bool:
    """Whether it is the text of a number."""
    try:
        return isinstance(value, str) and math.isfinite(float(value))
    except ValueError:
        return False


def check_path(name: str, value: str | os.PathLike[str]) -> None:
    """Raise for what can never be a file's name; whether there is one, the function sees itself."""
    problem = ""
    try:
        os.stat(Path(value).expanduser())
    except (RuntimeError, ValueError) as error:  # no such user; a NUL, half of a Unicode character
        problem = str(error)
    except OSError as error:
        problem = (error.strerror or "") if error.errno in (errno.ENAMETOOLONG, errno.ELOOP) else ""
    if problem:
        raise OptionError(f"{name}={shown(os.fspath(value))} can be no file's name: {problem.rstrip('.')}.")


def _is(value: Any, kind: type) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _is_finite(value: Any) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _has_class(value: Any, name: str) -> bool:
    return any(each.__name__ == name for each in type(value).__mro__)


def _is_long(value: Any) -> bool:
    """Whether a value can be a list: an array without dimensions and a sparse tensor have no length."""
    try:
        return not hasattr(value, "__len__") or len(value) >= 0
    except (TypeError, RuntimeError):
        return False
