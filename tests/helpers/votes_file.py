"""A file of votes that tests read."""

from __future__ import annotations

from pathlib import Path


def write_votes(folder: Path, *lines: str, head: str = "attribute,first,second,choice") -> Path:
    """Write ``votes.csv`` with these lines, and return its path."""
    path = folder / "votes.csv"
    path.write_text("\n".join([head, *lines]) + "\n")
    return path
