"""``clipiqa protocols``: how papers compute their tables."""

from __future__ import annotations

from .options.terminal import aligned


def run(name: str | None = None) -> int:
    """List how papers compute their tables, or show one protocol with its source.

    Args:
        name: a protocol, or your own file; default: all protocols
    """
    from ..comparison.table.protocols import CERTAINTY, read_protocol
    from ..files.yaml import shipped

    if name is not None:
        print("\n".join(aligned(read_protocol(name).rows)))
        return 0
    found = [read_protocol(each) for each in shipped(protocols=True)]
    rows = [(each.name, each.title, CERTAINTY[each.certainty]) for each in found]
    print("\n".join(aligned([("name", "whose", "known"), *rows])))
    return 0
