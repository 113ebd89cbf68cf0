"""Options of the scoring commands: CLIP, questions, results."""

from __future__ import annotations

import contextlib
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import OptionError
from ...errors.arguments import Machine, check_resume
from .terminal import note

if TYPE_CHECKING:
    import torch

    from ...metric import CLIPIQA
    from ...prompts.pairs import Columns, Prompts

_QUOTA = Path("/sys/fs/cgroup/cpu.max")  # a container's limit: CPU time per period, and the period, in microseconds


@dataclass(frozen=True)
class Model:
    """Which CLIP.

    Args:
        backbone (-b): RN50, ViT-B/32, … (see `clipiqa weights`); default: the learned prompts' backbone, else RN50
        clip_weights (FILE|TAG): a checkpoint file, or an open_clip tag; default: OpenAI's weights
        pos_embedding (MODE): positional embedding: none (default), interpolate, or fixed (resize and crop to 224 px)
        precision (KIND): number format: fp32 (default), bf16 or fp16
        quick_gelu: whether an unpublished checkpoint uses QuickGELU; default: yes
    """

    backbone: str | None = None
    clip_weights: str | None = None
    pos_embedding: str | None = None
    precision: str | None = None
    quick_gelu: bool | None = None

    def given(self) -> dict[str, Any]:
        return {name: value for name in Model.__dataclass_fields__ if (value := getattr(self, name)) is not None}


@dataclass(frozen=True)
class Wording:
    """Template.

    Args:
        template (TEXT): wording of the pairs, such as 'A photo of {}.'
    """

    template: str | None = None


@dataclass(frozen=True)
class Questions(Wording):
    """What to ask.

    Args:
        prompts (-p PROMPT): named pairs (see `clipiqa prompts`), presets, or 'positive|negative'; default: quality
    """

    prompts: Sequence[str] = ()

    def parsed(self, default: Any = "quality") -> Prompts:
        return list(self.prompts) or default


@dataclass(frozen=True)
class LearnedQuestions(Questions):
    """Learned prompts.

    Args:
        learned_prompts (FILE|NAME): a file that `clipiqa train` or `clipiqa fit` wrote, or a published name: clipiqa+,
            clipiqa+_rn50_512, clipiqa+_vitL14_512
    """

    learned_prompts: str | None = None

    def columns(self) -> Columns | None:
        from ...prompts.pairs import parse_columns

        if self.learned_prompts is None:
            return parse_columns(self.parsed(), self.template)
        if self.prompts or self.template:
            raise OptionError("learned_prompts excludes `prompts` and `template`: leave them out.")
        return None

    def metric(self, model: Model, device: torch.device) -> CLIPIQA:
        from ...metric import CLIPIQA
        from ...prompts.files import PUBLISHED

        options, name = model.given(), self.learned_prompts
        if name is None:
            return build_metric(model, device)
        if name in PUBLISHED:
            metric = CLIPIQA(name, **options)
        else:
            metric = CLIPIQA("clipiqa+", **options, pretrained_model_path=name)
        return metric.to(device).eval()


@dataclass(frozen=True)
class MetricOptions:
    """Metrics.

    Args:
        metrics (-m METRIC): metrics: [LABEL=]NAME[:KEY=VALUE,…]
        trust_weights: load files and URLs that could run code
        strict: stop early if a metric cannot be built
    """

    metrics: list[str] | None = None
    trust_weights: bool = False
    strict: bool = False


@dataclass(frozen=True)
class OutputOptions:
    """Results.

    Args:
        out (-o FILE|DIR): folder for results, or with `clipiqa score` a file; default: print a table only
        resume: continue with the scores in --out
        overwrite: replace what is in --out
        quiet (-q): show no progress bar and no summary
    """

    out: Path | None = None
    resume: bool = False
    overwrite: bool = False
    quiet: bool = False

    def storage(self) -> dict[str, Any]:
        check_resume(self.out, self.resume, self.overwrite)
        return {"out": self.out, "resume": self.resume, "overwrite": self.overwrite}


def start(machine: Machine) -> torch.device:
    if "torch" not in sys.modules:  # the import takes seconds
        note("loading PyTorch …")
    import torch
    from PIL import Image

    from ...images.memory import keep_memory, limit_memory, parse_size
    from ...metric import find_device

    if machine.threads is not None:
        torch.set_num_threads(machine.threads)
    elif "OMP_NUM_THREADS" not in os.environ:
        with contextlib.suppress(OSError, ValueError):  # without a quota, the file is missing or holds 'max'
            quota, period = map(int, _QUOTA.read_text().split())
            torch.set_num_threads(min(max(1, quota // period), torch.get_num_threads()))
    keep_memory()
    limit_memory(None if machine.memory is None else parse_size(machine.memory, "memory"))
    warnings.filterwarnings("ignore", "Glyph .* missing from")  # a picture shows a box for a letter without a glyph
    warnings.filterwarnings("ignore", module="PIL")  # damage becomes an error; odd metadata does not matter
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)  # 89 to 179 megapixels are usual
    if machine.huge:
        Image.MAX_IMAGE_PIXELS = None
    return find_device(machine.device)


def build_metric(model: Model, device: torch.device) -> CLIPIQA:
    # pyiqa.create_metric would build the same class, but importing pyiqa takes seconds
    from ...metric import CLIPIQA

    return CLIPIQA(**model.given()).to(device).eval()
