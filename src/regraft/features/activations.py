"""Photos in, the inputs of a network's upper stages out: computed once, kept on disk, read often.

Training only the upper stages of a network needs what the frozen ones below put out, in several
augmented variants of each photo ("views"; view 0 is the photo as it will be predicted). They are
computed with ONNX Runtime on all cores, kept in half precision in memory-mapped files keyed by
content, and reused by every fold, candidate and later run. What the disk budget leaves no room
for is computed again whenever it is needed, and so is what no longer has its checksum.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.backbone import Backbone, graph_key
from regraft.backbones.graphs import boundary_graph
from regraft.dataset import Dataset, Row
from regraft.engines.base import Engine
from regraft.engines.devices import load_graph
from regraft.errors import DataError, StorageError, UnreadableInputError
from regraft.features.embedding import read_checked
from regraft.progress import Progress, silent
from regraft.storage.cache import make_room, used_now
from regraft.storage.files import (
    cache_dir,
    make_folder,
    part_folder,
    write_atomic,
)
from regraft.storage.seals import checksum
from regraft.workers import map_threads

_FORMAT = 2
COMMIT_EVERY_S = 5.0  # work that a killed process loses at the most


class _Entry(NamedTuple):
    """What lies in one place of a file: the hash of the content it was made of, and a checksum."""

    content: str
    checksum: int


_checked: dict[Path, tuple[tuple[int, ...], dict[int, _Entry]]] = {}
"""By file: how it was when this process compared it with its checksums, and what it compared."""


@dataclass(frozen=True, slots=True)
class _View:
    """One variant of every photo: where each content's numbers lie, if they are kept."""

    values: NDArray[np.generic] | None
    slots: NDArray[np.int64]


class Activations:
    """The inputs of one stage for some rows of a Dataset, in several views.

    `shape` is that of one photo: (3, s, s) uint8 for boundary 0, else (channels, rows, columns)
    float16.
    """

    def __init__(
        self,
        data: Dataset,
        rows: Sequence[Row],
        backbone: Backbone,
        boundary: int,
        *,
        seed: int = 0,
    ) -> None:
        """Load the graphs; nothing is computed yet.

        Args:
            data: where the files are.
            rows: readable ones, with their content hash.
            backbone: the network and its transform; views of the transform are not used.
            boundary: stages below, see `backbones.graphs.boundary_graph`.
            seed: of the augmentation.
        """
        self._data, self._rows, self._seed = data, list(rows), seed
        self._transform = backbone.transform.plain()
        backbone = replace(backbone, transform=self._transform)
        self._plain = load_graph(boundary_graph(backbone, boundary))
        self._varied = self._plain
        if self._transform.plain(precropped=True) != self._transform:
            self._varied = load_graph(boundary_graph(backbone, boundary, precropped=True))
        probe = self._run(self._plain, self._transform.read(self._transform.sample()))
        self.shape: tuple[int, ...] = probe.shape
        self.dtype: np.dtype[np.generic] = probe.dtype
        kind = graph_key(backbone)
        if boundary == 0:  # the same for every network with this transform
            text = json.dumps(self._transform.to_dict())
            kind = f"pixels{hashlib.sha256(text.encode()).hexdigest()}"
        self._key = f"{kind[:22]}-{boundary}-{_FORMAT}"
        self._views: dict[int, _View] = {}
        self.seconds = 0.0
        self.warning = ""

    def prepare(
        self,
        views: int,
        *,
        jobs: int | None = None,
        progress: Progress = silent,
        commit_every_s: float = COMMIT_EVERY_S,
    ) -> None:
        """Compute the first `views` views, as far as they are missing and the budget allows.

        What is computed is noted every `commit_every_s`: a killed process loses no more.

        Raises:
            DataError: a photo cannot be read (any more).
        """
        started = time.monotonic()
        for view in range(views):
            if view not in self._views:
                phase = f"activations, view {view + 1} of {views}"
                self._views[view] = self._open(
                    view, jobs=jobs, phase=phase, progress=progress, commit_every_s=commit_every_s
                )
        self.seconds += time.monotonic() - started

    def missing(self, views: int) -> int:
        """How many photos and views are not on disk yet, of the first `views` views."""
        folder = cache_dir() / "activations"
        item = int(np.prod(self.shape)) * self.dtype.itemsize
        wanted = {row.sha256 for row in self._rows}
        lacking = 0
        for view in range(views):
            stem = folder / f"{self._key}-{self._seed}-{view}"
            index = _read_index(stem.with_suffix(".json"), stem.with_suffix(".bin"), item)
            lacking += len(wanted.difference(entry.content for entry in index))
        return lacking

    def seconds_per_image(self, sample: int, *, jobs: int | None = None) -> float:
        """Time to compute one view of one photo, measured on the first `sample` photos."""
        tasks = [(row, view) for row in range(sample) for view in (0, 1)]
        started = time.monotonic()
        for _ in map_threads(self._compute, tasks, jobs=jobs):
            pass
        return (time.monotonic() - started) / len(tasks)

    def take(self, rows: NDArray[np.int64], views: NDArray[np.int64]) -> NDArray[np.generic]:
        """A batch: row numbers (b,) and which view of each (b,), to (b, *shape)."""
        batch = np.empty((len(rows), *self.shape), self.dtype)
        missing = []
        for i, (row, view) in enumerate(zip(rows, views, strict=True)):
            kept = self._views.get(int(view))
            if kept is None or kept.values is None or kept.slots[row] < 0:
                missing.append((i, int(row), int(view)))
            else:
                batch[i] = kept.values[kept.slots[row]]
        tasks = ((row, view) for _, row, view in missing)
        for (i, _, _), activations in zip(missing, map_threads(self._compute, tasks), strict=True):
            batch[i] = activations
        return batch

    def _compute(self, task: tuple[int, int]) -> NDArray[np.generic]:
        at, view = task
        row = self._rows[at]
        try:
            data = read_checked(self._data.absolute(row), sha256=row.sha256)
            if view == 0:
                return self._run(self._plain, self._transform.read(data))
            seed = variant_seed(row.sha256, view, seed=self._seed)
            return self._run(self._varied, self._transform.vary(data, seed))
        except UnreadableInputError as error:
            raise DataError(f"{row.path} cannot be read for training: {error}") from error

    def _run(self, engine: Engine, given: NDArray[np.generic]) -> NDArray[np.generic]:
        return self._transform.fit_shape(engine.run(given)[0])

    def _open(
        self,
        view: int,
        *,
        jobs: int | None,
        phase: str,
        progress: Progress,
        commit_every_s: float,
    ) -> _View:
        """The view's file, completed by the rows that it lacks."""
        n = len(self._rows)
        nowhere = _View(None, np.full(n, -1, np.int64))
        try:
            folder = make_folder(cache_dir() / "activations")
            with _exclusively(folder / f"{self._key}-{self._seed}-{view}") as stem:
                return self._fill(
                    stem,
                    view,
                    jobs=jobs,
                    phase=phase,
                    progress=progress,
                    commit_every_s=commit_every_s,
                )
        except (OSError, StorageError) as error:
            self.warning = (
                f"activations cannot be kept in {cache_dir()} ({error}); they are computed "
                "again whenever they are needed, which takes longer"
            )
            return nowhere

    def _fill(
        self,
        stem: Path,
        view: int,
        *,
        jobs: int | None,
        phase: str,
        progress: Progress,
        commit_every_s: float,
    ) -> _View:
        values_path, index_path = stem.with_suffix(".bin"), stem.with_suffix(".json")
        item = int(np.prod(self.shape)) * self.dtype.itemsize
        index = _read_index(index_path, values_path, item)
        places = {entry.content: place for place, entry in enumerate(index)}
        wanted = dict.fromkeys(row.sha256 for row in self._rows)
        first = {row.sha256: i for i, row in reversed(list(enumerate(self._rows)))}
        there = [places[content] for content in wanted if content in places]
        damaged = [index[place].content for place in _damaged(values_path, index, item, there)]
        missing = [content for content in wanted if content not in places]
        ours = f"{stem.name.rpartition('-')[0]}-"  # all views
        room = max(0, make_room("activations", ours, len(missing) * item) // item)
        if len(missing) > room:
            self.warning = (
                f"the cache has room for the activations of {room:,} more of {len(missing):,} "
                "photos; the rest is computed again whenever it is needed "
                "(REGRAFT_CACHE_GB sets the limit)"
            )
            missing = missing[:room]
        to_do = [*damaged, *missing]
        done = len(wanted) - len(to_do)
        committed = time.monotonic()
        tasks = ((first[content], view) for content in to_do)
        values_path.touch()
        with values_path.open("r+b") as file:
            file.truncate(len(index) * item)
            progress(phase, done, len(wanted))
            for content, activations in zip(
                to_do, map_threads(self._compute, tasks, jobs=jobs), strict=True
            ):
                value = np.ascontiguousarray(activations).tobytes()
                entry = _Entry(content, checksum(value, content))
                place = places.setdefault(content, len(index))
                index[place : place + 1] = [entry]
                file.seek(place * item)
                file.write(value)
                done += 1
                progress(phase, done, len(wanted))
                if time.monotonic() - committed > commit_every_s:
                    file.flush()
                    _write_index(index_path, index)
                    committed = time.monotonic()
        if to_do:
            _write_index(index_path, index)
        used_now(values_path)
        if not index:
            return _View(None, np.full(len(self._rows), -1, np.int64))
        used = (places[content] for content in wanted if content in places)
        _checked[values_path] = _state(values_path), {place: index[place] for place in used}
        slots = np.array([places.get(row.sha256, -1) for row in self._rows], np.int64)
        values = np.memmap(values_path, self.dtype, "r", shape=(len(index), *self.shape))
        return _View(values, slots)


def variant_seed(content: str, view: int, *, seed: int = 0) -> int:
    """What `Transform.vary` is given for a file of that hash, in a view from 1 to 999."""
    return int(content[:12], 16) * 1_000 + view + 7_919 * seed


def _read_index(index_path: Path, values_path: Path, item: int) -> list[_Entry]:
    """What lies where in a file; only as much as the file really holds.

    An entry that is damaged stays in its place, under a hash that no content has.
    """
    try:
        index = json.loads(index_path.read_text(encoding="utf-8"))
        held = values_path.stat().st_size // item
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(index, list):
        return []
    return [_entry(text, place) for place, text in enumerate(index[:held])]


def _entry(text: object, place: int) -> _Entry:
    content, _, digits = str(text).partition(":")
    try:
        return _Entry(content, int(digits, 16))
    except ValueError:
        return _Entry(f"damaged {place}", 0)


def _write_index(path: Path, index: Sequence[_Entry]) -> None:
    write_atomic(path, json.dumps([f"{content}:{crc:08x}" for content, crc in index]))


def _damaged(path: Path, index: Sequence[_Entry], item: int, places: Sequence[int]) -> list[int]:
    """Those places of a file that do not hold what their checksum says."""
    if not places:
        return []
    state, known = _checked.get(path, ((), {}))
    if state != _state(path):  # another process has written it, or something else has
        known = {}
    unknown = [place for place in places if known.get(place) != index[place]]
    if not unknown:
        return []
    values = np.memmap(path, np.uint8, "r", shape=(len(index), item))

    def is_whole(place: int) -> bool:
        return checksum(values[place].data, index[place].content) == index[place].checksum

    return [
        p for p, whole in zip(unknown, map_threads(is_whole, unknown), strict=True) if not whole
    ]


def _state(path: Path) -> tuple[int, ...]:
    status = path.stat()
    return status.st_ino, status.st_size, status.st_mtime_ns


@contextlib.contextmanager
def _exclusively(stem: Path) -> Iterator[Path]:
    """`stem` for this process alone, or a private one while another process works on it."""
    from filelock import FileLock, Timeout

    lock = FileLock(stem.with_suffix(".lock"), timeout=0)
    try:
        lock.acquire()
    except Timeout:
        with part_folder(stem) as private:
            yield private / stem.name
        return
    try:
        yield stem
    finally:
        lock.release()
