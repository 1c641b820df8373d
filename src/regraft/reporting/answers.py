"""Check: one question of "can I trust it?", its answer and the number the answer rests on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Answer: TypeAlias = Literal["yes", "careful", "no"]


@dataclass(frozen=True, slots=True)
class Check:
    """One question that decides whether the numbers can be relied on."""

    answer: Answer
    claim: str
    reason: str
