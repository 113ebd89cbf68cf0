"""Checks of arguments."""

from __future__ import annotations

import functools
import inspect
import numbers
import os
import sys
import types
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin

from .errors import CLIPIQAError, ConfigError, OptionError
from .text import nearest, shown

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
    "sample": (1, 10_000_000),
    "scale": (1, 8),
    "max_side": (MIN_SIDE, 1_000_000_000),
    "max_pixels": (MIN_SIDE**2, 1_000_000_000),
    "crop_border": (0, 4096),
    "n_ctx": (1, 75),
}
DEFAULTS: dict[str, Any] = {}
"""Option of an unpacked ``TypedDict`` -> its default; the module that defines the options adds them."""
FilePath = str | os.PathLike[str]
Function = TypeVar("Function", bound=Callable[..., Any])
_NUMBERS = {"int": numbers.Integral, "float": numbers.Real}  # NumPy's numbers are accepted too
_WORDS = {numbers.Integral: "an int", numbers.Real: "a finite number", type(None): "None"}
_LISTS = (Iterable, Sequence, Collection)
_CURES = {
    **dict.fromkeys(
        ("backbone", "clip_weights", "pos_embedding", "precision", "prompts"),
        "it belongs to the metric, as in CLIPIQA(backbone='mini') or 'clipiqa:backbone=mini'.",
    ),
    **dict.fromkeys(("best", "worst"), "ask the result, as in rank('mini', 'photos').best(10)."),
    "device": "move the metric, as in CLIPIQA().to('cuda').",
    "data_range": "divide 8-bit values by 255.",
}
"""Option that a function does not have -> what to do instead."""


def checked(function: Function) -> Function:
    """Return the function with a check of its arguments' names, types, bounds and paths, which raises ``OptionError``.

    Its signature shows the options of an unpacked ``TypedDict`` one by one.
    """
    given = inspect.signature(function)
    modules = dict[str, tuple[str, ...]]()  # parameter -> modules that hold the names in its annotation
    parameters = []
    for parameter in given.parameters.values():
        for each, module in _unpacked(parameter, function.__module__):
            parameters.append(each)
            modules[each.name] = (module, function.__module__)
    signature = given.replace(parameters=parameters)
    name_of_it = function.__qualname__.removesuffix(".__init__")

    @functools.cache
    def hints() -> dict[str, list[Any]]:
        return {each.name: _alternatives(_evaluated(each.annotation, *modules[each.name])) for each in parameters}

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
        for name, kinds in hints().items():
            if name in arguments:
                _check_argument(name, arguments[name], kinds)
        return function(*args, **kwargs)

    call.__signature__ = signature  # type: ignore[attr-defined]
    return cast(Function, call)


def _check_argument(name: str, value: Any, kinds: Sequence[Any]) -> None:
    """Raise for a value of another kind, outside its bounds, or that is no path where one is asked for."""
    if not any(_is(value, kind) for kind in kinds):
        words = " or ".join(map(_words, kinds))
        raise OptionError(f"{{{name}}} must be {words}; got {shown(value)} ({type(value).__name__}).", options=(name,))
    if name in BOUNDS and value is not None:
        check_bounds(name, value)
    if isinstance(value, str | os.PathLike) and {Path, os.PathLike} & set(kinds):
        check_path(name, value)


def _unpacked(parameter: inspect.Parameter, module: str) -> list[tuple[inspect.Parameter, str]]:
    """Return a parameter and its module, or the keywords of ``**options: Unpack[…]``.

    Their defaults are those in ``DEFAULTS``.

    ``**options: Annotated[Any, CLIPIQA]`` are those of this class, which checks their values.
    """
    if not str(parameter.annotation).startswith(("Unpack[", "Annotated[")):
        return [(parameter, module)]
    *others, options = get_args(_evaluated(parameter.annotation, module))
    if others:
        given = inspect.signature(options).parameters.values()
        return [
            (each.replace(kind=each.KEYWORD_ONLY, annotation="Any"), module) for each in given if each.name != "prompts"
        ]
    unpacked = []
    for name, hint in options.__annotations__.items():
        default = DEFAULTS.get(name, ...)
        keyword = inspect.Parameter(name, parameter.KEYWORD_ONLY, default=default, annotation=hint.__forward_arg__)
        unpacked.append((keyword, hint.__forward_module__ or module))
    return unpacked


def choice(option: str, value: Any, choices: Mapping[Any, Any]) -> Any:
    """Return the choice for a value of an option; raise ``CLIPIQAError`` if the value is unknown."""
    try:
        return choices[value]
    except (KeyError, TypeError):
        names = ", ".join(map(repr, choices))
        raise CLIPIQAError(f"{{{option}}} must be one of {names}; got {shown(value)}.", options=(option,)) from None


def check_bounds(name: str, value: int | None) -> None:
    least, most = BOUNDS.get(name, (1, 1_000_000_000))
    if value is not None:
        check_between(name, value, least, most)


def check_between(option: str, value: float, least: float, most: float) -> None:
    if not least <= value <= most:
        raise OptionError(f"{{{option}}} must be between {least:,} and {most:,}; got {value:,}.", options=(option,))


def check_keys(options: Mapping[str, Any], known: Collection[str], where: str) -> None:
    for key in options:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {where}: {nearest(str(key), known)}")


def check_path(name: str, value: FilePath) -> None:
    if not os.fspath(value):
        raise OptionError(f"{{{name}}} must be a path; got an empty text.", options=(name,))
    try:
        os.stat(Path(value).expanduser())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (RuntimeError, ValueError, OSError) as error:  # an unknown ~user, a NUL byte, or a name that is too long
        problem = str(getattr(error, "strerror", error)).rstrip(".")
        raise OptionError(
            f"{{{name}}} must be a path; got {shown(os.fspath(value))}: {problem}.", options=(name,)
        ) from error


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


def _evaluated(annotation: Any, *modules: str) -> Any:
    """Return an annotation's type; Any for none, or for a name that only type checkers import."""
    names = globals().copy()
    for module in modules:
        names |= vars(sys.modules[module])
    names |= _NUMBERS
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
