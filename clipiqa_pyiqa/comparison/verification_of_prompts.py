"""Are the published prompts of CLIP-IQA+ here what was published? ``clipiqa verify --plus``.

No score of a single image is published for them, only correlations on data sets. So there are two kinds of check: what
a file must be (its hash, the shape of its context, the words around which it was learned, the CLIP that it belongs to),
and, for whoever has a data set, the correlations that pyiqa publishes.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from ..datasets.data_sets import DataSet, parse_data_sets
from ..datasets.published_correlations import find_published
from ..errors import CLIPIQAError
from ..metric import CLIPIQA
from ..prompts.files import PUBLISHED, LearnedType
from ..prompts.provenance import record_in_words
from ..weights.published import OPENAI, pyiqa_file, release
from ..weights.selection import copies
from .compare import Progress, compare
from .verification import Check, Golden, Verdict, exit_code

DATA_SETS = ("livec", "koniq10k", "koniq10k-1024", "tid2013")  # for which pyiqa publishes CLIP-IQA+
SHAPES = {  # of the contexts, as their authors describe them
    "clipiqa+": (16, 512),
    "clipiqa+_rn50_512": (2, 16, 512),
    "clipiqa+_vitL14_512": (2, 16, 768),
}
WORDS = ("good photo.", "bad photo.")
# JPEG decoders, and a GPU's TF32 in the published run, move a score by some 1e-3 and so a correlation by less. Another
# variant (backbone, embedding, prompts) is off by far more: the published three differ by 0.01 to 0.06.
TOLERANCE = 0.005


@dataclass(frozen=True)
class FileCheck:
    """What became of one published file.

    Attributes:
        name: pyiqa's, such as ``'clipiqa+'``.
        verdict: ``'ok'``, ``'FAIL'`` or ``'not run'``; ``'differs'`` if the CLIP at hand is not OpenAI's.
        said: what it is and where, or what is wrong.
    """

    name: str
    verdict: Verdict
    said: str


def check_files(names: Iterable[LearnedType] = PUBLISHED) -> Iterator[FileCheck]:
    """Load each published file that is on this machine onto its CLIP, which must be here too; nothing is downloaded."""
    for name in names:
        published = PUBLISHED[name]
        needed = {published.file: pyiqa_file(published.file)}
        needed[f"OpenAI's {published.backbone}"] = release(published.backbone, OPENAI)
        missing = [title for title, file in needed.items() if not any(True for _ in copies(file))]
        if missing:
            yield FileCheck(name, "not run", f"not on this machine: {' and '.join(missing)}")
            continue
        try:
            metric = CLIPIQA(name, published.backbone, pos_embedding=published.pos_embedding)
        except CLIPIQAError as error:
            yield FileCheck(name, "FAIL", " ".join(str(error).split()))
            continue
        learner, weights = metric.prompt_learner, metric.clip.weights
        assert learner is not None
        shape, words = tuple(learner.ctx.shape), (learner.pair.positive.lower(), learner.pair.negative.lower())
        wrong = []
        if shape != SHAPES[name]:
            wrong.append(f"its context has the shape {shape}, expected {SHAPES[name]}")
        if words != WORDS:
            wrong.append(f"it was learned around {'|'.join(words)}, expected {'|'.join(WORDS)}")
        binding = weights.tag == OPENAI
        said = "; ".join(wrong) or f"{record_in_words(learner.record())}, on {weights.backbone}, {weights.short}"
        yield FileCheck(name, "FAIL" if wrong else "ok" if binding else "differs", said)


@dataclass(frozen=True)
class LearnedPromptsVerification:
    """The published prompt files, the correlations of those that are here, and the data sets that are not."""

    files: tuple[FileCheck, ...]
    checks: tuple[Check, ...] = ()
    missing: tuple[str, ...] = ()

    @property
    def exit_code(self) -> int:
        """0 if all that ran is ok, 1 if any failed, 2 if nothing was shown."""
        verdicts = {file.verdict for file in self.files} - {"not run"}
        if "FAIL" in verdicts:
            return 1
        return exit_code(self.checks) if self.checks else 0 if verdicts == {"ok"} else 2


def verify_learned_prompts(
    data_root: Path | None = None, *, device: str | torch.device = "cpu", progress: Progress | None = None
) -> LearnedPromptsVerification:
    """Check the published prompt files that are here, and correlate them on the published data sets that are here.

    Args:
        data_root: The folder of pyiqa's data sets; None checks the files only.
        device: Where to score.
        progress: See :func:`~clipiqa_pyiqa.comparison.compare.compare`.

    Raises:
        CLIPIQAError: There is no such folder, or a data set in it cannot be read.
    """
    if data_root is not None and not data_root.is_dir():
        raise CLIPIQAError(f"--data-root {data_root} is no folder: name the one that holds pyiqa's data sets.")
    files = tuple(check_files())
    usable = {file.name: file.verdict == "ok" for file in files if file.verdict in ("ok", "differs")}
    if data_root is None or not usable:
        return LearnedPromptsVerification(files)
    there, missing = find_data_sets(data_root)
    found = check_data_sets(list(usable), there, binding=usable, progress=progress, device=device) if there else ()
    return LearnedPromptsVerification(files, tuple(found), tuple(missing))


def find_data_sets(data_root: str | Path, names: Iterable[str] = DATA_SETS) -> tuple[list[DataSet], list[str]]:
    """The published data sets below pyiqa's ``datasets`` folder, and the names of those that are not there.

    Raises:
        CompareError: one that is there cannot be read.
    """
    from pyiqa import get_dataset_info

    def is_there(name: str) -> bool:
        info = get_dataset_info()[name]
        parts = (Path(info[key]).parts[1:] for key in ("meta_info_file", "dataroot_target"))  # without 'datasets'
        return all(Path(data_root, *part).exists() for part in parts)

    there = [name for name in names if is_there(name)]
    return (parse_data_sets(there, data_root) if there else []), [name for name in names if name not in there]


def check_data_sets(
    metrics: Sequence[str],
    data_sets: Sequence[DataSet],
    *,
    binding: Mapping[str, bool],
    progress: Progress | None = None,
    device: str | torch.device = "cpu",
) -> Iterator[Check]:
    """Correlate on each data set, and compare with what pyiqa published.

    Args:
        metrics: names of CLIP-IQA+ whose files are ok.
        data_sets: from :func:`find_data_sets`.
        binding: by name, whether the published values hold for the CLIP at hand.
        progress: see :func:`~clipiqa_pyiqa.comparison.compare.compare`.
        device: where to score.
    """
    comparison = compare(list(metrics), list(data_sets), bootstrap=0, progress=progress, device=device)
    for data in comparison.data_sets:
        for label, found in data.estimates.items():
            published = find_published(label, data.published_as, "pyiqa")
            if published is None:
                continue
            for kind, expected in (("SROCC", published.srocc), ("PLCC", published.plcc)):
                golden = Golden(f"{kind} on {data.name}", label, expected, TOLERANCE, published.source)
                got, reason = found[kind].value, data.metrics[label].error or found[kind].reason
                if reason:
                    yield Check(golden, "not run", reason=reason)
                elif abs(got - expected) <= TOLERANCE:
                    yield Check(golden, "ok", got)
                else:
                    yield Check(golden, "FAIL" if binding[label] else "differs", got)
