"""Checks of arguments, where a wrong one would give a wrong result or lose something.

Each raises ``OptionError`` with the option's name; :func:`check_keys` raises ``ConfigError``.
"""

from __future__ import annotations

import numbers
import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from .errors import ConfigError, OptionError
from .text import hint_for, shown

MIN_SIDE = 32  # smallest height and width, in pixels, that the image towers take
OVERSHOOT = 0.5
"""Largest allowed distance of a pixel from [0, 1]: networks overshoot a little; more means another range of pixels."""
MOST = 1_000_000_000  # of numbers without a bound of their own
LARGEST_SEED = (1 << 32) - 1  # NumPy's
FilePath = str | os.PathLike[str]


def check_whole(option: str, number: Any, least: int = 1, most: int = MOST) -> None:
    """Raise unless a number, of Python or NumPy, is whole and between two bounds; True is no number."""
    if isinstance(number, bool) or not isinstance(number, numbers.Integral):
        raise _refused(option, "an int", number)
    _check_between(option, number, least, most)


def check_whole_or_none(option: str, number: Any, least: int = 1, most: int = MOST) -> None:
    if number is not None:
        check_whole(option, number, least, most)


def check_number(option: str, number: Any, least: float = -MOST, most: float = MOST) -> None:
    """Raise unless a number, of Python or NumPy, is between two bounds; NaN is not, and True is no number."""
    if isinstance(number, bool) or not isinstance(number, numbers.Real):
        raise _refused(option, "a number", number)
    _check_between(option, number, least, most)


def check_seed(seed: Any) -> None:
    check_whole("seed", seed, 0, LARGEST_SEED)


def check_truth(option: str, truth: Any) -> None:
    """Raise unless an option is True or False: the text 'no' would count as True."""
    if not isinstance(truth, bool):
        raise _refused(option, "True or False", truth)


def check_text(option: str, text: Any) -> None:
    if not isinstance(text, str):
        raise _refused(option, "a text", text)


def check_list(option: str, names: Any) -> None:
    """Raise for a single text where several are asked for: it would count as a list of letters."""
    if isinstance(names, str | bytes) or not isinstance(names, Iterable):
        raise _refused(option, "a list", names)


def check_mapping(option: str, mapping: Any) -> None:
    if not isinstance(mapping, Mapping):
        raise _refused(option, "a mapping", mapping)


def check_one_of(option: str, choice: Any, choices: Iterable[Any]) -> None:
    known = dict.fromkeys(choices)  # asked by hash, since an array compares its elements
    try:
        is_known = choice in known
    except TypeError:  # a list or an array has no hash
        is_known = False
    if not is_known:
        raise OptionError(
            f"{option} must be one of {', '.join(map(repr, known))}; got {shown(choice)}.", options=(option,)
        )


def check_keys(options: Mapping[str, Any], known: Collection[str], where: str) -> None:
    """Raise ``ConfigError``, which names ``where`` the keys stand, for the first unknown key."""
    for key in options:
        if key not in known:
            raise ConfigError(f"unknown key {key!r} in {where}: {hint_for(str(key), known)}")


def check_path(option: str, path: FilePath) -> None:
    """Raise for what can be no path: an empty text, an unknown ``~user``, a NUL byte, or a name that is too long."""
    if not os.fspath(path):
        raise OptionError(f"{option} must be a path; got an empty text.", options=(option,))
    try:
        os.stat(Path(path).expanduser())
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        pass
    except (RuntimeError, ValueError, OSError) as error:
        problem = str(getattr(error, "strerror", error)).rstrip(".")
        raise OptionError(
            f"{option} must be a path; got {shown(os.fspath(path))}: {problem}.", options=(option,)
        ) from error


def _check_between(option: str, number: Any, least: float, most: float) -> None:
    if not least <= number <= most:  # also if it is NaN
        raise OptionError(f"{option} must be between {least:,} and {most:,}; got {number:,}.", options=(option,))


def _refused(option: str, kind: str, value: Any) -> OptionError:
    return OptionError(f"{option} must be {kind}; got {shown(value)} ({type(value).__name__}).", options=(option,))
