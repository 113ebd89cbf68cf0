"""Lack of memory while images are scored: how errors tell it, and what to do about it."""

TOO_LARGE = "it does not fit in memory: have large images shrunk, or use another device"
# in a plain RuntimeError of torch's CPU allocator and of oneDNN
_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "could not create a primitive")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether Python, or torch on any device, raised an error because memory ran out."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in _WORDS)
