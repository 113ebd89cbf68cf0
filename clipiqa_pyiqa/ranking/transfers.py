"""Photos copied, moved or linked into a folder: nothing is ever overwritten, and a written list undoes it.

The list is a journal (``files/journal.py``) in that folder. What is about to happen to a photo is in it before it
happens, so that whatever ends a run leaves nothing that the list does not know.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

from ..errors import first_of
from ..files.journal import Journal, is_journal, read_journal
from ..files.locking import locked
from ..files.names import free_name
from ..files.writing import check_folder
from .picking import PickError

ACTIONS = ("copy", "move", "link")
LIST = "clipiqa-undo"


def transfer(paths: Iterable[str], folder: str | os.PathLike[str], action: str) -> tuple[list[str], Path]:
    """Copy, move or link photos into a folder under their own names; a name that is taken there gets a number.

    Args:
        paths: The photos.
        folder: Made if need be.
        action: ``'copy'``, ``'move'`` or ``'link'`` (symbolic links).

    Returns:
        Where they are now, and the list that :func:`undo` takes.

    Raises:
        PickError: A photo is missing, and then nothing is done; or one could not be taken, and the list says what was.
        OutputError: The folder cannot be written.
    """
    if action not in ACTIONS:
        raise PickError(f"photos are taken by {', '.join(ACTIONS)}, but {action!r} was asked for.")
    sources = [os.path.abspath(path) for path in paths]
    if missing := [path for path in sources if not os.path.isfile(path)]:
        what = first_of(f"{path!r} is not there" for path in missing)
        raise PickError(f"{what}: nothing was taken; where the photos have moved, say so with --root.")
    target = check_folder(folder, ())
    if inside := [path for path in sources if os.path.dirname(os.path.realpath(path)) == os.path.realpath(target)]:
        raise PickError(f"{inside[0]!r} lies in {str(target)!r} already: name another folder.")
    with locked(target):
        taken = {name.lower() for name in os.listdir(target)}
        number = f"{LIST}-{time.strftime('%Y%m%d-%H%M%S')}"
        undo_list = target / f"{free_name(number, {name.removesuffix('.jsonl') for name in taken})}.jsonl"
        done: list[str] = []
        with Journal.create(undo_list) as journal:
            for source in sources:
                stem, suffix = os.path.splitext(os.path.basename(source))
                place = _free(target, stem, suffix, taken)
                journal.append({"action": action, "from": source, "to": str(place)})
                try:
                    _take(source, place, action)
                except OSError as error:
                    why = error.strerror or error
                    raise PickError(
                        f"{source!r} cannot be taken to {str(target)!r}: {why}; {len(done)} were, which --undo "
                        f"{str(undo_list)!r} puts back."
                    ) from error
                done.append(str(place))
    return done, undo_list


def undo(undo_list: str | os.PathLike[str]) -> tuple[int, list[str]]:
    """Put back what a list says was taken: moved photos go back, copies and links are removed.

    Nothing is overwritten or lost: what has changed since, or whose old place is taken, stays as it is.

    Args:
        undo_list: The list.

    Returns:
        How many photos were put back, and why others were not, a sentence each.

    Raises:
        PickError: It is no such list.
    """
    undo_list = Path(undo_list).expanduser()
    damage: list[str] = []
    try:
        is_empty_list = undo_list.name.startswith(LIST) and not undo_list.stat().st_size  # nothing was begun
        if not is_empty_list and not is_journal(undo_list):
            raise PickError(f"{str(undo_list)!r} is no list of photos that were taken elsewhere: nothing was undone.")
        records = list(read_journal(undo_list, damage))
        steps = [(str(one["action"]), str(one["from"]), str(one["to"])) for one in records]
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, PickError):
            raise
        why = getattr(error, "strerror", None) or "it is damaged"
        raise PickError(f"{str(undo_list)!r} cannot be read: {why}.") from error
    back, left = 0, [f"{line} of the list is damaged." for line in damage]
    for action, source, place in reversed(steps):
        try:
            why = _put_back(action, source, place)
        except OSError as error:
            why = f"{place!r} cannot be put back: {error.strerror or error}."
        back += not why
        left += [why] * bool(why and why != _NOTHING)
    if not left:
        undo_list.unlink()
    return back, left


_NOTHING = "nothing was done"


def _put_back(action: str, source: str, place: str) -> str:
    """Undo one step; empty if it was, else why not."""
    if not os.path.lexists(place):
        return _NOTHING if os.path.lexists(source) else f"{place!r} is not there any more."
    if action == "link":
        if not os.path.islink(place) or os.readlink(place) != source:
            return f"{place!r} is no link to {source!r} any more: it stays."
        os.unlink(place)
        return ""
    if action == "copy":
        if not os.path.isfile(source) or not _holds(source, place):
            return f"{place!r} is not the same as {source!r} any more: it stays."
        os.unlink(place)
        return ""
    if os.path.lexists(source):
        if not _holds(source, place):
            return f"{source!r} is taken by another file: {place!r} stays."
        os.unlink(place)  # the move had not come to its end: both names are there
        return ""
    os.makedirs(os.path.dirname(source), exist_ok=True)
    _move(place, source)
    return ""


def _free(target: Path, stem: str, suffix: str, taken: set[str]) -> Path:
    number, name = 1, f"{stem}{suffix}"
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}{suffix}"
    taken.add(name.lower())
    return target / name


def _take(source: str, place: Path, action: str) -> None:
    if action == "link":
        os.symlink(source, place)
    elif action == "copy":
        _copy(source, place)
    else:
        _move(source, place)


def _copy(source: str | os.PathLike[str], place: str | os.PathLike[str]) -> None:
    with open(source, "rb") as file, open(place, "xb") as out:  # x: never over what is there
        try:
            shutil.copyfileobj(file, out, 1 << 20)
        except BaseException:
            with contextlib.suppress(OSError):
                os.unlink(place)
            raise
    shutil.copystat(source, place)


def _move(source: str | os.PathLike[str], place: str | os.PathLike[str]) -> None:
    """Unlike ``os.rename``, which replaces what is there."""
    try:
        os.link(source, place, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:  # another file system, or one without hard links
        _copy(source, place)
    os.unlink(source)


def _holds(source: str, place: str) -> bool:
    """Whether a file begins with all that another holds: a copy, or what a kill left of one."""
    with open(source, "rb") as whole, open(place, "rb") as part:
        while block := part.read(1 << 20):
            if block != whole.read(len(block)):
                return False
    return True
