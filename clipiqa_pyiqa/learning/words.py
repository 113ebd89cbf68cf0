"""Words to try for ``clipiqa prompts search``: antonyms and templates."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import PromptError
from ..prompts.pairs import NAMED_PAIRS, parse_prompt_argument

Words = str | tuple[str, str]
"""A named pair, or two texts, positive first."""

# Templates in which the words make a sentence; the paper's templates are in Sec. 4.1 and Table 2.
ADJECTIVES = ("{} photo.", "The photo is {}.")
QUALITIES = ("{} photo.", "A photo of {}.")
THINGS = ("There is {} in the photo.",)
AS_IS = "{}"

# Groups of synonyms on one scale: every positive text is tried with every negative text of its group.
_GROUPS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (  # Sec. 3.2 and the five grades of ITU-R BT.500 (excellent, good, fair, poor, bad), with synonyms
        ADJECTIVES,
        ("good", "great", "excellent", "fair", "fine", "perfect", "superb"),
        ("bad", "poor", "terrible", "awful", "horrible", "inferior", "imperfect"),
    ),
    (  # Table 2, pyiqa's preset
        QUALITIES,
        ("high quality", "high definition", "high resolution", "best quality", "good quality"),
        ("low quality", "low definition", "low resolution", "worst quality", "poor quality", "bad quality"),
    ),
    (  # Table 3, SPAQ's attributes
        ADJECTIVES,
        ("sharp", "clear", "crisp", "in-focus", "detailed"),
        ("blurry", "unclear", "hazy", "out-of-focus", "fuzzy", "motion-blurred"),
    ),
    (THINGS, ("fine detail", "sharp detail"), ("blur", "motion blur", "haze")),
    (ADJECTIVES, ("clean", "noise-free", "smooth", "pure"), ("noisy", "grainy", "dirty", "speckled")),  # Table 3
    (THINGS, ("no noise", "no grain"), ("noise", "grain")),
    (
        ADJECTIVES,
        ("bright", "well-lit", "light", "well-exposed"),
        ("dark", "dim", "badly lit", "underexposed", "overexposed"),
    ),
    (
        ADJECTIVES,
        ("colorful", "vivid", "vibrant", "richly colored"),
        ("dull", "faded", "pale", "washed-out", "colorless"),
    ),
    (QUALITIES, ("high contrast", "strong contrast"), ("low contrast", "weak contrast")),
    (  # distortions in KADID-10k and other synthetic data sets
        ADJECTIVES,
        ("undistorted", "pristine", "flawless", "artifact-free", "uncompressed"),
        ("distorted", "degraded", "compressed", "JPEG-compressed", "pixelated", "damaged"),
    ),
    (  # the official demo, Table 6, AVA
        ADJECTIVES,
        ("aesthetic", "beautiful", "attractive", "pretty", "stunning", "appealing"),
        ("not aesthetic", "ugly", "unattractive", "boring", "unappealing", "plain"),
    ),
)


def our_pairs(templates: Sequence[str] | None = None) -> Iterator[tuple[Words, str]]:
    for pair in NAMED_PAIRS.values() if templates is None else ():
        yield (pair.positive, pair.negative), AS_IS
    ours = {*ADJECTIVES, *QUALITIES, *THINGS}
    for suited, positives, negatives in _GROUPS:
        fitting = suited if templates is None else [each for each in templates if each in suited or each not in ours]
        for template, positive, negative in itertools.product(fitting, positives, negatives):
            if template.startswith("{}"):
                positive, negative = positive[0].upper() + positive[1:], negative[0].upper() + negative[1:]
            yield (positive, negative), template


def read_words(path: str | Path) -> list[Words]:
    """Return the pairs in a text file: a name or ``positive|negative`` on each line; ``#`` begins a comment."""
    try:
        lines = Path(path).expanduser().read_text(encoding="utf-8-sig").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise PromptError(f"the pairs in {str(path)!r} cannot be read: {error}.") from error
    pairs = [parse_prompt_argument(line.strip()) for line in lines if line.strip() and not line.startswith("#")]
    if not pairs:
        raise PromptError(f"{str(path)!r} holds no pairs: write one pair a line, such as 'Crisp photo.|Hazy photo.'.")
    return pairs
