"""Copies of real photos with faults planted in them, and where each fault is.

`plant` copies a folder of class folders and spoils the copy; the same seed spoils it alike. The
originals are only read.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image

from regraft.inspection.issues import Issue

KINDS = ("resized", "recompressed", "cropped", "mirrored")


@dataclass(frozen=True)
class Planted:
    """Where the faults are, by path below `root`.

    `near` and `exact` map a copy to its original, `leaks` a test photo to its copy in training;
    `flipped` maps a path to the label it should have.
    """

    root: Path
    exact: dict[str, str] = field(default_factory=dict)
    near: dict[str, str] = field(default_factory=dict)
    kind: dict[str, str] = field(default_factory=dict)
    leaks: dict[str, str] = field(default_factory=dict)
    flipped: dict[str, str] = field(default_factory=dict)
    corrupt: list[str] = field(default_factory=list)
    foreign: list[str] = field(default_factory=list)


def plant(
    source: Path,
    target: Path,
    *,
    seed: int,
    foreign: Sequence[Path] = (),
    copies: int = 8,
    flipped: float = 0.0,
    corrupt: int = 0,
    leaks: int = 0,
    train: str = "train",
    test: str = "",
) -> Planted:
    """Copy `source`/`train` (and `test`) to `target` and spoil the copy.

    Args:
        source: folder of split folders of class folders.
        target: does not exist yet.
        seed: of everything that is drawn.
        foreign: photos of something else; they are spread over the classes.
        copies: exact copies, and near duplicates of each of `KINDS`.
        flipped: share of training photos moved to another class.
        corrupt: files that cannot be decoded.
        leaks: test photos of which training gets a copy, every other one a near duplicate.
        train, test: names of split folders; "" for no test split.
    """
    random = np.random.default_rng(seed)
    for split in filter(None, (train, test)):
        shutil.copytree(source / split, target / split)
    planted = Planted(target)
    classes = sorted(p.name for p in (target / train).iterdir() if p.is_dir())
    photos = [p for name in classes for p in _photos(target / train / name)]
    random.shuffle(photos)

    def name_of(path: Path) -> str:
        return path.relative_to(target).as_posix()

    for _ in range(copies):
        original = photos.pop()
        copy = original.with_name(f"planted_{len(photos)}{original.suffix}")
        shutil.copy(original, copy)
        planted.exact[name_of(copy)] = name_of(original)
    for kind in KINDS:
        for _ in range(copies):
            original = photos.pop()
            copy = original.with_name(f"planted_{len(photos)}.jpg")
            copy.write_bytes(vary(original, kind, random))
            planted.near[name_of(copy)] = name_of(original)
            planted.kind[name_of(copy)] = kind
    for _ in range(round(flipped * len(photos))):
        wrong = photos.pop()
        others = [name for name in classes if name != wrong.parent.name]
        moved = target / train / str(random.choice(others)) / f"planted_{len(photos)}{wrong.suffix}"
        planted.flipped[name_of(moved)] = wrong.parent.name
        shutil.move(wrong, moved)
    for i in range(corrupt):
        name = str(random.choice(classes))
        path = target / train / name / f"planted_corrupt_{i}.jpg"
        data = photos[i].read_bytes()
        path.write_bytes([data[: len(data) // 3], b"", b"not a picture", data[1000:]][i % 4])
        planted.corrupt.append(name_of(path))
    for i, path in enumerate(foreign):
        placed = target / train / str(random.choice(classes)) / f"planted_foreign_{i}{path.suffix}"
        shutil.copy(path, placed)
        planted.foreign.append(name_of(placed))
    if leaks:
        tested = [p for name in classes for p in _photos(target / test / name)]
        for i, at in enumerate(random.permutation(len(tested))[:leaks]):
            path = tested[at]
            copy = target / train / path.parent.name / f"planted_leak_{i}.jpg"
            data = vary(path, KINDS[i // 2 % 4], random) if i % 2 else path.read_bytes()
            copy.write_bytes(data)
            planted.leaks[name_of(path)] = name_of(copy)
    return planted


@dataclass(frozen=True)
class Score:
    """How many of the planted faults an issue table tells, each 0 to 1.

    `near_precision` counts a pair that neither was planted nor shares a picture by `truth`.
    """

    exact: float
    near: float
    near_precision: float
    near_by_kind: dict[str, float]
    leaks: float
    flipped: float
    corrupt: float
    foreign: float


def score(planted: Planted, issues: Sequence[Issue], *, photos: int) -> Score:
    """What a table of issues found of what was planted among so many photos.

    Flipped labels count within the first tenth of all photos in the ranking of suspects, foreign
    photos within the first 20 outliers.
    """
    by_kind: dict[str, list[Issue]] = {}
    for issue in issues:
        by_kind.setdefault(issue.issue, []).append(issue)

    def paths(kind: str) -> list[str]:
        return [issue.path for issue in by_kind.get(kind, [])]

    exact = {frozenset((i.path, i.detail)) for i in by_kind.get("exact_duplicate", [])}
    near = {frozenset((i.path, i.detail.split(", ")[0])) for i in by_kind.get("near_duplicate", [])}
    wanted = {name: frozenset((name, twin)) for name, twin in planted.near.items()}
    found = {name for name, pair in wanted.items() if pair in near}
    known = {*wanted.values(), *(frozenset(p) for p in planted.exact.items())}
    known |= {frozenset(p) for p in planted.leaks.items()}
    original = [pair for pair in near if not any("planted" in path for path in pair)]
    counted = [pair for pair in near if pair not in known and pair not in original]
    kinds = {
        kind: share(name in found for name, k in planted.kind.items() if k == kind)
        for kind in KINDS
        if kind in planted.kind.values()
    }
    return Score(
        exact=share(frozenset(pair) in exact for pair in planted.exact.items()),
        near=share(name in found for name in wanted),
        near_precision=len(found) / max(1, len(found) + len(counted)),
        near_by_kind=kinds,
        leaks=share(name in set(paths("leakage")) for name in planted.leaks),
        flipped=share(
            name in set(paths("label_suspect")[: round(0.1 * photos)]) for name in planted.flipped
        ),
        corrupt=share(name in set(paths("unreadable")) for name in planted.corrupt),
        foreign=share(name in set(paths("outlier")[:20]) for name in planted.foreign),
    )


def share(found: Iterable[bool]) -> float:
    """How many are true, 0 to 1; 1 where there are none."""
    counted = list(found)
    return sum(counted) / len(counted) if counted else 1.0


def vary(path: Path, kind: str, random: np.random.Generator) -> bytes:
    """A photo as somebody may have kept it a second time: a JPEG."""
    with Image.open(path) as opened:
        picture = opened.convert("RGB")
    width, height = picture.size
    quality = 90
    if kind == "resized":
        share = random.uniform(0.4, 0.8)
        picture = picture.resize((max(1, round(width * share)), max(1, round(height * share))))
    elif kind == "recompressed":
        quality = int(random.integers(25, 60))
    elif kind == "cropped":
        left, upper = (random.uniform(0, 0.08) for _ in range(2))
        right, lower = (1 - random.uniform(0, 0.08) for _ in range(2))
        picture = picture.crop(
            (int(left * width), int(upper * height), int(right * width), int(lower * height))
        )
    elif kind == "mirrored":
        picture = picture.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    else:
        raise ValueError(kind)
    out = BytesIO()
    picture.save(out, "JPEG", quality=quality)
    return out.getvalue()


def _photos(folder: Path) -> list[Path]:
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in (".jpg", ".jpeg", ".png"))
