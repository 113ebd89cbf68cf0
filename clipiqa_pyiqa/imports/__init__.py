"""How the package is imported: what it offers when it is first asked for, and modules under their old names."""

from .lazy import lazily
from .moved import install_moved_names

__all__ = ["install_moved_names", "lazily"]
