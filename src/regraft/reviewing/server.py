"""The review over HTTP, for this machine alone: a run in, a page at a secret address out.

The server listens on 127.0.0.1. Every address begins with a random token, so that neither another
user of the machine nor a page from elsewhere in the same browser can look at the photos or decide
on them; requests under another host name, as DNS rebinding makes them, are refused.
"""

from __future__ import annotations

import errno
import json
import os
import secrets
import socketserver
import warnings
from collections.abc import Mapping
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from regraft.errors import DataError, RegraftError, UnreadableInputError, UsageError
from regraft.reporting.pages import stylesheet
from regraft.reviewing.session import DecidedMeanwhileError, Session
from regraft.runs import Run

HOST = "127.0.0.1"
_NAMES = frozenset({HOST, "localhost"})
_PAGE = Path(__file__).parent / "page"
_MOST_BYTES = 16_384  # of a decision
_TIMEOUT_S = 60.0
_HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; "
    "img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
}


class ReviewServer:
    """Serves the review of one run until it is interrupted; use it in a `with` statement.

    Attributes:
        session: what is reviewed.
        url: of the page, with its token.
    """

    def __init__(self, run: Run, *, port: int = 0) -> None:
        """Begin to listen, on any free port where it is 0.

        Raises:
            DataError: the decisions in the run folder cannot be understood.
            UsageError: the port is in use or not allowed.
        """
        self.session = Session(run)
        token = secrets.token_urlsafe(24)
        try:
            self._server = _Server(port, self.session, token)
        except (OSError, OverflowError) as error:
            raise UsageError(_why_not(port, error)) from error
        self.url = f"http://{HOST}:{self._server.server_port}/{token}/"

    def serve(self) -> None:
        """Answer requests until `stop`, or Ctrl-C, which is passed on."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damaged metadata, unused here
            self._server.serve_forever(poll_interval=0.2)

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.shutdown()

    def close(self) -> None:
        """Listen no more."""
        self._server.server_close()

    def __enter__(self) -> ReviewServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _why_not(port: int, error: OSError | OverflowError) -> str:
    if isinstance(error, OverflowError):
        return f"the port is {port}, expected 1 to 65535"
    if error.errno in (errno.EADDRINUSE, errno.EACCES):
        problem = "in use" if error.errno == errno.EADDRINUSE else "not allowed"
        return f"port {port} is {problem}; give another --port, or none for one that is free"
    return f"port {port} cannot be used: {error.strerror or error}; give another --port"


class _Server(ThreadingHTTPServer):
    allow_reuse_address = os.name != "nt"  # there it would share a port that is in use

    def __init__(self, port: int, session: Session, token: str) -> None:
        self.session = session
        self.token = token
        super().__init__((HOST, port), _Handler)

    def server_bind(self) -> None:
        """Without the look-up of the host's name that `http.server` does: nothing is asked."""
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A browser that went away amid an answer is nothing to report."""


class _RefusedError(Exception):
    def __init__(self, status: int, problem: str) -> None:
        super().__init__(problem)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"
    timeout = _TIMEOUT_S
    error_message_format = "%(code)d %(message)s\n"
    error_content_type = "text/plain"

    def version_string(self) -> str:
        """What the answers call the server: no versions."""
        return "regraft"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing is logged: the address holds the token."""

    def do_GET(self) -> None:
        """The page, its parts, photos, and what was decided."""
        self._answer()

    def do_POST(self) -> None:
        """A decision."""
        self._answer()

    def _answer(self) -> None:
        try:
            place, query = self._checked_place()
            if self.command == "POST":
                self._send_json(200, self._decide(place))
            elif place in _FILES:
                self._send(200, *_FILES[place], _file(place))
            elif place.startswith("photo/"):
                photo = self.server.session.photo(_number(place.removeprefix("photo/")))
                self._send(200, "image/jpeg", "private, max-age=20", photo)
            elif place == "start":
                self._send_json(200, self.server.session.start())
            elif place == "changes":
                seen = _number(parse_qs(query).get("seen", [""])[0])
                self._send_json(200, self.server.session.changes(seen))
            else:
                raise _RefusedError(404, "there is no such page")
        except DecidedMeanwhileError as error:
            self._send_json(409, {"problem": str(error), **error.changes})
        except UnreadableInputError as error:
            self._send_json(410, {"problem": str(error)})
        except DataError as error:
            self._send_json(400, {"problem": str(error)})
        except _RefusedError as error:
            self.close_connection = True  # a body may be left unread
            self._send_json(error.status, {"problem": str(error)})
        except RegraftError as error:
            self._send_json(500, {"problem": str(error)})
        except ConnectionError:
            self.close_connection = True
        except Exception as error:
            problem = f"unexpected {type(error).__name__}: {error}; this is a defect in regraft"
            self.close_connection = True
            self._send_json(500, {"problem": problem})

    def _checked_place(self) -> tuple[str, str]:
        """What is asked for, below the token, and its query.

        Raises:
            _RefusedError: the request does not come from the page.
        """
        host = self.headers.get("Host", "")
        origin = self.headers.get("Origin")
        if host.rpartition(":")[0] not in _NAMES and host not in _NAMES:
            raise _RefusedError(403, "this server answers to 127.0.0.1 and localhost only")
        if origin is not None and origin != f"http://{host}":
            raise _RefusedError(403, "this request comes from another page")
        address = urlsplit(self.path)
        token, slash, place = address.path.removeprefix("/").partition("/")
        if not (slash and secrets.compare_digest(token.encode(), self.server.token.encode())):
            raise _RefusedError(404, "there is no such page; open the address that was printed")
        return place, address.query

    def _decide(self, place: str) -> dict[str, Any]:
        if place != "decide":
            raise _RefusedError(404, "there is no such page")
        if self.headers.get_content_type() != "application/json":
            raise _RefusedError(415, "expected JSON")
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > _MOST_BYTES:
            raise _RefusedError(413, f"expected at most {_MOST_BYTES:,} bytes")
        try:
            asked = json.loads(self.rfile.read(int(length)))
        except (ValueError, RecursionError) as error:
            raise DataError(f"the request cannot be understood: {error}") from error
        return self.server.session.decide(**_decision_asked_for(asked))

    def _send_json(self, status: int, data: Mapping[str, Any]) -> None:
        self._send(status, "application/json", "no-store", json.dumps(data).encode())

    def _send(self, status: int, kind: str, keep: str, body: bytes) -> None:
        self.send_response(status)
        for name, value in _HEADERS.items():
            self.send_header(name, value)
        self.send_header("Content-Type", kind)
        self.send_header("Cache-Control", keep)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


_FILES: Mapping[str, tuple[str, str]] = {
    "": ("text/html; charset=utf-8", "no-store"),
    "review.css": ("text/css; charset=utf-8", "no-store"),
    "review.js": ("text/javascript; charset=utf-8", "no-store"),
}


@cache
def _file(name: str) -> bytes:
    """A part of the page; the style is that of the report, with what is needed beside."""
    data = (_PAGE / (name or "review.html")).read_bytes()
    return stylesheet() + data if name == "review.css" else data


def _number(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and len(text) < 10):
        raise _RefusedError(404, "there is no such page")
    return int(text)


def _decision_asked_for(asked: Any) -> dict[str, Any]:
    """The arguments of `Session.decide` in what the page sent.

    Raises:
        DataError: something is missing or of another kind.
    """
    expected: dict[str, tuple[type, ...]] = {
        "number": (int,),
        "action": (str,),
        "label": (str,),
        "after": (str, type(None)),
        "seen": (int,),
    }
    if not isinstance(asked, dict) or asked.keys() != expected.keys():
        raise DataError(f"a decision needs {', '.join(expected)}; load the page again")
    for name, kinds in expected.items():
        if not isinstance(asked[name], kinds) or isinstance(asked[name], bool):
            raise DataError(f"{name} is {asked[name]!r:.80}; load the page again")
    return asked
