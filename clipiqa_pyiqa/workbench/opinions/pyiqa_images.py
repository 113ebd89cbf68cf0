"""Images as pyiqa's data sets change them."""

from dataclasses import dataclass, replace
from typing import Any

from PIL import Image
from torch import Tensor

from ..images.image import File
from ..images.reading_errors import named_errors
from ..images.reading_memory import set_aside
from ..images.record import ImageRecord
from ..images.sizes import shrunk
from ..options import Reading


@dataclass(frozen=True)
class PyiqaImage(File):
    """An image as pyiqa's data set changes it.

    Attributes:
        data: pyiqa's data set object.
        index: The image's place in it.
    """

    data: Any
    index: int

    def load(self, reading: Reading) -> ImageRecord:
        with named_errors(self.name), Image.open(self.name) as file:
            set_aside(self.name, file.width, file.height)
            record = ImageRecord.of(self._changed(file))
            return replace(record, pixels=shrunk(record.pixels, reading))

    def _changed(self, file: Image.Image) -> Tensor:
        """Return the image like ``data[index]["img"]``, which would also read a reference."""
        if not hasattr(self.data, "paired_trans"):
            return self.data[self.index]["img"]
        image = file.convert("RGB")
        changed, _ = self.data.paired_trans([image, image])
        return self.data.common_trans(changed)
