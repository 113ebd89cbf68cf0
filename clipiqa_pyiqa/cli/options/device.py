"""What ``--device`` stands for, for every command that has it."""

from ...clip.device import find_device

__all__ = ["find_device"]
