"""What comes before every answer of a server: who may ask, how much, for how long.

A plain ASGI middleware around an application: it refuses with a line of JSON and adds the headers
that keep a browser from loading anything from elsewhere.

Who is kept out:

- A page of another site in the browser of somebody who may ask. Browsers name the page that a
  request comes from (`Origin`), and how near it is (`Sec-Fetch-Site`); what comes from another one
  is refused, but for a link that is followed. Programs send neither, and are answered.
- A page of another site whose name was made to point to this machine (DNS rebinding): it asks
  under that name, which is refused.
"""

from __future__ import annotations

import asyncio
import hmac
import ipaddress
import json
import logging
import re
import socket
import time
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING, Any

from regraft.errors import RegraftError

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADERS = {
    "content-security-policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(self), microphone=(), geolocation=()",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
}
_HOST = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(?::[0-9]{1,5})?", re.IGNORECASE)
_PRIVATE = ("local", "localhost", "lan", "internal", "home.arpa")  # names that nobody can register
_READS = frozenset({"GET", "HEAD", "OPTIONS"})
_FULL_BODIES = 16  # bodies of the largest size that may be in memory at once
_LINES = 100  # in the log, each once

_log = logging.getLogger("regraft.web")


class Guard:
    """Wraps an application; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        body_bytes: int,
        body_s: float,
        requests: int,
        token: str = "",
        open_paths: Collection[str] = (),
        hosts: Collection[str] = (),
        problem: str = "detail",
        answered: Callable[[str, int], None] | None = None,
        measured: Callable[[int, float | None], None] | None = None,
    ) -> None:
        """Guard `app`.

        Args:
            app: what answers.
            body_bytes: of one request; beyond it 413.
            body_s: seconds that sending a body may take; beyond it 408.
            requests: with a body that may be open at once; beyond it 429.
            token: that a request has to carry ("Authorization: Bearer ..."); "" for none.
            open_paths: that need no token.
            hosts: names under which the server may be asked; () for every address and for names
                that nobody can register, and with a token for any name.
            problem: name of the reason in an answer that refuses.
            answered: told the path and the status of each answer.
            measured: told how many requests with a body are under way, and the seconds that one of
                them took when it ends.
        """
        self._app = app
        self._body_bytes = body_bytes
        self._body_s = body_s
        self._requests = requests
        self._token = token
        self._open_paths = frozenset(open_paths)
        self._hosts = frozenset(hosts)
        self._problem = problem
        self._answered = answered or _nobody
        self._measured = measured or _nobody
        self._open = 0
        self._bytes = 0
        self._logged: set[str] = set()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":  # the beginning and the end of the application
            await self._app(scope, receive, send)
            return
        answer = _Answering(send, scope["path"], self._answered, self._problem)
        headers = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in scope["headers"]]
        refused = self._refusal(scope["method"], scope["path"], headers)
        try:
            if refused is not None:
                await answer.refuse(*refused)
            elif scope["method"] not in _READS:
                await self._with_body(scope, receive, answer, dict(headers))
            else:
                await self._app(scope, receive, answer.send)
        except asyncio.CancelledError:  # it took longer than the server had when it was told to end
            await answer.refuse(503, "this server ends")
            raise
        except (OSError, MemoryError) as error:  # no room for an upload, no descriptor left
            await answer.refuse(503, f"this server is short of something: {_first_line(error)}")
        except RegraftError as error:
            self._log_once(str(error))
            await answer.refuse(500, str(error))
        except Exception as error:
            kind = f"unexpected {type(error).__name__}: {_first_line(error)}"
            self._log_once(f"{kind}; this is a defect in regraft")
            await answer.refuse(500, f"{kind}; this is a defect in regraft")

    def _refusal(
        self, method: str, path: str, headers: list[tuple[str, str]]
    ) -> tuple[int, str] | None:
        by_name = dict(headers)
        host = by_name.get("host", "")
        name = _name_of(host)
        if self._hosts and name not in self._hosts:
            return 403, f"this server answers to {', '.join(sorted(self._hosts))} only"
        if not (self._hosts or self._token) and host and _is_public(name):
            return 403, (
                f"this server does not answer to the name {host[:80]!r}, which anyone may have "
                "given to it: ask it by its address, or start it with a token"
            )
        given = by_name.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
        has_token = bool(self._token) and hmac.compare_digest(given, self._token.encode())
        if self._token and not has_token and path not in self._open_paths:
            return 401, "expected the header Authorization: Bearer TOKEN"
        origins = [value for key, value in headers if key == "origin"]
        if not has_token and _is_foreign(method, host, origins, by_name):
            return 403, "this request comes from a page of another site"
        length = by_name.get("content-length", "0")
        if not length.isdecimal() or int(length) > self._body_bytes:
            return 413, f"the request is larger than {self._body_bytes / 1e6:g} MB"
        return None

    async def _with_body(
        self, scope: Scope, receive: Receive, answer: _Answering, headers: Mapping[str, str]
    ) -> None:
        size = int(headers.get("content-length", self._body_bytes))
        if self._open >= self._requests or self._bytes + size > _FULL_BODIES * self._body_bytes:
            await answer.refuse(429, f"{self._open} requests are open already; try again")
            return
        self._open += 1
        self._bytes += size
        self._measured(self._open, None)
        started = time.monotonic()
        try:
            await self._app(scope, self._in_time(receive, started), answer.send)
        except _SlowError:
            await answer.refuse(408, f"the request took longer than {self._body_s:g} s")
        finally:
            self._open -= 1
            self._bytes -= size
            self._measured(self._open, time.monotonic() - started)

    def _in_time(self, receive: Receive, started: float) -> Receive:
        whole = False

        async def limited() -> Message:
            nonlocal whole
            if whole:  # what comes now is only that the client has gone
                return await receive()
            left = started + self._body_s - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), left)
            except TimeoutError as error:
                raise _SlowError from error
            whole = not message.get("more_body", False)
            return message

        return limited

    def _log_once(self, line: str) -> None:
        """What strangers can cause must not fill a log."""
        if line not in self._logged and len(self._logged) < _LINES:
            self._logged.add(line)
            _log.error("error: %s", line)


def _nobody(*_: object) -> None:
    """Nobody is told."""


def _first_line(error: Exception) -> str:
    return str(error).strip().partition("\n")[0][:200] or type(error).__name__


def _name_of(host: str) -> str:
    """The name in a Host header without its port; "" where it is none."""
    found = _HOST.fullmatch(host)
    return found[1].lower() if found else ""


def _is_public(name: str) -> bool:
    """Whether it may be a name that somebody registered and made to point here, or is none."""
    if not name:
        return True
    try:
        ipaddress.ip_address(name.strip("[]"))
    except ValueError:
        own = socket.gethostname().lower()
        is_private = "." not in name or name.endswith(tuple(f".{end}" for end in _PRIVATE))
        return not (is_private or name == own)
    return False


def _is_foreign(
    method: str, host: str, origins: Collection[str], headers: Mapping[str, str]
) -> bool:
    """Whether a request comes from a page of another site; a link to a page may.

    The policy of https://web.dev/articles/fetch-metadata. Browsers that do not send those headers
    send the origin of every POST.
    """
    own = {f"{scheme}://{host}".lower() for scheme in ("http", "https")}
    if any(origin.lower() not in own for origin in origins):
        return True
    if headers.get("sec-fetch-site", "none") in ("same-origin", "none"):
        return False
    is_link = method in _READS and headers.get("sec-fetch-mode") == "navigate"
    return not (is_link and headers.get("sec-fetch-dest") == "document")


class _SlowError(BaseException):
    """Passes through what turns an `Exception` into status 500."""


class _Answering:
    """One answer on its way: counted, with the headers of the server, begun once."""

    def __init__(
        self, send: Send, path: str, answered: Callable[[str, int], None], problem: str
    ) -> None:
        self._send = send
        self._path = path
        self._answered = answered
        self._problem = problem
        self._begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self._answered(self._path, message["status"])
            known = {name for name, _ in message.get("headers", [])}
            extra = [
                (k.encode(), v.encode()) for k, v in HEADERS.items() if k.encode() not in known
            ]
            message = {**message, "headers": [*message.get("headers", []), *extra]}
        await self._send(message)

    async def refuse(self, status: int, reason: str) -> None:
        """Say why not, in JSON, unless an answer has begun."""
        if self._begun:
            return
        body = json.dumps({self._problem: reason}).encode()
        headers: list[tuple[bytes, bytes]] = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(body)).encode()),
            (b"connection", b"close"),  # a body may be left unread
        ]
        if status == 429:
            headers.append((b"retry-after", b"1"))
        if status == 401:
            headers.append((b"www-authenticate", b"Bearer"))
        start: dict[str, Any] = {"type": "http.response.start", "status": status}
        await self.send({**start, "headers": headers})
        await self.send({"type": "http.response.body", "body": body})
