"""``python -m clipiqa_pyiqa`` is the command ``clipiqa``."""

import sys

from .workbench.commands import main

if __name__ == "__main__":
    sys.exit(main())
