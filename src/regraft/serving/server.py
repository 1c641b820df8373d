"""A model served on a port until the process is told to stop."""

from __future__ import annotations

import errno
import ipaddress
import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from regraft.errors import UsageError
from regraft.model import Model
from regraft.serving.limits import ServerLimits

if TYPE_CHECKING:
    from regraft.serving.app import ExtraPage, KeepCorrection

HOST = "127.0.0.1"
PORT = 8000
_GRACE_S = 10  # for requests under way when it is told to stop
_IDLE_S = 15  # after which a silent connection is closed
_LOCAL = ("127.0.0.1", "localhost", "[::1]")


class Server:
    """Serves one model; use it in a `with` statement.

    Attributes:
        url: of the page.
        example: a command that asks for a prediction.
    """

    def __init__(
        self,
        model: Model,
        *,
        host: str = HOST,
        port: int = PORT,
        limits: ServerLimits | None = None,
        token: str = "",
        pages: Mapping[str, ExtraPage] | None = None,
        keep: KeepCorrection | None = None,
        jobs: int | None = None,
    ) -> None:
        """Begin to listen.

        Args:
            model: what predicts.
            host: address to listen on; others than that of this machine itself can be reached from
                elsewhere.
            port: 0 for any that is free.
            limits: of requests; None for the usual ones.
            token: that requests have to carry; "" for none.
            pages: further ones by path.
            keep: keeps a corrected photo; None where nobody may correct.
            jobs: worker threads.

        Raises:
            UsageError: the address or the port cannot be used.
        """
        import uvicorn

        from regraft.serving.app import create_app
        from regraft.serving.intake import intake_of

        self._socket = _listening(host, port)
        number = self._socket.getsockname()[1]
        self.url = f"http://{_shown(host)}:{number}/"
        self.is_local = _is_local(host)
        self.example = intake_of(model.transform.modality).example(self.url)
        app = create_app(
            model,
            limits=limits,
            token=token,
            hosts=_LOCAL if self.is_local else (),
            pages=pages,
            keep=keep,
            jobs=jobs,
        )
        config = uvicorn.Config(
            app,
            log_level="error",
            access_log=False,
            server_header=False,
            timeout_keep_alive=_IDLE_S,
            timeout_graceful_shutdown=_GRACE_S,
            backlog=2048,
        )
        self._server = uvicorn.Server(config)

    def serve(self) -> None:
        """Answer until `stop`, SIGTERM or Ctrl-C; requests under way are answered first.

        Raises:
            KeyboardInterrupt: it was Ctrl-C.
        """
        self._server.run(sockets=[self._socket])

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._server.should_exit = True

    def close(self) -> None:
        """Listen no more."""
        self._socket.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


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
            f"{HOST} and {PORT}"
        ) from error
    found: Any = socket.socket(family, kind, protocol)
    try:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        found.bind(address)
        found.listen(2048)
    except OSError as error:
        found.close()
        raise UsageError(_why_not(host, port, error)) from error
    return found  # type: ignore[no-any-return]


def _why_not(host: str, port: int, error: OSError) -> str:
    if error.errno == errno.EADDRINUSE:
        return f"port {port} is in use; give another --port, or 0 for one that is free"
    if error.errno == errno.EACCES:
        return f"port {port} is not allowed; give another --port, such as {PORT}"
    if error.errno == errno.EADDRNOTAVAIL:
        return f"this machine has no address {host}; give another --host, such as {HOST}"
    return f"{host}:{port} cannot be used: {error}; give another --port"


def _is_local(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _shown(host: str) -> str:
    return f"[{host}]" if ":" in host else host
