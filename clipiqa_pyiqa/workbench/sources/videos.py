"""Videos as shards of frames, which are decoded one after the other."""

from __future__ import annotations

import contextlib
import io
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from ...errors import Kind
from ...text import pip_install
from ..images.image import Image, MemberImage, NoImage
from ..images.reading_memory import MakeRoom
from ..options import AnySize
from .sampling import Sampling
from .shard_error import ShardError
from .shards import ShardFile
from .stores import opened

if TYPE_CHECKING:
    from ..images.record import Decoded

_HDR = {16: "PQ", 18: "HLG"}  # FFmpeg's number of a transfer function -> its name
_ORIENTATIONS = {90: 8, -90: 6, 180: 3, -180: 3}  # degrees, counterclockwise -> EXIF's number
_MISSING = 1  # seconds at the end that are no damage: the last frame, or other streams, may be longer


@dataclass
class _Position:
    """How far a video was read: the time of the last frame that was decoded, in seconds from the first; None: none."""

    time: Fraction | None = None


class VideoShard(ShardFile):
    """A video, whose images are frames."""

    def entries(self) -> Iterator[Image]:
        """Yield the frames, called ``NAME::SECONDS``; at the end a ``NoImage`` if a part is damaged.

        With a step of S seconds, frames are the first at or after 0, S, 2 S, …; N frames of D seconds have a step of
        D / N. Raises ``ShardError``.
        """
        av = self._av()
        position = _Position()
        try:
            with opened(self.name) as file, av.open(file, "r") as container:
                yield from self._scored_frames(container, position)
        except (av.FFmpegError, EOFError) as error:
            why = getattr(error, "strerror", None) or "its end is missing"
            if position.time is None:
                why = f"is not a video, or its beginning is damaged: {why}"
                raise ShardError(why, Kind.DAMAGED_ARCHIVE, self.name) from error
            why = f"is damaged ({why}); the part before ({float(position.time):.3f} s) was read"
            yield NoImage(self.name, why, Kind.DAMAGED_ARCHIVE)

    def _scored_frames(self, container: Any, position: _Position) -> Iterator[Image]:
        """Yield the frames to be scored, and note the position. Raises ``EOFError`` if the end is missing."""
        stream: Any = container.streams.best("video")
        if stream is None:
            return
        length = _length_of(container, stream)
        step = self._step(length)
        next_step = 0
        for time, frame in _timed(_decoded(container, stream), stream.time_base):
            position.time = time
            curve = _HDR.get(stream.codec_context.color_trc)
            if curve:
                why = f"is an HDR video ({curve}), whose colours do not fit into 8 bits: convert it to SDR"
                yield NoImage(self.name, why, Kind.UNCLEAR_SCALE)
                return
            if time >= next_step * step:
                next_step = math.floor(time / step) + 1 if step else 0
                yield Frame(f"{self.name}::{float(time):010.3f}", frame)
        if position.time is not None and length > position.time + _MISSING:
            raise EOFError

    def _av(self) -> Any:
        """Return the package PyAV. Raises ``ShardError`` if it is not installed."""
        try:
            import av
        except ImportError as error:
            hint = f"is a video: to score its frames, run {pip_install(['video'])}"
            raise ShardError(hint, Kind.UNREADABLE, self.name) from error
        return av

    def _step(self, length: Fraction) -> Fraction:
        """Return the seconds between two frames of a video of ``length`` seconds; 0 for all frames."""
        sampling = Sampling.of(self.sampling)
        if sampling.seconds is not None:
            return sampling.seconds
        if not length:
            why = "does not say how long it is: ask for frames some seconds apart, such as 1s"
            raise ShardError(why, name=self.name)
        assert sampling.count is not None
        return length / sampling.count


def _length_of(container: Any, stream: Any) -> Fraction:
    """Return the length in seconds; 0 if the file does not tell it."""
    if stream.duration:
        return Fraction(stream.duration * stream.time_base)
    return Fraction(container.duration or 0, 1_000_000)  # FFmpeg counts a container's microseconds


def _timed(frames: Iterable[Any], time_base: Fraction) -> Iterator[tuple[Fraction, Any]]:
    """Yield the frames with their seconds from the first one."""
    start = None
    for frame in frames:
        if start is None:
            start = frame.pts
        yield (frame.pts - start) * time_base, frame


def _decoded(container: Any, stream: Any) -> Iterator[Any]:
    """Yield frames up to the end or an error, which is raised after the frames that the decoder still has."""
    stream.codec_context.options = {"err_detect": "explode"}  # otherwise MPEG-2 and MPEG-4 show damage as blocks
    try:
        for packet in container.demux(stream):
            if packet.is_corrupt:
                raise EOFError
            yield from packet.decode()
    except Exception:
        with contextlib.suppress(Exception):
            yield from stream.decode(None)
        raise


class Frame(MemberImage):
    """A frame; it becomes RGB where it is loaded."""

    def __init__(self, name: str, frame: Any) -> None:
        self.name = name
        self._frame = frame

    @property
    def size(self) -> int:
        """The bytes that it takes as RGB."""
        return 3 * self._frame.width * self._frame.height

    def decoded(self, make_room: MakeRoom) -> Decoded:
        from ..images.record import Decoded, Orientation

        frame = self._frame
        make_room(frame.width, frame.height)
        bits = [part.bits for part in frame.format.components]
        converted = "" if frame.format.is_rgb and bits == [8, 8, 8] else f"{frame.format.name}->rgb"
        return Decoded(frame.to_ndarray(format="rgb24"), Orientation(_ORIENTATIONS.get(frame.rotation, 1)), converted)

    def read(self) -> bytes:
        """Return the frame as a PNG file, upright."""
        file = io.BytesIO()
        self.load(AnySize()).picture.save(file, "PNG")
        return file.getvalue()
