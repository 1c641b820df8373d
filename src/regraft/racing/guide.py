"""A Dataset in, advice out: how large it is, how similar to the pretraining data, what to try.

The rule of thumb is older than this project: the less data and the more familiar, the fewer
layers should be trained. Here both axes are measured rather than asked, and the rule only orders
the candidates: `held` says afterwards whether the measurement agreed with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.backbone import Backbone
from regraft.dataset import Dataset, require_trainable
from regraft.errors import UsageError
from regraft.features.embedding import embed_rows
from regraft.metrics.differences import standing
from regraft.metrics.rates import Estimate
from regraft.progress import Progress, silent
from regraft.racing.similarity import Similarity
from regraft.sampling import stratified_sample
from regraft.storage.saved import Count, Number
from regraft.wording import listed

LARGE_FROM = 1_000
LARGE_CLASS_FROM = 100

H_SCORE_ROWS = 3_000
RANKED_ON = 300  # images from which backbones are ranked

SCOPES: Mapping[str, str] = {
    "head": "only a new head",
    "last_2_stages": "the last two stages",
    "last_4_stages": "the last four stages",
    "first_2_stages": "the first two stages",
    "all": "every layer from the pretrained weights",
    "scratch": "every layer from random weights",
}
"""What may be trained, and how a sentence says it."""

# ---- Size ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Size:
    """How many training images there are, in all and of a class.

    `is_large` is a convention, not a finding: from 1,000 images in all and a median of 100 a
    class. 1,000 is where this project can afford to set a test set aside and stops repeating
    cross-validation, and above the 1,000 that the VTAB-1k benchmark (Zhai et al. 2019) hands
    out to stand for little data. 100 a class keeps a thousand classes of a few images each from
    counting as large; the median, so that one rare class does not decide.
    """

    TOLD: ClassVar = ("is_large", "word")

    images: Count
    classes: Count
    smallest_class: Count
    median_class: Number

    @property
    def is_large(self) -> bool:
        """At least `LARGE_FROM` images and a median of at least `LARGE_CLASS_FROM` a class."""
        return self.images >= LARGE_FROM and self.median_class >= LARGE_CLASS_FROM

    @property
    def word(self) -> str:
        """ "large" or "small"."""
        return "large" if self.is_large else "small"


def measure_size(data: Dataset) -> Size:
    """Count the training images of `data`, test images left out.

    Raises:
        DataError: there are too few to train on.
    """
    require_trainable(data)
    counts = list(Counter(row.label for row in data.train).values())
    return Size(
        images=sum(counts),
        classes=len(counts),
        smallest_class=min(counts),
        median_class=float(np.median(counts)),
    )


# ---- Advice -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Advice:
    """What the rule of thumb says for one quadrant.

    Attributes:
        quadrant: such as "small and similar".
        advice: what to train, one sentence.
        reason: why that might be so, and what speaks against it.
        source: where the rule comes from.
        trains: what to train, out of `SCOPES`, in the order to try it. The head comes first
            everywhere: on cached features it costs seconds and is what all else must beat.
        expected: those of `SCOPES` that, if they win, show the rule to be right.
    """

    quadrant: str
    advice: str
    reason: str
    source: str
    trains: tuple[str, ...]
    expected: frozenset[str]


RULE: Mapping[str, Advice] = {
    advice.quadrant: advice
    for advice in (
        Advice(
            quadrant="small and similar",
            advice="Train the last layers and leave the rest as it is.",
            reason=(
                "The pretrained features already suit such data, and few examples would overfit "
                "more layers; fine-tuning can also distort good features."
            ),
            source="CS231n notes on transfer learning; Kumar et al. 2022 (LP-FT)",
            trains=("head", "last_2_stages"),
            expected=frozenset({"head", "last_2_stages"}),
        ),
        Advice(
            quadrant="small and different",
            advice="Train the initial layers together with a new head.",
            reason=(
                "Where the input looks different and its meaning does not, adapting the first "
                "layers to it spares the later ones. This was shown for corrupted images of the "
                "same classes; with new classes the later layers, which are the most specific to "
                "their first task, may have to move instead."
            ),
            source="Lee et al. 2023 (Surgical fine-tuning, ICLR); Yosinski et al. 2014 "
            "(How transferable are features)",
            trains=("head", "first_2_stages", "last_4_stages"),
            expected=frozenset({"first_2_stages"}),
        ),
        Advice(
            quadrant="large and similar",
            advice="Train the last layers, or everything from the pretrained weights.",
            reason=(
                "There are enough examples to move more layers without overfitting, and on "
                "familiar data a linear head already comes close, so the gain may be small."
            ),
            source="CS231n notes on transfer learning; Kornblith et al. 2019",
            trains=("head", "last_2_stages", "all"),
            expected=frozenset({"head", "last_2_stages", "last_4_stages", "all"}),
        ),
        Advice(
            quadrant="large and different",
            advice="Retrain from the checkpoint: start from the pretrained weights and train "
            "everything.",
            reason=(
                "Features are less transferable the further the tasks are apart, yet even distant "
                "weights are usually a better and faster start than random ones."
            ),
            source="Yosinski et al. 2014 (How transferable are features); Kornblith et al. 2019; "
            "CS231n notes on transfer learning",
            trains=("head", "all", "last_4_stages", "scratch"),
            expected=frozenset({"all"}),
        ),
    )
}
"""The rule of thumb, by quadrant."""


def advise(size: Size, similarity: Similarity) -> Advice:
    """The rule of thumb for data of that size and similarity."""
    return RULE[f"{size.word} and {similarity.word}"]


@dataclass(frozen=True, slots=True)
class Rival:
    """A candidate that did not win, as far as the rule of thumb is concerned.

    Attributes:
        title: for people.
        train: what it trained, one of `SCOPES`.
        behind: accuracy of the winner minus its own, on the same images; None where it was not
            finished.
        reason: why it was not finished, or had fewer epochs than planned; "" where neither is so.
    """

    title: str
    train: str
    behind: Estimate | None
    reason: str = ""

    @property
    def is_clearly_behind(self) -> bool:
        """Whether it was finished as planned, and the winner is significantly ahead of it."""
        return self.behind is not None and not self.reason and standing(self.behind) == "ahead"


def held(advice: Advice, winner_train: str, rivals: Sequence[Rival]) -> str:
    """One sentence: was the rule of thumb right, given what was measured?

    It held if something it names won against something it does not, and was wrong if all that it
    names was finished and significantly behind. Otherwise it was not tested, or not settled.

    Args:
        advice: what was advised.
        winner_train: what the winner trained, one of `SCOPES`.
        rivals: all other candidates, finished or not.

    Raises:
        UsageError: `winner_train` is none of `SCOPES`.
    """
    if winner_train not in SCOPES:
        raise UsageError(f"winner_train is {winner_train!r}, expected one of {', '.join(SCOPES)}")
    rule = f"The rule of thumb for {advice.quadrant} data"
    won = f"training {SCOPES[winner_train]} was measured to be best"
    named = [rival for rival in rivals if rival.train in advice.expected]
    if winner_train in advice.expected:
        others = [rival for rival in rivals if rival.train not in advice.expected]
        if all(rival.behind is None for rival in others):
            return f"{rule} was not tested: {_open(others) or 'nothing else was compared'}."
        against = _open([rival for rival in others if rival.behind is not None])
        if against:
            return f"{rule} was not refuted: {won}, but {against}."
        return f"{rule} held: {won}."
    texts = [text for name, text in SCOPES.items() if name in advice.expected]
    expects = f"it expects training {listed(texts, last='or')} to be best"
    if all(rival.behind is None for rival in named):
        why = _open(named) or "no such candidate was compared"
        return f"{rule} was not tested: {expects}, and {why}."
    if still_open := _open(named):
        return f"{rule} is not settled here: {expects}; {won}, but {still_open}."
    return f"{rule} was wrong here: {expects}, and {won}."


def _open(rivals: Sequence[Rival]) -> str:
    """Why rivals may still be as good as the winner; "" if all are clearly behind."""
    level = [
        rival.title
        for rival in rivals
        if rival.behind is not None and standing(rival.behind) != "ahead"
    ]
    parts = [f"it cannot be told apart from {listed(level)}"] if level else []
    parts += [
        f"{rival.title} was {'not finished' if rival.behind is None else 'cut short'}"
        + (f" ({rival.reason})" if rival.reason else "")
        for rival in rivals
        if not rival.is_clearly_behind and rival.title not in level
    ]
    return listed(parts)


# ---- Ordering backbones -------------------------------------------------------------------


def rank_backbones(
    data: Dataset,
    backbones: Sequence[Backbone],
    *,
    images: int = RANKED_ON,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> list[tuple[Backbone, float]]:
    """Backbones with their H-scores on a sample of the training rows, the highest first.

    An ordering only, see `h_score`: it says which to try first where time is short. The features
    of the sample go to the cache, so little of the work is lost.

    Args:
        data: its training rows are sampled, evenly over classes.
        backbones: to rank; all must be installed.
        images: at the most.
        seed: of the sample.
        jobs: worker threads.
        progress: told how many images are done.
    """
    rows = data.train
    labels = data.labels(rows)
    chosen = [rows[i] for i in stratified_sample(labels, images, seed=seed)]
    ranked = []
    for backbone in backbones:
        features = embed_rows(data, chosen, backbone, jobs=jobs, progress=progress).features
        readable = ~np.isnan(features).any(axis=1)
        ranked.append((backbone, h_score(features[readable], data.labels(chosen)[readable])))
    return sorted(ranked, key=lambda pair: -pair[1])


def h_score(features: NDArray[Any], labels: NDArray[np.int64]) -> float:
    """How well classes stand apart in features: higher is better, and only the order counts.

    With S the covariance of the features, shrunk by a share r (Ledoit and Wolf 2004), and M that
    of the class means, each image counting as the mean of its class: (1 - r) trace(S^-1 M). Of
    more than 3,000 rows a stratified 3,000 are used. It is no accuracy: compare values only for
    the same rows, to decide which features to try first.

    Source: Bao et al. 2019 (H-score); Ibrahim et al. 2022 (shrinkage-based).

    Args:
        features: finite (n, d); n may be smaller than d.
        labels: int64 (n,); with fewer than two classes the score is 0.
    """
    from scipy.linalg import cho_factor, cho_solve
    from sklearn.covariance import ledoit_wolf

    kept = stratified_sample(labels, H_SCORE_ROWS)
    classes, labels = np.unique(labels[kept], return_inverse=True)
    x = np.asarray(features, dtype=np.float64)[kept]  # (n, d)
    x = x - x.mean(axis=0)
    if len(classes) < 2 or not x.any():
        return 0.0
    covariance, shrinkage = ledoit_wolf(x, assume_centered=True)
    # Copied features that nothing shrinks would leave no inverse; this share is not felt.
    covariance[np.diag_indices_from(covariance)] += 1e-9 * np.trace(covariance) / len(covariance)
    counts = np.bincount(labels)
    sums = np.stack([x[labels == c].sum(axis=0) for c in range(len(classes))])
    means = sums / np.sqrt(counts * len(x))[:, None]  # (k, d), so that means.T @ means is M
    solved = cho_solve(cho_factor(covariance), means.T)  # (d, k)
    return float((1 - shrinkage) * np.sum(means.T * solved))
