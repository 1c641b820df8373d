"""A Dataset and a backbone in, features out: float32 (n, d), memory-mapped, cached by content.

Each worker thread reads a file, checks that its content is still the one that was scanned,
decodes it and runs the backbone, so decoding and inference share the cores without copies.
Results go to a store on disk keyed by content: the same photo elsewhere is a hit; other
weights, another transform, engine or precision is another store.

The store is one file for each feature space, see `cache`.
"""

from __future__ import annotations

import contextlib
import hashlib
import itertools
import math
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.backbone import Backbone, graph_key, remember_speed
from regraft.backbones.depths import depths_graph, depths_of
from regraft.backbones.graphs import embedding_graph, network_graph
from regraft.backbones.sources import get_backbone
from regraft.dataset import Dataset, Row
from regraft.engines.base import Engine
from regraft.engines.devices import load_graph
from regraft.errors import StorageError, UnreadableInputError
from regraft.kinds.base import Transform, read_input
from regraft.kinds.images.decoding import decode
from regraft.progress import Progress, silent
from regraft.storage.cache import ContentStore
from regraft.storage.files import (
    cache_dir,
    make_folder,
)
from regraft.workers import available_cores, map_threads

FeatureArray = NDArray[np.float32]
T = TypeVar("T")

_HAS_FILE = frozenset({"ok", "unlabelled", "excluded", "conflict"})
_READ_AT_ONCE = 4_096  # inputs that are put together by their shape
_POSITIONS_AT_ONCE = 512  # tokens of a batch; more of them gain nothing
_SPEED_SAMPLE = 64  # images before a measured speed is worth remembering


@dataclass(frozen=True, slots=True)
class Embedding:
    """Features of the rows that were asked for, in their order.

    `features` is float32 (n, d); a row that could not be read is NaN and `failures` says why,
    by path. `cached` rows came from the store.
    """

    features: FeatureArray
    failures: Mapping[str, str]
    cached: int
    seconds: float
    warning: str = ""

    def __repr__(self) -> str:
        rows, width = self.features.shape
        return f"Embedding({rows:,} rows of {width:,} features, {len(self.failures):,} unreadable)"


def embed(
    data: Dataset,
    backbone: str | Backbone,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> FeatureArray:
    """Features of every row of `data`, float32 (n, d), aligned with `data.rows`.

    A row without a readable image is NaN. The array is memory-mapped, so a few million rows
    need no more memory than a few hundred.

    Args:
        data: what `scan` returned.
        backbone: a name, see `backbones.sources`, or a Backbone with its transform.
        jobs: worker threads; None for one a core.
        progress: told how many images are done.

    Raises:
        BackboneError: the backbone is unknown or its weights are missing.
        StorageError: the cache folder cannot be written at all.
    """
    return embed_rows(data, data.rows, backbone, jobs=jobs, progress=progress).features


def embed_rows(
    data: Dataset,
    rows: Sequence[Row],
    backbone: str | Backbone,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Embedding:
    """Like `embed`, for some rows of `data`, and with the reasons of those that failed."""
    if isinstance(backbone, str):
        backbone = get_backbone(backbone)
    store, graph = _last_store(backbone), embedding_graph(backbone, progress=progress)
    if backbone.transform.is_batchable:
        graph = network_graph(backbone)
    return _embed(data, rows, backbone, store, graph, jobs=jobs, progress=progress)


def embed_depths(
    data: Dataset,
    rows: Sequence[Row],
    backbone: Backbone,
    *,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Embedding:
    """Like `embed_rows`, with statistics of every depth, float16 (n, d); see `backbones.depths`.

    The features of the last layer are among them, and are kept for `embed_rows` as well.
    """
    store = _depth_store(backbone, progress=progress)
    graph = depths_graph(backbone, progress=progress)
    return _embed(data, rows, backbone, store, graph, jobs=jobs, progress=progress)


def _embed(
    data: Dataset,
    rows: Sequence[Row],
    backbone: Backbone,
    store: FeatureStore,
    graph: Path,
    *,
    jobs: int | None,
    progress: Progress,
) -> Embedding:
    """What a graph makes of some rows, each content once, and only of what the store lacks.

    `graph` takes a batch where the transform says that inputs can be one, else an input.
    """
    phase = f"features of {backbone.name}"
    features = _allocate(len(rows), store.width, store.dtype)
    failures: dict[str, str] = {}
    started = time.monotonic()

    with contextlib.closing(store):
        first: dict[str, int] = {}  # row of each content; its copies are rare and kept apart
        copies: dict[int, list[int]] = {}
        for i, row in enumerate(rows):
            if row.status not in _HAS_FILE or not row.sha256:
                features[i] = np.nan
            elif (at := first.setdefault(row.sha256, i)) != i:
                copies.setdefault(at, []).append(i)

        def with_copies(at: int) -> list[int]:
            return [at, *copies.get(at, ())]

        cached = 0
        for sha256, vector in store.read(first):
            where = with_copies(first.pop(sha256))
            features[where] = vector
            cached += len(where)
        missing = len(first)
        done = len(rows) - sum(len(with_copies(at)) for at in first.values())
        progress(phase, done, len(rows))

        computing_from = time.monotonic()
        if missing:
            tasks = ((i, str(data.absolute(rows[i])), sha256) for sha256, i in first.items())
            compute = _compute_stacked if backbone.transform.is_batchable else _compute
            for i, outcome in compute(load_graph(graph), backbone.transform, tasks, jobs):
                where = with_copies(i)
                if not isinstance(outcome, str) and not np.isfinite(outcome).all():
                    outcome = f"{backbone.name} makes no finite numbers of it"
                if isinstance(outcome, str):
                    features[where] = np.nan
                    failures.update((rows[j].path, outcome) for j in where)
                else:
                    features[where] = outcome
                    store.write(rows[i].sha256, outcome)
                done += len(where)
                progress(phase, done, len(rows))
        computed_in = time.monotonic() - computing_from
    is_usual = backbone.transform.views == ("plain",) and jobs in (None, available_cores())
    if missing - len(failures) >= _SPEED_SAMPLE and is_usual:
        with contextlib.suppress(Exception):  # a nicety: its loss must not end the job
            remember_speed(backbone, missing / computed_in)
    return Embedding(
        features=features,
        failures=failures,
        cached=cached,
        seconds=time.monotonic() - started,
        warning=store.warning,
    )


def count_missing(rows: Sequence[Row], backbone: Backbone, *, every_depth: bool = False) -> int:
    """How many different contents of `rows` have no features, of `every_depth`, in the cache."""
    wanted = {row.sha256 for row in rows if row.sha256 and row.status in _HAS_FILE}
    store = _depth_store(backbone) if every_depth else _last_store(backbone)
    with contextlib.closing(store):
        return len(wanted) - sum(1 for _ in store.read(wanted))


def measure_speed(
    backbone: Backbone, *, seconds: float = 2.0, progress: Progress = silent
) -> float:
    """Inputs per second on this machine, decoding included; kept for `regraft backbones`.

    A synthetic one, such as a 640 x 480 JPEG, is read and embedded again and again on every core.
    """
    graph = embedding_graph(backbone, progress=progress)
    engine, read = load_graph(graph), backbone.transform.read
    data = backbone.transform.sample()
    for _ in range(3):
        engine.run(read(data))
    deadline = time.monotonic() + seconds
    started = time.monotonic()

    def until_deadline() -> Iterator[bytes]:
        while time.monotonic() < deadline:
            yield data

    done = 0
    for _ in map_threads(lambda one: engine.run(read(one)), until_deadline()):
        done += 1
        progress(f"timing {backbone.name}", min(done, 10_000), 10_000)
    speed = done / (time.monotonic() - started)
    remember_speed(backbone, speed)
    return speed


def run_input(
    engine: Engine, transform: Transform, path: str | Path, *, sha256: str = ""
) -> tuple[NDArray[np.float32], ...]:
    """Read, decode and feed one file; the outputs of the graph.

    Raises:
        UnreadableInputError: the file cannot be decoded, or its content is not `sha256`.
    """
    return engine.run(transform.read(read_checked(path, sha256=sha256)))


def read_image(path: str | Path, *, sha256: str = "") -> NDArray[np.uint8]:
    """Read and decode one image: upright RGB, uint8 (height, width, 3).

    Raises:
        UnreadableInputError: the file cannot be decoded, or its content is not `sha256`.
    """
    return decode(read_checked(path, sha256=sha256))


def unreadable_images(
    data: Dataset, rows: Sequence[Row], *, jobs: int | None = None
) -> dict[str, str]:
    """Why some rows of `data` cannot be decoded in full, by path; the others are not in it."""

    def why(row: Row) -> str:
        try:
            read_image(data.absolute(row), sha256=row.sha256)
        except UnreadableInputError as error:
            return str(error)
        return ""

    reasons = zip(rows, map_threads(why, rows, jobs=jobs), strict=True)
    return {row.path: reason for row, reason in reasons if reason}


def read_checked(path: str | Path, *, sha256: str = "") -> bytes:
    """The bytes of a file.

    Raises:
        UnreadableInputError: it cannot be read, or its content is not `sha256`.
    """
    data = read_input(path)
    if sha256 and hashlib.sha256(data).hexdigest() != sha256:
        raise UnreadableInputError("the file changed while regraft was working; run again")
    return data


def _compute(
    engine: Engine,
    transform: Transform,
    tasks: Iterable[tuple[int, str, str]],
    jobs: int | None,
) -> Iterator[tuple[int, FeatureArray | str]]:
    """Features, or the reason of a failure, for each task in turn."""

    def work(task: tuple[int, str, str]) -> tuple[int, FeatureArray | str]:
        i, path, sha256 = task
        return i, _or_reason(lambda: run_input(engine, transform, path, sha256=sha256)[0])

    return map_threads(work, tasks, jobs=jobs)


def _or_reason(work: Callable[[], T]) -> T | str:
    """What `work` returns, or why it fails: one input must not stop the others."""
    try:
        return work()
    except UnreadableInputError as error:
        return str(error)
    except Exception as error:
        return f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"


def _compute_stacked(
    engine: Engine,
    transform: Transform,
    tasks: Iterable[tuple[int, str, str]],
    jobs: int | None,
) -> Iterator[tuple[int, FeatureArray | str]]:
    """As `_compute`, inputs of one shape together: a network takes less for each in a batch.

    So many inputs are read at once that most shapes are there several times; results come in
    another order than the tasks. What the cache held, and so who is in a batch, must not show in
    the features: ONNX Runtime sums a batch of one in another order than larger ones, and these in
    one order (measured from 2 to 64, word vectors and MiniLM). So one that is alone goes twice.
    """

    def read(task: tuple[int, str, str]) -> tuple[int, NDArray[Any] | str]:
        i, path, sha256 = task
        return i, _or_reason(lambda: transform.read(read_checked(path, sha256=sha256)))

    def work(batch: list[tuple[int, NDArray[Any]]]) -> list[tuple[int, FeatureArray | str]]:
        arrays = [array for _, array in batch]
        if len(batch) == 1 and most_at_once(arrays[0].shape) > 1:
            arrays *= 2
        try:
            features = engine.run(np.stack(arrays))[0]
            return [(i, one) for (i, _), one in zip(batch, features, strict=False)]
        except Exception as error:
            if len(batch) > 1:
                return [outcome for one in batch for outcome in work([one])]
            what = f"{type(error).__name__}: {str(error).partition(chr(10))[0]}"
            return [(batch[0][0], what)]

    def most_at_once(shape: tuple[int, ...]) -> int:
        return max(1, _POSITIONS_AT_ONCE // max(1, math.prod(shape)))

    tasks = iter(tasks)
    while block := list(itertools.islice(tasks, _READ_AT_ONCE)):
        by_shape: defaultdict[tuple[int, ...], list[tuple[int, NDArray[Any]]]] = defaultdict(list)
        for i, array in map_threads(read, block, jobs=jobs):
            if isinstance(array, str):
                yield i, array
            else:
                by_shape[array.shape].append((i, array))
        batches = []
        for shape, alike in by_shape.items():
            most = most_at_once(shape)
            batches += [alike[at : at + most] for at in range(0, len(alike), most)]
        for outcomes in map_threads(work, batches, jobs=jobs):
            yield from outcomes


def _allocate(n: int, width: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
    """An array (n, width) backed by an unnamed file in the cache folder.

    Space is reserved first: without it a full disk would end the process at the first touch of
    a missing page. If it cannot be had, the array lives in memory.
    """
    if n == 0:
        return np.empty((0, width), dtype=dtype)
    size = n * width * np.dtype(dtype).itemsize
    try:
        folder = make_folder(cache_dir() / "features")
        with tempfile.TemporaryFile(dir=folder) as file:
            if hasattr(os, "posix_fallocate"):
                os.posix_fallocate(file.fileno(), 0, size)
            else:
                file.truncate(size)
            return np.memmap(file, dtype=dtype, mode="r+", shape=(n, width))
    except (OSError, StorageError):
        return np.empty((n, width), dtype=dtype)


class FeatureStore:
    """Vectors of one feature space on disk, by SHA-256 of the content; see `ContentStore`."""

    def __init__(self, key: str, width: int, dtype: type[np.floating[Any]] = np.float32) -> None:
        self.width, self.dtype = width, dtype
        self._store = ContentStore("features", key)

    @property
    def warning(self) -> str:
        """Why nothing more is kept; "" while all is well."""
        return self._store.warning

    def read(self, keys: Iterable[str]) -> Iterator[tuple[str, NDArray[Any]]]:
        """The vectors that are there, in no particular order."""
        stored = np.dtype(self.dtype).newbyteorder("<")
        for sha256, blob in self._store.read(keys):
            if len(blob) == self.width * stored.itemsize:
                yield sha256, np.frombuffer(blob, dtype=stored)

    def write(self, sha256: str, vector: FeatureArray) -> None:
        """Keep a vector; it is on disk after the next commit."""
        stored = np.dtype(self.dtype).newbyteorder("<")
        self._store.write(sha256, vector.astype(stored).tobytes())

    def close(self) -> None:
        """Commit what is pending and close."""
        self._store.close()


def _last_store(backbone: Backbone) -> FeatureStore:
    return FeatureStore(graph_key(backbone), backbone.feature_width)


def _depth_store(backbone: Backbone, *, progress: Progress = silent) -> FeatureStore:
    width = sum(depth.width for depth in depths_of(backbone, progress=progress))
    return _DepthStore(backbone, width)


class _DepthStore(FeatureStore):
    """Statistics of every depth in half precision; beside them the last layer as it is."""

    def __init__(self, backbone: Backbone, width: int) -> None:
        super().__init__(f"{graph_key(backbone)}-depths", width, np.float16)
        self._last = _last_store(backbone)

    def write(self, sha256: str, vector: FeatureArray) -> None:
        """Keep both; the last layer is what the vector ends with."""
        largest = float(np.finfo(np.float16).max)
        super().write(sha256, np.clip(vector, -largest, largest))
        self._last.write(sha256, vector[-self._last.width :])

    def close(self) -> None:
        """Commit what is pending in both and close."""
        self._last.close()
        super().close()
