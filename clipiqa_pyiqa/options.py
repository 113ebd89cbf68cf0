"""Options that functions pass on by ``**options``: their names for type checkers and editors, and for ``help()``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar

from .checks import FilePath

if TYPE_CHECKING:
    from .image_features import PosEmbedding
    from .prompts.published import ModelType
    from .prompts.questions import Aggregate
    from .tower_metric import Precision

Function = TypeVar("Function", bound=Callable[..., Any])


class _LeftOut:
    """Default of an option that ``of`` does not know, as ``help()`` writes it."""

    def __repr__(self) -> str:
        return "<left out>"


_LEFT_OUT = _LeftOut()


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
        of: The class with the defaults of options.
    """
    known = inspect.signature(of).parameters

    def decorated(function: Function) -> Function:
        signature = inspect.signature(function)
        *parameters, _ = signature.parameters.values()
        for name, hint in kind.__annotations__.items():
            default = known[name].default if name in known else _LEFT_OUT
            parameters.append(
                inspect.Parameter(
                    name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint.__forward_arg__
                )
            )
        function.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        return function

    return decorated
