"""The error of result files."""

from ...errors import OutputError


class ResultsError(OutputError):
    """A result file that cannot be written, read or continued."""
