"""An application on a port, until the process is told to stop: then within ten seconds.

Requests under way are answered first. What is not done by then is left: a thread may be inside a
decoder or a graph, where nothing can end it but the end of the process.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import ipaddress
import logging
import os
import socket
from types import FrameType
from typing import TYPE_CHECKING, Any

from regraft.errors import UsageError
from regraft.workers import EndOfProcess

if TYPE_CHECKING:
    import uvicorn
    from starlette.types import ASGIApp

HOST = "127.0.0.1"
WAIT_S = 15.0  # for the headers of a request, on a new connection or after an answer
GRACE_S = 7  # for requests under way when it is told to stop
END_S = 9.0  # after which the process ends, whatever hinders it
_MOST_CONNECTIONS = 1000
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # of malloc.h
_QUEUE = 2048  # connections that are not accepted yet
_SHARE = 4  # of the descriptors go to connections; uploads above 1 MB take one each, too


class Listener:
    """Serves one application; use it in a `with` statement.

    Attributes:
        port: that it listens on.
        url: of the root, as "http://127.0.0.1:8000/".
        is_local: whether only this machine can reach it.
        names: under which it may be asked: of this machine where it is local, else () for any.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        wait_s: float = WAIT_S,
        connections: int | None = None,
    ) -> None:
        """Begin to listen; `serve` answers.

        Args:
            host: address to listen on.
            port: 0 for any that is free.
            wait_s: seconds without a whole request after which a connection is closed.
            connections: at once; None for a quarter of the descriptors that this process may open.

        Raises:
            UsageError: the address or the port cannot be used.
        """
        self._wait_s = wait_s
        self._connections = connections or _most_connections()
        self._socket = _listening(host, port)
        self.port = int(self._socket.getsockname()[1])
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http://{shown}:{self.port}/"
        self.is_local = _is_local(host)
        self.names = (
            tuple(sorted({"127.0.0.1", "localhost", "[::1]", shown})) if self.is_local else ()
        )
        self._server: uvicorn.Server | None = None
        self._stopped = False
        self._end = EndOfProcess(within_s=END_S)

    def serve(self, app: ASGIApp) -> None:
        """Answer until `stop`, SIGTERM or Ctrl-C; requests under way are answered first.

        Raises:
            KeyboardInterrupt: it was Ctrl-C.
        """
        _free_large_buffers()
        self._server = self._made(app)
        if self._stopped:  # asked after the server is there for `stop` to find, so that one sees it
            return
        try:
            self._server.run(sockets=[self._socket])
        finally:
            self._end.call_off()

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._stopped = True
        if self._server is not None:
            self._server.should_exit = True

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def _made(self, app: ASGIApp) -> uvicorn.Server:
        import uvicorn

        from regraft.web.patience import patient_protocol

        end = self._end

        class Server(uvicorn.Server):
            async def startup(self, sockets: list[socket.socket] | None = None) -> None:
                await super().startup(sockets)
                for listening in sockets or ():  # the others wait in the system's queue
                    listening.listen(_QUEUE)

            def handle_exit(self, sig: int, frame: FrameType | None) -> None:
                end.begin(128 + sig)
                super().handle_exit(sig, frame)

        # What strangers send is answered, and no reason to write a line each.
        logging.getLogger("python_multipart").addHandler(logging.NullHandler())
        return Server(
            uvicorn.Config(
                app,
                loop="auto",
                http=patient_protocol(most=self._connections, wait_s=self._wait_s),
                ws="none",
                proxy_headers=False,
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                timeout_graceful_shutdown=GRACE_S,
                # So many are accepted before any of them can be closed. They must not use up the
                # descriptors: asyncio goes on accepting then (Python 3.11), and does nothing else.
                backlog=max(4, min(128, self._connections // 4)),
            )
        )


def _free_large_buffers() -> None:
    """Give buffers of megabytes back to the system when they are freed.

    The C library keeps them otherwise, in pieces: after uploads of 30 MB among small ones a server
    held 650 MB for good. What networks allocate is smaller, and stays. Only glibc has this.
    """
    with contextlib.suppress(Exception):
        library = ctypes.CDLL(None)
        library.mallopt(_M_MMAP_THRESHOLD, 16 * 2**20)
        library.mallopt(_M_TRIM_THRESHOLD, 64 * 2**20)


def _most_connections() -> int:
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return _MOST_CONNECTIONS
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if limit == resource.RLIM_INFINITY:
        return _MOST_CONNECTIONS
    return max(4, min(_MOST_CONNECTIONS, limit // _SHARE))


def _listening(host: str, port: int) -> socket.socket:
    if not 0 <= port <= 65_535:
        raise UsageError(f"the port is {port}, expected 0 to 65535")
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError) as error:
        raise UsageError(
            f"there is no address {host}:{port}; give --host and --port of this machine, such as "
            f"{HOST} and 8000"
        ) from error
    found: Any = socket.socket(family, kind, protocol)
    try:
        if os.name != "nt":  # there it would share a port that is in use
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(_QUEUE)
    except OSError as error:
        found.close()
        raise UsageError(_why_not(host, port, error)) from error
    return found  # type: ignore[no-any-return]


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; give another --port, or 0 for one that is free"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed; give another --port, or 0 for one that is free"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}; give another --host, such as {HOST}"
    return f"{host}:{port} cannot be used: {error}; give another --port"


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
