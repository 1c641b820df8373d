"""What an exported file says of photos or texts, beside what the model says of them.

The exported file runs as its users will run it: with the script that is shipped beside it, in a
Python process of its own that knows nothing of regraft.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from regraft.errors import ExportError
from regraft.kinds.base import read_input
from regraft.metrics.differences import paired_difference
from regraft.metrics.rates import Estimate
from regraft.model import Model, Prediction
from regraft.progress import Progress, silent
from regraft.storage.files import write_atomic
from regraft.tables.cells import table_of

TIE = 0.01  # two classes whose probabilities are closer may change places
_AT_A_TIME = 200  # inputs for one process
_INPUT_TIMEOUT_S = 30.0


@dataclass(frozen=True, slots=True)
class Replay:
    """How far an exported file and the model agree on inputs that both can read.

    Attributes:
        inputs: that were compared.
        unread: by path, why the script could not read what the model could.
        largest_difference: between two probabilities of the same class, 0 to 1.
        largest_distance: between two unfamiliarities, 0 to 4.
        changed: paths whose first class differs, near ties aside.
        ties: paths whose first class differs, where the model had both within `TIE`.
        flags_changed: inputs whose flag differs.
        accuracy: difference on inputs with a label, exported minus model; None without labels.
    """

    inputs: int
    unread: Mapping[str, str]
    largest_difference: float
    largest_distance: float
    changed: tuple[str, ...]
    ties: tuple[str, ...]
    flags_changed: int
    accuracy: Estimate | None

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "inputs": self.inputs,
            "unread": dict(self.unread),
            "largest_difference": self.largest_difference,
            "largest_distance": self.largest_distance,
            "changed": list(self.changed),
            "ties": list(self.ties),
            "flags_changed": self.flags_changed,
            "accuracy": self.accuracy and self.accuracy.to_dict(),
        }


def predictions_of_model(
    model: Model,
    paths: Sequence[str | Path],
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[Prediction]:
    """What the model says of those of `paths` that it can read."""
    found = model.predict(paths, jobs=jobs, progress=progress)
    return [prediction for prediction in found if prediction.flag != "unreadable"]


def replay(
    script: Path,
    expected: Sequence[Prediction],
    *,
    labels: Mapping[str, str] | None = None,
    progress: Progress = silent,
) -> Replay:
    """Run an exported file on photos or texts, and compare.

    Args:
        script: the Python script beside the .onnx file.
        expected: what the model says of them.
        labels: of some of them, by path.
        progress: told how many are done.

    Raises:
        ExportError: the script does not run.
    """
    said: dict[str, dict[str, Any]] = {}
    for start in range(0, len(expected), _AT_A_TIME):
        progress("replaying", start, len(expected))
        part = [prediction.path for prediction in expected[start : start + _AT_A_TIME]]
        said |= _run(script, part)
    progress("replaying", len(expected), len(expected))
    unread = {path: answer["error"] for path, answer in said.items() if "error" in answer}
    both = [(one, said[one.path]) for one in expected if one.path not in unread]
    changed: list[str] = []
    ties: list[str] = []
    differences, distances, right = [0.0], [], []
    for one, answer in both:
        theirs = np.array(list(answer["probabilities"].values()))
        ours = np.array(one.probabilities)
        differences.append(float(np.abs(ours - theirs).max()))
        distances.append(answer["unfamiliarity"] - one.unfamiliarity)
        if answer["predicted"] != one.predicted:
            first, second = np.sort(ours)[::-1][:2]
            (ties if first - second <= TIE else changed).append(one.path)
        label = (labels or {}).get(one.path)
        if label is not None:
            right.append((answer["predicted"] == label, one.predicted == label))
    accuracy = None
    if right:
        new, old = np.array(right, dtype=np.float64).T
        accuracy = paired_difference(new[None], old[None])
    return Replay(
        inputs=len(both),
        unread=unread,
        largest_difference=max(differences),
        largest_distance=float(np.abs(distances).max()) if distances else 0.0,
        changed=tuple(changed),
        ties=tuple(ties),
        flags_changed=sum(answer["flag"] != one.flag for one, answer in both),
        accuracy=accuracy,
    )


def _run(script: Path, paths: Sequence[str]) -> dict[str, dict[str, Any]]:
    """What the script prints of each path."""
    with tempfile.TemporaryDirectory(prefix="regraft-export-") as folder:
        files = [_file_of(path, Path(folder) / f"{i}.txt") for i, path in enumerate(paths)]
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(script), *files],
                capture_output=True,
                encoding="utf-8",
                timeout=60 + _INPUT_TIMEOUT_S * len(paths),
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise ExportError(
                f"{script.name} took longer than {error.timeout:.0f} s for {len(paths)} inputs; "
                "nothing was exported"
            ) from error
    lines = done.stdout.splitlines()
    if done.returncode or len(lines) != len(paths):
        reason = (done.stderr.strip().splitlines() or ["it printed too little"])[-1]
        raise ExportError(f"the exported file does not run: {reason}; nothing was exported")
    return dict(zip(paths, map(json.loads, lines), strict=True))


def _file_of(path: str, spare: Path) -> str:
    """Where the script finds an input: a cell of a table is written to a file of its own."""
    if table_of(path) and not Path(path).exists():
        write_atomic(spare, read_input(path))
        return str(spare)
    return str(Path(path).absolute())
