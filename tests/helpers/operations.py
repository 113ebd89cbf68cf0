"""Which operations a call makes."""

from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode


class Operations(TorchDispatchMode):
    """Notes each operation's name, and its tensors' dtypes."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.calls.append((func.overloadpacket.__name__, {arg.dtype for arg in args if isinstance(arg, Tensor)}))
        return func(*args, **(kwargs or {}))
