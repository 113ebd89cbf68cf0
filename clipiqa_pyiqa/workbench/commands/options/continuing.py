"""What a command says at its end, or at an interrupt: where its results are, and how to continue."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from ...sources.addresses import address_of
from .messages import note


@contextlib.contextmanager
def on_interrupt(hint: str) -> Iterator[None]:
    """Add a hint to the message of an interrupt."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise type(error)(*error.args, hint) from error


@contextlib.contextmanager
def saying_where_results_are(out: Path | None) -> Iterator[None]:
    """Say where the results of the block are (``out``: None for none); at an interrupt, how to continue."""
    address = None if out is None else address_of(out)
    with on_interrupt(
        f"--out {address} --resume continues from here" if address else "without --out, no result was kept"
    ):
        yield
    if address:
        note(f"results are in {address}")
