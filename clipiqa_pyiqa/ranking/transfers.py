"""Copy, move or link photos into a folder without overwriting a file, and undo these steps."""

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
    """Copy, move or link photos into a folder; a photo whose name exists there gets a number.

    Args:
        paths: The photos. Images in shards can only be copied.
        folder: The folder; a missing folder is made.
        action: ``'copy'``, ``'move'`` or ``'link'``.

    Returns:
        The new paths, and the file for :func:`undo`.

    Raises:
        PickError: A photo is missing, so nothing was done; or a later photo failed.
    """
    if action not in ACTIONS:
        raise PickError(f"action must be one of {', '.join(ACTIONS)}; got {action!r}.")
    sources = list(dict.fromkeys(path if "://" in path else os.path.abspath(path) for path in paths))
    if missing := [path for path in sources if not file_of(path)]:
        problem = first_of(f"{path!r} does not exist" for path in missing)
        raise PickError(f"{problem}: nothing was done; if the photos have moved, pass their folder as `root`.")
    if action != "copy" and (inner := [path for path in sources if file_of(path) != path or "://" in path]):
        raise PickError(f"{inner[0]!r} is in a shard or a store, so it can only be copied.")
    target = check_folder(folder, ())
    done: list[str] = []
    with locked(target):
        taken = {name.lower() for name in os.listdir(target)}
        undo_list = target / _free(f"{LIST}-{time.strftime('%Y%m%d-%H%M%S')}.jsonl", taken)
        with open(undo_list, "x", encoding="utf-8") as lines:
            try:
                for source, name, content in _steps(sources, action):
                    place = target / _free(name, taken)
                    step = {"action": action, "from": source, "to": str(place)}
                    if content is not None:
                        step["sha256"] = hashlib.sha256(content).hexdigest()
                    _take(source, place, action, content)
                    print(json.dumps(step), file=lines, flush=True)
                    done.append(str(place))
            except (CLIPIQAError, OSError) as error:
                why = getattr(error, "strerror", None) or str(error).rstrip(".")
                raise PickError(
                    f"cannot bring all photos to {str(target)!r}: {why}; {len(done)} are there, undo "
                    f"{str(undo_list)!r} to put them back."
                ) from error
    return done, undo_list


def undo(undo_list: str | os.PathLike[str]) -> tuple[int, list[str]]:
    """Put back the photos of an undo list. A photo stays if it has changed, or if another file is at its old place.

    Args:
        undo_list: The file that :func:`transfer` wrote.

    Returns:
        The number of photos that were put back, and a sentence for each other photo.

    Raises:
        PickError: The file is not an undo list.
    """
    undo_list = Path(undo_list).expanduser()
    try:
        steps = [json.loads(line) for line in undo_list.read_text(encoding="utf-8").splitlines()]
        steps = [(step["action"], step["from"], step["to"], step.get("sha256")) for step in steps]
    except OSError as error:
        raise PickError(f"{str(undo_list)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PickError(f"{str(undo_list)!r} is not a list of photos to put back: nothing was undone.") from error
    back, problems = 0, []
    for action, source, place, sha256 in reversed(steps):
        try:
            why = _put_back(action, source, place, sha256)
        except OSError as error:
            why = f"cannot be put back: {error.strerror or error}"
        if why:
            problems.append(f"{place!r} {why}.")
        else:
            back += 1
    if steps and not problems:
        undo_list.unlink()
    return back, problems


def _put_back(action: str, source: str, place: str, sha256: str | None) -> str:
    """Undo one step; return the problem, or an empty text."""
    if not os.path.lexists(place):
        return "does not exist"
    if action == "move":
        if os.path.lexists(source):
            return f"stays, because another file is at {source!r}"
        os.makedirs(os.path.dirname(source), exist_ok=True)
        _move(place, source)
        return ""
    if action == "link":
        is_same = os.path.islink(place) and os.readlink(place) == source
    else:
        is_same = os.path.isfile(place) and hash_file(Path(place)) == sha256 and bool(file_of(source))
    if is_same:
        os.unlink(place)
    return "" if is_same else f"stays, because it is not the same as {source!r}"


def _steps(sources: list[str], action: str) -> Iterator[tuple[str, str, bytes | None]]:
    if action != "copy":
        yield from ((source, source, None) for source in sources)
        return
    for image in images_named(sources):
        content, (shard, name) = image.read(), split_name(image.name)
        if name.isdecimal() and shard:  # a row of a table has no file name
            with Image.open(io.BytesIO(content)) as picture:
                name = f"{Path(shard).stem}-{name}.{(picture.format or 'image').lower()}"
        yield image.name, name, content


def _free(path: str, taken: set[str]) -> str:
    stem, suffix = os.path.splitext(os.path.basename(path))
    stems = {os.path.splitext(name)[0] for name in taken if name.endswith(suffix.lower())}
    name = free_name(stem, stems) + suffix
    taken.add(name.lower())
    return name


def _take(source: str, place: Path, action: str, content: bytes | None) -> None:
    if content is not None:
        write_bytes(place, content)
        with contextlib.suppress(OSError):  # an image in a shard has no file times
            shutil.copystat(source, place)
    elif action == "link":
        os.symlink(source, place)
    else:
        _move(source, place)


def _move(source: str | os.PathLike[str], place: str | os.PathLike[str]) -> None:
    try:
        os.rename(source, place)
    except OSError:  # the place is on another file system
        write_bytes(place, Path(source).read_bytes())
        shutil.copystat(source, place)
        os.unlink(source)
