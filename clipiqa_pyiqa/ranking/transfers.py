"""Copying, moving and linking of photos, all of which can be undone."""

from __future__ import annotations

import contextlib
import hashlib
import io
import itertools
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal

from PIL import Image

from ..errors import CLIPIQAError, FilePath, checked, first_of
from ..files.journal import Journal, is_journal, read_journal
from ..files.names import UNDO, free_name
from ..files.reading import hash_file
from ..files.writing import check_folder, locked, resolved, write_bytes
from ..images.formats import RAW, image_suffixes
from ..images.image import File
from ..images.image import Image as AnyImage
from ..sources.finding import file_of, images_named, split_name

Action = Literal["copy", "move", "link"]


@dataclass(frozen=True)
class Step:
    """A line of an undo list."""

    action: str  # 'copy', 'move' or 'link'
    photo: str  # or what belongs to it
    place: str  # of the new file
    sha256: str = ""  # of what was written


@checked
def transfer(
    paths: Iterable[str] | Mapping[str, Iterable[str]],
    folder: FilePath,
    action: Action,
    *,
    only_photos: bool = False,
) -> tuple[list[str], Path, int]:
    """Copy, move or link photos into a folder; a photo whose name exists there gets a number.

    A copy with the same content that is there already is not made again, nor is a link to the same file.

    RAW files of a photo's name, ``NAME.EXT.xmp``, and ``NAME.xmp`` if no other photo of this name stays, go along.

    Args:
        paths: The photos, or sub-folder -> photos. Images in shards can only be copied.
        action: ``'copy'``, ``'move'`` or ``'link'``.
        only_photos: Leave what belongs to the photos where it is.

    Returns:
        The new paths, the file for :func:`undo`, and the number of photos that were there already.
    """
    groups = paths if isinstance(paths, Mapping) else {"": paths}
    inner = {path if "://" in path else os.path.abspath(path): into for into in groups for path in groups[into]}
    if gone := [path for path in inner if not file_of(path)]:
        problem = first_of(f"there is no photo {path!r}" for path in gone)
        raise CLIPIQAError(f"{problem}: nothing was done; if the photos have moved, pass their folder as `root`.")
    files = {path: into for path, into in inner.items() if os.path.isfile(path)}
    inside = [path for path in inner if path not in files]
    if inside and action != "copy":
        raise CLIPIQAError(f"{inside[0]!r} is in a shard or a store, so it can only be copied.")
    target, done, there = check_folder(folder), list[str](), 0
    hash_of = cache(hash_file)  # of files that were there
    others = ((inner[image.name], [image]) for image in images_named(inside))
    with undoable(target) as (undo_list, note):
        taken = {into: _stems(check_folder(target / into)) for into in dict.fromkeys(inner.values())}
        for into, sources in itertools.chain(_families(files, only_photos), others):
            family = [_read(source, action) for source in sources]
            stem = os.path.splitext(family[0][0].place)[0]
            for free in itertools.chain([stem], (f"{stem}-{number}" for number in itertools.count(2))):
                steps = [
                    replace(step, place=str(target / into / f"{free}{step.place[len(stem) :]}")) for step, _ in family
                ]
                missing = [step for step in steps if not _is_as_made(step, hash_of)]
                joins = steps[0] not in missing and not any(os.path.lexists(step.place) for step in missing)
                if joins or free.lower() not in taken[into]:  # what belongs to a photo joins it
                    break
            taken[into][free.lower()] = 1
            for step, (_, content) in zip(steps, family, strict=True):
                if step not in missing:
                    there += step.photo in inner
                    continue
                note(step)
                if action == "copy":
                    write_bytes(step.place, content)
                    with contextlib.suppress(OSError):  # an image in a shard has no file times
                        shutil.copystat(step.photo, step.place)
                elif action == "link":
                    os.symlink(step.photo, step.place)
                else:
                    _move(step.photo, step.place)
                done.append(step.place)
    return done, undo_list, there


@contextlib.contextmanager
def undoable(folder: Path) -> Iterator[tuple[Path, Callable[[Step], None]]]:
    """Lock a folder; yield a new file for :func:`undo` in it, and a function that adds a step before it is taken."""
    with locked(folder):
        name = free_name(f"{UNDO}{time.strftime('%Y%m%d-%H%M%S')}", _stems(folder))
        undo_list = folder / f"{name}.jsonl"
        with contextlib.closing(Journal(undo_list)) as journal:

            def note(step: Step) -> None:
                journal.append(asdict(replace(step, place=os.path.relpath(step.place, folder))))  # the folder may move
                journal.sync()  # a crash after the step must not lose its line

            try:
                yield undo_list, note
            except (CLIPIQAError, OSError) as error:
                why = getattr(error, "strerror", None) or str(error).rstrip(".")
                raise CLIPIQAError(
                    f"not all photos could be done: {why}; undoing {str(undo_list)!r} puts back what was done before."
                ) from error
    if not undo_list.stat().st_size:
        undo_list.unlink()


def _stems(folder: Path) -> dict[str, int]:
    """Return taken names without suffixes: ``a.jpg.xmp`` takes ``a.jpg`` and ``a``."""
    names = map(str.lower, os.listdir(folder))
    return {os.path.splitext(name.removesuffix(end))[0]: 1 for name in names for end in ("", ".xmp")}


def undo(undo_list: FilePath) -> tuple[int, list[str]]:
    """Undo the steps in an undo list. A file stays if it has changed, or if another file is at its old place.

    Args:
        undo_list: The file that :func:`transfer` wrote, or a folder with such files: the newest.

    Returns:
        The number of files that were put back, and a sentence for each file that cannot be put back.
    """
    undo_list, damage = resolved(undo_list), list[str]()
    if undo_list.is_dir():
        lists = [each for each in undo_list.glob(f"{UNDO}*.jsonl") if each.stat().st_size]
        if not lists:
            raise CLIPIQAError(f"there is no undo list in {str(undo_list)!r}: name the list, {UNDO}….jsonl.")
        undo_list = max(lists, key=lambda each: (each.stat().st_mtime_ns, each.stem))
    try:
        if not is_journal(undo_list):
            raise ValueError("it does not begin as one")
        steps = [Step(**cells) for cells in read_journal(undo_list, damage)]
    except (OSError, ValueError, TypeError) as error:
        raise CLIPIQAError(f"{str(undo_list)!r} is not an undo list ({error}): nothing was undone.") from error
    problems, back = [f"{str(undo_list)!r} is damaged in {line}: this step stays." for line in damage], 0
    left = list[Step]()
    for noted in reversed(steps):
        step = replace(noted, place=str(undo_list.parent / noted.place))
        try:
            if not _is_taken(step):
                continue
            why = _put_back(step) if os.path.lexists(step.place) else "does not exist: it has moved, or was never made"
        except OSError as error:
            why = f"cannot be put back: {error.strerror or error}"
        if why:
            problems.append(f"{step.place!r} {why}.")
            left.insert(0, noted)
        back += why == ""
    if steps and not problems:
        undo_list.unlink()
    elif not damage:
        Journal(undo_list, map(asdict, left)).close()
    return back, problems


def _is_taken(step: Step) -> bool:
    """Return whether a step is still to be undone, also if its new file is missing, which may have moved."""
    place = Path(step.place)
    if step.action == "move":
        return os.path.lexists(place) or not file_of(step.photo)
    return True


def _is_as_made(step: Step, hash_of: Callable[[str], str]) -> bool:
    """Return whether a place is its photo, holds what was written, or is the link asked for."""
    if step.action in ("copy", "move") and os.path.islink(step.place) and step.place != step.photo:
        return False
    leads_there = os.path.realpath(step.place) == os.path.realpath(step.photo)
    return leads_there or (os.path.isfile(step.place) and hash_of(step.place) == step.sha256)


def _put_back(step: Step) -> str:
    """Undo a step; return the problem, or ``''``."""
    photo, place = step.photo, step.place
    if step.action == "move":
        if os.path.lexists(photo):
            return f"stays, because another file is at {photo!r}"
        if not os.path.isdir(folder := os.path.dirname(photo)):
            return f"stays, because there is no folder {folder!r}: make it, then undo again"
        _move(place, photo)
    elif place == os.path.realpath(photo) or (step.action == "copy" and not file_of(photo)):
        return f"stays, because nothing else is left of {photo!r}"
    elif not _is_as_made(step, hash_file):
        return f"stays, because it is not the same as {photo!r}"
    else:
        os.unlink(place)
    return ""


def finder() -> Callable[[str], str]:
    """Return a function that returns a file's path, its name in any case; ``''``: not there.

    Of photos whose names, or stems, differ only in case, each has its own files.
    """

    @cache
    def listing(folder: str) -> Callable[[str], str]:
        names, ends = os.listdir(folder or "."), tuple(image_suffixes())
        photos = {name for name in names if name.lower().endswith(ends)}
        count = Counter(map(str.lower, photos | {os.path.splitext(photo)[0] for photo in photos}))

        def key(name: str) -> str:
            starts = (name.rsplit(".", suffixes)[0] for suffixes in range(3))
            own = next((start for start in starts if count[start.lower()] > 1), "")
            return own + name[len(own) :].lower()

        found = {key(name): os.path.join(folder, name) for name in names}
        return lambda name: found.get(key(name), "")

    return lambda path: listing(os.path.dirname(path))(os.path.basename(path))


def _families(inner: Mapping[str, str], only_photos: bool) -> Iterator[tuple[str, Iterable[AnyImage]]]:
    """Yield sub-folder and files: photos of one name in one folder, with what belongs to them."""
    families: dict[tuple[str, str], list[str]] = {}
    for path, into in inner.items():
        families.setdefault((into, os.path.splitext(path)[0]), []).append(path)
    find, going, readable = finder(), {"", *inner}, image_suffixes().difference(RAW)
    for (into, start), photos in families.items():
        if not only_photos:
            raw = filter(None, [find(start + suffix) for suffix in RAW])
            named = [*photos, *raw]
            stays = {find(start + suffix) for suffix in readable} - going
            found = {*named, *(find(f"{each}.xmp") for each in (named if stays else [start, *named]))} - going
            going |= found
            photos += sorted(found)
        yield into, map(File, photos)


def _read(source: AnyImage, action: Action) -> tuple[Step, bytes]:
    """Return a step whose place is only a name, and what is to be copied."""
    shard, name = split_name(source.name)
    content = source.read() if action == "copy" else b""
    if shard and name.replace(".", "").isdecimal():
        with Image.open(io.BytesIO(content)) as picture:
            name = f"{Path(shard).stem}-{name}.{str(picture.format).lower()}"
    name = os.path.basename(name.partition("::")[0] if shard else name)
    return Step(action, source.name, name, hashlib.sha256(content).hexdigest() if action == "copy" else ""), content


def _move(source: str, place: str) -> None:
    """Move a file, or a relative link so that it leads to the same file."""
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
