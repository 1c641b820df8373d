"""Frames of films are kept together, and independent photos that are numbered raise no alarm.

Command   python -m benchmarks series
Data      films that a camera takes of photos of rooms and clothing; rooms, hymenoptera and clothing
          themselves, their photos numbered by chance
Expected  see `TOGETHER`, `PRECISION`, `OFF` and `ALARMS`

Each film is 10 frames of another photo (`tests/films.py`), 10 films a class of two classes, for
each of four ways to hold a camera. The frames are numbered on from film to film, so that no name
says where a film begins. Two photos of one film that share a series are together; the linear probe
is scored in folds by chance, by the series that were found, and by the films themselves.

Alarms are series among photos that were drawn and numbered by chance, 200 draws of each set and
size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import mean
from typing import NamedTuple

import numpy as np
from PIL import Image

import regraft as rg
from benchmarks.data import photo_data
from benchmarks.rows import Row, at_least, at_most
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.dataset.ordering import orders_by_name
from regraft.inspection.issues.series import find_series
from regraft.metrics.rates import IntArray
from regraft.workflow import audit
from tests.films import KINDS, Kind, film_of

TOGETHER = 0.9  # of the pairs of photos of one film
PRECISION = 0.95  # of the pairs of photos that share a series
OFF = 0.03  # points between an accuracy in folds by series and in folds by film, their mean
ALARMS = 0.01
CLASSES = {"rooms": ("clean", "messy"), "clothing": ("hat", "shorts")}
FILMS, FRAMES = 10, 10  # films of each class, frames of each
SIZES, DRAWS = (20, 60, 150), 200


class Filmed(NamedTuple):
    """Shares of pairs, and the accuracy of a linear probe in three kinds of folds."""

    together: float
    precision: float
    by_chance: float
    by_series: float
    by_film: float


def run(*, films: int = FILMS, draws: int = DRAWS) -> list[Row]:
    """Films by set, means over the ways to hold a camera; then alarms by set."""
    rows = []
    for name in CLASSES:
        filmed = [_filmed(name, kind, films) for kind in KINDS]
        together, precision, *scores = (mean(values) for values in zip(*filmed, strict=True))
        worst = min(filmed)
        what = f"{name}, {2 * films} films, numbered on: photos of one film in one series"
        shown = f"{together:.3f} (worst of {len(KINDS)}: {worst.together:.3f})"
        rows.append(at_least(what, together, TOGETHER, measured=shown))
        what = f"{name}: photos of one series that are of one film"
        least = min(one.precision for one in filmed)
        shown = f"{precision:.3f} (worst of {len(KINDS)}: {least:.3f})"
        rows.append(at_least(what, precision, PRECISION, measured=shown))
        shown = ", ".join(f"{value:.3f}" for value in scores)
        off = mean(abs(one.by_series - one.by_film) for one in filmed)
        rows.append(
            at_most(
                f"{name}: accuracy in folds by chance, by series, by film",
                off,
                OFF,
                measured=f"{shown}; the last two are {100 * off:.1f} points apart",
                target=f"at most {100 * OFF:g} points",
            )
        )
    for name in ("rooms", "hymenoptera", "clothing"):
        alarms, tried = _alarms(name, draws)
        rows.append(
            at_most(
                f"{name}, photos that are numbered by chance: draws with series",
                alarms / tried,
                ALARMS,
                measured=f"{alarms} of {tried:,}",
                target=f"at most {100 * ALARMS:g} %",
            )
        )
    return rows


def _filmed(name: str, kind: Kind, films: int) -> Filmed:
    data = photo_data(name)
    random = np.random.default_rng(KINDS.index(kind))
    film_by_path: dict[str, str] = {}
    lines = ["file,label,film"]
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as root:
        for label in CLASSES[name]:
            (Path(root) / label).mkdir()
            photos = [row for row in data.ok if row.label == label]
            taken = 0
            for i in random.permutation(len(photos))[:films]:
                with Image.open(data.absolute(photos[i])) as photo:
                    frames = film_of(photo, FRAMES, kind, random)
                for frame in frames:
                    path = f"{label}/DSC{taken:05}.jpg"
                    frame.save(Path(root) / path, quality=80)
                    film_by_path[path] = photos[i].path
                    lines.append(f"{path},{label},{photos[i].path}")
                    taken += 1
        table = Path(root) / "labels.csv"
        table.write_text("\n".join(lines) + "\n", encoding="utf-8")
        found = audit(root)
        by_film = audit(table, image_dir=root, columns={"group_column": "film"}).accuracy
    series, order = found.findings.series, found.by_order
    assert series is not None
    assert found.accuracy is not None
    assert by_film is not None
    film = [film_by_path[row.path] for row in found.findings.rows]
    together, precision = _pairs(np.unique(film, return_inverse=True)[1], series.numbers)
    by_chance = order.by_chance or found.accuracy
    return Filmed(together, precision, by_chance.value, found.accuracy.value, by_film.value)


def _pairs(films: IntArray, series: IntArray) -> tuple[float, float]:
    """Recall and precision of the pairs of rows that are of one film."""
    first, second = np.triu_indices(len(films), 1)
    same = films[first] == films[second]
    shared = (series[first] == series[second]) & (series[first] >= 0)
    both = (same & shared).sum()
    return float(both / same.sum()), float(both / max(1, shared.sum()))


def _alarms(name: str, draws: int) -> tuple[int, int]:
    """In how many draws of how many there are series."""
    data = photo_data(name)
    features = rg.embed(data, DEFAULT_BACKBONE)
    labels = data.labels(data.ok)
    alarms = [
        len(find_series(features[drawn], labels[drawn], orders_by_name(_numbered(data, drawn)))) > 0
        for size in SIZES
        for seed in range(draws)
        for drawn in [np.random.default_rng(seed).permutation(len(labels))[:size]]
    ]
    return sum(alarms), len(alarms)


def _numbered(data: rg.Dataset, drawn: IntArray) -> Sequence[rg.Row]:
    rows = [data.ok[i] for i in drawn.tolist()]
    return [rg.Row(f"{row.label}/{number}.jpg", label=row.label) for number, row in enumerate(rows)]
