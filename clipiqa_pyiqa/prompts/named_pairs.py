"""The prompt pairs that have names: those of the paper (https://arxiv.org/abs/2207.12396), the demo and pyiqa."""

from .pairs import PromptPair, free_pair

DEFAULT_PAIR = "quality"
DEFAULT_TEMPLATE = "{} photo."  # the paper's template (1), Sec. 4.1

_BARE = {  # name -> words, positive first
    "quality": "Good|Bad",  # Sec. 3.2
    "aesthetic": "Aesthetic|Not aesthetic",  # official demo
    # Table 3
    "brightness": "Bright|Dark",
    "noisiness": "Clean|Noisy",  # as in the table: high means clean
    "colorfulness": "Colorful|Dull",
    "sharpness": "Sharp|Blurry",
    "contrast": "High contrast|Low contrast",
    # Table 4
    "complex": "Complex|Simple",
    "natural": "Natural|Synthetic",
    "happy": "Happy|Sad",
    "scary": "Scary|Peaceful",
    "new": "New|Old",
    # Table 6
    "warm": "Warm|Cold",
    "real": "Real|Abstract",
    "beautiful": "Beautiful|Ugly",
    "lonely": "Lonely|Sociable",
    "relaxing": "Relaxing|Stressful",
}


def named_pair(name: str, template: str | None = None) -> PromptPair:
    """Return one of the named pairs, in another wording than the paper's if there is a template."""
    positive, negative = _BARE[name].split("|")
    wording = template or DEFAULT_TEMPLATE
    return PromptPair(name, wording.replace("{}", positive), wording.replace("{}", negative))


NAMED_PAIRS = {name: named_pair(name) for name in _BARE}
ALIASES = {
    "colourfulness": "colorfulness",
    "colorfullness": "colorfulness",  # torchmetrics' spelling
    "complexity": "complex",  # torchmetrics' name
}

PRESETS = {
    "pyiqa": tuple(  # the pairs that pyiqa's built-in CLIPIQA averages, in pyiqa's wording
        free_pair(*pair.split("|"))
        for pair in (
            "Good image|bad image",
            "Sharp image|blurry image",
            "sharp edges|blurry edges",
            "High resolution image|low resolution image",
            "Noise-free image|noisy image",
        )
    )
}
