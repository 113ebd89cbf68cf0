"""What callers pass: options of CLIP-IQA as ``**options``, and a metric, its network, or a function that makes one."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import partial
from types import FunctionType, MethodType
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from .checks import FilePath
from .errors import CLIPIQAError
from .text import shown

if TYPE_CHECKING:
    from .metric import PosEmbedding
    from .prompts.files import ModelType
    from .prompts.pairs import Aggregate
    from .tower_metric import Precision

Function = TypeVar("Function", bound=Callable[..., Any])


class CLIPIQAOptions(TypedDict, total=False):
    """The arguments of :class:`~clipiqa_pyiqa.CLIPIQA` but for ``prompts``."""

    model_type: ModelType
    backbone: str | None
    pretrained: bool
    pos_embedding: PosEmbedding
    aggregate: Aggregate
    template: str | None
    precision: Precision
    clip_weights: FilePath | None
    quick_gelu: bool | None
    pretrained_model_path: FilePath | None
    context: Mapping[str, Any] | None


def lists_options(kind: type, of: Callable[..., Any]) -> Callable[[Function], Function]:
    """Return a decorator, which changes only the signature: this lists the options of a ``TypedDict`` one by one.

    Args:
        kind: The ``TypedDict``, whose module has ``from __future__ import annotations``.
        of: The class with the defaults of options; an option that it does not have may be left out, too.
    """
    known = inspect.signature(of).parameters

    def decorated(function: Function) -> Function:
        signature = inspect.signature(function)
        *parameters, _ = signature.parameters.values()
        for name, hint in kind.__annotations__.items():
            default = known[name].default if name in known else ...
            parameters.append(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint.__forward_arg__
                )
            )
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return decorated


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
