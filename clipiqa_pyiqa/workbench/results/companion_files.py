"""The files that stand beside results: the journal, the provenance, and the record of a folder."""

from pathlib import Path

RECORD = "_clipiqa.json"
"""Name of the record in a folder of Parquet files; Arrow and Spark take names with an underscore first for no data."""


def journal_of(path: Path) -> Path:
    """Return the file that holds the rows of a result until its run ends."""
    return path.with_name(f"{path.name}.part.jsonl")


def provenance_of(path: Path) -> Path:
    """Return the file that tells how a csv or JSON lines file was made."""
    return path.with_name(f"{path.name}.provenance.json")
