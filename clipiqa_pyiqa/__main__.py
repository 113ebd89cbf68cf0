"""``python -m clipiqa_pyiqa`` is the ``clipiqa`` command."""

import sys

from .cli import main

sys.exit(main())
