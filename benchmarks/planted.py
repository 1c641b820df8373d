"""What an audit finds of faults that were planted in copies of real photos.

Command   python -m benchmarks planted
Data      rooms and clothing, with photos of hymenoptera as the foreign ones; five seeds
Expected  see `TARGETS`

The planting is that of the tests (`tests/planting.py`): 8 exact copies, 8 near duplicates of each
of four kinds, 5 % flipped labels, 4 corrupt files, 10 foreign photos, 8 leaks from the test split.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from statistics import mean

from benchmarks.data import photo_folder
from benchmarks.rows import Row, at_least
from regraft.workflow import audit
from tests.planting import KINDS, Score, plant, score

SEEDS = (0, 1, 2, 3, 4)
TESTS = {"rooms": "val", "clothing": "test"}
TARGETS = {
    "exact": 1.0,
    "near": 0.9,
    "near_precision": 0.9,
    "leaks": 1.0,
    "flipped": 0.8,
    "corrupt": 1.0,
    "foreign": 0.9,
}
FLIPPED = {"rooms": 0.8, "clothing": 0.75}
WORDS = {
    "exact": "exact copies found",
    "near": "near duplicates found",
    "near_precision": "photos told as near duplicates that are some (precision)",
    "leaks": "leaks found",
    "flipped": "flipped labels within the first tenth of the ranking",
    "corrupt": "corrupt files listed",
    "foreign": "foreign photos among the first 20 outliers",
}


def run(*, names: tuple[str, ...] = tuple(TESTS), seeds: tuple[int, ...] = SEEDS) -> list[Row]:
    """Shares over all seeds, worst seed in brackets."""
    rows = []
    for name in names:
        scores = [scored(name, seed) for seed in seeds]
        for what, target in (TARGETS | {"flipped": FLIPPED[name]}).items():
            values = [float(getattr(one, what)) for one in scores]
            measured = f"{mean(values):.3f} (worst of {len(seeds)}: {min(values):.3f})"
            title = f"{name}, {WORDS[what]}"
            rows.append(at_least(title, mean(values), target, measured=measured))
        kinds = ", ".join(f"{k} {mean(one.near_by_kind[k] for one in scores):.3f}" for k in KINDS)
        rows.append(Row(f"{name}, near duplicates found, by kind", kinds))
    return rows


def scored(name: str, seed: int) -> Score:
    """One spoiled copy, audited."""
    source, strangers = photo_folder(name), photo_folder("hymenoptera")
    foreign = sorted((strangers / "train").glob("*/*.jpg"))[seed * 10 : seed * 10 + 10]
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        planted = plant(
            source,
            Path(folder) / name,
            seed=seed,
            foreign=foreign,
            flipped=0.05,
            corrupt=4,
            leaks=8,
            test=TESTS[name],
        )
        found = audit(planted.root)
        return score(planted, found.findings.issues, photos=len(found.data.ok))
