"""Short videos for tests."""

import numpy as np
from photos import PHOTOS
from PIL import Image


def pictures(count, size=(96, 64)):
    """Cuttings of a photo, each a little further to the right."""
    photo = Image.open(PHOTOS[0]).convert("RGB")
    return [photo.crop((4 * n, 40, 4 * n + size[0], 40 + size[1])) for n in range(count)]


def save_clip(path, frames, codec="ffv1", format="bgr0", times=None, rotation=0, **context):
    """Write a video; ``times`` are the numbers of frames, ten each second; ``context``: attributes of the encoder."""
    import av

    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options={"movflags": "+faststart"} if path.suffix == ".mp4" else {}) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = *frames[0].size, format
        for name, value in context.items():
            setattr(stream.codec_context, name, value)
        if rotation:
            stream.set_display_rotation(rotation)
        for number, picture in zip(times or range(len(frames)), frames, strict=True):
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24")
            frame.pts = number
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
