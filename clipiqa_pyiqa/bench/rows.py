"""What the bench measures: the rows of scoring and those of the loss, with their targets."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from ..choices import Precision
from ..errors import CLIPIQAError
from ..metric import CLIPIQA
from ..prompts.pairs import NAMED_PAIRS
from ..scoring.score import score_paths
from .process import NotMeasured, creation_seconds, peak_memory, step
from .setup import Setup, set_up
from .subject import Subject, image_tower_alone, largest_difference
from .table import Line, Target, machine, markdown_lines, megabytes, not_measured, seconds
from .timing import QUICK, THOROUGH, take_turns
from .timing import ratio as median_ratio

FOUR_K = (1, 2160, 3840)  # images, height, width
FOLDER_SIZE = (384, 512)  # of its photos
BATCH = 8


@dataclass(frozen=True)
class Measurement:
    """Something to measure, which gives one line or several."""

    work: str
    measure: Callable[[Setup], Iterable[Line]]


def measured(rows: Sequence[Measurement], setup: Setup, announce: Callable[[str], None]) -> Iterator[Line]:
    """Measure row by row. What cannot be measured here becomes a line that says why."""
    for row in rows:
        announce(row.work)
        try:
            yield from row.measure(setup)
        except (NotMeasured, RuntimeError, MemoryError) as error:
            yield not_measured(row.work, (str(error) or type(error).__name__).splitlines()[0])


def name_of(shape: tuple[int, int, int]) -> str:
    count, height, width = shape
    return f"{count}×{height}²" if height == width else f"{count}×{height}×{width}"


def scoring(shape: tuple[int, int, int], targets: Mapping[str, float]) -> Measurement:
    """Score images; ratio: how many times faster than the built-in in fp32."""
    work = f"score {name_of(shape)}"

    def measure(setup: Setup) -> Iterator[Line]:
        x = setup.images(*shape)
        yield from _faster(setup, work, lambda net: lambda: _score(setup, net, x), targets)

    return Measurement(work, measure)


def image_tower(shape: tuple[int, int, int], targets: Mapping[str, float]) -> Measurement:
    """Encode images, prompts aside on both sides."""
    work = f"image tower alone {name_of(shape)}"

    def measure(setup: Setup) -> Iterator[Line]:
        x = setup.images(*shape)

        def call(net: nn.Module) -> Callable[[], None]:
            def encode() -> None:
                with torch.inference_mode():
                    net.encode_image(x) if isinstance(net, CLIPIQA) else image_tower_alone(net, x)
                setup.wait()

            return encode

        yield from _faster(setup, work, call, targets, warm_up=False)

    return Measurement(work, measure)


def loss_time(shape: tuple[int, int, int], targets: Mapping[str, float]) -> Measurement:
    """Forward and backward of the mean score; ratio: share of the built-in's time."""
    work = f"loss {name_of(shape)}"

    def measure(setup: Setup) -> Iterator[Line]:
        x = setup.images(*shape)
        sides = _sides(setup)

        def call(subject: Subject) -> Callable[[], None]:
            def run() -> None:
                step(setup.net(subject), x)
                setup.wait()

            return run

        times = take_turns({name: call(subject) for name, subject in sides.items()}, setup.effort)
        for precision in setup.precisions:
            ours, theirs = times[precision], times["theirs"]
            target = Target(at_most=targets[precision]) if precision in targets else None
            yield Line(f"{work}, {precision}: time", seconds(ours), seconds(theirs), median_ratio(ours, theirs), target)

    return Measurement(work, measure)


def memory(kind: str, shape: tuple[int, int, int], target: float | None) -> Measurement:
    """Peak of memory beyond the loaded model, each side in a process of its own; ratio: share of the built-in's."""
    work = f"{kind} {name_of(shape)}: peak memory beyond the model"

    def measure(setup: Setup) -> Iterator[Line]:
        count, height, width = shape

        def peak(subject: Subject) -> int:
            return peak_memory(kind, subject, (count, 3, height, width), setup.threads)

        theirs = peak(setup.theirs)
        for precision in setup.precisions:
            ours = peak(setup.in_precision(precision))
            bound = Target(at_most=target) if target is not None and precision == "fp32" else None
            yield Line(f"{work}, {precision}", megabytes(ours), megabytes(theirs), ours / theirs, bound)

    return Measurement(work, measure)


def all_named_pairs(target: float) -> Measurement:
    """Ours with every named pair in one call, against ours with one; the smallest image, where it shows most."""
    work = f"score 1×224², all {len(NAMED_PAIRS)} named pairs against one"

    def measure(setup: Setup) -> Iterator[Line]:
        net, x = setup.net(setup.mine), setup.images(1, 224, 224)
        calls = {
            "all": lambda: _score(setup, net, x, prompts=list(NAMED_PAIRS), aggregate=None),
            "one": lambda: _score(setup, net, x, prompts="quality"),
        }
        times = take_turns(calls, setup.effort)
        ratio = median_ratio(times["all"], times["one"])
        yield Line(work, seconds(times["all"]), seconds(times["one"]), ratio, Target(at_most=target))

    return Measurement(work, measure)


def creation(target: float) -> Measurement:
    """Create from a local file in fresh processes. Ours puts off reading until the first image, so that comes too."""
    work = "create from a local file, with the first 1×224² score"

    def measure(setup: Setup) -> Iterator[Line]:
        rounds = 1 if setup.effort == QUICK else 3
        sides = {"mine": setup.mine, "theirs": setup.theirs}
        times: dict[str, list[tuple[float, float]]] = {name: [] for name in sides}
        for _ in range(rounds):
            for name, subject in sides.items():
                times[name].append(creation_seconds(subject, setup.threads))
        for text, of in ((work, sum), ("create from a local file, alone", lambda both: both[0])):
            ours, theirs = ([of(both) for both in times[name]] for name in ("mine", "theirs"))
            yield Line(text, seconds(ours), seconds(theirs), median_ratio(theirs, ours), Target(at_least=target))

    return Measurement(work, measure)


def time_per_pixel(large: tuple[int, int, int], small: tuple[int, int, int], target: float) -> Measurement:
    """Ours on a large image against ours on a small one, per pixel."""
    work = f"time per pixel, {name_of(large)} against {name_of(small)}"
    repeats = 8  # of the small image in a round, so that its time is as sure as the large one's

    def measure(setup: Setup) -> Iterator[Line]:
        net = setup.net(setup.mine)
        images = {"large": setup.images(*large), "small": setup.images(*small)}
        _score(setup, net, images["small"])
        calls = {
            "large": lambda: _score(setup, net, images["large"]),
            "small": lambda: _score_each(setup, net, [images["small"]] * repeats),
        }
        times = take_turns(calls, setup.effort, warm_up=False)
        per_pixel = {
            "large": [second / math.prod(large) for second in times["large"]],
            "small": [second / math.prod(small) / repeats for second in times["small"]],
        }
        ours, other = (f"{statistics.median(per_pixel[name]) * 1e9:.0f} ns" for name in ("large", "small"))
        yield Line(work, ours, other, median_ratio(per_pixel["large"], per_pixel["small"]), Target(at_most=target))

    return Measurement(work, measure)


def folder_of_jpegs(count: int, target: float) -> Measurement:
    """Score a folder of JPEG files against scoring the same pixels as tensors in memory, in batches of equal size."""
    work = f"score a folder of {count} JPEGs against tensors in memory"

    def measure(setup: Setup) -> Iterator[Line]:
        from ..images.reader import read_image

        asked = count if setup.effort != QUICK else count // 5
        text = work.replace(str(count), str(asked))
        paths = write_photos(setup.folder / f"photos-{asked}", asked, *FOLDER_SIZE)
        pixels = torch.stack([read_image(path).pixels for path in paths]).to(setup.device).float().div_(255)
        batches, net = pixels.split(BATCH), setup.net(setup.mine)
        assert isinstance(net, CLIPIQA)
        calls = {
            "folder": lambda: list(score_paths(net, paths, device=setup.device, batch_size=BATCH)),
            "memory": lambda: _score_each(setup, net, batches),
        }
        times = take_turns(calls, setup.effort, warm_up=False)
        ratio = median_ratio(times["folder"], times["memory"])
        yield Line(text, seconds(times["folder"]), seconds(times["memory"]), ratio, Target(at_most=target))

    return Measurement(work, measure)


def write_photos(folder: Path, count: int, height: int, width: int) -> list[Path]:
    """Write JPEGs that are as much work to decode as photos: random, but with a photo's spectrum."""
    from torchvision.io import encode_jpeg

    folder.mkdir()
    generator, paths = torch.Generator().manual_seed(0), []
    for index in range(count):
        image = torch.zeros(1, 3, height, width)
        for side in (3, 6, 12, 24, 48, 96, 192, 384):
            octave = torch.randn(1, 3, side, side * width // height, generator=generator)
            image += nn.functional.interpolate(octave, (height, width), mode="bilinear") / side**0.5
        image = (0.45 + 0.3 * image[0]).clamp(0, 1).mul(255).byte()
        paths.append(folder / f"{index:04}.jpg")
        paths[-1].write_bytes(encode_jpeg(image, quality=95).numpy().tobytes())
    return paths


def _faster(
    setup: Setup,
    work: str,
    call: Callable[[nn.Module], Callable[[], object]],
    targets: Mapping[str, float],
    warm_up: bool = True,
) -> Iterator[Line]:
    """Both sides in turns, ours in every precision."""
    calls = {name: call(setup.net(subject)) for name, subject in _sides(setup).items()}
    times = take_turns(calls, setup.effort, warm_up)
    for precision in setup.precisions:
        ours, theirs = times[precision], times["theirs"]
        target = Target(at_least=targets[precision]) if precision in targets else None
        yield Line(f"{work}, {precision}", seconds(ours), seconds(theirs), median_ratio(theirs, ours), target)


def _sides(setup: Setup) -> dict[str, Subject]:
    return {"theirs": setup.theirs, **{precision: setup.in_precision(precision) for precision in setup.precisions}}


def _score(setup: Setup, net: nn.Module, x: Tensor, **question: object) -> None:
    with torch.inference_mode():
        net(x, **question)
    setup.wait()


def _score_each(setup: Setup, net: nn.Module, batches: Iterable[Tensor]) -> None:
    for batch in batches:
        _score(setup, net, batch)


SCORE_ROWS = (
    scoring((1, 224, 224), {"fp32": 6, "bf16": 10}),
    scoring((8, 224, 224), {"fp32": 1.9, "bf16": 3.8}),
    scoring((1, 384, 512), {"fp32": 2.9, "bf16": 5.2}),
    scoring((1, 768, 1024), {"fp32": 1.7, "bf16": 3.2}),
    image_tower(FOUR_K, {"fp32": 2.2}),
    all_named_pairs(1.05),
    creation(3),
    time_per_pixel(FOUR_K, (1, 384, 512), 1.3),
    memory("score", FOUR_K, 1),
    folder_of_jpegs(200, 1.1),
)

LOSS_ROWS = tuple(
    row
    for shape, times, peak in (
        ((4, 512, 512), {"fp32": 0.58, "bf16": 0.34}, 0.18),
        ((16, 512, 512), {"fp32": 0.58, "bf16": 0.34}, 0.08),
        ((1, 1024, 1024), {"fp32": 0.66, "bf16": 0.40}, 0.33),
        ((16, 128, 128), {"fp32": 0.58, "bf16": 0.45}, None),
    )
    for row in (loss_time(shape, times), memory("loss", shape, peak))
)


def benchmark(
    *,
    loss: bool = False,
    precisions: Sequence[Precision] = ("fp32", "bf16"),
    device: str | torch.device = "cpu",
    threads: int = 2,
    quick: bool = False,
    only: str = "",
    clip_weights: str | None = None,
    seeded_weights: bool = False,
    announce: Callable[[str], None] = lambda work: None,
) -> Iterator[str]:
    """Measure speed and memory against pyiqa's built-in on the same weights, in turns.

    Args:
        loss: Measure the training loss (forward and backward) instead of scoring.
        precisions: Of our side: ``'fp32'``, ``'bf16'``, ``'fp16'``; the other side is fp32.
        device: Where to compute.
        threads: Of torch.
        quick: Repeat less, and score a smaller folder.
        only: Only the rows whose name contains this.
        clip_weights: RN50's checkpoint, or a tag; default OpenAI's.
        seeded_weights: Random weights instead: times do not depend on values.
        announce: Told of each row before it is measured.

    Yields:
        Lines of the report, a Markdown table below what it depends on, as they are known.

    Raises:
        CLIPIQAError: Nothing to measure, or no weights.
    """
    if threads < 1:
        raise CLIPIQAError(f"--threads {threads}: at least one thread is needed.")
    rows = [row for row in (LOSS_ROWS if loss else SCORE_ROWS) if only in row.work]
    if not rows:
        raise CLIPIQAError(f"--only {only!r} leaves nothing to measure: no row's name contains it.")
    device, effort = torch.device(device), QUICK if quick else THOROUGH
    with set_up(clip_weights, seeded_weights, device, precisions, effort, threads) as setup:
        yield from (f"{name}: {value}" for name, value in machine(device, threads, setup.weights).items())
        difference = largest_difference(setup.net(setup.mine), setup.net(setup.theirs), setup.images(2, 384, 512))
        yield f"{setup.note}; scores of 2×384×512 differ by {difference:.1e}"
        yield "times: least / median, in turns; ratio: median over the rounds\n"
        yield from markdown_lines(measured(rows, setup, announce))
