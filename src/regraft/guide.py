"""A Dataset in, advice out: how large it is, how similar to the pretraining data, what to try.

The rule of thumb is older than this project: the less data and the more familiar, the fewer
layers should be trained. Here both axes are measured rather than asked, and the rule only orders
the candidates: `held` says afterwards whether the measurement agreed with it.

What similarity cannot see: of photos it compares means and variances of channels, so it notices
another kind of picture (a microscope, a scanner, one texture) and not whether the classes differ in
something the network never learned to tell apart. Familiar photos with an unfamiliar question
count as similar. Of texts it counts words that the network's tokenizer does not know as one, so it
notices another language, jargon or numbers of machines, and not another subject in plain words.
"""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft.catalogue import Backbone, weights_path
from regraft.dataset import Dataset, Row, require_trainable
from regraft.differences import standing
from regraft.engines.onnx import OnnxEngine
from regraft.errors import DataError, UnreadableInputError, UsageError
from regraft.features import embed_rows, read_checked, run_input
from regraft.metrics import Estimate
from regraft.modality import IMAGE, things
from regraft.modality.tokens import TextTransform
from regraft.progress import Progress, silent
from regraft.workers import map_threads

IMAGES = 96  # another draw hardly moves the value, see measure_similarity
SIMILAR_BELOW = 0.34
FAMILIAR_FROM = 0.28
SIMILAR_WORDS_BELOW = 0.27
DISTANCE, SPLIT_WORDS = "distance", "split_words"

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

_SIMILAR = {DISTANCE: SIMILAR_BELOW, SPLIT_WORDS: SIMILAR_WORDS_BELOW}
_BATCH = 4  # larger ones take longer: what a layer holds no longer fits the processor's cache


# ---- Similarity ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Similarity:
    """How far the user's images are from those the backbone was pretrained on.

    Attributes:
        value: mean over the layers of batch normalisation of their distance, in stored standard
            deviations; 0 is no difference. NaN without such layers. Of texts the share of words
            that fall apart, 0 to 1; nothing is known of depths then.
        early: the same over the first third of them.
        middle: over the second third.
        late: over the last third.
        top_probability: mean highest probability that the classifier of pretraining gives one
            of its own classes, 0 to 1.
        images: how many were measured.
        unreadable: how many more were drawn and could not be decoded.
        measure: what the value is, DISTANCE or SPLIT_WORDS.
    """

    value: float
    early: float
    middle: float
    late: float
    top_probability: float
    images: int
    unreadable: int = 0
    measure: str = DISTANCE

    @property
    def is_similar(self) -> bool:
        """By the value; by the classifier's confidence where there is no value."""
        if math.isnan(self.value):
            return self.top_probability >= FAMILIAR_FROM
        return self.value < _SIMILAR[self.measure]

    @property
    def word(self) -> str:
        """ "similar" or "different"."""
        return "similar" if self.is_similar else "different"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; a value that does not exist (NaN) becomes null."""
        values = {
            "value": self.value,
            "early": self.early,
            "middle": self.middle,
            "late": self.late,
            "top_probability": self.top_probability,
        }
        return {
            **{name: None if math.isnan(x) else round(x, 4) for name, x in values.items()},
            "measure": self.measure,
            "images": self.images,
            "unreadable": self.unreadable,
            "is_similar": self.is_similar,
            "word": self.word,
        }


def measure_similarity(
    data: Dataset,
    backbone: Backbone,
    *,
    images: int = IMAGES,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Similarity:
    """Compare a sample of the training images with what the backbone remembers of its own.

    See `engines.statistics.observe` for the formula. An image that cannot be decoded is counted
    and not replaced.

    Of texts it is the proportion of words that the backbone's tokenizer splits or does not know
    (Rust et al. 2021, "How good is your tokenizer?", ACL; words have a letter), which is low for
    what its vocabulary was made from. `SIMILAR_WORDS_BELOW` is the geometric middle of the sets
    next to it, measured on 96 texts each with MiniLM's tokenizer, means of the seeds 0 to 2:
    speeches 0.03, a novel 0.09, bodies of e-mails 0.13, English manuals 0.14, Python source 0.18;
    e-mails with all headers 0.41, French, Spanish, Polish and German manuals 0.44, 0.48, 0.60 and
    0.60, random numbers 1.

    Where "similar" ends was set by five sets of photos, measured on 96 images each with
    EfficientNet-Lite0, means of the seeds 0 to 2 (another draw moves a value by 0.01 or so):

    | photos        | value | early | middle | late | top probability |
    |---------------|-------|-------|--------|------|-----------------|
    | ants and bees | 0.157 | 0.10  | 0.13   | 0.25 | 0.71            |
    | clothing      | 0.203 | 0.16  | 0.16   | 0.29 | 0.51            |
    | rooms         | 0.218 | 0.13  | 0.20   | 0.33 | 0.39            |
    | solar cells   | 0.545 | 0.54  | 0.46   | 0.64 | 0.20            |
    | textile       | 0.649 | 0.50  | 0.63   | 0.82 | 0.05            |

    `SIMILAR_BELOW` and `FAMILIAR_FROM` are the geometric middle of rooms and solar cells; nothing
    was measured between them, and five sets are few. Lite1 and Lite2 part the same sets (0.15 to
    0.21 against 0.50 to 0.64); their top probabilities are lower and closer (0.30 and more
    against 0.18 and less), so a confidence near `FAMILIAR_FROM` says little.

    Args:
        data: its training rows are sampled, each class by its share.
        backbone: from the catalogue; of its views only the plain one is used.
        images: how many to draw at the most, at least 1.
        seed: the same seed draws the same rows.
        jobs: threads that decode; None for one a core.
        progress: told how many images are done.

    Raises:
        DataError: too few training images, or none of those drawn can be decoded.
        BackboneError: the weights are missing or damaged.
        UsageError: `images` is below 1.
    """
    if images < 1:
        raise UsageError(f"images is {images}, expected at least 1")
    require_trainable(data)
    drawn = spread_rows(data.labels(data.train), images, seed=seed)
    rows = [data.train[i] for i in drawn]
    return _MEASURES[backbone.modality](data, rows, backbone, jobs, progress)


def _of_photos(
    data: Dataset, rows: Sequence[Row], backbone: Backbone, jobs: int | None, progress: Progress
) -> Similarity:
    weights = weights_path(backbone)
    from regraft.engines.statistics import observe
    from regraft.engines.torch import load_network

    network = load_network(backbone.architecture, weights, match=backbone.match)
    failures: list[str] = []
    seen = observe(network, _pixel_batches(data, rows, backbone, failures, jobs, progress))
    if not seen.images:
        raise _none_readable(data, rows, failures[0])
    distances = np.array([layer.distance for layer in seen.layers])
    early, middle, late = (_mean(third) for third in np.array_split(distances, 3))
    return Similarity(
        value=_mean(distances),
        early=early,
        middle=middle,
        late=late,
        top_probability=seen.top_probability,
        images=seen.images,
        unreadable=len(failures),
    )


def _of_texts(
    data: Dataset, rows: Sequence[Row], backbone: Backbone, jobs: int | None, progress: Progress
) -> Similarity:
    transform = backbone.transform
    assert isinstance(transform, TextTransform), backbone.modality
    phase = f"similarity to {backbone.pretrained_on}"

    def counted(row: Row) -> tuple[int, int] | str:
        try:
            return transform.count_split_words(read_checked(data.absolute(row), sha256=row.sha256))
        except UnreadableInputError as error:
            return f"{row.path}: {error}"

    split = words = read = 0
    reasons = []
    progress(phase, 0, len(rows))
    for done, found in enumerate(map_threads(counted, rows, jobs=jobs), start=1):
        if isinstance(found, str):
            reasons.append(found)
        else:
            split, words, read = split + found[0], words + found[1], read + 1
        progress(phase, done, len(rows))
    if not read:
        raise _none_readable(data, rows, reasons[0])
    return Similarity(
        value=split / words if words else 1.0,  # signs and numbers alone
        early=math.nan,
        middle=math.nan,
        late=math.nan,
        top_probability=math.nan,
        images=read,
        unreadable=len(reasons),
        measure=SPLIT_WORDS,
    )


_MEASURES: Mapping[
    str, Callable[[Dataset, Sequence[Row], Backbone, int | None, Progress], Similarity]
] = {IMAGE: _of_photos, "text": _of_texts}
"""How similarity is measured, by kind of input."""


def _none_readable(data: Dataset, rows: Sequence[Row], reason: str) -> DataError:
    return DataError(
        f"none of {len(rows):,} training {things(data.modality)} drawn from {data.root} can be "
        f"decoded ({reason}); see what regraft audit says about them"
    )


def spread_rows(labels: NDArray[np.int64], size: int, *, seed: int = 0) -> NDArray[np.int64]:
    """Row numbers, ascending: all, or `size` of them in which each class keeps its share.

    Each class is shuffled and its i-th row of c stands at (i + u) / c between 0 and 1, where u
    is drawn once a class; the rows that stand lowest are taken (systematic sampling).
    """
    place = np.empty(len(labels))
    random = np.random.default_rng(seed)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        place[random.permutation(rows)] = (np.arange(len(rows)) + random.random()) / len(rows)
    return np.sort(np.argsort(place, kind="stable")[:size])


def _pixel_batches(
    data: Dataset,
    rows: Sequence[Row],
    backbone: Backbone,
    failures: list[str],
    jobs: int | None,
    progress: Progress,
) -> Iterator[NDArray[np.float32]]:
    """Pixels float32 (n, 3, s, s) of rows; the reasons of those that fail join `failures`."""
    plain = backbone.transform.plain()
    engine = OnnxEngine(plain.graph().SerializeToString())
    phase = f"similarity to {backbone.pretrained_on}"

    def pixels(row: Row) -> NDArray[np.float32] | str:
        try:
            path = os.path.normpath(f"{data.root}/{row.path}")
            return run_input(engine, plain, path, sha256=row.sha256)[0]
        except UnreadableInputError as error:
            return f"{row.path}: {error}"
        except Exception as error:  # one image must not stop the others
            return f"{row.path}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"

    batch: list[NDArray[np.float32]] = []
    progress(phase, 0, len(rows))
    for done, found in enumerate(map_threads(pixels, rows, jobs=jobs), start=1):
        if isinstance(found, str):
            failures.append(found)
        else:
            batch.append(found)
        if len(batch) == _BATCH or (batch and done == len(rows)):
            yield np.concatenate(batch)
            batch.clear()
            progress(phase, done, len(rows))
    progress(phase, len(rows), len(rows))


def _mean(values: NDArray[np.float64]) -> float:
    return float(values.mean()) if len(values) else math.nan


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

    images: int
    classes: int
    smallest_class: int
    median_class: float

    @property
    def is_large(self) -> bool:
        """At least `LARGE_FROM` images and a median of at least `LARGE_CLASS_FROM` a class."""
        return self.images >= LARGE_FROM and self.median_class >= LARGE_CLASS_FROM

    @property
    def word(self) -> str:
        """ "large" or "small"."""
        return "large" if self.is_large else "small"

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "images": self.images,
            "classes": self.classes,
            "smallest_class": self.smallest_class,
            "median_class": self.median_class,
            "is_large": self.is_large,
            "word": self.word,
        }


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
    expects = f"it expects training {_listed(texts, 'or')} to be best"
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
    parts = [f"it cannot be told apart from {_listed(level)}"] if level else []
    parts += [
        f"{rival.title} was {'not finished' if rival.behind is None else 'cut short'}"
        + (f" ({rival.reason})" if rival.reason else "")
        for rival in rivals
        if not rival.is_clearly_behind and rival.title not in level
    ]
    return _listed(parts)


def _listed(items: Sequence[str], last: str = "and") -> str:
    return f" {last} ".join(filter(None, (", ".join(items[:-1]), *items[-1:])))


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
    chosen = [rows[i] for i in spread_rows(labels, images, seed=seed)]
    ranked = []
    for backbone in backbones:
        found = embed_rows(data, chosen, backbone, jobs=jobs, progress=progress).features
        readable = ~np.isnan(found).any(axis=1)
        ranked.append((backbone, h_score(found[readable], data.labels(chosen)[readable])))
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

    kept = spread_rows(labels, H_SCORE_ROWS)
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
