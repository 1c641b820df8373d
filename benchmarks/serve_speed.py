"""A served model under load, against bare ONNX Runtime in the same run.

Command   python -m benchmarks serve_speed
Data      photos of rooms, saved as JPEG of 640 x 480 pixels; a linear probe of them on Lite0
Expected  median of one client at most 25 ms; 16 clients at least 70 requests/s; memory after
          20,000 requests within a tenth of that after 1,000

The server is a process of its own. Clients are threads of another that keep their connections; they
take CPU from the server, as they would not from another machine. Bare ONNX Runtime decodes the same
files with Pillow and runs the same graph in one thread for a median, in two for a rate.
"""

from __future__ import annotations

import io
import json
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPConnection
from pathlib import Path

from PIL import Image

from benchmarks.rows import Row, at_least, at_most
from benchmarks.served import MULTIPART, fit_rooms, multipart, photos_of_rooms, resident_mb

MEDIAN_MS = 25.0
RATE = 70.0
GROWTH = 1.1
CLIENTS = 16
SIZE = (640, 480)


def run(*, singles: int = 300, seconds: float = 20.0, many: int = 20_000) -> list[Row]:
    """Latency, rate and memory.

    Args:
        singles: requests of one client.
        seconds: of load by all clients.
        many: requests after which memory is looked at.
    """
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        out, photos = fit_rooms(Path(folder)), photos_of_rooms(SIZE)
        bare_ms, bare_rate = _bare(out / "model" / "model.onnx", photos)
        serve = [sys.executable, "-m", "regraft", "serve", str(out), "--port", "0"]
        with subprocess.Popen(serve, stderr=subprocess.PIPE, text=True) as server:
            try:
                assert server.stderr is not None
                address = re.search(r"http://(\S+?)/", server.stderr.readline())
                assert address is not None
                host = address[1]
                _ask(host, photos[:20])
                median = _ask(host, (photos * (singles // len(photos) + 1))[:singles])
                done, took = _load(host, photos, seconds)
                memory = _after(host, photos, server.pid, many)
            finally:
                server.terminate()
                server.wait(timeout=60)
    rate = done / took
    return [
        at_most(
            "median of one client, a 640 x 480 JPEG",
            median,
            MEDIAN_MS,
            measured=f"{median:.1f} ms, {median / bare_ms:.2f} times bare ONNX Runtime",
            target=f"at most {MEDIAN_MS:g} ms",
        ),
        at_least(
            f"{CLIENTS} clients for {seconds:g} s",
            rate,
            RATE,
            measured=f"{rate:.0f} requests/s, {rate / bare_rate:.0%} of bare ONNX Runtime",
            target=f"at least {RATE:g} requests/s",
        ),
        Row("bare ONNX Runtime, decoding included", f"{bare_ms:.1f} ms; {bare_rate:.0f} photos/s"),
        at_most(
            f"resident memory after {many:,} requests / after {many // 20:,}",
            memory[1] / memory[0],
            GROWTH,
            measured=f"{memory[1] / memory[0]:.2f} times ({memory[0]:.0f} and {memory[1]:.0f} MB)",
            target=f"at most {GROWTH:g} times",
        ),
    ]


def _bare(graph: Path, photos: list[bytes]) -> tuple[float, float]:
    """Milliseconds of a photo on one thread, photos a second on two."""
    import numpy as np
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(str(graph), options)

    def predict(data: bytes) -> float:
        started = time.perf_counter()
        with Image.open(io.BytesIO(data)) as photo:
            session.run(None, {"image": np.asarray(photo.convert("RGB"))})
        return time.perf_counter() - started

    times = [predict(data) for data in photos * 3]
    with ThreadPoolExecutor(2) as pool:
        started = time.perf_counter()
        list(pool.map(predict, photos * 10))
        rate = 10 * len(photos) / (time.perf_counter() - started)
    return 1_000 * statistics.median(times), rate


def _ask(host: str, photos: list[bytes]) -> float:
    """Median milliseconds of requests one after the other on one connection."""
    connection, times = HTTPConnection(host), []
    for data in photos:
        started = time.perf_counter()
        connection.request("POST", "/predict", multipart(data), MULTIPART)
        answer = connection.getresponse()
        assert json.loads(answer.read())["results"], answer.status
        times.append(time.perf_counter() - started)
    connection.close()
    return 1_000 * statistics.median(times)


def _load(host: str, photos: list[bytes], seconds: float, most: int = 10**9) -> tuple[int, float]:
    """Requests of all clients together, and the seconds they took."""
    ends = time.monotonic() + seconds
    done = [0] * CLIENTS

    def client(number: int) -> None:
        connection = HTTPConnection(host)
        while time.monotonic() < ends and sum(done) < most:
            connection.request(
                "POST", "/predict", multipart(photos[done[number] % len(photos)]), MULTIPART
            )
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200, answer.status
            done[number] += 1
        connection.close()

    threads = [threading.Thread(target=client, args=(i,)) for i in range(CLIENTS)]
    started = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(done), time.monotonic() - started


def _after(host: str, photos: list[bytes], process: int, many: int) -> tuple[float, float]:
    """Resident MB after a twentieth of the requests and after all of them."""
    first = many // 20
    _load(host, photos, 3_600, first)
    early = resident_mb(process)
    _load(host, photos, 3_600, many - first)
    return early, resident_mb(process)
