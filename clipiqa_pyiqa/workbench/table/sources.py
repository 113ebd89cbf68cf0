"""What a table is made from: places of images, and files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from ...checks import FilePath
from ...files import hash_file
from ..files.shipped import shipped_protocols
from ..files.shown_paths import full_path
from ..report.report import About
from .expected import Expected, is_earlier_table


def sources_of_table(
    methods: Mapping[str, str],
    reference: FilePath | None,
    protocol: FilePath | None,
    expected: Expected,
) -> dict[str, About]:
    """Return what a table is made from: places of images, and files with their SHA-256."""
    sources: dict[str, About] = {}
    for method, place in methods.items():
        sources[f"method {method}"] = {"images": full_path(place)}
    if reference is not None:
        sources["reference"] = {"images": full_path(reference)}
    if protocol is not None and str(protocol).lower() not in shipped_protocols():
        sources["protocol"] = _file_source(protocol)
    numbers = {"earlier table": 0, "published numbers": 0}
    for source, rows in expected.items():
        kind = "earlier table" if is_earlier_table(rows) else "published numbers"
        numbers[kind] += 1
        is_file = os.path.isfile(os.path.expanduser(source))
        sources[f"{kind} {numbers[kind]}"] = _file_source(source) if is_file else str(source)
    return sources


def _file_source(path: FilePath) -> dict[str, str]:
    return {"file": full_path(path), "sha256": hash_file(Path(path).expanduser())}
