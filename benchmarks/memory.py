"""Peak private memory of `embed` on 2,000 and on 20,000 images.

Command   python -m benchmarks memory
Data      the 2,000 simulated fabric images of the extra `demo` (250 x 250), and ten copies of each
          that differ in bytes behind the end of the image, so that every content is embedded
Expected  about 0.1 GiB, and nearly the same for both

Each size is a process of its own with its own cache: scan, then embed. Its anonymous resident
memory (`RssAnon` in /proc/PID/status) is read every 10 ms from outside; pages of mapped files,
the result among them, are not part of it.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.data import environment_with_cache, textile_folder
from benchmarks.rows import Row, SkippedError, at_most
from benchmarks.timing import run_process
from regraft.backbones.built_in import DEFAULT_BACKBONE

GROWTH = 1.2
LIMIT_GIB = 1.2
INTERVAL_S = 0.01
EXPORT = f"""
from regraft.backbones.graphs import embedding_graph
from regraft.backbones.sources import get_backbone
embedding_graph(get_backbone({DEFAULT_BACKBONE!r}))
"""
EMBED = f"""
import sys
import regraft as rg
features = rg.embed(rg.scan(sys.argv[1]), {DEFAULT_BACKBONE!r})
print(len(features))
"""


def run(*, small: int = 2_000, large: int = 20_000) -> list[Row]:
    """Both peaks and their ratio.

    Args:
        small, large: numbers of images.
    """
    if not Path("/proc/self/status").exists():
        raise SkippedError("private memory is read from /proc, which this system does not have")
    photos = sorted(path for path in textile_folder().rglob("*") if path.is_file())
    peaks = {}
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        cache = Path(folder) / "cache"
        run_process([sys.executable, "-c", EXPORT], environment=environment_with_cache(cache))
        for count in (small, large):
            images = Path(folder) / str(count)
            make_images(photos, images, count)
            peaks[count] = _peak_gib(images, cache, expected=count)
    ratio = peaks[large] / peaks[small]
    return [
        at_most(
            f"peak private memory of embed, {large:,} images",
            peaks[large],
            LIMIT_GIB,
            measured=f"{peaks[large]:.2f} GiB",
            target=f"below {LIMIT_GIB:g} GiB",
        ),
        Row(f"peak private memory of embed, {small:,} images", f"{peaks[small]:.2f} GiB"),
        at_most(
            f"{large:,} / {small:,} images",
            ratio,
            GROWTH,
            measured=f"{ratio:.2f} times",
            target=f"at most {GROWTH:g} times",
        ),
    ]


def make_images(photos: list[Path], folder: Path, count: int) -> None:
    """`count` files of distinct content: the photos, then copies with a number at the end."""
    for number in range(count):
        photo = photos[number % len(photos)]
        copy = folder / photo.parent.name / f"{number}{photo.suffix}"
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_bytes(photo.read_bytes() + f"copy {number}".encode())


def _peak_gib(images: Path, cache: Path, *, expected: int) -> float:
    """The highest private memory of a process that embeds `images`, in GiB."""
    command = [sys.executable, "-c", EMBED, str(images)]
    peak, printed = peak_private_gib(command, environment_with_cache(cache))
    if int(printed) != expected:
        raise RuntimeError(f"embedding {images} printed {printed!r}, expected {expected}")
    return peak


def peak_private_gib(command: Sequence[str], environment: Mapping[str, str]) -> tuple[float, str]:
    """The highest private memory of a process in GiB, and what it prints.

    Raises:
        RuntimeError: it failed.
    """
    with tempfile.TemporaryFile("w+") as printed:
        process = subprocess.Popen(
            command, env=environment, stdout=printed, stderr=subprocess.DEVNULL, text=True
        )
        status, peak = Path(f"/proc/{process.pid}/status"), 0.0
        while process.poll() is None:
            peak = max(peak, private_gib(status.read_text(encoding="utf-8")))
            time.sleep(INTERVAL_S)
        if process.returncode != 0:
            raise RuntimeError(f"{' '.join(command)} left with {process.returncode}")
        printed.seek(0)
        return peak, printed.read()


def private_gib(status: str) -> float:
    """Anonymous resident memory in the text of /proc/PID/status; 0 for a process that has ended."""
    found = re.search(r"^RssAnon:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) / 1024**2 if found else 0.0
