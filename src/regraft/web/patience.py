"""Connections of a server: closed where nothing is said or taken for a while, bounded in number.

Uvicorn waits for the beginning of a request for ever, and opens a descriptor for whoever asks:
some thousand connections that say nothing would lock everybody out. Imported only by a server that
starts.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def patient_protocol(*, most: int, wait_s: float, answer_s: float = 120.0) -> type[H11Protocol]:
    """Uvicorn's protocol with bounds.

    Args:
        most: connections at once. Beyond it the one that has waited longest without a request is
            closed, and the new one if all are busy.
        wait_s: seconds without a request after which a connection is closed, however slowly its
            headers come; also for each look whether somebody still takes an answer.
        answer_s: seconds from the headers to the end of the answer.
    """

    class Patient(H11Protocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._timer: asyncio.TimerHandle | None = None
            self._wait(wait_s)
            if len(self.connections) > most:
                idle = (one for one in self.connections if isinstance(one, Patient) and one.idle)
                min(idle, key=lambda one: one.since, default=self).give_up()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def handle_events(self) -> None:
            before: Any = self.cycle
            super().handle_events()
            if self.cycle is not before and not self.idle:
                self._wait(answer_s)

        def on_response_complete(self) -> None:
            self._wait(wait_s)
            super().on_response_complete()  # which may begin with the next request

        def send_400_response(self, msg: str) -> None:
            try:
                super().send_400_response(msg)
            except h11.LocalProtocolError:  # amid an answer
                self.transport.abort()

        @property
        def idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _wait(self, seconds: float) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self.since = self.loop.time()
            self._unsent = self.transport.get_write_buffer_size()
            self._timer = self.loop.call_later(seconds, self._look)

        def _look(self) -> None:
            unsent = self.transport.get_write_buffer_size()
            if self.idle and 0 < unsent < self._unsent:  # it takes an answer, if slowly
                self._wait(wait_s)
            else:
                self.give_up()

        def give_up(self) -> None:
            self.connections.discard(self)  # it is closed only after others were accepted
            self.transport.abort()

    return Patient
