"""Photos copied, moved or linked into a folder: nothing is ever overwritten, and a written list undoes it.

The list holds a line for each photo, as JSON, written before the photo is taken.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from PIL import Image

from ..errors import CLIPIQAError, first_of
from ..files.hashes import hash_file
from ..files.locking import locked
from ..files.names import free_name
from ..files.writing import check_folder, write_bytes
from ..sources.recorded import images_named, split_name
from .picking import PickError
from .thumbnails import file_of

ACTIONS = ("copy", "move", "link")
LIST = "clipiqa-undo"


def transfer(paths: Iterable[str], folder: str | os.PathLike[str], action: str) -> tuple[list[str], Path]:
    """Copy, move or link photos into a folder under their own names; a name that is taken there gets a number.

    Args:
        paths: The photos. Images in shards, as results name them, can be copied only.
        folder: Made if need be.
        action: ``'copy'``, ``'move'`` or ``'link'`` (symbolic links).

    Returns:
        Where they are now, and the list that :func:`undo` takes.

    Raises:
        PickError: A photo is missing, and then nothing is done; or one could not be taken, and the list says what was.
        OutputError: The folder cannot be written.
    """
    if action not in ACTIONS:
        raise PickError(f"action must be one of {', '.join(ACTIONS)}; got {action!r}.")
    sources = list(dict.fromkeys(path if "://" in path else os.path.abspath(path) for path in paths))
    if missing := [path for path in sources if not file_of(path)]:
        what = first_of(f"{path!r} does not exist" for path in missing)
        raise PickError(f"{what}: nothing was taken; if the photos have moved, name their folder as root.")
    if action != "copy" and (inner := [path for path in sources if file_of(path) != path or "://" in path]):
        raise PickError(f"{inner[0]!r} is in a shard or a store, so it can only be copied.")
    target = check_folder(folder, ())
    if inside := [path for path in sources if os.path.dirname(os.path.realpath(path)) == os.path.realpath(target)]:
        raise PickError(f"{inside[0]!r} is in {str(target)!r} already: name another folder.")
    with locked(target):
        taken = {name.lower() for name in os.listdir(target)}
        number = free_name(f"{LIST}-{time.strftime('%Y%m%d-%H%M%S')}", {Path(name).stem for name in taken})
        undo_list, done = target / f"{number}.jsonl", list[str]()
        with open(undo_list, "x", encoding="utf-8") as lines:
            try:
                for source, place, content in _steps(sources, target, taken, action):
                    step = {"action": action, "from": source, "to": str(place)}
                    if content is not None:
                        step["sha256"] = hashlib.sha256(content).hexdigest()
                    print(json.dumps(step), file=lines, flush=True)
                    _take(source, place, action, content)
                    done.append(str(place))
            except (CLIPIQAError, OSError) as error:
                why = getattr(error, "strerror", None) or str(error).rstrip(".")
                raise PickError(
                    f"photos cannot be taken to {str(target)!r}: {why}; {len(done)} were taken, undo "
                    f"{str(undo_list)!r} to put them back."
                ) from error
    return done, undo_list


def undo(undo_list: str | os.PathLike[str]) -> tuple[int, list[str]]:
    """Put back what a list says was taken: moved photos go back, copies and links are removed.

    Nothing is overwritten or lost: a file that has changed since, or whose old place is taken, stays as it is.

    Args:
        undo_list: The list.

    Returns:
        How many photos were put back, and why others were not, a sentence each.

    Raises:
        PickError: It is no such list.
    """
    undo_list = Path(undo_list).expanduser()
    try:
        lines = undo_list.read_text(encoding="utf-8").splitlines(keepends=True)
        steps = [json.loads(line) for line in lines if line.endswith("\n")]  # a torn line was not acted on
        steps = [(step["action"], step["from"], step["to"], step.get("sha256")) for step in steps]
    except OSError as error:
        raise PickError(f"{str(undo_list)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PickError(f"{str(undo_list)!r} is no list of photos that were taken: nothing was undone.") from error
    back, left = 0, []
    for action, source, place, sha256 in reversed(steps):
        if not os.path.lexists(place) and os.path.lexists(file_of(source)):
            continue  # the step was written down but not made
        try:
            why = _put_back(action, source, place, sha256)
        except OSError as error:
            why = f"cannot be put back: {error.strerror or error}"
        if why:
            left.append(f"{place!r} {why}.")
        else:
            back += 1
    if steps and not left:
        undo_list.unlink()
    return back, left


def _put_back(action: str, source: str, place: str, sha256: str | None) -> str:
    """Undo one step; return an empty text, or why it was not undone."""
    if not os.path.lexists(place):
        return "does not exist"
    if action == "move":
        if os.path.lexists(source):
            return f"stays, since {source!r} is taken by another file"
        os.makedirs(os.path.dirname(source), exist_ok=True)
        _move(place, source)
        return ""
    if action == "link":
        same = os.path.islink(place) and os.readlink(place) == source
    else:
        same = os.path.isfile(place) and hash_file(Path(place)) == sha256 and bool(file_of(source))
    if same:
        os.unlink(place)
    return "" if same else f"stays, since it is not the same as {source!r}"


def _steps(sources: list[str], target: Path, taken: set[str], action: str) -> Iterator[tuple[str, Path, bytes | None]]:
    """Yield each photo, its place, and its content if it is to be copied."""
    if action == "copy":
        for image in images_named(sources):
            content, (shard, name) = image.read(), split_name(image.name)
            if name.isdecimal() and shard:  # a row of a table, whose name has no suffix
                with Image.open(io.BytesIO(content)) as picture:
                    name = f"{Path(shard).stem}-{name}.{(picture.format or 'image').lower()}"
            yield image.name, target / _free(name, taken), content
    else:
        yield from ((source, target / _free(source, taken), None) for source in sources)


def _free(path: str, taken: set[str]) -> str:
    """Return the photo's name, with a number if it is taken; from now on it is."""
    stem, suffix = os.path.splitext(os.path.basename(path))
    number, name = 1, f"{stem}{suffix}"
    while name.lower() in taken:
        number += 1
        name = f"{stem}-{number}{suffix}"
    taken.add(name.lower())
    return name


def _take(source: str, place: Path, action: str, content: bytes | None) -> None:
    if content is not None:
        write_bytes(place, content)
        with contextlib.suppress(OSError):  # an image in a shard has no times of its own
            shutil.copystat(source, place)
    elif action == "link":
        os.symlink(source, place)
    else:
        _move(source, place)


def _move(source: str | os.PathLike[str], place: str | os.PathLike[str]) -> None:
    try:
        os.rename(source, place)
    except OSError:  # on another file system
        write_bytes(place, Path(source).read_bytes())
        shutil.copystat(source, place)
        os.unlink(source)
