"""What dependencies would report to their makers by themselves, switched off before their import.

`opt_out` belongs right before each import of a package that reports, or that imports one that
does; `tests/test_structure.py` holds the list of these packages. Importing regraft alone changes
no variable. What each package would send, and when, is told in docs/trust.md.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLES: Mapping[str, str] = {
    # Read when onnxruntime is imported: calling its disable_telemetry_events() afterwards leaves
    # the reporting thread running (1.31.1).
    "ORT_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",  # read when mlflow is imported
    "HF_HUB_DISABLE_TELEMETRY": "1",  # read when huggingface_hub is imported
}
"""Environment variables by which packages are told not to report, with the value that does it."""


def opt_out() -> None:
    """Set `VARIABLES` for this process and its children; what the user has set stays.

    A package that was imported before has made up its mind already.
    """
    for name, value in VARIABLES.items():
        os.environ.setdefault(name, value)
