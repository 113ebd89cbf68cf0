"""Damage inside a JPEG that PIL passes over in silence: lost, zeroed or foreign bytes in the compressed picture.

libjpeg notices much of it and says so in warnings, which PIL throws away. simplejpeg hands them on, and where its
pixels are PIL's (tried once per process), they are used, so that nothing is decoded twice. One thing libjpeg cannot
notice: zeroed bytes that happen to decode to as many blocks as they replaced. Such blocks are unlike any picture's.
"""

from __future__ import annotations

import functools
import io
import re
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

try:
    import simplejpeg
except ImportError:  # no wheel for this machine: then only long runs of zeros are noticed
    simplejpeg = None

ZERO_RUN = 64
"""So many zero bytes hold a whole block of 63 coefficients of 4 bits each, wherever in a block they begin."""

_ZEROS = bytes(ZERO_RUN)
_COLOURS = {"L": "GRAY", "RGB": "RGB"}  # PIL's modes whose pixels simplejpeg gives, too
_DAMAGE = "Corrupt JPEG data: "  # libjpeg's other warnings (of JFIF's version, say) are about no damage to the picture
_LEFT_OVER = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_END_OF_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_SCAN, _END, _TABLES = 0xDA, 0xD9, 0xC4
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_TABLES, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)  # Huffman-coded, a block's coefficients all in one scan
_PROGRESSIVE = 0xC2
_KEPT = _FRAMES | {_TABLES, 0xCC, 0xDB, 0xDD, 0xEE}  # quantisation, restart interval, Adobe's note on the colours


class Decoded(NamedTuple):
    """A JPEG's pixels and what is wrong with it.

    Attributes:
        pixels: (H, W, C) uint8, bit for bit what PIL gives; None if PIL has to decode it.
        damage: What is damaged, as a part of a sentence; None if nothing was noticed.
    """

    pixels: NDArray[np.uint8] | None
    damage: str | None


class _Segment(NamedTuple):
    """A marker and what follows it: ``body`` to ``stop`` is its content, or, of a scan, header and compressed data."""

    marker: int
    start: int
    body: int
    stop: int


def jpeg_damage(data: bytes) -> str | None:
    """What is damaged in a JPEG, as a part of a sentence, or None: :func:`decode_jpeg` without the pixels."""
    return _noticed(data, _decode(data, "GRAY")[1])


def decode_jpeg(data: bytes, mode: str) -> Decoded:
    """Decode a JPEG that PIL has opened, and look for damage.

    Args:
        data: The file, from the JPEG's first marker on; what lies behind its end marker is not looked at.
        mode: The mode of the image that PIL opened, such as 'RGB'.

    Returns:
        The pixels, if libjpeg has no complaint about the file and they are known to be PIL's; and the damage.
    """
    exact = mode in _COLOURS and same_pixels_as_pil()
    pixels, complaint = _decode(data, _COLOURS[mode] if exact else "GRAY")
    return Decoded(pixels if exact else None, _noticed(data, complaint))


@functools.cache
def same_pixels_as_pil() -> bool:
    """Whether simplejpeg decodes to the very pixels of this PIL, tried on small pictures of the common kinds.

    Both bring libjpeg-turbo as a rule; a PIL built with another libjpeg differs by a grey level here and there.
    """
    if simplejpeg is None:
        return False
    noise = np.random.default_rng(0).integers(0, 256, (45, 83, 3), dtype=np.uint8)
    image = Image.fromarray(noise).resize((333, 181), Image.Resampling.BICUBIC)
    kinds = [("L", 0), ("RGB", 0), ("RGB", 1), ("RGB", 2)]  # the last three: 4:4:4, 4:2:2, 4:2:0
    return all(
        _decodes_alike(image.convert(mode), progressive=progressive, subsampling=subsampling)
        for mode, subsampling in kinds
        for progressive in (False, True)
    )


def _decodes_alike(image: Image.Image, **options: int) -> bool:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=85, **options)
    pixels, _ = _decode(file.getvalue(), _COLOURS[image.mode])
    return pixels is not None and np.array_equal(pixels.squeeze(), np.asarray(Image.open(file)))


def _decode(data: bytes, colour: str) -> tuple[NDArray[np.uint8] | None, str | None]:
    """The pixels, or the first thing that libjpeg has to say about the file."""
    if simplejpeg is None:
        return None, None
    try:
        return simplejpeg.decode_jpeg(data, colorspace=colour, strict=True), None
    except (ValueError, MemoryError) as error:
        return None, str(error)


def _noticed(data: bytes, complaint: str | None) -> str | None:
    """Tell damage to the picture from oddities around it."""
    if complaint is None and _ZEROS not in data:
        return None
    segments = list(_segments(data))
    scans = [segment for segment in segments if segment.marker == _SCAN]
    if not scans:
        return None
    padding = 0
    if complaint is not None:
        # Only the first warning is to be had, and it may be about the headers or a lacking end marker: without those?
        bare, colour = _bare(data, segments)
        complaint = _decode(bare, colour)[1]
    if complaint is not None and _DAMAGE in complaint:
        left_over, stop = _LEFT_OVER.search(complaint), scans[-1].stop
        padding = int(left_over[1]) if left_over else 0
        if not left_over or data[stop - padding : stop].strip(b"\0"):  # zeros before the end marker are mere padding
            return complaint.partition(_DAMAGE)[2].strip()
    return _zeroed(data, segments, padding)


def _segments(data: bytes) -> Iterator[_Segment]:
    """The segments to the end marker, or as far as they can be followed."""
    at = 2
    while 0 <= (at := data.find(b"\xff", at)) < len(data) - 4:
        marker = data[at + 1]
        if marker == _END:
            return
        if marker in (0x00, 0x01, 0xFF) or 0xD0 <= marker <= 0xD8:  # they have no length
            at += 1
            continue
        body, stop = at + 4, at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if marker == _SCAN:
            after = _END_OF_SCAN.search(data, stop)
            stop = after.start() if after else len(data)
        yield _Segment(marker, at, body, stop)
        at = stop


def _bare(data: bytes, segments: list[_Segment]) -> tuple[bytes, str]:
    """The JPEG without what its picture does not need, with an end marker; and a colour to decode it to."""
    first = next(index for index, segment in enumerate(segments) if segment.marker == _SCAN)
    kept = [segment for segment in segments[:first] if segment.marker in _KEPT]
    channels = [data[segment.body + 5] for segment in kept if segment.marker in _FRAMES]
    parts = [b"\xff\xd8", *(data[segment.start : segment.stop] for segment in kept)]
    return b"".join([*parts, data[segments[first].start :], b"\xff\xd9"]), "CMYK" if 4 in channels else "GRAY"


def _zeroed(data: bytes, segments: list[_Segment], padding: int) -> str | None:
    """Find zeros, other than padding at the end, where zero bits mean coefficients.

    The code of zero bits alone is that of a table's commonest symbol. If that is the end of a block, zeros can be a
    flat area. If it is a coefficient, all of a block's would be alike, and negative: no picture has that. Of
    progressive JPEGs this holds for scans that refine coefficients: there it would be all that were zero so far. In
    their first scans libjpeg notices zeros itself, since ends of blocks come in runs there; the last bit of a block's
    mean, which is sent without a code, may be zero anywhere.
    """
    commonest: dict[int, int] = {}
    frame = None
    for segment in segments:
        marker, body = segment.marker, data[segment.body : segment.stop]
        if marker in _FRAMES:
            frame = marker
        elif marker == _TABLES:
            while len(body) > 17:
                commonest[body[0]] = body[17]
                body = body[17 + sum(body[1:17]) :]
        elif marker == _SCAN and body and len(body) > 2 * body[0] + 4:
            parts = body[0]
            first_of_band, precision = body[2 * parts + 1], body[2 * parts + 3]
            if frame not in _SEQUENTIAL and not (frame == _PROGRESSIVE and first_of_band and precision >> 4):
                continue
            tables = [0x10 | body[2 + 2 * part] & 15 for part in range(parts)]
            coded = body[2 * parts + 4 :]
            coded = coded[: len(coded) - padding] if segment is segments[-1] else coded
            if _ZEROS in coded and any(commonest.get(table, 0) & 15 for table in tables):
                run = coded[coded.find(_ZEROS) :]
                return f"{len(run) - len(run.lstrip(bytes(1)))} zero bytes inside the picture"
    return None
