"""What training left in the run folder in, charts and a verdict on over- or underfitting out.

Both tables of `training_table` are optional; of one that is damaged nothing is drawn.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TypeVar

from regraft.errors import RunError
from regraft.evidence.training_table import RangeRow, TrainingRow, read_range_test, read_training
from regraft.reporting import charts, words
from regraft.reporting.charts import Line, Plot, Scale
from regraft.reporting.words import things
from regraft.runs import Run

RISES = 0.10
"""Rise of the loss on unseen photos above its lowest value that counts as overfitting."""

GAP = 0.10
"""Accuracy on training photos minus that on unseen ones that counts as overfitting."""

FALLS = 0.05
"""Fall of the training loss in the last quarter of the epochs that counts as underfitting."""

R = TypeVar("R")

_FEWEST_EPOCHS = 3
_MOST_STEPS = 200  # drawn of a schedule
_PARTS = ("train_loss", "train_accuracy", "fold_loss", "fold_accuracy")


@dataclass(frozen=True, slots=True)
class Epoch:
    """One epoch, of one fold or on average; what was not measured is NaN."""

    number: int
    train_loss: float
    train_accuracy: float
    fold_loss: float
    fold_accuracy: float


@dataclass(frozen=True, slots=True)
class Trained:
    """How the training of one candidate went; `answer` is the verdict in one word."""

    candidate: str
    answer: str
    sentence: str
    folds: str
    plots: tuple[Plot, ...]


def how_training_went(run: Run) -> tuple[Trained, ...]:
    """Every candidate that `training.csv` or `lr_range.csv` tells of, in their order."""
    rows, tested = _unless_damaged(read_training, run), _unless_damaged(read_range_test, run)
    return tuple(
        _trained(
            name,
            [row for row in rows if row.candidate == name],
            [row for row in tested if row.candidate == name and _is_drawable(row)],
        )
        for name in dict.fromkeys([*(r.candidate for r in rows), *(r.candidate for r in tested)])
    )


def _is_drawable(row: RangeRow) -> bool:
    return row.learning_rate > 0 and math.isfinite(row.learning_rate + row.loss)


def _unless_damaged(read: Callable[[Path], tuple[R, ...]], run: Run) -> tuple[R, ...]:
    try:
        return read(run.folder)
    except RunError:
        return ()


def judge(epochs: Sequence[Epoch]) -> tuple[str, str]:
    """Whether the training over- or underfits, in one word and in one sentence.

    The rule, on the means over folds, the first case that applies:
    overfits if the loss on unseen photos ended 10 % or more above its lowest value while the
    training loss fell on; overfits if the accuracy on training photos ended 10 points or more
    above that on unseen ones; underfits if the training loss fell by 5 % or more in the last
    quarter of the epochs and the loss on unseen photos was lowest at the end; else neither.
    """
    measured = [e for e in epochs if math.isfinite(e.train_loss) and math.isfinite(e.fold_loss)]
    if len(measured) < _FEWEST_EPOCHS:
        n = words.counted(len(measured), "epoch")
        return "unknown", f"{n} with a loss on both sides: too few to say whether it overfits."
    last, lowest = measured[-1], min(measured, key=lambda e: e.fold_loss)
    rise = last.fold_loss / max(lowest.fold_loss, 1e-12) - 1
    if rise >= RISES and last.train_loss < lowest.train_loss:
        return "overfits", (
            f"It overfits: after epoch {lowest.number} the loss on {things()} it had not seen "
            f"rose by "
            f"{_share(rise)} while the training loss fell on."
        )
    gap = last.train_accuracy - last.fold_accuracy
    if gap >= GAP:
        return "overfits", (
            f"It overfits: at the end it is right on {words.percent(last.train_accuracy)} of its "
            f"training {things()} and on {words.percent(last.fold_accuracy)} of those it had "
            f"not seen."
        )
    before = measured[-1 - max(1, len(measured) // 4)]
    fall = 1 - last.train_loss / max(before.train_loss, 1e-12)
    if fall >= FALLS and last is lowest:
        return "underfits", (
            f"It underfits: when it ended, the training loss was still falling, by {_share(fall)} "
            f"since epoch {before.number}, and the loss on {things()} it had not seen fell with "
            f"it; "
            "more epochs may help."
        )
    beside = ""
    if math.isfinite(gap):
        side = "more" if gap >= 0 else "less"
        beside = (
            f", and it is right on {abs(100 * gap):.1f} points {side} of its training "
            f"{things()} than "
            "of others"
        )
    return "fits", (
        f"It neither over- nor underfits: the loss on {things()} it had not seen ended within "
        f"{_share(RISES)} of its lowest value (epoch {lowest.number}){beside}."
    )


def mean_epochs(folds: Sequence[Sequence[Epoch]]) -> tuple[Epoch, ...]:
    """Means over folds, for the epochs that at least half of them reached."""
    by_number: dict[int, list[Epoch]] = defaultdict(list)
    for fold in folds:
        for epoch in fold:
            by_number[epoch.number].append(epoch)
    return tuple(
        Epoch(number, *(_mean([getattr(e, part) for e in found]) for part in _PARTS))
        for number, found in sorted(by_number.items())
        if 2 * len(found) >= len(folds)
    )


def _trained(title: str, rows: Sequence[TrainingRow], tested: Sequence[RangeRow]) -> Trained:
    folds: dict[int, list[Epoch]] = defaultdict(list)
    steps: dict[int, list[float]] = defaultdict(list)
    for row in rows:
        if row.step is not None:
            if math.isfinite(row.learning_rate):
                steps[row.fold].append(row.learning_rate)
            continue
        measured = (getattr(row, part) for part in _PARTS)
        folds[row.fold].append(Epoch(row.epoch + 1, *measured))  # people count from 1
    means = mean_epochs(list(folds.values()))
    answer, sentence = judge(means) if means else ("", "")
    plots = []
    if means:
        plots += [_epoch_plot(kind, folds, means) for kind in ("loss", "accuracy")]
    longest = max(steps.values(), key=len, default=())
    if len(longest) > 1:
        plots.append(_schedule_plot(longest))
    if len(tested) > 1:
        plots.append(_range_plot(tested))
    said = ""
    if len(folds) > 1:
        said = f"Thick lines are means over {len(folds)} folds, thin ones single folds."
    return Trained(title, answer, sentence, said, tuple(plot for plot in plots if plot))


def _epoch_plot(
    what: str, folds: Mapping[int, Sequence[Epoch]], means: Sequence[Epoch]
) -> Plot | None:
    """Loss or accuracy by epoch: on training photos and on others, each fold and their mean."""
    train, fold = f"train_{what}", f"fold_{what}"
    drawn = [means] if len(folds) == 1 else [*folds.values(), means]
    values = [v for epochs in drawn for name in (train, fold) for _, v in _values(epochs, name)]
    if not values:
        return None
    told: Callable[[float], str]
    if what == "loss":
        y, told = charts.amount_scale(max(values), most=4), "{:.2f}".format
    else:
        y, told = charts.rate_scale(values), words.percent
    numbers = [e.number for epochs in drawn for e in epochs]
    x = charts.count_scale(max(numbers), first=min(numbers))
    lines: list[Line] = []
    label = []
    key = []
    for name, kind, title in (
        (train, "train", f"training {things()}"),
        (fold, "fold", f"unseen {things()}"),
    ):
        points = _values(means, name)
        if not points:
            continue
        if len(folds) > 1:
            lines += [
                charts.line(_values(epochs, name), x, y, f"{kind} faint")
                for epochs in folds.values()
            ]
        lines.append(charts.line(points, x, y, kind))
        label.append(f"on {title} from {told(points[0][1])} to {told(points[-1][1])}")
        key.append((kind, title))
    lines.sort(key=lambda one: "faint" not in one.kind)  # the means on top
    return Plot(
        title=f"{what.capitalize()} by epoch",
        label=f"{what.capitalize()} by epoch: {' and '.join(label)}",
        x=x,
        y=y,
        x_title="epoch",
        lines=tuple(one for one in lines if one.path),
        key=tuple(key),
        y_unit=f"{words.THIN_SPACE}%" if what == "accuracy" else "",
    )


def _schedule_plot(rates: Sequence[float]) -> Plot:
    last = len(rates) - 1
    count = min(len(rates), _MOST_STEPS)
    at = sorted({round(i * last / (count - 1)) for i in range(count)})
    top = max(rates)
    x = charts.count_scale(len(rates), most=4)
    y = charts.amount_scale(top or 1.0, most=4)
    y = Scale(
        y.low,
        y.high,
        tuple(charts.Tick(t.at, charts.short_number(y.high * t.at / 100)) for t in y.ticks),
    )
    short = charts.short_number
    return Plot(
        title="Learning rate by step",
        label=f"Learning rate by step: starts at {short(rates[0])}, highest {short(top)}, ends at "
        f"{short(rates[-1])} after {words.counted(len(rates), 'step')}",
        x=x,
        y=y,
        x_title="step",
        lines=(charts.line([(i + 1, rates[i]) for i in at], x, y, "fold"),),
    )


def _range_plot(tested: Sequence[RangeRow]) -> Plot:
    """Loss by learning rate; where the loss explodes, it is cut off."""
    points = sorted((row.learning_rate, row.loss) for row in tested)
    picked = next((row.learning_rate for row in tested if row.chosen), None)
    first, least = points[0][1], min(loss for _, loss in points)
    y = charts.amount_scale(min(max(loss for _, loss in points), 3 * first or 1.0), most=4)
    x = charts.rate_of_learning_scale([rate for rate, _ in points])
    inside = next((i for i, (_, loss) in enumerate(points) if loss > y.high), len(points))
    short = charts.short_number
    label = (
        f"Learning-rate range test: the loss is {first:.2f} at a rate of {short(points[0][0])} and "
        f"lowest, {least:.2f}, at {short(min(points, key=lambda p: p[1])[0])}"
    )
    return Plot(
        title="Learning-rate range test",
        label=f"{label}; {short(picked)} was chosen" if picked else label,
        x=x,
        y=y,
        x_title="learning rate" + (f", chosen: {short(picked)}" if picked else ""),
        lines=(charts.line(points[: inside + 1], x, y, "fold"),),
        upright=(x.at(picked),) if picked else (),
    )


def _values(epochs: Sequence[Epoch], name: str) -> list[tuple[float, float]]:
    """Pairs of epoch and what was measured there."""
    return [(e.number, v) for e in epochs if math.isfinite(v := getattr(e, name))]


def _mean(values: Sequence[float]) -> float:
    finite = [value for value in values if math.isfinite(value)]
    return fmean(finite) if finite else math.nan


def _share(value: float) -> str:
    return f"{100 * value:.0f}{words.THIN_SPACE}%"
