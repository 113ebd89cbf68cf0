"""The errors a user can meet. Each message is one sentence: what came, what was expected, what to do."""


class CLIPIQAError(ValueError):
    """Base of every error that this package raises on bad input.

    It is a ``ValueError``, so that ``except ValueError`` catches them all.
    """


class PromptError(CLIPIQAError):
    """A prompt, a named pair or a template that cannot be used."""


class ImageError(CLIPIQAError):
    """An image file or an image tensor that cannot be scored."""


class WeightsError(CLIPIQAError):
    """A checkpoint that cannot be found, trusted or used."""
