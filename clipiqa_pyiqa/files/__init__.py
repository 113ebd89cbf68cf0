"""Files of our own: written whole or not at all, one run at a time, and known by their hashes."""

from .writing import check_folder, check_output, replacing, write_bytes, write_text

__all__ = ["check_folder", "check_output", "replacing", "write_bytes", "write_text"]
