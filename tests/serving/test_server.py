"""The server as a process: where it listens, how it ends, what strangers can make of it."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest

import regraft as rg
from regraft.errors import UsageError
from regraft.serving import Server
from tests.commands import CommandLine, Started
from tests.schema import ask_all


@pytest.fixture(scope="module")
def model(made_once: Path) -> rg.Model:
    return rg.load(made_once / "run")


@pytest.fixture
def server(model: rg.Model) -> Iterator[Server]:
    """A server on a port of its own, in a thread."""
    with Server(model, port=0) as running:
        thread = threading.Thread(target=running.serve, daemon=True)
        thread.start()
        _wait_until_ready(running.url)
        yield running
        running.stop()
        thread.join(timeout=20)


def _wait_until_ready(url: str, within_s: float = 30.0) -> None:
    ends = time.monotonic() + within_s
    while True:
        try:
            with urllib.request.urlopen(f"{url}health", timeout=2) as answer:
                assert json.load(answer) == {"status": "ok"}
                return
        except OSError:
            assert time.monotonic() < ends, "the server did not start"
            time.sleep(0.05)


def _wait_until_busy(url: str) -> None:
    """Until a request with photos is under way."""
    ends = time.monotonic() + 30
    while "regraft_open_requests 0.0" in httpx.get(f"{url}metrics", timeout=20).text:
        assert time.monotonic() < ends, "no request came"
        time.sleep(0.01)


def _started(started: Started, run: Path, *options: str) -> tuple[subprocess.Popen[str], str]:
    process = started("serve", run, "--port", "0", *options)
    assert process.stderr is not None
    line = process.stderr.readline()
    found = re.fullmatch(r"page     (http://127\.0\.0\.1:\d+/)\n", line)
    assert found, line
    _wait_until_ready(found[1])
    return process, found[1]


def test_it_answers_over_a_socket(server: Server, model: rg.Model, made_once: Path) -> None:
    photo = next((made_once / "photos" / "clean").iterdir())
    with photo.open("rb") as file:
        answer = httpx.post(f"{server.url}predict", files={"files": (photo.name, file)})
    (expected,) = model.predict([photo])
    assert answer.json()["results"][0]["predicted"] == expected.predicted
    assert "server" not in answer.headers


def test_what_cannot_be_listened_on_is_said(model: rg.Model) -> None:
    with socket.socket() as busy:
        busy.bind(("127.0.0.1", 0))
        busy.listen()
        port = busy.getsockname()[1]
        with pytest.raises(UsageError, match=f"port {port} is in use; give another --port"):
            Server(model, port=port)
    with pytest.raises(UsageError, match="the port is 70000, expected 0 to 65535"):
        Server(model, port=70_000)
    with pytest.raises(UsageError, match=r"no address 203\.0\.113\.7; give another --host"):
        Server(model, host="203.0.113.7", port=0)
    with pytest.raises(UsageError, match=r"there is no address no\.such\.host\.invalid"):
        Server(model, host="no.such.host.invalid", port=0)


def test_only_a_local_server_is_local(model: rg.Model) -> None:
    with Server(model, port=0) as local:
        assert local.is_local
    with Server(model, host="0.0.0.0", port=0) as everywhere:
        assert not everywhere.is_local


def test_the_command_fails_in_one_line(
    regraft: CommandLine, tmp_path: Path, made_once: Path
) -> None:
    assert regraft("serve", tmp_path / "no").error.startswith("there is no folder")
    assert "expected more than 0" in regraft("serve", made_once / "run", "--max-body", "0").error


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sent", "code", "last"),
    [(signal.SIGINT, 0, "stopped"), (signal.SIGTERM, -signal.SIGTERM, None)],
)
def test_requests_under_way_are_answered_before_it_ends(
    started: Started, made_once: Path, sent: signal.Signals, code: int, last: str | None
) -> None:
    process, url = _started(started, made_once / "run")
    photos = [path.read_bytes() for path in sorted((made_once / "photos").rglob("*.jpg"))]

    def ask(number: int) -> int:
        files = [("files", (f"{i}.jpg", photos[(number + i) % len(photos)])) for i in range(8)]
        try:
            return httpx.post(f"{url}predict", files=files, timeout=60).status_code
        except httpx.TransportError:  # it listens no more
            return 0

    with ThreadPoolExecutor(8) as clients:
        answers = [clients.submit(ask, number) for number in range(24)]
        _wait_until_busy(url)
        process.send_signal(sent)
        codes = [answer.result() for answer in answers]
    _, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert "Traceback" not in err
    assert set(codes) <= {0, 200}
    assert 200 in codes
    if last:
        assert err.splitlines()[-1] == last


@pytest.mark.slow
def test_a_slow_client_keeps_nobody_waiting(started: Started, made_once: Path) -> None:
    process, url = _started(started, made_once / "run", "--max-seconds", "1")
    port = int(url.rstrip("/").rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000\r\n"
            b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x"
        )
        photo = next((made_once / "photos" / "clean").iterdir())
        files = {"files": (photo.name, photo.read_bytes())}
        assert httpx.post(f"{url}predict", files=files, timeout=20).status_code == 200
        assert slow.recv(100).startswith(b"HTTP/1.1 408 ")
    process.terminate()
    process.communicate(timeout=30)


@pytest.mark.slow
def test_more_silent_connections_than_descriptors_lock_nobody_out(
    started: Started, made_once: Path
) -> None:
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (1_024, before[1]))
    try:
        process, url = _started(started, made_once / "run")
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    address = ("127.0.0.1", int(url.rstrip("/").rpartition(":")[2]))
    with ExitStack() as open_:
        for number in range(min(1_100, before[0] - 200)):
            connection = open_.enter_context(socket.create_connection(address, timeout=20))
            if number % 2:
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: 127")
        for _ in range(5):
            _wait_until_ready(url)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert all(line.startswith("try ") for line in err.splitlines())


@pytest.mark.slow
def test_malformed_uploads_fill_no_log(started: Started, made_once: Path) -> None:
    process, url = _started(started, made_once / "run")
    headers = {"content-type": "multipart/form-data; boundary=-------------x"}
    bodies = (
        b"-----------y\r\n",
        b"--",
        b"---------------x\r\nContent-Disposition\r\n\r\n",
        b"\0" * 99,
    )
    with httpx.Client(timeout=20) as client:
        for number in range(200):
            body = bodies[number % len(bodies)]
            answer = client.post(f"{url}predict", content=body, headers=headers)
            assert answer.status_code in (400, 422)
    process.terminate()
    _, err = process.communicate(timeout=30)
    assert all(line.startswith("try ") for line in err.splitlines())


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_no_request_that_fits_the_description_breaks_it(server: Server) -> None:
    statuses = ask_all(server.url, examples=60)
    assert statuses.total() > 50
