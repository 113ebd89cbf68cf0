"""Words to try for ``clipiqa prompts search``: antonyms and templates."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from ..errors import PromptError
from ..prompts.pairs import NAMED_PAIRS, parse_prompt_argument

Words = tuple[str, str]

# Templates in which the words make a sentence; the paper's templates are in Sec. 4.1 and Table 2.
ADJECTIVES = ("{} photo.", "The photo is {}.")
QUALITIES = ("{} photo.", "A photo of {}.")
THINGS = ("There is {} in the photo.",)
AS_IS = "{}"

# Groups of synonyms on one scale: every positive is tried with every negative of its group.
_GROUPS: tuple[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]], ...] = (
    (  # Sec. 3.2 and the five grades of ITU-R BT.500 (excellent, good, fair, poor, bad), with synonyms
        ADJECTIVES,
        ("good", "great", "excellent", "fair", "fine", "perfect", "superb", "outstanding", "nice", "wonderful"),
        ("bad", "poor", "terrible", "awful", "horrible", "inferior", "lousy", "unpleasant", "imperfect", "dreadful"),
    ),
    (  # Table 2, pyiqa's preset
        QUALITIES,
        ("high quality", "high definition", "high resolution", "best quality", "good quality"),
        ("low quality", "low definition", "low resolution", "worst quality", "poor quality", "bad quality"),
    ),
    (  # Table 3, SPAQ's attributes
        ADJECTIVES,
        ("sharp", "clear", "crisp", "in-focus", "detailed", "finely detailed"),
        ("blurry", "unclear", "hazy", "out-of-focus", "fuzzy", "soft", "smeared", "motion-blurred"),
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
        ("undistorted", "pristine", "flawless", "unprocessed", "original", "artifact-free", "uncompressed"),
        ("distorted", "degraded", "flawed", "compressed", "JPEG-compressed", "pixelated", "corrupted", "damaged"),
    ),
    (  # the official demo, Table 6, AVA
        ADJECTIVES,
        ("aesthetic", "beautiful", "attractive", "pretty", "stunning", "appealing"),
        ("not aesthetic", "ugly", "unattractive", "boring", "unappealing", "plain"),
    ),
    (ADJECTIVES, ("professional", "artistic", "polished"), ("amateurish", "careless", "unprofessional")),
)

MOST_BYTES = 16 << 20  # largest size of a file of pairs


def our_pairs(templates: Sequence[str] | None = None) -> Iterator[tuple[Words, str]]:
    """Yield our pairs of words with fitting templates."""
    for pair in NAMED_PAIRS.values() if templates is None else ():
        yield (pair.positive, pair.negative), AS_IS
    ours = {*ADJECTIVES, *QUALITIES, *THINGS}
    for suited, positives, negatives in _GROUPS:
        for template in suited if templates is None else templates:
            if template in suited or template not in ours:
                for positive, negative in itertools.product(positives, negatives):
                    if template.startswith("{}"):
                        positive, negative = positive[0].upper() + positive[1:], negative[0].upper() + negative[1:]
                    yield (positive, negative), template


def read_words(path: str | Path) -> tuple[Words, ...]:
    """Return the pairs in a text file: one ``positive|negative`` a line; ``#`` begins a comment."""
    try:
        with open(os.path.expanduser(path), "rb") as file:
            content = file.read(MOST_BYTES + 1)
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise PromptError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{str(path)!r} is no text in UTF-8 ({error}).") from error
    if len(content) > MOST_BYTES:  # a device such as /dev/zero has no end
        raise PromptError(f"{str(path)!r} is no list of pairs: it has more than {MOST_BYTES >> 20} MiB.")
    pairs = []
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                pair = parse_prompt_argument(line.strip())
                if isinstance(pair, str):
                    raise PromptError(f"{pair!r} is no pair: write 'positive|negative'.")
            except PromptError as error:
                raise PromptError(f"{path}, line {number}: {error}") from error
            pairs.append(pair)
    if not pairs:
        raise PromptError(f"{str(path)!r} holds no pairs: write one pair a line, such as 'Crisp photo.|Hazy photo.'.")
    return tuple(pairs)
