"""What a machine may have beside the repository."""

import os
from pathlib import Path

SHARED_FOLDER = Path(os.environ.get("CLIPIQA_SHARED", Path(__file__).parents[3] / "shared"))
