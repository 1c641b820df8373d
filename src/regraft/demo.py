"""Where the demo's images are, and what they are called: prints their folder, for `make demo`.

2,000 simulated images of fabric in three classes (nominal, and local and global defects), from the
package conformal-clip-data (MIT), which the extra `demo` installs. Their labels are true by
construction.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

from regraft.errors import MissingExtraError, RegraftError
from regraft.storage.locations import plain_name

TITLE = "Fabric defects (simulated)"
_PACKAGE, _FOLDER = "conformal_clip_data", Path("data", "textile_images", "simulated")


def demo_folder() -> Path:
    """The folder of the demo's images, one sub-folder per class.

    Raises:
        MissingExtraError: the package is not installed.
    """
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or spec.origin is None:
        raise MissingExtraError("the demo", "demo")
    return Path(spec.origin).parent / _FOLDER


def title_of(data: Path) -> str:
    """What a page on the data in a folder is called: its name, but the demo says what it is."""
    if data.parts[-4:] == (_PACKAGE, *_FOLDER.parts):
        return TITLE
    return plain_name(data)


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{demo_folder()}\n")
    except RegraftError as error:
        sys.exit(f"error: {error}")
