"""``python -m clipiqa_pyiqa.cli``: the ``clipiqa`` command, as torchrun starts it."""

import sys

from . import main

if __name__ == "__main__":
    sys.exit(main())
