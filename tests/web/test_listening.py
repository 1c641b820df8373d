"""Real sockets: who says nothing, says it slowly, says nonsense, or takes no answer."""

from __future__ import annotations

import contextlib
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from regraft.web.guards import Guard
from regraft.web.listening import Listener

WAIT_S = 0.4
CONNECTIONS = 8
GOOD = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
    while scope["method"] == "POST" and (await receive()).get("more_body"):
        pass
    size = 30_000_000 if scope["path"] == "/large" else 8
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"answered"[:1] * size})


@contextlib.contextmanager
def listening(**options: Any) -> Iterator[int]:
    listener = Listener("127.0.0.1", 0, **options)
    app = Guard(application, body_bytes=10_000, body_s=WAIT_S, requests=16)
    thread = threading.Thread(target=listener.serve, args=(app,), daemon=True)
    thread.start()
    try:
        yield listener.port
    finally:
        listener.stop()
        thread.join(timeout=20)
        listener.close()
        assert not thread.is_alive()


@pytest.fixture
def port() -> Iterator[int]:
    with listening(wait_s=WAIT_S, connections=CONNECTIONS) as number:
        yield number


def connected(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=20)


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes; nothing where it was reset."""
    heard = b""
    with contextlib.suppress(ConnectionError):
        while some := connection.recv(65_536):
            heard += some
    return heard


def is_answered(port: int) -> bool:
    with connected(port) as connection:
        connection.sendall(GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        return everything(connection).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"GET",
        GOOD[:-2],
        GOOD[:-2] + b"X-A: b\r\n",
        GOOD,  # answered, then silent
        GOOD + b"GET / HT",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",  # TLS
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nsome",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
        b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 100\r\n\r\nsome",
    ],
)
def test_who_says_no_more_is_left(port: int, said: bytes) -> None:
    with connected(port) as connection:
        connection.sendall(said)
        heard = everything(connection)  # ends, because the server closes
    if said.startswith(b"POST"):
        assert heard.startswith(b"HTTP/1.1 408 ")
    assert is_answered(port)


def test_headers_that_trickle_in_are_no_way_to_stay(port: int) -> None:
    with connected(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n")
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 1_000:  # ends, because the server closes
                connection.sendall(b"X: y\r\n")
                sent += 1
                time.sleep(WAIT_S / 20)
        assert sent < 1_000


def test_who_takes_no_answer_is_left(port: int) -> None:
    with connected(port) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
        connection.sendall(GOOD.replace(b"/ ", b"/large ", 1))
        time.sleep(4 * WAIT_S)
        assert len(everything(connection)) < 30_000_000


def test_a_large_answer_that_is_taken_slowly_arrives() -> None:
    with listening(wait_s=3.0) as port, connected(port) as connection:
        connection.sendall(GOOD.replace(b"/ ", b"/large ", 1))
        heard = 0
        while heard < 30_000_000:
            some = connection.recv(400_000)
            assert some
            heard += len(some)
            time.sleep(0.05)


def test_many_silent_connections_lock_nobody_out() -> None:
    with listening(wait_s=30.0, connections=CONNECTIONS) as port, contextlib.ExitStack() as open_:
        for _ in range(4 * CONNECTIONS):
            open_.enter_context(connected(port))
        for _ in range(3):
            assert is_answered(port)


@pytest.mark.parametrize("attempt", range(8))
def test_of_connections_that_came_at_once_the_first_are_closed(attempt: int) -> None:
    listener = Listener("127.0.0.1", 0, wait_s=30.0, connections=CONNECTIONS)
    app = Guard(application, body_bytes=10_000, body_s=WAIT_S, requests=16)
    thread = threading.Thread(target=listener.serve, args=(app,), daemon=True)
    with contextlib.ExitStack() as open_:
        for _ in range(4 * CONNECTIONS):
            open_.enter_context(connected(listener.port))
        last = open_.enter_context(connected(listener.port))
        last.sendall(GOOD.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        thread.start()  # which finds all of them waiting
        assert everything(last).startswith(b"HTTP/1.1 200 ")
    listener.stop()
    thread.join(timeout=20)
    listener.close()


def test_a_connection_that_is_used_stays_open() -> None:
    with listening(wait_s=5.0) as port, connected(port) as connection:
        for _ in range(4):
            connection.sendall(GOOD)
            heard = b""
            while not heard.endswith(b"aaaaaaaa\r\n0\r\n\r\n"):
                some = connection.recv(65_536)
                assert some
                heard += some
            time.sleep(0.2)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\0" * 1_000,
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        b"X" * 200_000,
        GOOD[:-2] + b"X: " + b"y" * 200_000 + b"\r\n\r\n",
        GOOD[:-2] + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\nzzz\r\n",
        b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        GOOD * 50 + b"nonsense\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    ],
)
def test_nonsense_is_refused_in_silence(
    port: int, nonsense: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    with connected(port) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(nonsense)
        assert b"HTTP/1.1 5" not in everything(connection)
    assert is_answered(port)
    assert capfd.readouterr().err == ""


# --- the end

SLEEPER = """
import sys, time, threading
from regraft.web.listening import Listener

async def application(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.startup":
                print("ready", flush=True)
            if kind == "lifespan.shutdown":
                time.sleep(1_000)  # as in a decoder: nothing can end it
            await send({"type": kind + ".complete"})

listener = Listener("127.0.0.1", 0)
print(listener.port, flush=True)
listener.serve(application)
"""


@pytest.mark.slow
@pytest.mark.parametrize("sent", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("times", [1, 2])
def test_it_ends_whatever_hinders_it(sent: signal.Signals, times: int) -> None:
    command = [sys.executable, "-c", SLEEPER]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline())
        assert process.stdout.readline() == "ready\n"
        connected(port).close()
        for _ in range(times):
            process.send_signal(sent)
            time.sleep(0.5)
        assert process.wait(timeout=60 if times == 1 else 8) == 128 + sent
