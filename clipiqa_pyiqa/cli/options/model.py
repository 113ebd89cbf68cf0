"""What the options of a command that scores images come to: a metric, and the machine made ready for it."""

from __future__ import annotations

import contextlib
import itertools
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ...errors.arguments import Machine
from .progress import note

if TYPE_CHECKING:
    import torch

    from ...family.together import Together
    from ...metric import CLIPIQA
    from ...prompts.pairs import Columns, PromptPair, Prompts

_QUOTA = "/sys/fs/cgroup/cpu.max"  # of a container: microseconds of CPU in a period, and the period's length


@dataclass(frozen=True)
class Model:
    """Which CLIP.

    Args:
        backbone (-b): RN50 (default), ViT-B/32, …: see `clipiqa weights`; of learned prompts, what they were learned on
        clip_weights (FILE|TAG): a checkpoint file, or an open_clip tag; by default OpenAI's
        pos_embedding (MODE): none (default), interpolate, or fixed (CLIP's 224 px)
        precision (KIND): fp32 (default), bf16 or fp16
        quick_gelu: whether a checkpoint file that is no published one was trained with QuickGELU; by default it was
    """

    backbone: str | None = None
    clip_weights: str | None = None
    pos_embedding: str | None = None
    precision: str | None = None
    quick_gelu: bool | None = None

    def given(self) -> dict[str, Any]:
        """Return what was given, as arguments of :class:`~clipiqa_pyiqa.CLIPIQA`."""
        values = {name: getattr(self, name) for name in Model.__dataclass_fields__}
        return {name: value for name, value in values.items() if value is not None}


@dataclass(frozen=True)
class Wording:
    """What to ask.

    Args:
        template (TEXT): wording of the named pairs, such as 'A photo of {}.'
    """

    template: str | None = None


@dataclass(frozen=True)
class Questions(Wording):
    """What to ask.

    Args:
        prompts (-p PROMPT): named pairs (see `clipiqa prompts`), presets, or 'positive|negative'; by default quality
    """

    prompts: Sequence[str] = ()

    def asked(self, default: Any = "quality") -> Prompts:
        """Return the prompts as functions take them."""
        from ...prompts.pairs import parse_prompt_argument

        return list(map(parse_prompt_argument, self.prompts)) or default

    def columns(self, more: Sequence[str] = ()) -> Columns:
        """Return the prompts, and the names of more, as columns."""
        from ...prompts.pairs import parse_columns, parse_prompt_argument

        return parse_columns([*map(parse_prompt_argument, self.prompts), *more] or None, self.template)


@dataclass(frozen=True)
class LearnedQuestions(Questions):
    """What to ask.

    Args:
        learned_prompts (FILE|NAME): learned prompts or a fitted head: a file of `clipiqa train` or `clipiqa fit`, or
            clipiqa+, clipiqa+_rn50_512, clipiqa+_vitL14_512
    """

    learned_prompts: str | None = None

    def check(self, *others: Any) -> None:
        """Raise if learned prompts, which are a question of their own, are given with others."""
        if self.learned_prompts is not None and (self.prompts or self.template or any(others)):
            raise OptionError(
                "learned_prompts is a question of its own: leave out prompts, template and all_attributes."
            )


@dataclass(frozen=True)
class Kept:
    """Results.

    Args:
        out (-o FILE|DIR): folder for the results, of `clipiqa score` also a file; by default only a table is printed
        resume: go on with the scores that an earlier run left in --out
        overwrite: replace what is in --out
        quiet (-q): no progress bar and no summary
    """

    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False

    def check(self) -> None:
        """Raise unless the options go together."""
        if self.resume and self.overwrite:
            raise OptionError("resume keeps the results in out and overwrite drops them: give one of the two.")
        if self.resume and self.out is None:
            raise OptionError("resume needs out, the results to go on with.")


def start(machine: Machine, loading: str = "the model") -> torch.device:
    """Say what is loading, load torch as the options say, and return the device."""
    if "torch" not in sys.modules:  # which takes seconds
        note(f"loading {loading} …")
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # on a busy machine, threads that spin keep others from work
    import torch
    from PIL import Image

    from ...images.memory import keep_memory
    from ...metric import find_device

    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        torch.set_num_threads(min(cores(), torch.get_num_threads()))
    keep_memory()
    warnings.filterwarnings("ignore", module="PIL")  # damage is reported as an error, and odd metadata is no news
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # 89 to 179 megapixels are just photos
    if machine.huge:
        Image.MAX_IMAGE_PIXELS = None
    return find_device(machine.device)


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's quota."""
    found = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    with contextlib.suppress(OSError, ValueError):  # ValueError: 'max'
        quota, period = map(int, Path(_QUOTA).read_text().split())
        found = min(found, max(1, quota // period))
    return found


def build_learned(model: Model, learned_prompts: str, device: torch.device) -> CLIPIQA:
    """Return the metric with learned prompts; what these were learned on counts unless the options say otherwise."""
    from ...metric import CLIPIQA
    from ...prompts.files import PUBLISHED

    if learned_prompts in PUBLISHED:
        published = PUBLISHED[learned_prompts]
        learned_on = {"backbone": published.backbone, "pos_embedding": published.pos_embedding}
        return CLIPIQA(learned_prompts, **{**learned_on, **model.given()}).to(device).eval()
    metric = CLIPIQA("clipiqa+", **model.given(), pretrained_model_path=learned_prompts).to(device).eval()
    if metric.head is not None:
        metric.aggregate = None  # with the interval, if it has one
    return metric


def build_metric(
    model: Model, template: str | None, columns: Mapping[str, tuple[PromptPair, ...]] | None, device: torch.device
) -> CLIPIQA:
    """Return the metric that the options name; ``columns`` is what it asks of its own accord."""
    # Not through pyiqa.create_metric: that builds the same class, but importing pyiqa takes seconds.
    from ...metric import CLIPIQA

    prompts = None if columns is None else list(itertools.chain(*columns.values()))
    return CLIPIQA(**model.given(), template=template, prompts=prompts, aggregate=None).to(device).eval()


def build_metrics(given: Sequence[str], device: torch.device) -> Together:
    """Return metrics as typed, ``[COLUMN=]NAME[:KEY=VALUE,...]``, as one metric with a column each."""
    from ...datasets.specification import parse_specifications
    from ...family.together import create_metrics

    asked = parse_specifications(list(given), "metric")
    return create_metrics([(each.label or each.target, each.target, each.options) for each in asked], device)


def attributes(model: Model, template: str | None) -> list[str]:
    """Return the named pairs whose words the CLIP knows."""
    from ...metric import CLIPIQA
    from ...prompts.pairs import NAMED_PAIRS, known_names

    return known_names(CLIPIQA(**model.given()).clip, NAMED_PAIRS, template)


@contextlib.contextmanager
def memory_limited(size: str | None) -> Iterator[None]:
    """Bound the memory of decoding in a context; None leaves it as it is."""
    if size is None:
        yield
        return
    from ...images.memory import limit_memory, parse_size

    limit_memory(parse_size(size, "memory"))
    try:
        yield
    finally:
        limit_memory(None)
