from __future__ import annotations

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from regraft.dataset import make_folds, require_trainable, scan, set_aside


@pytest.mark.parametrize(
    ("name", "train", "test", "classes", "ignored"),
    [("rooms", 192, 20, 2, 0), ("hymenoptera", 245, 153, 2, 0), ("clothing", 3_409, 372, 10, 2)],
)
def test_real_photos(
    test_data: Path, name: str, train: int, test: int, classes: int, ignored: int
) -> None:
    data = scan(test_data / name)
    assert (len(data.train), len(data.test), len(data.classes)) == (train, test, classes)
    assert data.status_counts().get("ignored", 0) == ignored
    assert len(data.rows) == train + test + ignored
    assert all(row.width and row.height and len(row.sha256) == 64 for row in data.ok)
    require_trainable(data)
    assert set_aside(data) is data

    folds = make_folds(data.train)
    labels = data.labels(data.train)
    per_class = np.array([np.bincount(folds[labels == k], minlength=5) for k in range(classes)])
    assert (per_class.max(axis=1) - per_class.min(axis=1)).max() <= 1


def test_a_table_for_the_rooms(test_data: Path, tmp_path: Path) -> None:
    photos = sorted((test_data / "rooms").glob("*/*/*.png"))
    rows = [f"{path.parent.parent.name}/{path.parent.name}/{path.stem};{path.parent.name}"
            for path in photos]  # fmt: skip
    table = tmp_path / "rooms.csv"
    table.write_text("\n".join(["photo;class", *rows]), encoding="utf-16")
    by_table = scan(test_data / "rooms", labels=table)
    by_folder = scan(test_data / "rooms")
    assert len(by_table.ok) == 212
    assert by_table.fingerprint() == by_folder.fingerprint()
    assert Counter(row.split for row in by_table.ok) == {"train": 192, "test": 20}
