"""A model served on a port until the process is told to stop."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from regraft.model import Model
from regraft.serving.limits import ServerLimits
from regraft.web.listening import HOST, Listener

if TYPE_CHECKING:
    from regraft.serving.app import ExtraPage, KeepCorrection


class Server:
    """Serves one model; use it in a `with` statement.

    Attributes:
        url: of the page.
        is_local: whether only this machine can reach it.
        example: a command that asks for a prediction.
    """

    def __init__(
        self,
        model: Model,
        *,
        host: str = HOST,
        port: int = 8000,
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
            ModelError: the model's graph is not what the rest of it says.
        """
        from regraft.serving.app import create_app
        from regraft.serving.intake import intake_of

        self._listener = Listener(host, port)
        self.url = self._listener.url
        self.is_local = self._listener.is_local
        self.example = intake_of(model.transform.modality).example(self.url)
        try:
            self._app = create_app(
                model,
                limits=limits,
                token=token,
                hosts=self._listener.names,
                pages=pages,
                keep=keep,
                jobs=jobs,
            )
        except BaseException:
            self.close()
            raise

    def serve(self) -> None:
        """Answer until `stop`, SIGTERM or Ctrl-C; requests under way are answered first.

        Raises:
            KeyboardInterrupt: it was Ctrl-C.
        """
        self._listener.serve(self._app)

    def stop(self) -> None:
        """End `serve`, from another thread."""
        self._listener.stop()

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
