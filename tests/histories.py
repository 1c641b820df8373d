"""Photos of cameras over time, as a watcher would have kept them."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import numpy as np
from PIL import Image

from regraft.watching import Rules, Store
from regraft.watching.store import Photo

START = datetime(2026, 11, 2).timestamp()  # noqa: DTZ001
STEP = 600.0


def photos(
    text: str, *, camera: str = "nursery", start: float = START, distance: float = 0.2
) -> list[Photo]:
    """c and m: clean or messy; ?: unfamiliar; d: dark; space: no photo."""
    random = np.random.default_rng(0)
    found = []
    for i, letter in enumerate(text):
        if letter == " ":
            continue
        p = 0.97 if letter == "m" else 0.03
        found.append(
            Photo(
                camera=camera,
                sha256=f"{camera}{start}{i}",
                path=f"{camera}/{i}.jpg",
                taken=start + i * STEP,
                taken_from="name",
                seen=start + i * STEP,
                predicted="messy" if p > 0.5 else "clean",
                confidence=max(p, 1 - p),
                probabilities=(1 - p, p),
                flag={"?": "unfamiliar", "d": "dark"}.get(letter, ""),
                reason="",
                unfamiliarity=float(distance + 0.01 * random.normal()),
                brightness=100.0,
                model="a",
            )
        )
    return found


def three_weeks() -> str:
    """Photos of 21 days, dark from 20 to 7 o'clock: made clean at noon and messy a day later."""
    text = ""
    for step in range(21 * 144):
        day, hour = divmod(step / 6, 24)
        is_clean = (24 * day + hour - 12) % 72 < 24
        text += "d" if not 7 <= hour < 20 else "c" if is_clean else "m"
    return text


def make_history(folder: Path) -> Path:
    """A history of three weeks of two cameras, one of which never changes, with some photos."""
    some = photos(three_weeks())
    (folder / "cameras" / "nursery").mkdir(parents=True)
    for number, one in enumerate(some):
        if number % 72 < 3:
            Image.new("RGB", (160, 120), (number % 200, 90, 60)).save(folder / "cameras" / one.path)
    with Store(folder / "rooms.db") as store:
        store.set_about(
            classes=["clean", "messy"], rules=Rules().to_dict(), familiar=0.98, folder="cameras"
        )
        store.add([*some, *photos("m" * 72 * 30, camera="attic <b>")], [])
    return folder / "rooms.db"
