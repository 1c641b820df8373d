"""What a server accepts; everything beyond is refused with a status code of its own."""

from __future__ import annotations

from dataclasses import dataclass, fields

from regraft.errors import UsageError


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerLimits:
    """Bounds of one server.

    Attributes:
        body_mb: of one request, in MB of 1,000,000 bytes; beyond it 413.
        megapixels: of one photo; beyond it 413.
        characters: of one text; beyond it 413.
        inputs: photos or texts in one request; beyond it 413.
        body_s: seconds that sending a request may take; beyond it 408.
        answer_s: seconds that its inputs may wait and be worked on; beyond it 429.
        requests: that may be open at once; beyond it 429.
    """

    body_mb: float = 32.0
    megapixels: float = 50.0
    characters: int = 200_000
    inputs: int = 32
    body_s: float = 30.0
    answer_s: float = 30.0
    requests: int = 64

    def __post_init__(self) -> None:
        """Raises UsageError: a bound is not above zero."""
        for field in fields(self):
            value = getattr(self, field.name)
            if not value > 0:
                raise UsageError(f"the limit {field.name} is {value}, expected more than 0")

    @property
    def body_bytes(self) -> int:
        """Of one request."""
        return int(self.body_mb * 1_000_000)

    @property
    def pixels(self) -> int:
        """Of one photo."""
        return int(self.megapixels * 1_000_000)
