"""Photos as bytes in, predictions out, on a pool of threads that all requests share.

Each thread decodes a photo and runs the graph on it, on one core. Photos are not put together into
batches: on a CPU a batch on two threads does no more in a second than two photos side by side (see
docs/decisions.md), and nobody waits for others.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from regraft.errors import TooLargeError, UnreadableInputError
from regraft.modality.image import decode
from regraft.model import Model, Prediction
from regraft.serving.heat import HeatMapper
from regraft.workers import available_cores


@dataclass(frozen=True, slots=True)
class Upload:
    """A photo that was sent: the name it was sent under, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """What is said of one photo; `too_large` where it has more pixels than are accepted."""

    prediction: Prediction
    heat_map: dict[str, Any] | None = None
    too_large: bool = False


class Answerer:
    """Predicts for one model; close it in the end."""

    def __init__(self, model: Model, *, max_pixels: int, jobs: int | None = None) -> None:
        """Get everything ready that the first photo would otherwise wait for."""
        self._model = model
        self._max_pixels = max_pixels
        self._heat = HeatMapper.of(model)
        self._pool = ThreadPoolExecutor(jobs or available_cores(), thread_name_prefix="predict")

    @property
    def has_heat_maps(self) -> bool:
        """Whether this model can say where the evidence lies."""
        return self._heat is not None

    async def answer(
        self, uploads: Sequence[Upload], *, heat_map: bool, within_s: float
    ) -> list[Answer]:
        """Answers in the order of the photos.

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
        """Let the photos under way end, and drop the others."""
        self._pool.shutdown(wait=True, cancel_futures=True)

    def _one(self, upload: Upload, *, heat_map: bool) -> Answer:
        try:
            image = decode(upload.data, max_pixels=self._max_pixels)
        except UnreadableInputError as error:
            said = Prediction.unreadable(upload.name, error)
            return Answer(said, too_large=isinstance(error, TooLargeError))
        if heat_map and self._heat is not None:
            return Answer(*self._heat.predict(image, upload.name))
        return Answer(self._model.predict_image(image, upload.name))


def _cancel(futures: Sequence[Future[Any]]) -> None:
    for future in futures:
        future.cancel()
