"""CLIP-IQA (Wang, Chan, Loy, AAAI 2023) for pyiqa: exact, fast, and clear about which CLIP-IQA it is."""

__version__ = "0.1.0"
