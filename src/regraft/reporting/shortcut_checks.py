"""A run in, whether its model could cheat out: by how a photo was made, or by a plain fact."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from regraft.issues.shortcuts import MATTERS
from regraft.metrics import Estimate
from regraft.modality import get_examiner
from regraft.modality.examiner import CONTENT, INCIDENTAL
from regraft.reporting import words
from regraft.reporting.answers import Check
from regraft.reporting.words import things
from regraft.runs import Run


def no_shortcut(run: Run) -> Iterator[Check]:
    """Nothing where the run did not look for any."""
    found = (run.about.get("audit") or {}).get("shortcuts")
    if not found:
        return
    alarms = [culprit for culprit in found["culprits"] if culprit["name"] in found["alarms"]]
    claim = "Nothing but the content gives the class away"
    guess = words.percent(found["guess"])
    if alarms:
        told = words.listed(
            [f"{c['name']} alone {words.percent(c['accuracy']['value'])}" for c in alarms]
        )
        reason = f"{told} of {things()}; guessing is right on {guess}. A model may rely on that."
        yield Check("no", claim, words.sentence(reason))
        return
    clues = get_examiner(run.data.modality).clues_of_kind[INCIDENTAL]
    facts = clues[0].upper() + clues[1:]
    together = _estimate(found.get("incidental"))
    if together is None:
        yield Check("yes", claim, f"{facts} are the same for all {things()} ({guess}).")
        return
    if together.value <= found["guess"]:
        yield Check("yes", claim, f"{facts} tell no more than guessing does ({guess}).")
        return
    reason = f"{facts} together tell the class of {_rate(together)} of {things()}"
    if _tells_much(together, found["guess"]):
        reason += f"; guessing is right on {guess}. A model may rely on that."
        yield Check("careful", claim, reason)
        return
    yield Check("yes", claim, f"{reason}, little more than guessing ({guess}).")


def no_plain_fact(run: Run) -> Iterator[Check]:
    """Facts that come from the content: legitimate only if they are the subject."""
    found = (run.about.get("audit") or {}).get("shortcuts")
    if not found or (together := _estimate(found.get("content"))) is None:
        return
    claim = "No plain fact alone tells the class"
    clues = get_examiner(run.data.modality).clues_of_kind[CONTENT]
    guess = float(found["guess"])
    telling = [
        (str(c["name"]), Estimate.from_dict(c["accuracy"]))
        for c in found["culprits"]
        if c["kind"] == CONTENT and c["told"] >= MATTERS
    ]
    if not telling and not _tells_much(together, guess):
        told = "tell no more than guessing does"
        if together.value > guess:
            told = f"tell the class of {_rate(together)} of {things()}, little more than guessing"
        facts = clues[0].upper() + clues[1:]
        yield Check("yes", claim, f"{facts} together {told} ({words.percent(guess)}).")
        return
    which = [f"{name} alone tells the class of {_rate(e)}" for name, e in telling]
    told = words.listed(which or [f"{clues} together tell the class of {_rate(together)}"])
    alone = words.sentence(f"{told} of {things()}; guessing is right on {words.percent(guess)}")
    yield Check(
        "careful",
        claim,
        f"{alone} That is legitimate only if such a fact is the subject itself: a model may rely "
        f"on it, and fail on {things()} in which it differs.",
    )


def _tells_much(accuracy: Estimate, guess: float) -> bool:
    """Whether facts tell so much of what guessing leaves open that a model may rely on them."""
    return accuracy.low > guess and accuracy.value - guess >= MATTERS * (1.0 - guess)


def _estimate(entry: Mapping[str, Any] | None) -> Estimate | None:
    found = Estimate.from_dict(dict(entry)) if entry else None
    return None if found is None or math.isnan(found.value) else found


def _rate(estimate: Estimate) -> str:
    """ "72.9 % (65.4–79.3 %)"."""
    return f"{words.percent(estimate.value)} ({words.estimate_range(estimate)})"
