"""Calls that must be refused."""

import pytest

from clipiqa_pyiqa import CLIPIQAError


def refused(function, *args, **options):
    """Fail unless a call raises an error of ours, in a sentence; return the sentence, and a line that may follow."""
    with pytest.raises(CLIPIQAError) as caught:
        function(*args, **options)
    assert str(caught.value).count("\n") < 2
    return str(caught.value)
