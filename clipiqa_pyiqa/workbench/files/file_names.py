"""Names of files in folders of results."""

import re
from collections.abc import Iterable


def file_name(name: str) -> str:
    """Return a label for use in a file's name; unsuitable characters become ``-``."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "data"


def free_names(names: Iterable[str], taken: Iterable[str] = ()) -> list[str]:
    """Return the names, numbered where a name is taken in any case: ``a``, ``A-2``, ``a-3``."""
    used = {name.lower() for name in taken}
    numbers = dict[str, int]()  # of names in lower case: the last number, so that many equal names take no time
    free = list[str]()
    for name in names:
        number = numbers.get(name.lower(), 1)
        candidate = name
        while candidate.lower() in used:
            number += 1
            candidate = f"{name}-{number}"
        used.add(candidate.lower())
        numbers[name.lower()] = number
        free.append(candidate)
    return free
