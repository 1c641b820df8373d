"""A run in, whether its model could cheat out: by how a photo was made, or by a plain fact."""

from __future__ import annotations

from collections.abc import Iterator

from regraft.inspection.issues.shortcuts import MATTERS
from regraft.kinds import kind_named
from regraft.kinds.examiner import CONTENT, INCIDENTAL
from regraft.metrics.rates import Estimate, defined
from regraft.reporting import words
from regraft.reporting.answers import Check
from regraft.reporting.words import things
from regraft.runs import Run


def no_shortcut(run: Run) -> Iterator[Check]:
    """Nothing where the run did not look for any."""
    shortcuts = run.about.audit.shortcuts
    if shortcuts is None:
        return
    claim = "Nothing but the content gives the class away"
    guess = words.percent(shortcuts.guess)
    if shortcuts.alarming:
        told = words.listed(
            [f"{c.name} alone {words.percent(c.accuracy.value)}" for c in shortcuts.alarming]
        )
        reason = f"{told} of {things()}; guessing is right on {guess}. A model may rely on that."
        yield Check("no", claim, words.sentence(reason))
        return
    clues = kind_named(run.data.modality).examiner().clues_of_kind[INCIDENTAL]
    facts = clues[0].upper() + clues[1:]
    together = defined(shortcuts.incidental)
    if together is None:
        yield Check("yes", claim, f"{facts} are the same for all {things()} ({guess}).")
        return
    if together.value <= shortcuts.guess:
        yield Check("yes", claim, f"{facts} tell no more than guessing does ({guess}).")
        return
    reason = f"{facts} together tell the class of {_rate(together)} of {things()}"
    if _tells_much(together, shortcuts.guess):
        reason += f"; guessing is right on {guess}. A model may rely on that."
        yield Check("careful", claim, reason)
        return
    yield Check("yes", claim, f"{reason}, little more than guessing ({guess}).")


def no_plain_fact(run: Run) -> Iterator[Check]:
    """Facts that come from the content: legitimate only if they are the subject."""
    shortcuts = run.about.audit.shortcuts
    if shortcuts is None or (together := defined(shortcuts.content)) is None:
        return
    claim = "No plain fact alone tells the class"
    clues = kind_named(run.data.modality).examiner().clues_of_kind[CONTENT]
    guess = shortcuts.guess
    telling = [c for c in shortcuts.culprits if c.kind == CONTENT and c.told >= MATTERS]
    if not telling and not _tells_much(together, guess):
        told = "tell no more than guessing does"
        if together.value > guess:
            told = f"tell the class of {_rate(together)} of {things()}, little more than guessing"
        facts = clues[0].upper() + clues[1:]
        yield Check("yes", claim, f"{facts} together {told} ({words.percent(guess)}).")
        return
    which = [f"{c.name} alone tells the class of {_rate(c.accuracy)}" for c in telling]
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


def _rate(estimate: Estimate) -> str:
    """ "72.9 % (65.4–79.3 %)"."""
    return f"{words.percent(estimate.value)} ({words.estimate_range(estimate)})"
