"""Copy, move or link photos into a folder without overwriting a file, and undo these steps."""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from PIL import Image

from ..datasets.ratings import listing
from ..errors import CLIPIQAError, first_of
from ..files.hashes import hash_file
from ..files.locking import locked
from ..files.names import free_name
from ..files.writing import check_folder, write_bytes
from ..images.formats import image_suffixes, raw_suffixes
from ..sources.recorded import images_named, split_name
from .picking import PickError, file_of, is_local

ACTIONS = ("copy", "move", "link")


def transfer(
    paths: Iterable[str] | Mapping[str, Iterable[str]],
    folder: str | os.PathLike[str],
    action: str,
    *,
    only_photos: bool = False,
) -> tuple[list[str], Path]:
    """Copy, move or link photos into a folder; a photo whose name exists there gets a number.

    What belongs to a photo goes along and gets the same number: raw files of its name, ``NAME.EXT.xmp``, and
    ``NAME.xmp`` if no other photo of this name stays.

    Args:
        paths: The photos, or sub-folder -> photos. Images in shards can only be copied.
        folder: The folder; a missing folder is made.
        action: ``'copy'``, ``'move'`` or ``'link'``.
        only_photos: Leave what belongs to the photos where it is.

    Returns:
        The new paths, and the file for :func:`undo`.

    Raises:
        PickError: A photo is missing, so nothing was done; or a later photo failed.
    """
    if action not in ACTIONS:
        raise PickError(f"action must be one of {', '.join(ACTIONS)}; got {action!r}.")
    groups = paths if isinstance(paths, Mapping) else {"": paths}
    inner = {path if "://" in path else os.path.abspath(path): into for into in groups for path in groups[into]}
    if missing := [path for path in inner if not file_of(path)]:
        problem = first_of(f"{path!r} does not exist" for path in missing)
        raise PickError(f"{problem}: nothing was done; if the photos have moved, pass their folder as `root`.")
    if action != "copy" and (inside := [path for path in inner if not is_local(path)]):
        raise PickError(f"{inside[0]!r} is in a shard or a store, so it can only be copied.")
    target, done = check_folder(folder, ()), list[str]()
    with undoable(target) as (undo_list, note):
        try:
            places = {into: check_folder(target / into, ()) for into in dict.fromkeys(inner.values())}
            taken = {into: _stems(place) for into, place in places.items()}
            for into, sources in _families(inner, only_photos):
                stem = free = ""
                for source, name, content in _steps(sources, action):
                    stem = stem or os.path.splitext(name)[0]
                    free = free or free_name(stem, taken[into])
                    new = str(places[into] / (free + name[len(stem) :]))
                    note({"action": action, "from": source, "to": new, **_taken(source, new, action, content)})
                    done.append(new)
        except (CLIPIQAError, OSError) as error:
            why = getattr(error, "strerror", None) or str(error).rstrip(".")
            raise PickError(
                f"cannot bring all photos to {str(target)!r}: {why}; {len(done)} are there, undo {str(undo_list)!r} to "
                "put them back."
            ) from error
    return done, undo_list


@contextlib.contextmanager
def undoable(folder: Path) -> Iterator[tuple[Path, Callable[[Mapping[str, Any]], None]]]:
    """Lock a folder; yield a new file for :func:`undo` in it, and a function that adds a step to the file."""
    with locked(folder):
        name = free_name(f"clipiqa-undo-{time.strftime('%Y%m%d-%H%M%S')}", _stems(folder))
        undo_list = folder / f"{name}.jsonl"
        with open(undo_list, "x", encoding="utf-8") as lines:
            yield undo_list, lambda step: print(json.dumps(step), file=lines, flush=True)


def _stems(folder: Path) -> dict[str, int]:
    return {os.path.splitext(name)[0]: 1 for name in listing(str(folder))}


def undo(undo_list: str | os.PathLike[str]) -> tuple[int, list[str]]:
    """Undo the steps in an undo list. A file stays if it has changed, or if another file is at its old place.

    Args:
        undo_list: The file that :func:`transfer` or :func:`~.stars.give_stars` wrote.

    Returns:
        The number of files that are as before, and a sentence for each other file.

    Raises:
        PickError: The file is not an undo list.
    """
    undo_list = Path(undo_list).expanduser()
    try:
        steps = [json.loads(line) for line in undo_list.read_text(encoding="utf-8").splitlines()]
        places = [(step["action"], step["from"], step["to"])[2] for step in steps]
    except OSError as error:
        raise PickError(f"{str(undo_list)!r} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise PickError(f"{str(undo_list)!r} is not a list of photos to put back: nothing was undone.") from error
    problems = []
    for step, place in reversed(list(zip(steps, places, strict=True))):
        try:
            why = _put_back(step) if os.path.lexists(place) else "does not exist"
        except OSError as error:
            why = f"cannot be put back: {error.strerror or error}"
        if why:
            problems.append(f"{place!r} {why}.")
    if steps and not problems:
        undo_list.unlink()
    return len(steps) - len(problems), problems


def _put_back(step: Mapping[str, Any]) -> str:
    action, source, place = step["action"], step["from"], step["to"]
    if action == "rating":
        from .stars import take_back

        return take_back(step)
    if action == "move":
        if os.path.lexists(source):
            return f"stays, because another file is at {source!r}"
        os.makedirs(os.path.dirname(source), exist_ok=True)
        _move(place, source)
        return ""
    if action == "link":
        is_same = os.path.islink(place) and os.readlink(place) == source
    else:
        is_same = os.path.isfile(place) and hash_file(Path(place)) == step.get("sha256") and bool(file_of(source))
    if is_same:
        os.unlink(place)
    return "" if is_same else f"stays, because it is not the same as {source!r}"


def _families(inner: Mapping[str, str], only_photos: bool) -> Iterator[tuple[str, list[str]]]:
    """Yield sub-folder and files: photos of one name in one folder, with what belongs to them."""
    families: dict[tuple[str, str, str], list[str]] = {}
    for path, into in inner.items():
        folder, name = os.path.split(path)
        place = (folder, os.path.splitext(name.lower())[0]) if is_local(path) else (path, "")
        families.setdefault((into, *place), []).append(path)
    here: dict[str, dict[str, str]] = {}
    readable, raw = image_suffixes(), raw_suffixes()
    for (into, folder, stem), photos in families.items():
        if stem and not only_photos:
            if folder not in here:
                here[folder] = listing(folder)
            names = here[folder]
            chosen = {os.path.basename(photo).lower() for photo in photos}
            going = chosen | ({stem + suffix for suffix in raw} & names.keys())
            stays = {stem + suffix for suffix in readable} & names.keys() - chosen
            going |= {f"{name}.xmp" for name in (going if stays else {stem, *going})}
            photos += [os.path.join(folder, names[name]) for name in sorted(going - chosen) if name in names]
            for name in going:  # a family of the same name has what is left
                names.pop(name, None)
        yield into, photos


def _steps(sources: list[str], action: str) -> Iterator[tuple[str, str, bytes | None]]:
    if action != "copy" or is_local(sources[0]):
        for source in sources:
            yield source, os.path.basename(source), Path(source).read_bytes() if action == "copy" else None
        return
    for image in images_named(sources):
        content, (shard, name) = image.read(), split_name(image.name)
        name = os.path.basename(name)
        if name.isdecimal() and shard:
            with Image.open(io.BytesIO(content)) as picture:
                name = f"{Path(shard).stem}-{name}.{(picture.format or 'image').lower()}"
        yield image.name, name, content


def _taken(source: str, place: str, action: str, content: bytes | None) -> dict[str, str]:
    if content is not None:
        write_bytes(place, content)
        with contextlib.suppress(OSError):  # an image in a shard has no file times
            shutil.copystat(source, place)
        return {"sha256": hashlib.sha256(content).hexdigest()}
    if action == "link":
        os.symlink(source, place)
    else:
        _move(source, place)
    return {}


def _move(source: str, place: str) -> None:
    """Move a file; a relative link leads to the same file as before. Leave the source if it cannot be removed."""
    if os.path.islink(source) and not os.path.isabs(link := os.readlink(source)):
        aim = os.path.join(os.path.realpath(os.path.dirname(source)), link)
        os.symlink(os.path.relpath(aim, os.path.realpath(os.path.dirname(place))), place)
    else:
        try:
            os.rename(source, place)
            return
        except OSError:  # the place is on another file system
            write_bytes(place, Path(source).read_bytes())
            shutil.copystat(source, place)
    try:
        os.unlink(source)
    except OSError:
        os.unlink(place)
        raise
