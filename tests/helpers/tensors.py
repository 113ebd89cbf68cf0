"""Random tensors that are the same in every run; comparison of tensors, gradients and operations."""

from functools import partial

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


def uniform(*shape, seed=0, **options):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), **options)


def normal(*shape, seed=0, **options):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **options)


assert_close = partial(torch.testing.assert_close, rtol=0)


def grad_of(function, x):
    """The gradient of the sum of a function's values."""
    leaf = x.detach().clone().requires_grad_()
    return torch.autograd.grad(function(leaf).sum(), leaf)[0]


class Operations(TorchDispatchMode):
    """Notes each operation's name, and its tensors' dtypes."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((func.overloadpacket.__name__, {arg.dtype for arg in args if isinstance(arg, Tensor)}))
        return func(*args, **(kwargs or {}))
