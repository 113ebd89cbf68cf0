"""Texts such as ``NAME=VALUE``, as typed on a command line."""

import contextlib
from collections.abc import Sequence

from ...errors import OptionError


def name_and_value(text: str) -> tuple[str, str]:
    """Return NAME and VALUE of ``NAME=VALUE``; a value may hold ``=``, and is ``''`` if the text has none."""
    name, _, value = text.partition("=")
    return name, value


def label_and_value(text: str) -> tuple[str | None, str]:
    """Return LABEL and VALUE of ``[LABEL=]VALUE``; a label may hold ``=``, and is None if the text has none."""
    label, equals, value = text.rpartition("=")
    return (label.strip() if equals else None), value


def numbers_by_name(option: str, texts: Sequence[str]) -> dict[str, float]:
    """Return NAME -> number of texts such as ``NAME=0.5``; a number alone has the name ``''``."""
    labels_and_values = [label_and_value(text) for text in texts]
    with contextlib.suppress(ValueError):
        numbers = {label: float(value) for label, value in labels_and_values}
        if len(numbers) == len(texts) and "" not in numbers:
            return {label or "": number for label, number in numbers.items()}
    raise OptionError(
        f"{option} must be NUMBER or NAME=NUMBER, once for each name; got {' '.join(texts)!r}.", options=(option,)
    )
