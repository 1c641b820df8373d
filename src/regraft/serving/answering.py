"""Photos or texts as bytes in, predictions out, on a pool of threads that all requests share.

Each thread decodes one of them and runs the graph on it, on one core. They are not put together
into batches: on a CPU a batch on two threads does no more in a second than two photos side by side
(see docs/decisions.md), and nobody waits for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from regraft.errors import TooLargeError, UnreadableInputError
from regraft.model import Model, Prediction
from regraft.serving.heat import HeatMapper
from regraft.workers import available_cores


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo or text that was sent: the name it was sent under, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one input; `too_large` where it has more than is accepted."""

    prediction: Prediction
    heat_map: dict[str, Any] | None = None
    too_large: bool = False


class Answerer:
    """Predicts for one model; close it in the end."""

    def __init__(self, model: Model, *, most: int | None, jobs: int | None = None) -> None:
        """Get everything ready that the first request would otherwise wait for.

        Args:
            model: what predicts.
            most: of one input, see `Transform.read`.
            jobs: worker threads; None for one a core.

        Raises:
            ModelError: the model's graph is not what the rest of it says.
        """
        model.check()
        self._model = model
        self._most = most
        self._heat = HeatMapper.of(model)
        self._pool = ThreadPoolExecutor(jobs or available_cores(), thread_name_prefix="predict")

    @property
    def has_heat_maps(self) -> bool:
        """Whether this model can say where the evidence lies."""
        return self._heat is not None

    async def answer(
        self, uploads: Sequence[Upload], *, heat_map: bool, within_s: float
    ) -> list[Answer]:
        """Answers in the order of the uploads.

        Raises:
            TimeoutError: it took longer than `within_s`; what had not begun is not done any more.
        """
        waiting = [self._pool.submit(self._one, one, heat_map=heat_map) for one in uploads]
        try:
            async with asyncio.timeout(within_s):
                return list(await asyncio.gather(*map(asyncio.wrap_future, waiting)))
        finally:
            _cancel(waiting)

    def close(self) -> None:
        """Drop what has not begun; nobody waits for the rest any more."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def _one(self, upload: Upload, *, heat_map: bool) -> Answer:
        try:
            array = self._model.transform.read(upload.data, most=self._most)
        except UnreadableInputError as error:
            said = Prediction.unreadable(upload.name, error)
            return Answer(said, too_large=isinstance(error, TooLargeError))
        if heat_map and self._heat is not None:
            return Answer(*self._heat.predict(array, upload.name))
        return Answer(self._model.predict_array(array, upload.name))


def _cancel(futures: Sequence[Future[Any]]) -> None:
    for future in futures:
        future.cancel()
