"""What a caller may pass as a metric: a metric of this package or of pyiqa, or a function that makes one."""

import inspect
from functools import partial
from types import FunctionType, MethodType
from typing import Any

from .errors import CLIPIQAError
from .text import shown


def is_factory(metric: Any) -> bool:
    """Return whether this makes a metric when it is called."""
    return isinstance(metric, type | FunctionType | MethodType | partial)


def metric_from(metric: Any) -> Any:
    """Return a metric, or the one that a function without arguments makes."""
    if not is_factory(metric):
        return metric
    try:
        inspect.signature(metric).bind()
    except (TypeError, ValueError) as error:  # ValueError: some classes in C tell no signature
        raise CLIPIQAError(
            f"a function or a class in place of a metric makes one without arguments; got {shown(metric)}: {error}."
        ) from error
    return metric()


def net_of(metric: Any) -> Any:
    """Return the network of a metric, or of a function that makes one; raise ``CLIPIQAError`` for other objects."""
    metric = metric_from(metric)
    net = getattr(metric, "net", metric)
    if not hasattr(net, "encode_image"):
        raise CLIPIQAError(f"metric must be a CLIP-IQA metric; got a {type(net).__name__}.")
    return net
