"""Which dtypes this machine's CPU is slow in."""

from functools import cache
from typing import NamedTuple

import torch

from ..text import log


class Bf16Speed(NamedTuple):
    is_slow: bool
    problem: str = ""  # why torch does not say how fast it is; empty if it does


def is_slow_on_cpu(dtype: torch.dtype) -> bool:
    """Return whether this machine's CPU takes longer in a dtype than in fp32."""
    if dtype == torch.bfloat16:
        return not torch.backends.mkldnn.is_available() or _bf16_speed().is_slow
    return dtype == torch.float16  # 0.9 to 1.5 times fp32's time where torch supports fp16, else 11 to 15


@cache
def _bf16_speed() -> Bf16Speed:
    try:
        if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return Bf16Speed(is_slow=True)
        # With AVX-512 but no bf16 instructions, torch claims support but converts: 1.6 to 3.8 times as slow as fp32.
        is_converted = torch.cpu._is_avx512_supported() and not torch.cpu._is_avx512_bf16_supported()
    except (AttributeError, RuntimeError) as error:  # these functions are private
        return Bf16Speed(is_slow=True, problem=str(error))
    return Bf16Speed(is_slow=is_converted)


@cache
def warn_of_unknown_speed(dtype: torch.dtype) -> None:
    """Log, once, that torch does not say whether the CPU is fast in a dtype."""
    if dtype != torch.bfloat16 or not torch.backends.mkldnn.is_available():
        return
    problem = _bf16_speed().problem
    if problem:
        log.warning(
            f"torch {torch.__version__} does not say whether this CPU is fast in bf16 ({problem}): it computes in fp32."
        )
