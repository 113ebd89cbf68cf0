"""A made RAW file."""

import io
import struct

from PIL.TiffImagePlugin import ImageFileDirectory_v2


def dng(photo, compression=7):
    """A DNG: a preview, a JPEG (7) or plain RGB (1), and below it a mosaic of 16-bit samples, which comes first."""
    file = io.BytesIO()
    photo.save(file, "JPEG", quality=95)
    preview, colours = (file.getvalue(), 6) if compression == 7 else (photo.tobytes(), 2)

    def image(at, size, depths, packing, colours, data, tags):
        """A directory and its data, at a place of the file."""
        directory = ImageFileDirectory_v2()
        own = {256: size[0], 257: size[1], 258: depths, 259: packing, 262: colours, 277: len(depths), 278: size[1]}
        for tag, value in {**own, 273: 0, 279: len(data), **tags}.items():  # Pillow counts 273 from its end
            directory[tag] = value
        return directory.tobytes(at) + data

    mosaic = image(8, (64, 64), (16,), 1, 32803, bytes(64 * 64 * 2), {254: 0, 33421: (2, 2), 33422: b"\0\1\1\2"})
    tags = {254: 1, 330: 8, 50706: b"\1\4\0\0"}
    at = 8 + len(mosaic)
    first = image(at, photo.size, (8, 8, 8), compression, colours, preview, tags)
    return struct.pack("<4sI", b"II*\0", at) + mosaic + first
