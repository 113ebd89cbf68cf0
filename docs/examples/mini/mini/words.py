"""The words `mini` learns: seven looks of a photo, each named by antonyms from Table 3 and by paraphrases of them."""

from __future__ import annotations

from dataclasses import dataclass

# The order of the columns of every label array in this package.
AXES = ("quality", "brightness", "noisiness", "colorfulness", "sharpness", "contrast", "artifacts")

# "{}" takes a word. Templates with "of"-like sense take nouns from NOUNS instead.
ADJECTIVE_TEMPLATES = (
    "{} photo.",
    "{} image",
    "{} picture.",
    "a {} photo",
    "A {} image.",
    "A photo that is {}.",
    "{}",
    "A photo of {}.",
    "The photo is {}",
)
NOUN_TEMPLATES = ("A photo with {}.", "An image with {}", "{} photo", "{}")


@dataclass(frozen=True)
class Look:
    """One antonym axis: the pair of the paper first, then words that mean the same."""

    canonical: tuple[str, str]
    positive: tuple[str, ...]
    negative: tuple[str, ...]
    positive_nouns: tuple[str, ...] = ()
    negative_nouns: tuple[str, ...] = ()
    # Whole prompts that fit no template, positive and negative at the same place.
    fixed: tuple[tuple[str, str], ...] = ()


def _with_context(prompt: str) -> tuple[str, ...]:
    """A prompt behind, and inside, sixteen placeholders: where prompt learning (CLIP-IQA+) starts from."""
    eight = " ".join("X" * 8)
    return f"{eight} {eight} {prompt}", f"{eight} {prompt.rstrip('.')} {eight}.", f"X X X X {prompt}"


LOOKS: dict[str, Look] = {
    "quality": Look(
        ("Good photo.", "Bad photo."),
        ("good", "high quality", "excellent", "great", "perfect", "pristine", "undistorted", "best quality"),
        ("bad", "low quality", "poor", "terrible", "awful", "degraded", "distorted", "worst quality"),
        ("good quality", "high quality", "excellent quality"),
        ("bad quality", "low quality", "poor quality"),
        tuple(zip(_with_context("Good photo.."), _with_context("Bad photo.."), strict=True)),
    ),
    "brightness": Look(
        ("Bright photo.", "Dark photo."),
        ("bright", "light", "well lit", "brightly lit", "overexposed"),
        ("dark", "dim", "poorly lit", "dimly lit", "underexposed"),
        ("high brightness", "bright light"),
        ("low brightness", "low light"),
    ),
    "noisiness": Look(
        ("Clean photo.", "Noisy photo."),
        ("clean", "noise-free", "noiseless", "smooth", "grainless"),
        ("noisy", "grainy", "very noisy", "speckled", "grain"),
        ("no noise", "low noise"),
        ("strong noise", "high noise"),
    ),
    "colorfulness": Look(
        ("Colorful photo.", "Dull photo."),
        ("colorful", "colourful", "vivid", "saturated", "vibrant"),
        ("dull", "colorless", "colourless", "desaturated", "gray", "grey", "black and white", "monochrome"),
        ("vivid colors", "rich colors", "vivid colours"),
        ("dull colors", "pale colors", "no colours"),
    ),
    "sharpness": Look(
        ("Sharp photo.", "Blurry photo."),
        ("sharp", "crisp", "in focus", "detailed", "high resolution", "high definition"),
        ("blurry", "blurred", "out of focus", "unsharp", "low resolution", "pixelated"),
        ("sharp edges", "fine details", "high sharpness"),
        ("blurry edges", "lost details", "low sharpness"),
    ),
    "contrast": Look(
        ("High contrast photo.", "Low contrast photo."),
        ("high contrast", "contrasty", "strong contrast", "punchy"),
        ("low contrast", "hazy", "foggy", "washed out", "flat", "weak contrast"),
        ("high contrast", "strong contrast"),
        ("low contrast", "weak contrast", "haze"),
    ),
    # Not in the paper: a question of its own for what `quality` finds hardest to see.
    "artifacts": Look(
        ("Artifact-free photo.", "Compressed photo."),
        ("artifact-free", "uncompressed", "without artifacts", "original"),
        ("compressed", "blocky", "heavily compressed"),
        ("no artifacts", "no compression"),
        ("jpeg artifacts", "compression artifacts", "block artifacts", "strong compression"),
    ),
}


def _expand(words: tuple[str, ...], nouns: tuple[str, ...]) -> list[str]:
    texts = [template.format(word) for word in words for template in ADJECTIVE_TEMPLATES]
    return texts + [template.format(noun) for noun in nouns for template in NOUN_TEMPLATES]


def prompts_of(axis: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """All (positive, negative) prompts of one axis, the paper's first; texts that differ only in case come once."""
    look = LOOKS[axis]
    positive = [look.canonical[0], *(pair[0] for pair in look.fixed), *_expand(look.positive, look.positive_nouns)]
    negative = [look.canonical[1], *(pair[1] for pair in look.fixed), *_expand(look.negative, look.negative_nouns)]
    return _unique(positive), _unique(negative)


def _unique(texts: list[str]) -> tuple[str, ...]:
    seen = {text.lower(): text for text in reversed(texts)}
    return tuple(reversed(list(seen.values())))
