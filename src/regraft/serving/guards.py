"""What comes before every answer of the server: who may ask, how much, for how long.

A plain ASGI middleware around the application: it refuses with a line of JSON and adds the headers
that keep a browser from loading anything from elsewhere.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Collection
from typing import TYPE_CHECKING, Any

from regraft.serving.counting import Figures
from regraft.serving.limits import ServerLimits

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

OPEN = frozenset({"/", "/page.css", "/page.js", "/intake.js", "/health"})  # without a token
UPLOADS = ("/predict", "/correct")
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

_ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """Wraps an application; see the module."""

    def __init__(
        self,
        app: ASGIApp,
        *,
        limits: ServerLimits,
        figures: Figures,
        token: str = "",
        hosts: Collection[str] = (),
        paths: Collection[str] = (),
    ) -> None:
        """Guard `app`.

        Args:
            app: what answers.
            limits: of body, time and open requests.
            figures: where requests are counted.
            token: that a request has to carry ("Authorization: Bearer ..."); "" for none.
            hosts: names under which the server may be asked, () for any: a page from elsewhere
                that has its own name point to this machine (DNS rebinding) is refused.
            paths: that are counted by name; all others are counted as "other".
        """
        self._app = app
        self._limits = limits
        self._figures = figures
        self._token = token
        self._hosts = frozenset(hosts)
        self._paths = frozenset(paths)
        self._open = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or refuse."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"]
        answer = _Answering(send, self._figures, path if path in self._paths else "other")
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        refused = self._refusal(path, headers)
        if refused is not None:
            await answer.refuse(*refused)
        elif path in UPLOADS and scope["method"] == "POST":
            await self._upload(scope, receive, answer)
        else:
            await self._app(scope, receive, answer.send)

    def _refusal(self, path: str, headers: dict[str, str]) -> tuple[int, str] | None:
        host = headers.get("host", "").rpartition("@")[2]
        name = host[: host.index("]") + 1] if "]" in host else host.partition(":")[0]
        if self._hosts and name.lower() not in self._hosts:
            return 403, f"this server answers to {', '.join(sorted(self._hosts))} only"
        if self._token and path not in OPEN:
            given = headers.get("authorization", "").removeprefix("Bearer ").encode("latin-1")
            if not hmac.compare_digest(given, self._token.encode()):
                return 401, "expected the header Authorization: Bearer TOKEN"
        length = headers.get("content-length", "0")
        if length.isdecimal() and int(length) > self._limits.body_bytes:
            return 413, f"the request is larger than {self._limits.body_mb:g} MB"
        return None

    async def _upload(self, scope: Scope, receive: Receive, answer: _Answering) -> None:
        if self._open >= self._limits.requests:
            await answer.refuse(429, f"{self._open} requests are open already; try again")
            return
        self._open += 1
        self._figures.open.set(self._open)
        started = time.monotonic()
        try:
            await self._app(scope, self._in_time(receive, started), answer.send)
        except _SlowError:
            await answer.refuse(408, f"the request took longer than {self._limits.body_s:g} s")
        finally:
            self._open -= 1
            self._figures.open.set(self._open)
            self._figures.seconds.observe(time.monotonic() - started)

    def _in_time(self, receive: Receive, started: float) -> Receive:
        whole = False

        async def limited() -> Message:
            nonlocal whole
            if whole:  # what comes now is only that the client has gone
                return await receive()
            left = started + self._limits.body_s - time.monotonic()
            try:
                message = await asyncio.wait_for(receive(), left)
            except TimeoutError as error:
                raise _SlowError from error
            whole = not message.get("more_body", False)
            return message

        return limited


class _SlowError(BaseException):
    """Passes through what turns an `Exception` into status 500."""


class _Answering:
    """One answer on its way: counted, with the headers of the server, begun once."""

    def __init__(self, send: Send, figures: Figures, path: str) -> None:
        self._send = send
        self._figures = figures
        self._path = path
        self._begun = False

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._begun = True
            self._figures.requests.labels(self._path, str(message["status"])).inc()
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
        body = json.dumps({"detail": reason}).encode()
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
