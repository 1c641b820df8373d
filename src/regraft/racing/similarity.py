"""A Dataset and a backbone in, how far the data are from those of its pretraining out.

What similarity cannot see: of photos it compares means and variances of channels, so it notices
another kind of picture (a microscope, a scanner, one texture) and not whether the classes differ in
something the network never learned to tell apart. Familiar photos with an unfamiliar question
count as similar. Of texts it counts words that the network's tokenizer does not know as one, so it
notices another language, jargon or numbers of machines, and not another subject in plain words.

What was measured is kept in the cache by the sampled contents and the backbone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.architectures import image_network
from regraft.backbones.backbone import Backbone, graph_key, weights_path
from regraft.dataset import Dataset, Row, require_trainable
from regraft.engines import require_training
from regraft.engines.devices import load_graph
from regraft.errors import DataError, OutOfTimeError, UnreadableInputError, UsageError
from regraft.features.embedding import read_checked, run_input
from regraft.kinds import Part, kind_named, things
from regraft.kinds.texts.tokens import as_of_texts
from regraft.progress import Progress, silent
from regraft.sampling import stratified_sample
from regraft.storage.cache import ContentStore
from regraft.storage.records import digits
from regraft.storage.saved import Count, Number
from regraft.workers import map_threads

IMAGES = 96  # another draw hardly moves the value, see measure_similarity
SIMILAR_BELOW = 0.34
FAMILIAR_FROM = 0.28
SIMILAR_WORDS_BELOW = 0.27
DISTANCE, SPLIT_WORDS = "distance", "split_words"

_SIMILAR = {DISTANCE: SIMILAR_BELOW, SPLIT_WORDS: SIMILAR_WORDS_BELOW}
_LOADING_S = 8.0  # PyTorch, the network and 96 photos on two idle cores; measured 7
_BATCH = 4  # larger ones take longer: what a layer holds no longer fits the processor's cache


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

    TOLD: ClassVar = ("is_similar", "word")

    value: Number = field(default=math.nan, metadata=digits(4))
    early: Number = field(default=math.nan, metadata=digits(4))
    middle: Number = field(default=math.nan, metadata=digits(4))
    late: Number = field(default=math.nan, metadata=digits(4))
    top_probability: Number = field(default=math.nan, metadata=digits(4))
    images: Count = 0
    unreadable: Count = 0
    measure: str = DISTANCE

    def __post_init__(self) -> None:
        """Raises ValueError: it was measured in a way that this version does not know."""
        if self.measure not in _SIMILAR:
            raise ValueError(f"its measure is {self.measure!r:.40}")

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


def measure_similarity(
    data: Dataset,
    backbone: Backbone,
    *,
    images: int = IMAGES,
    deadline: float = math.inf,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Similarity:
    """Compare a sample of the training images with what the backbone remembers of its own.

    See `engines.statistics.observe` for the formula. An image that cannot be decoded is counted
    and not replaced.

    Of a kind of input without a measure nothing is known.

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
        backbone: of its views only the plain one is used.
        images: how many to draw at the most, at least 1.
        deadline: in seconds of `time.monotonic`, infinite for none. What is known from an earlier
            call costs nothing.
        seed: the same seed draws the same rows.
        jobs: threads that decode; None for one a core.
        progress: told how many images are done.

    Raises:
        DataError: too few training images, or none of those drawn can be decoded.
        BackboneError: the weights are missing or damaged.
        MissingExtraError: of photos it takes PyTorch, which is not installed.
        OutOfTimeError: the deadline passed first.
        UsageError: `images` is below 1.
    """
    if images < 1:
        raise UsageError(f"images is {images}, expected at least 1")
    require_trainable(data)
    part: Part[Measure] | None = kind_named(backbone.modality).similarity
    if part is None:
        return Similarity()
    drawn = stratified_sample(data.labels(data.train), images, seed=seed)
    rows = [data.train[i] for i in drawn]
    contents = hashlib.sha256("".join(sorted(row.sha256 for row in rows)).encode()).hexdigest()
    plain = replace(backbone, transform=backbone.transform.plain())
    store = ContentStore("measures", f"similarity-{graph_key(plain)}")
    with contextlib.closing(store):
        for _, value in store.read([contents]):
            with contextlib.suppress(ValueError, TypeError):  # damaged: measured again
                return Similarity(**json.loads(value))
        measure, least_s = part()
        left = deadline - time.monotonic()
        if left < least_s:
            raise OutOfTimeError(
                f"it takes about {least_s:g} s and there was time for {max(0, math.floor(left))} s"
            )
        measured = measure(data, rows, backbone, _until(deadline, progress), jobs)
        if not measured.unreadable:
            store.write(contents, json.dumps(asdict(measured)).encode())
    return measured


def _until(deadline: float, progress: Progress) -> Progress:
    """`progress` that raises OutOfTimeError once the deadline has passed."""

    def tell(phase: str, done: int, total: int) -> None:
        if time.monotonic() > deadline and done < total:
            raise OutOfTimeError(f"the time for it was up after {done:,} of {total:,}")
        progress(phase, done, total)

    return tell


def _of_photos(
    data: Dataset, rows: Sequence[Row], backbone: Backbone, progress: Progress, jobs: int | None
) -> Similarity:
    require_training("measuring similarity to the pretraining data")
    weights = weights_path(backbone)
    from regraft.engines.statistics import observe

    network = image_network(backbone.architecture).load(weights, backbone.layout)
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
    data: Dataset, rows: Sequence[Row], backbone: Backbone, progress: Progress, jobs: int | None
) -> Similarity:
    transform = as_of_texts(backbone.transform)
    assert transform is not None, backbone.modality
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


class Measure(NamedTuple):
    """How similarity is measured of a kind of input.

    Attributes:
        measure: the similarity of some rows.
        loading_s: seconds without which it is not begun.
    """

    measure: Callable[[Dataset, Sequence[Row], Backbone, Progress, int | None], Similarity]
    loading_s: float


OF_PHOTOS = Measure(_of_photos, _LOADING_S)
OF_TEXTS = Measure(_of_texts, 0.0)


def _none_readable(data: Dataset, rows: Sequence[Row], reason: str) -> DataError:
    return DataError(
        f"none of {len(rows):,} training {things(data.modality)} drawn from {data.root} can be "
        f"decoded ({reason}); see what regraft audit says about them"
    )


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
    engine = load_graph(plain.graph().SerializeToString())
    phase = f"similarity to {backbone.pretrained_on}"

    def pixels(row: Row) -> NDArray[np.float32] | str:
        try:
            return run_input(engine, plain, data.absolute(row), sha256=row.sha256)[0]
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
