"""What runs in a cluster's workers: tasks that read and decode a shard in blocks, actors that score blocks."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Any

from ...errors import ImageError
from ...images.memory import give_back_memory, keep_memory
from ...images.reader import ImageRecord
from ...images.source import NoImage
from ...sources.ahead import read_ahead
from ...sources.members import Shard, ShardError
from .work import Item, Reading, Work

_KEPT_FOR = 2048  # images, after which an actor gives back what lies between others' memory, and would add up in days


@dataclass(frozen=True)
class End:
    """What is behind the last block of a shard."""

    skipped: Counter[str]
    problem: str | None


def decoded(reading: Reading, shard: Shard) -> Iterator[Any]:
    """A shard's blocks, each a list of names, kept columns, and pixels or an error; runs in a task."""
    problem: str | None = None

    def items() -> Iterator[Item]:
        nonlocal problem
        try:
            for source in read_ahead(shard):
                yield Item(source)
        except ShardError as error:
            problem = str(error)

    block: list[Any] = []
    number = None
    for item, image in reading.blocks(items()):
        if block and item.block != number:
            yield block
            block = []
        number = item.block
        if isinstance(image, ImageError):
            block.append((item.source.name, dict(item.kept), image))
        else:
            pixels = image.pixels.permute(1, 2, 0).numpy()  # as it lies in memory: not copied, not pickled
            block.append((item.source.name, dict(item.kept), (dataclasses.replace(image, pixels=None), pixels)))  # type: ignore[arg-type]
    if block:
        yield block
    give_back_memory()  # a worker decodes shard after shard, each in threads with heaps of their own
    yield End(Counter(getattr(shard, "skipped", {})), problem)


class Scoring:
    """An actor: one frozen CLIP that scores blocks."""

    def __init__(self, work: Work, gpu: bool) -> None:
        import warnings

        import torch

        keep_memory()
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")  # nobody writes to it
        device = torch.device("cuda") if gpu else work.device if work.device.type != "cuda" else torch.device("cpu")
        net: Any = work.net
        if hasattr(net, "to"):
            net = net.to(device).eval()
        self._kept_since = 0  # images
        self._work = dataclasses.replace(work, device=device, net=net)

    def device(self) -> str:
        """What it scores on, as results name it."""
        import torch

        device = self._work.device
        return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type

    def score(self, block: Any) -> Any:
        """Rows, each with what is kept beside it; of the end of a shard, that end."""
        import torch

        if isinstance(block, End):
            return block

        def images() -> Generator[tuple[Item, ImageRecord | ImageError], None, None]:
            for name, _, image in block:
                item = Item(NoImage(name, ""))
                if isinstance(image, ImageError):
                    yield item, image
                else:
                    record, pixels = image
                    yield item, dataclasses.replace(record, pixels=torch.from_numpy(pixels).permute(2, 0, 1))

        rows = [(row, kept) for row, (_, kept, _) in zip(self._work.rows(images()), block, strict=True)]
        self._kept_since += len(rows)
        if self._kept_since >= _KEPT_FOR:
            self._kept_since = 0
            give_back_memory()
        return rows
