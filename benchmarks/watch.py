"""A month of two cameras, and ten thousand photos at once.

Command   python -m benchmarks watch
Data      photos of rooms: a linear probe of four fifths of the training photos; cameras show the
          others and those of val
Expected  at least 95 % of the changes found, at most one false one a week, changes a week told
          within a tenth of the true ones; 10,000 photos worked through at no less than half of the
          speed of `embed`

Every ten minutes each camera shows a photo of a messy or of a clean room, changed a little (cut,
brighter or darker) so that no two are the same; rooms are tidied or become messy eight times a
week, at times of the day drawn at random; from 20 to 7 o'clock it is dark, and of ten other frames
one is dark, noise, or of something else. A change counts as found if it is reported within an hour
and a half of it, or within the night in which that time ends.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance

import regraft as rg
from benchmarks.data import own_cache, photo_folder, textile_folder
from benchmarks.memory import make_images
from benchmarks.rows import Row, at_least, at_most
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.watching import Settings, Store, Watcher, read_timeline

FOUND = 0.95
FALSE_A_WEEK = 1.0
WRONG_RATE = 0.1
SPEED = 0.5
STEP_S = 600
CAMERAS = ("nursery", "playroom")
CHANGES_A_WEEK = 8
LATE_S = 5_400


def run(*, days: int = 30, many: int = 10_000) -> list[Row]:
    """The month, then the photos at once."""
    with own_cache(), tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        data = rg.scan(photo_folder("rooms"))
        unseen = [row for i, row in enumerate(data.train) if i % 5 == 0]
        known = {row.path for row in unseen} | {row.path for row in data.test}
        kept = [replace(row, split="train") for row in data.ok if row.path not in known]
        model = rg.LinearProbe().fit(rg.Dataset.from_rows(data.root, kept))
        photos = {
            name: [data.absolute(row) for row in (*data.test, *unseen) if row.label == name]
            for name in data.classes
        }
        return [*_month(model, photos, Path(folder), days), *_at_once(model, Path(folder), many)]


def _month(model: rg.Model, photos: dict[str, list[Path]], folder: Path, days: int) -> list[Row]:
    random = np.random.default_rng(0)
    start = datetime(2026, 10, 1).timestamp()  # noqa: DTZ001 - names hold local times
    true: dict[str, list[float]] = {}
    pictures = {name: [_small(path) for path in some] for name, some in photos.items()}
    for camera in CAMERAS:
        (folder / "cameras" / camera).mkdir(parents=True)
        changes = _changes(random, days)
        true[camera] = [start + at * STEP_S for at in changes]
        state = 0
        for i in range(days * 86_400 // STEP_S):
            state ^= i in changes
            when = datetime.fromtimestamp(start + i * STEP_S)  # noqa: DTZ006
            picture = _frame(random, pictures[sorted(pictures)[state]], is_night=_is_night(i))
            path = folder / "cameras" / camera / f"{when:%Y%m%d-%H%M%S}.jpg"
            picture.save(path, quality=85)
            os.utime(path, (start, start))
    with Store(folder / "month.db") as store:
        Watcher(model, folder / "cameras", store, settings=Settings(settle_s=0)).once()
        timeline = read_timeline(store)
    found = hits = 0
    for seen in timeline.cameras:
        left = list(true[seen.name])
        for event in seen.events:
            found += 1
            near = [at for at in left if -STEP_S <= event.at - at <= LATE_S + event.after_gap_s]
            if near:
                left.remove(near[0])
                hits += 1
    total = sum(map(len, true.values()))
    told = sum(s.a_week.value for c in timeline.cameras for s in c.states if s.a_week is not None)
    happened = total / (days / 7)
    wrong = (found - hits) / (days / 7)
    flags = {
        name: sum(c.flags.get(name, 0) for c in timeline.cameras)
        for name in ("", "unsure", "unfamiliar", "dark")
    }
    count = sum(camera.photos for camera in timeline.cameras)
    return [
        at_least(
            f"{days} days of {len(CAMERAS)} cameras: changes that were found",
            hits / total,
            FOUND,
            measured=f"{hits} of {total}",
        ),
        at_most(
            "changes that did not happen, a week and both cameras",
            wrong,
            FALSE_A_WEEK,
            measured=f"{wrong:.2f} ({found - hits} in all)",
        ),
        at_most(
            "changes a week as told against those that happened, difference",
            abs(told / happened - 1),
            WRONG_RATE,
            measured=f"{told:.1f} told, {happened:.1f} happened",
        ),
        Row(
            f"of {count:,} photos",
            ", ".join(f"{flags[n] / count:.1%} {n or 'without a flag'}" for n in flags),
        ),
    ]


def _changes(random: np.random.Generator, days: int) -> set[int]:
    """Numbers of the photos with which the state changes, by day, three hours apart at least."""
    steps, apart = days * 86_400 // STEP_S, 3 * 3_600 // STEP_S
    count = round(CHANGES_A_WEEK * days / 7)
    by_day = [i for i in range(apart, steps - apart) if not _is_night(i)]
    while True:
        drawn = np.sort(random.choice(by_day, count, replace=False))
        if (np.diff(drawn) >= apart).all():
            return set(map(int, drawn))


def _small(path: Path) -> Image.Image:
    with Image.open(path) as photo:
        picture = photo.convert("RGB")
    picture.thumbnail((480, 480))
    return picture


def _is_night(step: int) -> bool:
    """Whether a photo is taken between 20 and 7 o'clock; the first is at midnight."""
    return not 7 <= step * STEP_S % 86_400 / 3_600 < 20


def _frame(
    random: np.random.Generator, photos: Sequence[Image.Image], *, is_night: bool
) -> Image.Image:
    kind = 0.0 if is_night else random.random()
    photo = photos[int(random.integers(len(photos)))]
    width, height = photo.size
    if kind < 0.04:  # the light is off
        return ImageEnhance.Brightness(photo).enhance(float(random.uniform(0.01, 0.05)))
    if kind < 0.07:
        noise = random.integers(0, 256, (height, width, 3), dtype=np.uint8)
        return Image.fromarray(noise)
    if kind < 0.10:  # something right before the lens
        colour = tuple(int(c) for c in random.integers(0, 256, 3))
        return Image.blend(photo, Image.new("RGB", photo.size, colour), 0.9)
    left, upper = (int(random.integers(0, max(1, side // 12))) for side in (width, height))
    right, lower = (side - int(random.integers(0, max(1, side // 12))) for side in (width, height))
    cut = photo.crop((left, upper, right, lower))
    return ImageEnhance.Brightness(cut).enhance(float(random.uniform(0.8, 1.2)))


def _at_once(model: rg.Model, folder: Path, many: int) -> list[Row]:
    source = sorted(path for path in textile_folder().rglob("*") if path.is_file())
    images = folder / "many"
    make_images(source, images, many)
    started = time.perf_counter()
    with Store(folder / "many.db") as store:
        done = Watcher(model, images, store, settings=Settings(settle_s=0)).once()
    watched = done.added / (time.perf_counter() - started)
    assert done.added == many, done.added
    data = rg.scan(images, verify=False)
    started = time.perf_counter()
    rg.embed(data, DEFAULT_BACKBONE)
    embedded = len(data.ok) / (time.perf_counter() - started)
    return [
        at_least(
            f"{many:,} photos at once, speed / that of embed",
            watched / embedded,
            SPEED,
            measured=f"{watched / embedded:.2f} ({watched:.0f} and {embedded:.0f} photos/s)",
        )
    ]
