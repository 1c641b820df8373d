"""What the figures were measured on, in a few lines of text."""

from __future__ import annotations

import datetime as dt
import os
import platform
from importlib import metadata
from pathlib import Path

from regraft.workers import available_cores

PACKAGES = (
    "regraft",
    "numpy",
    "pillow",
    "scikit-learn",
    "onnxruntime",
    "torch",
    "timm",
    "fastai",
)


def describe_machine() -> str:
    """Cores, memory, system and versions; and how busy it was, since that spoils timings."""
    today = dt.datetime.now(dt.UTC).date().isoformat()
    versions = ", ".join(f"{name} {_version(name)}" for name in PACKAGES)
    return (
        f"Measured on {today} with `python -m benchmarks`: {available_cores()} cores of "
        f"{_processor()}, {_memory_gib():.0f} GiB, {platform.system()}, "
        f"Python {platform.python_version()}, no GPU used; load at the start "
        f"{_load():.1f}.\n{versions}.\n"
    )


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return "not installed"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _memory_gib() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1024**3


def _load() -> float:
    return os.getloadavg()[0]
