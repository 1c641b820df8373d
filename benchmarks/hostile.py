"""A served model and a review among strangers: good requests, and one in twenty that means harm.

Command   python -m benchmarks hostile
Data      photos of rooms, saved as JPEG of 320 x 240 pixels; a linear probe of them on Lite0
Expected  no answer of 500 and above (503 while it ends apart) but to none; every good photo
          answered with 200 or 429; memory in the end within a quarter of that after a twentieth;
          SIGTERM under full load ends each server within ten seconds

The harmful ones are files that keep decoders busy, uploads that are malformed or never end, headers
that trickle in, connections that say nothing, pages of other sites, other host names, and noise.
schemathesis then makes requests from both servers' own descriptions. The server may open 1,024
files, as is usual; a tenth of the harmful requests leave their connection open.
"""

from __future__ import annotations

import contextlib
import random
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.rows import Row, at_most
from benchmarks.served import MULTIPART, fit_rooms, multipart, photos_of_rooms, resident_mb
from tests.schema import ask_all
from tests.slow_images import SLOW

CLIENTS = 8
SIZE = (320, 240)
GROWTH = 1.25
END_S = 10.0
_LOST = 0  # in place of a status: the connection was closed

Ask = Callable[[str, random.Random], int]


def run(*, requests: int = 20_000, share: float = 0.05, examples: int = 200) -> list[Row]:
    """Statuses, memory, and how long it takes to end.

    Args:
        requests: to the server of the model, good and harmful; a tenth of it to the review.
        share: of harmful ones.
        examples: requests that schemathesis makes of each operation.
    """
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        out, photos = fit_rooms(Path(folder)), photos_of_rooms(SIZE)
        hostile = {**_bad_files(), **_bad_requests("/predict")}

        def good(host: str, chance: random.Random) -> int:
            return _send(host, "/predict", multipart(chance.choice(photos)), MULTIPART)

        with _server("serve", out, "--port", "0", "--corrections") as (process, url):
            rows = _among_strangers("serve", process, url, good, hostile, requests, share)
            rows += _described("serve", url, examples)
            rows.append(_ended("serve", process, url, good, hostile))
        with _server("review", out, "--no-browser") as (process, url):
            start = url.partition("/")[2] + "start"

            def look(host: str, _: random.Random) -> int:
                return _send(host, f"/{start}", None, {})

            hostile = _bad_requests(f"/{start.removesuffix('start')}decide")
            rows += _among_strangers("review", process, url, look, hostile, requests // 10, share)
            rows += _described("review", url, examples)
            rows.append(_ended("review", process, url, look, hostile))
    return rows


def _among_strangers(
    name: str,
    process: subprocess.Popen[str],
    url: str,
    good: Ask,
    hostile: Mapping[str, Ask],
    requests: int,
    share: float,
) -> list[Row]:
    host = url.partition("/")[0]
    first = requests // 20
    before = _load(host, good, hostile, first, share)
    early = resident_mb(process.pid)
    told, answers = _load(host, good, hostile, requests - first, share)
    late = resident_mb(process.pid)
    told, answers = told + before[0], answers + before[1]
    failed = sum(count for status, count in (told + answers).items() if status >= 500)
    refused = sum(count for status, count in told.items() if status not in (200, 429))
    return [
        at_most(
            f"{name}: {requests:,} requests, {share:.0%} harmful: answers of 500 and above",
            failed,
            0,
            measured=f"{failed} (good: {_shown(told)}; harmful: {_shown(answers)})",
            target="none",
        ),
        at_most(f"{name}: good ones without 200 or 429", refused, 0, measured=str(refused)),
        at_most(
            f"{name}: resident memory in the end / after {first:,}",
            late / early,
            GROWTH,
            measured=f"{late / early:.2f} times ({early:.0f} and {late:.0f} MB)",
            target=f"at most {GROWTH:g} times",
        ),
    ]


def _described(name: str, url: str, examples: int) -> list[Row]:
    statuses = ask_all(f"http://{url}", examples=examples)
    return [Row(f"{name}: schemathesis", f"{statuses.total():,} requests: {_shown(statuses)}")]


def _ended(
    name: str, process: subprocess.Popen[str], url: str, good: Ask, hostile: Mapping[str, Ask]
) -> Row:
    """Seconds from SIGTERM to the end while all clients go on asking."""
    threads = [
        threading.Thread(target=_keep_asking, args=(url.partition("/")[0], good, hostile, process))
        for _ in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    time.sleep(3)
    told = time.monotonic()
    process.send_signal(signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=120)
    took = time.monotonic() - told
    for thread in threads:
        thread.join()
    measured = f"{took:.1f} s (exit code {process.returncode})"
    return at_most(f"{name}: SIGTERM under load", took, END_S, measured=measured, target="10 s")


def _keep_asking(
    host: str, good: Ask, hostile: Mapping[str, Ask], process: subprocess.Popen[str]
) -> None:
    chance = random.Random(threading.get_ident())
    while process.poll() is None:
        ask = good if chance.random() < 0.5 else hostile[chance.choice(list(hostile))]
        ask(host, chance)


def _load(
    host: str, good: Ask, hostile: Mapping[str, Ask], requests: int, share: float
) -> tuple[Counter[int], Counter[int]]:
    """Statuses of good requests, and of harmful ones."""
    told: Counter[int] = Counter()
    answers: Counter[int] = Counter()
    names, lock, left = list(hostile), threading.Lock(), iter(range(requests))

    def client(seed: int) -> None:
        chance = random.Random(seed)
        while True:
            with lock:
                number = next(left, None)
            if number is None:
                return
            is_good = chance.random() >= share
            status = (good if is_good else hostile[names[number % len(names)]])(host, chance)
            with lock:
                (told if is_good else answers)[status] += 1

    threads = [threading.Thread(target=client, args=(seed,)) for seed in range(CLIENTS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return told, answers


# --- requests


def _bad_files() -> dict[str, Ask]:
    """Uploads of files that keep decoders busy, those of 32 MB and more left out."""
    made = {name: make() for name, make in SLOW.items()}

    def upload(data: bytes) -> Ask:
        return lambda host, _: _send(host, "/predict", multipart(data), MULTIPART)

    return {name: upload(data) for name, data in made.items() if len(data) < 32_000_000}


def _bad_requests(path: str) -> dict[str, Ask]:
    """Requests that are harmful whatever is served at a path."""
    body = b"--x\r\nContent-Disposition: form-data; name=files; filename=a\r\n\r\n" + bytes(2_000)

    def with_headers(**headers: str) -> Ask:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return lambda host, _: _send(host, path, body + b"\r\n--x--\r\n", {**MULTIPART, **named})

    def with_body(data: bytes, kind: str = "multipart/form-data; boundary=x") -> Ask:
        return lambda host, _: _send(host, path, data, {"content-type": kind})

    def raw(data: bytes, *, stays: bool = False) -> Ask:
        return lambda host, _: _raw(host, data, stays=stays)

    def noise(host: str, chance: random.Random) -> int:
        return _raw(host, chance.randbytes(chance.randrange(1, 3_000)))

    head = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n".encode()
    return {
        "page of another site": with_headers(origin="https://evil.example"),
        "page without an origin": with_headers(origin="null"),
        "cross-site form": with_headers(sec_fetch_site="cross-site"),
        "another name": with_headers(host="evil.example"),
        "user before the name": with_headers(host="evil@127.0.0.1"),
        "no photo": with_body(body + b"\r\n--x--\r\n"),
        "no end": with_body(body),
        "other boundary": with_body(b"--y\r\n\r\n\r\n--y--\r\n"),
        "not multipart": with_body(b"\0" * 3_000),
        "text": with_body(b"a=b", "text/plain"),
        "json": with_body(b"[" * 10_000, "application/json"),
        "too large": raw(head + b"Content-Length: 999999999999\r\n\r\n"),
        "two lengths": raw(head + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\na"),
        "no length": raw(head + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n"),
        "long header": raw(head + b"X: " + b"y" * 100_000 + b"\r\n\r\n"),
        "half a header": raw(head, stays=True),
        "half a body": raw(head + b"Content-Length: 5000\r\n\r\n" + body[:500], stays=True),
        "silence": raw(b"", stays=True),
        "websocket": raw(head + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
        "noise": noise,
    }


def _send(host: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> int:
    connection = HTTPConnection(host, timeout=120)
    try:
        connection.request("GET" if body is None else "POST", path, body, dict(headers))
        answer = connection.getresponse()
        answer.read()
        return answer.status
    except (OSError, HTTPException):
        return _LOST
    finally:
        connection.close()


_open: list[socket.socket] = []


def _raw(host: str, data: bytes, *, stays: bool = False) -> int:
    name, _, port = host.partition(":")
    try:
        connection = socket.create_connection((name, int(port)), timeout=120)
    except OSError:
        return _LOST
    try:
        connection.sendall(data)
        if stays:
            _open.append(connection)
            return _LOST
        connection.shutdown(socket.SHUT_WR)
        found = re.match(rb"HTTP/1\.1 (\d{3})", connection.recv(200))
        return int(found[1]) if found else _LOST
    except OSError:
        return _LOST
    finally:
        if not stays:
            connection.close()


# --- servers


@contextlib.contextmanager
def _server(command: str, *options: object) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server with 1,024 descriptors, and its address without "http://"."""
    words = " ".join(["exec", sys.executable, "-m", "regraft", command, *map(str, options)])
    process = subprocess.Popen(
        ["sh", "-c", f"ulimit -n 1024; {words}"], stderr=subprocess.PIPE, text=True
    )
    try:
        assert process.stderr is not None
        found = re.search(r"http://(\S+/)", process.stderr.readline())
        assert found is not None
        host = found[1].partition("/")[0]
        while _send(host, "/", None, {}) == _LOST:
            time.sleep(0.1)
        yield process, found[1]
    finally:
        process.kill()
        process.wait()
        while _open:
            _open.pop().close()


def _shown(statuses: Counter[int]) -> str:
    names = {_LOST: "closed"}
    return ", ".join(f"{names.get(s, s)} {count:,}" for s, count in sorted(statuses.items()))
