"""Connections of a server: closed where nothing is said or taken for a while, bounded in number.

Uvicorn waits for the beginning of a request for ever, and opens a descriptor for whoever asks:
some thousand connections that say nothing would lock everybody out. Imported only by a server that
starts.
"""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MOST_HEAD = 65_536  # bytes of a request line and headers


def patient_protocol(
    *, most: int, wait_s: float, answer_s: float = 120.0
) -> type[HttpToolsProtocol]:
    """Uvicorn's protocol with bounds.

    Args:
        most: connections at once. Beyond it the one that has waited longest without a request is
            closed, and the new one if all are busy.
        wait_s: seconds without a request after which a connection is closed, however slowly its
            headers come; also for each look whether somebody still takes an answer.
        answer_s: seconds from the headers to the end of the answer.
    """

    order = itertools.count()  # of waits; the clock of a loop tells those of one round not apart

    class Patient(HttpToolsProtocol):
        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._timer: asyncio.TimerHandle | None = None
            self._head = 0
            self._wait(wait_s)
            if len(self.connections) > most:
                idle = (one for one in self.connections if isinstance(one, Patient) and one.idle)
                min(idle, key=lambda one: one.since, default=self).give_up()

        def connection_lost(self, exc: Exception | None) -> None:
            if self._timer is not None:
                self._timer.cancel()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            before: Any = self.cycle
            super().data_received(data)
            if self.cycle is not before:
                self._head = 0
                if not self.idle:
                    self._wait(answer_s)
            elif self.idle:
                self._head += len(data)
                if self._head > _MOST_HEAD:
                    self.give_up()

        def on_response_complete(self) -> None:
            self._wait(wait_s)
            super().on_response_complete()  # which may begin with the next request
            if not self.idle:
                self._wait(answer_s)

        @property
        def idle(self) -> bool:
            return self.cycle is None or self.cycle.response_complete

        def _wait(self, seconds: float) -> None:
            if self._timer is not None:
                self._timer.cancel()
            self.since = next(order)
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
