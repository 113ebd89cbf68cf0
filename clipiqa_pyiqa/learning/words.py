"""Words to try: antonyms of image quality, and templates, for ``clipiqa prompts search``.

The paper names its sensitivity to wording as its first limitation (Sec. 4.3) and leaves a systematic choice open.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from pathlib import Path

from ..errors import PromptError
from ..prompts.pairs import parse_prompt_argument

Words = tuple[str, str]

TEMPLATES = ("{} photo.", "A photo of {}.", "There is {} in the photo.")  # Sec. 4.1, Table 2
AS_IS = "{}"

# Groups of synonyms on one scale: every positive is tried with every negative of its group.
_GROUPS: tuple[tuple[tuple[str, ...], tuple[str, ...]], ...] = (
    (  # Sec. 3.2 and the five grades of ITU-R BT.500 (excellent, good, fair, poor, bad), with synonyms
        ("Good", "Great", "Excellent", "Fair", "Fine", "Perfect", "Superb", "Outstanding", "Nice", "Wonderful"),
        ("Bad", "Poor", "Terrible", "Awful", "Horrible", "Inferior", "Lousy", "Unpleasant", "Imperfect", "Dreadful"),
    ),
    (  # Table 2, pyiqa's preset
        ("High quality", "High definition", "High resolution", "Best quality", "Good quality", "HD"),
        ("Low quality", "Low definition", "Low resolution", "Worst quality", "Poor quality", "Bad quality"),
    ),
    (  # Table 3, SPAQ's attributes
        ("Sharp", "Clear", "Crisp", "In focus", "Detailed", "High detail"),
        ("Blurry", "Unclear", "Hazy", "Out of focus", "Fuzzy", "Soft", "Smeared", "Motion blurred"),
    ),
    (("Clean", "Noise-free", "Smooth", "Pure"), ("Noisy", "Grainy", "Dirty", "Speckled")),  # Table 3
    (("Bright", "Well lit", "Light", "Well exposed"), ("Dark", "Dim", "Badly lit", "Underexposed", "Overexposed")),
    (("Colorful", "Vivid", "Vibrant", "Rich colors"), ("Dull", "Faded", "Pale", "Washed out", "Colorless")),
    (("High contrast", "Strong contrast"), ("Low contrast", "Flat", "Weak contrast")),
    (  # what KADID-10k and the other synthetic data sets distort
        ("Undistorted", "Pristine", "Flawless", "Unprocessed", "Original", "Artifact-free", "Uncompressed"),
        ("Distorted", "Degraded", "Flawed", "Compressed", "JPEG compressed", "Pixelated", "Corrupted", "Damaged"),
    ),
    (  # the official demo, Table 6, AVA
        ("Aesthetic", "Beautiful", "Attractive", "Pretty", "Stunning", "Appealing"),
        ("Not aesthetic", "Ugly", "Unattractive", "Boring", "Unappealing", "Plain"),
    ),
    (("Professional", "Artistic", "Polished"), ("Amateur", "Careless", "Snapshot", "Unprofessional")),
    (("Natural", "Real", "Realistic"), ("Synthetic", "Abstract", "Artificial", "Unnatural")),  # Tables 4 and 6
    (("Complex",), ("Simple",)),
    (("Happy", "Cheerful"), ("Sad", "Gloomy")),
    (("Scary",), ("Peaceful",)),
    (("New", "Modern"), ("Old", "Vintage")),
    (("Warm",), ("Cold",)),
    (("Lonely",), ("Sociable",)),
    (("Relaxing", "Pleasant", "Comfortable"), ("Stressful", "Annoying", "Disturbing")),
)

MOST_BYTES = 16 << 20  # of a list of pairs


def known_words() -> tuple[Words, ...]:
    """Every pair of our list, each with its positive word first; what Tables 3, 4 and 6 of the paper ask is in it."""
    return tuple(pair for group in _GROUPS for pair in itertools.product(*group))


def read_words(path: str | Path) -> tuple[Words, ...]:
    """Pairs from a text file: one ``positive|negative`` a line; empty lines and those that start with ``#`` are none.

    Raises:
        PromptError: the file cannot be read, holds no pair, or a line is none; the message names the line.
    """
    try:
        with open(os.path.expanduser(path), "rb") as file:
            content = file.read(MOST_BYTES + 1)
        if len(content) > MOST_BYTES:  # a device has no end
            raise PromptError(f"{str(path)!r} is no list of pairs: it has more than {MOST_BYTES >> 20} MiB.")
        lines = content.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise PromptError(f"{str(path)!r} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise PromptError(f"{str(path)!r} is no text in UTF-8 ({error}).") from error
    pairs = tuple(_pairs(path, lines))
    if not pairs:
        raise PromptError(f"{str(path)!r} holds no pairs: write one a line, as 'Crisp photo.|Hazy photo.'.")
    return pairs


def _pairs(path: str | Path, lines: list[str]) -> Iterator[Words]:
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.lstrip().startswith("#"):
            try:
                pair = parse_prompt_argument(line.strip())
            except PromptError as error:
                raise PromptError(f"{path}, line {number}: {error}") from error
            if isinstance(pair, str):
                raise PromptError(f"{path}, line {number}: {pair!r} is no pair: write 'positive|negative'.")
            yield pair
