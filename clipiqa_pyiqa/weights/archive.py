"""Zip archives of tensors, the form of torch's files, looked through before anything in them is unpickled."""

from __future__ import annotations

import os
import zipfile
import zlib
from pathlib import Path, PurePosixPath

MEMBERS = 50_000  # a large checkpoint has about one per tensor: 302 for RN50
PICKLE_BYTES = 32 * 1024 * 1024  # of the description of the tensors: 0.2 MB for RN50
INFLATION = 8  # declared bytes per byte of the file: torch stores tensors uncompressed
_CHUNK = 1 << 20


def check_declared(archive: zipfile.ZipFile, path: Path) -> None:
    """Refuse an archive by what it says of itself, before any of it is read: too many members, or a zip bomb.

    Raises:
        ValueError: It asks for more than a checkpoint of its size can need.
    """
    members, size = archive.infolist(), os.path.getsize(path)
    if len(members) > MEMBERS:
        raise ValueError(f"it has {len(members):,} members, but at most {MEMBERS:,} are expected")
    if (declared := sum(member.file_size for member in members)) > INFLATION * size + _CHUNK:
        raise ValueError(f"its {size:,} bytes declare {declared:,}")
    for member in members:
        if PurePosixPath(member.filename).name == "data.pkl" and member.file_size > PICKLE_BYTES:
            raise ValueError(f"its description of the tensors declares {member.file_size:,} bytes")


def check_members(path: Path) -> None:
    """Check an archive's declared sizes and every member's CRC-32, which torch does not.

    Raises:
        ValueError: It is damaged, or asks for too much.
        zipfile.BadZipFile: It is no whole archive.
    """
    with zipfile.ZipFile(path) as archive:
        check_declared(archive, path)
        for member in archive.infolist():
            with archive.open(member) as file:  # raises BadZipFile where name, size or CRC differ
                while file.read(_CHUNK):
                    pass


def check_crc(content: memoryview, member: zipfile.ZipInfo) -> None:
    """Check the bytes of one member that was stored uncompressed.

    Raises:
        ValueError: They are not those that were written.
    """
    if zlib.crc32(content) != member.CRC:
        raise ValueError(f"the bytes of its member {member.filename} are not those that were written")
