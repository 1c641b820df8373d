"""Frames of films: drawn ones for tests, and ones that a camera takes of a photo for benchmarks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageDraw

Kind = Literal["pan", "still", "hand", "walk"]
KINDS: tuple[Kind, ...] = ("pan", "still", "hand", "walk")
_SHARE = {"pan": 0.7, "still": 0.85, "hand": 0.75, "walk": 0.45}  # of the shorter side that is seen


def drawn_film(seed: int, frames: int = 8, *, step_px: int = 5) -> list[Image.Image]:
    """Frames of 64 pixels: a camera moves over a few shapes while the light fades."""
    width, height = 80 + step_px * frames, 100
    random = np.random.default_rng(seed)
    colour = tuple(int(v) for v in random.integers(40, 215, 3))
    plain = random.normal(130, 18, (height, width, 3))
    scene = Image.fromarray(plain.clip(0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(scene)
    for _ in range(width // 10):
        x, y, size = (int(v) for v in random.integers(0, (width - 12, height - 12, 100)))
        size, fill = 5 + size % 9, tuple(int(v) for v in random.integers(0, 255, 3))
        draw.rectangle((x, y, x + size, y + size), fill=fill)
    scene = Image.blend(scene, Image.new("RGB", (width, height), colour), 0.55)
    taken = []
    for j in range(frames):
        x, y = step_px * j, 4 * (j % 3)
        seen = np.asarray(scene.crop((x, y, x + 80, y + 80)).resize((64, 64)), dtype=np.float64)
        noisy = seen * (1 - 0.02 * min(j, 20)) + random.normal(0, 2, seen.shape)
        taken.append(Image.fromarray(noisy.clip(0, 255).astype(np.uint8)))
    return taken


def write_clips(
    folder: Path,
    names: Sequence[str],
    *,
    frames: int = 8,
    step_px: int = 5,
    pattern: str = "{label}/clip{clip:02}_frame{frame:04}.jpg",
) -> dict[str, int]:
    """A drawn film of each of the classes that are named; the number of the film by path.

    The film tells nothing of its class, so that nobody can do better than guess on a new one.
    """
    paths = {}
    for clip, label in enumerate(names):
        for frame, picture in enumerate(drawn_film(500 + clip, frames, step_px=step_px)):
            path = pattern.format(label=label, clip=clip, frame=frame)
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            picture.save(folder / path, quality=70)
            paths[path] = clip
    return paths


def film_of(
    photo: Image.Image, frames: int, kind: Kind, random: np.random.Generator, *, side_px: int = 160
) -> list[Image.Image]:
    """Frames that a camera takes of a photo, with noise and a light that drifts.

    "pan" moves steadily, "still" stands while something passes by, "hand" trembles and turns,
    "walk" goes from one corner to the other.
    """
    picture = photo.convert("RGB")
    side = min(picture.size)
    seen = _SHARE[kind] * side
    room = (picture.width - seen, picture.height - seen)
    at = np.array([random.uniform(0, room[0]), random.uniform(0, room[1])])
    places = np.tile(at, (frames, 1))
    if kind == "pan":
        angle, step = random.uniform(0, 2 * math.pi), random.uniform(0.02, 0.06) * seen
        places += np.outer(np.arange(frames) * step, [math.cos(angle), math.sin(angle)])
    elif kind == "hand":
        places += random.normal(0, 0.08 * seen, places.shape)
    elif kind == "walk":
        places = np.linspace((0, 0), room, frames)
    drift = random.uniform(-0.02, 0.02)
    taken = []
    for j, (x, y) in enumerate(places):
        size = min(side, seen * (random.uniform(0.92, 1.08) if kind == "hand" else 1.0))
        left, upper = np.clip([x, y], 0, [picture.width - size, picture.height - size])
        turned = picture
        if kind == "hand":
            turned = picture.rotate(random.uniform(-6, 6), resample=Image.Resampling.BILINEAR)
        frame = turned.crop((int(left), int(upper), int(left + size), int(upper + size)))
        pixels = np.asarray(
            frame.resize((side_px, side_px), Image.Resampling.BILINEAR), dtype=np.float64
        ).copy()
        if kind == "still":
            width = side_px // 5
            x0, y0 = int((0.13 * j) % 1 * (side_px - width)), 2 * side_px // 5
            pixels[y0 : y0 + width, x0 : x0 + width] = pixels[:width, :width]
        pixels = pixels * (1 + drift * j) + random.normal(0, 4, pixels.shape)
        taken.append(Image.fromarray(pixels.clip(0, 255).astype(np.uint8)))
    return taken
