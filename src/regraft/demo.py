"""Where the demo photos are: prints their folder, for `make demo`.

2,000 photos of textile in three classes (nominal, local and global defects), from the package
conformal-clip-data (MIT), which the extra `demo` installs.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from regraft.errors import MissingExtraError, RegraftError


def demo_folder() -> Path:
    """The folder of the demo photos, one sub-folder per class.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = importlib.util.find_spec("conformal_clip_data")
    if spec is None or spec.origin is None:
        raise MissingExtraError("the demo", "demo")
    return Path(spec.origin).parent / "data" / "textile_images" / "simulated"


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{demo_folder()}\n")
    except RegraftError as error:
        sys.exit(f"error: {error}")
