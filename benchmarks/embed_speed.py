"""Images per second of `embed`, against plain PyTorch and against ONNX Runtime alone.

Command   python -m benchmarks embed_speed
Data      212 photos of rooms (299 x 299) and the 372 test photos of clothing (400 x 534 or so)
Expected  on 2 cores about 120 images/s, 5 times plain PyTorch and 85 % of ONNX Runtime alone

    embed           `regraft.embed` with an empty feature cache: read, check the hash, decode,
                    transform, network, store; the graph was exported before
    plain PyTorch   see `plain_torch`; the best of 0, 1 and 2 worker processes
    ONNX Runtime    the same graph on photos that already lie decoded in memory, with default
                    settings and as many threads: the faster of one call a thread and one call
                    on all threads
    forward only    both runtimes on ready pixels, to see where the difference comes from

All take turns in one process, and the features of the first two are compared.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

import regraft as rg
from benchmarks.data import own_cache, photo_folder
from benchmarks.plain_torch import PlainTorch
from benchmarks.rows import Row, at_least, spread_text
from benchmarks.timing import seconds_of, take_turns
from regraft.backbones.backbone import Backbone, image_transform
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.backbones.graphs import embedding_graph, network_graph
from regraft.kinds.base import read_input
from regraft.kinds.images.decoding import decode
from regraft.storage.cache import clear_cache
from regraft.workers import available_cores

TIMES_PLAIN_TORCH = 4.0
SHARE_OF_ONNX_RUNTIME = 0.75
SAME_FEATURES = 0.98  # cosine; the two decode and resize with different libraries

Session = Callable[[NDArray[Any]], object]


def run(*, repeats: int = 3, photos: int | None = None, jobs: int | None = None) -> list[Row]:
    """Speeds, ratios, and how alike the features are.

    Args:
        repeats: turns of every case.
        photos: of each set at the most.
        jobs: threads of regraft and ONNX Runtime; None for one a core.
    """
    jobs = jobs or available_cores()
    parts = [
        _distinct(rg.scan(photo_folder("rooms")), photos),
        _distinct(rg.scan(photo_folder("clothing") / "test"), photos),
    ]
    paths = [part.absolute(row) for part in parts for row in part.rows]
    backbone = rg.get_backbone(DEFAULT_BACKBONE)
    with own_cache():
        torch_loop = PlainTorch.load(backbone)
        embedding_graph(backbone)
        cosine = _cosine(_embed(parts, jobs), torch_loop.features(paths, workers=0))
        cases: dict[str, Callable[[], float]] = {
            "embed": partial(_time_embed, parts, jobs),
            **_torch_cases(torch_loop, paths),
            **_onnx_cases(backbone, paths, jobs),
            **_forward_cases(torch_loop, backbone, images=len(paths), jobs=jobs),
        }
        speeds = {
            name: [len(paths) / seconds for seconds in times]
            for name, times in take_turns(cases, repeats=repeats).items()
        }
    return [*_ratio_rows(speeds, jobs), *_speed_rows(speeds, len(paths)), _alike_row(cosine)]


def _distinct(data: rg.Dataset, limit: int | None) -> rg.Dataset:
    """Usable rows, each content once, so that every path computes the same number of images."""
    rows = {row.sha256: row for row in data.ok}
    return rg.Dataset.from_rows(data.root, list(rows.values())[:limit])


def _embed(parts: Sequence[rg.Dataset], jobs: int) -> NDArray[np.float32]:
    return np.concatenate([rg.embed(part, DEFAULT_BACKBONE, jobs=jobs) for part in parts])


def _time_embed(parts: Sequence[rg.Dataset], jobs: int) -> float:
    clear_cache(["features"])
    return seconds_of(lambda: _embed(parts, jobs))


def _torch_cases(loop: PlainTorch, paths: Sequence[Path]) -> dict[str, Callable[[], float]]:
    def time_loop(workers: int) -> float:
        return seconds_of(lambda: loop.features(paths, workers=workers))

    return {f"plain PyTorch, num_workers={n}": partial(time_loop, n) for n in (0, 1, 2)}


def _onnx_cases(
    backbone: Backbone, paths: Sequence[Path], jobs: int
) -> dict[str, Callable[[], float]]:
    pictures = [decode(read_input(path)) for path in paths]
    graph = embedding_graph(backbone)
    single, joint = _session(graph, threads=1), _session(graph, threads=jobs)
    return {
        f"ONNX Runtime, {jobs} calls of 1 thread": partial(_time_pool, single, pictures, jobs),
        f"ONNX Runtime, 1 call of {jobs} threads": partial(_time_pool, joint, pictures, 1),
    }


def _forward_cases(
    loop: PlainTorch, backbone: Backbone, *, images: int, jobs: int
) -> dict[str, Callable[[], float]]:
    size = image_transform(backbone).image_size_px
    random = np.random.default_rng(0)
    pixels = random.uniform(-1, 1, (images, 3, size, size)).astype(np.float32)
    session = _session(network_graph(backbone), threads=1)
    one_by_one = [pixels[i : i + 1] for i in range(images)]
    return {
        "forward only, PyTorch": lambda: seconds_of(lambda: loop.forward(pixels)),
        "forward only, ONNX Runtime": partial(_time_pool, session, one_by_one, jobs),
    }


def _session(graph: Path, *, threads: int) -> Session:
    """ONNX Runtime with nothing set but the number of threads of a call."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda array: session.run(None, {name: array})


def _time_pool(session: Session, arrays: Sequence[NDArray[Any]], callers: int) -> float:
    with ThreadPoolExecutor(callers) as pool:
        return seconds_of(lambda: list(pool.map(session, arrays)))


def _cosine(first: NDArray[np.float32], second: NDArray[np.float32]) -> float:
    """The median over images of the cosine between two sets of features (n, d)."""
    lengths = np.linalg.norm(first, axis=1) * np.linalg.norm(second, axis=1)
    return float(np.median((first * second).sum(axis=1) / lengths))


def _ratio_rows(speeds: Mapping[str, Sequence[float]], jobs: int) -> list[Row]:
    embed = median(speeds["embed"])
    torch_name, torch_speed = _fastest(speeds, "plain PyTorch")
    onnx_name, onnx_speed = _fastest(speeds, "ONNX Runtime")
    return [
        at_least(
            f"embed / {torch_name}",
            embed / torch_speed,
            TIMES_PLAIN_TORCH,
            measured=f"{embed / torch_speed:.2f} times",
            target=f"at least {TIMES_PLAIN_TORCH:g} times",
        ),
        at_least(
            f"embed with {jobs} threads / {onnx_name}, photos already decoded",
            embed / onnx_speed,
            SHARE_OF_ONNX_RUNTIME,
            measured=f"{100 * embed / onnx_speed:.0f} %",
            target=f"at least {100 * SHARE_OF_ONNX_RUNTIME:g} %",
        ),
    ]


def _fastest(speeds: Mapping[str, Sequence[float]], prefix: str) -> tuple[str, float]:
    """The case with the highest median among those whose name begins so."""
    middle = {name: median(values) for name, values in speeds.items() if name.startswith(prefix)}
    best = max(middle, key=lambda name: middle[name])
    return best, middle[best]


def _speed_rows(speeds: Mapping[str, Sequence[float]], images: int) -> list[Row]:
    return [
        Row(f"{name}, {images} photos", spread_text(values, digits=0, unit="images/s"))
        for name, values in speeds.items()
    ]


def _alike_row(cosine: float) -> Row:
    return at_least(
        "median cosine between features of embed and of plain PyTorch",
        cosine,
        SAME_FEATURES,
        measured=f"{cosine:.4f}",
    )
