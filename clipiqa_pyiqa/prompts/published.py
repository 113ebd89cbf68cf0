"""Published learned prompts of CLIP-IQA+, by pyiqa's names."""

from typing import Literal, NamedTuple


class PublishedPrompts(NamedTuple):
    """Published prompts: file, backbone and positional embedding."""

    file: str
    backbone: str
    pos_embedding: Literal["none", "interpolate"]


LearnedType = Literal["clipiqa+", "clipiqa+_rn50_512", "clipiqa+_vitL14_512"]
ModelType = Literal["clipiqa"] | LearnedType
PUBLISHED: dict[LearnedType, PublishedPrompts] = {  # by pyiqa's names
    "clipiqa+": PublishedPrompts("CLIP-IQA+_learned_prompts-603f3273.pth", "RN50", "none"),
    "clipiqa+_rn50_512": PublishedPrompts("CLIPIQA+_RN50_512-89f5d940.pth", "RN50", "interpolate"),
    "clipiqa+_vitL14_512": PublishedPrompts("CLIPIQA+_ViTL14_512-e66488f2.pth", "ViT-L/14", "interpolate"),
}
