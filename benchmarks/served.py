"""What benchmarks of servers share: a model of rooms, photos to ask it for, the memory it takes."""

from __future__ import annotations

import io
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from benchmarks.data import environment_with_cache, photo_folder
from benchmarks.timing import run_process

MULTIPART: Mapping[str, str] = {"content-type": "multipart/form-data; boundary=x"}
"""Headers of a request whose body is a `multipart`."""


def fit_rooms(folder: Path) -> Path:
    """The run of a linear probe of rooms, `folder/run`, with a cache of its own."""
    out = folder / "run"
    command = [sys.executable, "-m", "regraft", "fit", str(photo_folder("rooms"))]
    command += ["--out", str(out), "--approach", "linear_probe"]
    run_process(command, environment=environment_with_cache(folder / "cache"))
    return out


def photos_of_rooms(size: tuple[int, int], count: int = 40) -> list[bytes]:
    """JPEG files of some photos, of `size` pixels."""
    photos = []
    for path in sorted(photo_folder("rooms").rglob("*.png"))[:count]:
        out = io.BytesIO()
        with Image.open(path) as photo:
            photo.convert("RGB").resize(size).save(out, "JPEG", quality=90)
        photos.append(out.getvalue())
    return photos


def multipart(data: bytes) -> bytes:
    """The body of a request that uploads a photo."""
    head = b'--x\r\nContent-Disposition: form-data; name="files"; filename="p.jpg"\r\n\r\n'
    return head + data + b"\r\n--x--\r\n"


def resident_mb(process: int) -> float:
    """Memory that a process has, in megabytes."""
    status = Path(f"/proc/{process}/status").read_text(encoding="utf-8")
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None
    return int(found[1]) / 1_000
