"""What an engine is: an array in, arrays out, safe to call from several threads at once."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray


class Engine(Protocol):
    """A loaded graph. Its `identity` names runtime and precision and is part of cache keys."""

    @property
    def identity(self) -> str:
        """For example "onnxruntime/float32"."""

    def run(self, array: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """Feed one array to the graph's only input and return its outputs in order.

        Raises:
            ModelError: the graph cannot be run on it.
        """

    def check(self, taken: tuple[str, str, int], given: tuple[str, ...]) -> None:
        """See whether the graph takes and gives what it should.

        Args:
            taken: name, type ("tensor(uint8)") and number of axes of its one input.
            given: names of its outputs, in order; all are float32.

        Raises:
            ModelError: it does not.
        """
