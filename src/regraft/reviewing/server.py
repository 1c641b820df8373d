"""The review over HTTP, for this machine alone: a run in, a page at a secret address out.

The server listens on 127.0.0.1. Every address begins with a random token, so that neither another
user of the machine nor a page from elsewhere in the same browser can look at the photos or decide
on them; what else is refused stands in `web.guards`.
"""

from __future__ import annotations

import secrets
import warnings

from regraft.reviewing.session import Session
from regraft.runs import Run
from regraft.web.listening import HOST, Listener


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
        from regraft.reviewing.app import create_app

        self.session = Session(run)
        self._listener = Listener(HOST, port)
        token = secrets.token_urlsafe(24)
        self._app = create_app(self.session, token=token, hosts=self._listener.names)
        self.url = f"{self._listener.url}{token}/"

    def serve(self) -> None:
        """Answer requests until `stop`, SIGTERM or Ctrl-C, which are passed on."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow warns of damaged metadata, unused here
            self._listener.serve(self._app)

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._listener.stop()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def __enter__(self) -> ReviewServer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
