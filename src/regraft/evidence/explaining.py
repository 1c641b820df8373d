"""A saved model and photos in, heat maps out: where in a photo it finds evidence for a class.

The network is rebuilt from the model folder with its torch weights, and must say what the model's
ONNX graph says before it is looked into. The maps are then made again with random weights
(Adebayo et al., NeurIPS 2018, arXiv 1810.03292): maps that stay as they were would show the photo,
not what was learned, and are not to be shown. What was found is kept as `explanations.json` in the
run folder.
"""

from __future__ import annotations

import json
import math
import time
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.backbones.architectures import OwnModule
from regraft.dataset import Dataset
from regraft.engines import require_training, seconds_to_load
from regraft.engines.devices import load_graph
from regraft.errors import ExplanationError, RegraftError, UnreadableInputError
from regraft.evidence.evaluation import TEST
from regraft.evidence.predictions import ImagePrediction
from regraft.features.embedding import read_image
from regraft.kinds import things
from regraft.kinds.images.transform import as_of_images, seen_box, transform_graph
from regraft.metrics.rates import FloatArray, rank_correlation
from regraft.model import Model, load, network_of
from regraft.progress import Progress, silent
from regraft.storage.files import write_atomic
from regraft.storage.records import from_json, to_json
from regraft.storage.saved import Count, Number, read_bytes
from regraft.wording import counted
from regraft.workers import map_threads

if TYPE_CHECKING:
    from regraft.engines.explanations import EvidenceLayer

FILE = "explanations.json"
MOST_PHOTOS = 24
"""Photos of a run that are explained."""

MOST_ERRORS = 16
"""Confident errors among them; typical hits take the rest."""

HITS_A_CLASS = 4

UNCHANGED_FROM = 0.5
"""Median rank correlation, without its sign, from which maps count as unchanged."""

_NETWORKS = 3  # with random weights, each of them another
_COMPARISONS = 24  # at least so many, with more networks where there are few photos
_BATCH = 8
_TIE = 0.02  # probabilities so close may change places by rounding

Role = Literal["error", "hit", "given"]
Box = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Question:
    """A photo to explain: why `target`? None stands for the class that the model says.

    `path` is how it is listed, `file` where it is opened; its content must have `sha256` unless
    that is "".
    """

    path: str
    file: Path
    target: str | None = None
    role: Role = "given"
    sha256: str = ""


@dataclass(frozen=True, slots=True)
class HeatMap:
    """Where a photo holds evidence for the class `target`.

    `values` are rows of places from the top, 0 to 1, where 1 is the strongest place of this photo.
    They cover `box` of the photo: left, top, right and bottom in fractions of its width and
    height, below 0 or above 1 where the network sees padding. `predicted` is what the model says
    of the photo, with `confidence`; of a training photo it may say something else than in
    cross-validation, for it has seen it since.
    """

    path: str
    role: Role
    target: str
    predicted: str
    confidence: Number
    values: tuple[tuple[Number, ...], ...]
    box: Box

    TOLD: ClassVar = ("grid",)

    def __post_init__(self) -> None:
        """Raises ValueError: there are no places, or they cover nothing."""
        if len({len(row) for row in self.values}) != 1 or not self.values[0]:
            raise ValueError("a heat map has no places, or rows of different lengths")
        left, top, right, bottom = self.box
        if not (left < right and top < bottom):
            raise ValueError("a heat map covers nothing")

    def __repr__(self) -> str:
        rows, columns = self.grid
        return f"HeatMap({self.path} for {self.target}, {rows} x {columns})"

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of places."""
        return len(self.values), len(self.values[0])


@dataclass(frozen=True, slots=True)
class SanityCheck:
    """Whether the maps change when what was learned is taken out of the network.

    `correlation` is the median of the rank correlations (Spearman, without their signs) of `n`
    pairs of maps of one photo: of the network, and of one of `networks` with random weights.
    """

    correlation: Number
    n: Count
    photos: Count
    networks: Count

    TOLD: ClassVar = ("passed", "asked_below")

    @property
    def passed(self) -> bool:
        """Whether the maps depend on what was learned."""
        return self.correlation < UNCHANGED_FROM

    @property
    def asked_below(self) -> float:
        """The correlation from which on maps count as unchanged."""
        return UNCHANGED_FROM

    @property
    def text(self) -> str:
        """The result in a sentence."""
        photos = counted(self.photos, "photo")
        figures = (
            f"(median rank correlation {self.correlation:.2f} of {photos} with {self.networks} "
            f"random networks; 0 is unrelated, 1 the same, below {UNCHANGED_FROM:g} is asked for)"
        )
        if self.passed:
            return f"With random weights in place of the learned ones the maps change {figures}."
        return (
            f"With random weights in place of the learned ones the maps hardly change {figures}: "
            "they cannot be trusted, because they would show the photo and not what was learned."
        )


@dataclass(frozen=True, slots=True)
class Explanations:
    """The heat maps of one model, the layer they were taken from, and whether they can be trusted.

    `left_out` are photos without a map, with the reason of each. Where no maps could be made at
    all, `reason` says why and the rest is empty.
    """

    method: str = ""
    layer: str = ""
    check: SanityCheck | None = None
    maps: tuple[HeatMap, ...] = ()
    left_out: tuple[tuple[str, str], ...] = ()
    reason: str = ""

    def __repr__(self) -> str:
        return f"Explanations({len(self.maps):,} heat maps, {len(self.left_out):,} left out)"

    @property
    def shown(self) -> tuple[HeatMap, ...]:
        """The maps that may be shown: none unless the sanity check was passed."""
        return self.maps if self.check is not None and self.check.passed else ()

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "method": self.method,
            "layer": self.layer,
            "reason": self.reason,
            "sanity_check": to_json(self.check),
            "photos": to_json(self.maps),
            "left_out": [{"path": path, "reason": reason} for path, reason in self.left_out],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Explanations:
        """The inverse of `to_dict`.

        Raises:
            ValueError, LookupError, TypeError: something is missing or of another kind.
        """
        left_out = [(entry["path"], entry["reason"]) for entry in data["left_out"]]
        renamed = {"check": data["sanity_check"], "maps": data["photos"], "left_out": left_out}
        return from_json({**data, **renamed}, cls)


def confident_errors(predictions: Sequence[ImagePrediction]) -> list[ImagePrediction]:
    """What was predicted wrong by a model that had not seen it, the most confident first."""
    wrong = [p for p in tested(predictions) if p.predicted != p.label]
    return sorted(wrong, key=lambda p: (1.0 if math.isnan(p.confidence) else -p.confidence, p.path))


def typical_hits(
    predictions: Sequence[ImagePrediction], *, most: int, a_class: int = HITS_A_CLASS
) -> list[ImagePrediction]:
    """Photos predicted right with about the usual confidence of their class; no class first.

    Of each class the hits whose confidence is nearest to the median of its hits, at most
    `a_class` of them; where that is more than `most` in all, fewer of each class, and then the
    first classes in alphabetical order.
    """
    hits: dict[str, list[ImagePrediction]] = defaultdict(list)
    for p in tested(predictions):
        if p.predicted == p.label:
            hits[p.label].append(p)
    ranked = []
    for name in sorted(hits):
        middle = median(p.confidence for p in hits[name])
        ranked.append(sorted(hits[name], key=lambda p: (abs(p.confidence - middle), p.path)))
    turns = [ranking[turn] for turn in range(a_class) for ranking in ranked if turn < len(ranking)]
    return sorted(turns[: max(0, most)], key=lambda p: p.label)


def tested(predictions: Sequence[ImagePrediction]) -> list[ImagePrediction]:
    """Those of labelled photos that the model that predicted them had not seen."""
    return [p for p in predictions if p.label and (p.split == TEST or p.fold >= 0)]


def explain_run(
    model: Path,
    data: Dataset,
    predictions: Sequence[ImagePrediction],
    *,
    make: Callable[[int], Any] | None = None,
    deadline: float = math.inf,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Explanations:
    """Heat maps of a run's confident errors, and of typical hits of each class.

    An error is explained for the class that was said, a hit for its own.

    Args:
        model: the model folder.
        data: what the run was made on.
        predictions: those of the run.
        make, deadline, jobs, progress: see `explain_photos`.

    Raises:
        ExplanationError: see `explain_photos`.
    """
    errors = confident_errors(predictions)[:MOST_ERRORS]
    hits = typical_hits(predictions, most=MOST_PHOTOS - len(errors))
    rows = {row.path: row for row in data.rows}
    roles: list[tuple[Role, list[ImagePrediction]]] = [("error", errors), ("hit", hits)]
    questions = [
        Question(p.path, data.absolute(row), p.predicted, role, row.sha256)
        for role, chosen in roles
        for p in chosen
        if (row := rows.get(p.path)) is not None
    ]
    return explain_photos(
        model, questions, make=make, deadline=deadline, jobs=jobs, progress=progress
    )


def explain_photos(
    model: Path,
    questions: Sequence[Question],
    *,
    make: Callable[[int], Any] | None = None,
    deadline: float = math.inf,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Explanations:
    """Heat maps of some photos, checked against networks with random weights.

    Photos are taken in batches, so that a thousand need no more memory than a few. Where the time
    is up, those that were done are returned and the others are `left_out`.

    Args:
        model: a model folder, or a run folder with one.
        questions: the photos, each with the class it is explained for.
        make: builds the network of a model that was trained from scratch on an architecture of
            one's own; a saved model never runs code by itself.
        deadline: in seconds of `time.monotonic`, infinite for none.
        jobs: threads that read photos.
        progress: told how many maps are done.

    Raises:
        ModelError: the model cannot be read.
        ExplanationError: it has no gradient, its network cannot be rebuilt or has no layer to look
            at, no photo can be explained, or the time was up before the maps could be checked.
    """
    loaded = load(model)
    if not questions:
        raise ExplanationError("there is no photo to explain, because none was predicted")
    if time.monotonic() + seconds_to_load() > deadline:
        raise ExplanationError("the time was up before they were begun")
    explainer = _Explainer.of(loaded, make)
    drawn = _draw(explainer, questions, deadline=deadline, jobs=jobs, progress=progress)
    if not drawn.maps:
        path, reason = drawn.left_out[0]
        raise ExplanationError(
            f"none of the {len(drawn.left_out):,} photos can be explained; the first is {path}: "
            f"{reason}"
        )
    check = explainer.sanity_check(drawn.compared, deadline=deadline, progress=progress)
    return Explanations(
        method=explainer.method,
        layer=explainer.layer.name,
        check=check,
        maps=tuple(drawn.maps),
        left_out=tuple(drawn.left_out),
        reason="" if check else "the network's maps are the same everywhere, so they say nothing",
    )


class _Drawn(NamedTuple):
    """Maps, the photos that have none with the reason, and the maps to check."""

    maps: list[HeatMap]
    left_out: list[tuple[str, str]]
    compared: list[tuple[_Seen, FloatArray]]


def _draw(
    explainer: _Explainer,
    questions: Sequence[Question],
    *,
    deadline: float,
    jobs: int | None,
    progress: Progress,
) -> _Drawn:
    """The maps of the photos, batch by batch until the time is up."""
    maps, left_out, compared = drawn = _Drawn([], [], [])
    for start in range(0, len(questions), _BATCH):
        progress("heat maps", start, len(questions))
        batch = questions[start : start + _BATCH]
        if time.monotonic() > deadline:
            left_out += [(q.path, "the time was up before its turn") for q in batch]
            continue
        looked = list(map_threads(explainer.look, batch, jobs=jobs))
        left_out += [photo for photo in looked if isinstance(photo, tuple)]
        seen = [photo for photo in looked if isinstance(photo, _Seen)]
        for photo, values in zip(seen, explainer.maps(seen), strict=True):
            if not values.any():
                reason = f"nowhere in it does the network find evidence for {photo.target_name}"
                left_out.append((photo.question.path, reason))
                continue
            maps.append(_heat_map(photo, values))
            if len(compared) < MOST_PHOTOS and np.ptp(values) > 0:
                compared.append((photo, values))
    progress("heat maps", len(questions), len(questions))
    return drawn


def write_explanations(folder: Path, explanations: Explanations) -> None:
    """Write `explanations.json`.

    Raises:
        StorageError: it cannot be written.
    """
    text = json.dumps(explanations.to_dict(), ensure_ascii=False, allow_nan=False)
    write_atomic(folder / FILE, text.encode("utf-8", "surrogateescape") + b"\n")


def read_explanations(folder: Path) -> Explanations | None:
    """What a run folder holds; None where there is no such file, or it cannot be read."""
    try:
        text = read_bytes(folder / FILE).decode("utf-8", "surrogateescape")
        return Explanations.from_dict(json.loads(text))
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return None
    except OverflowError:  # a number that is none
        return None


@dataclass(frozen=True, slots=True)
class _Seen:
    """A photo as the model sees it: what its graph says, its views as pixels, where they lie."""

    question: Question
    target: int
    target_name: str
    predicted: str
    probabilities: FloatArray
    pixels: NDArray[np.float32]  # (v, 3, s, s)
    box: Box


class _Explainer:
    """A model, its graphs, and its network as soon as the first photo has been looked at."""

    classifier: Any  # a torch module, see `networks.with_head`
    layer: EvidenceLayer
    method = ""

    def __init__(self, model: Model, make: Callable[[int], Any] | None) -> None:
        self._model = model
        self._make = make
        transform = as_of_images(model.transform)
        if transform is None:
            raise ExplanationError(
                f"heat maps show where in a photo evidence lies, and this model reads "
                f"{things(model.transform.modality)}; look at its predictions instead"
            )
        self._transform = transform
        self._predict = load_graph(model.graph)
        self._to_pixels = load_graph(transform_graph(self._transform).SerializeToString())

    @classmethod
    def of(cls, model: Model, make: Callable[[int], Any] | None) -> _Explainer:
        """An explainer of `model`, if it can be explained.

        Raises:
            ExplanationError: it has no gradient, or its network is unknown.
            MissingExtraError: PyTorch is not installed.
        """
        if "head.weights" not in model.tensors:
            raise ExplanationError(
                f"a {model.approach} model decides by its nearest training photos and has no "
                "gradient to draw heat maps from; explain one of linear_probe, fine_tune, "
                "scratch or fastai"
            )
        own = model.settings.get("architecture")
        architecture = model.architecture
        if isinstance(architecture, OwnModule):
            if make is not None:
                architecture.allow(make)
            own = None if architecture.is_allowed else architecture.where
        if own and make is None:
            raise ExplanationError(
                f"the model's network is your own ({own}), and a saved model runs no code by "
                f"itself; add --architecture with where it is, such as {own}"
            )
        require_training("drawing heat maps")
        return cls(model, make)

    def look(self, question: Question) -> _Seen | tuple[str, str]:
        """The photo as the model sees it, or its path and why it cannot be seen."""
        model = self._model
        if question.target is not None and question.target not in model.classes:
            return question.path, f"the model knows no class {question.target}"
        try:
            image = read_image(question.file, sha256=question.sha256)
        except UnreadableInputError as error:
            return question.path, str(error)
        probabilities = self._predict.run(image)[0].astype(np.float64)
        said = model.classes[int(probabilities.argmax())]
        target = said if question.target is None else question.target
        height, width = image.shape[:2]
        return _Seen(
            question=question,
            target=model.classes.index(target),
            target_name=target,
            predicted=said,
            probabilities=probabilities,
            pixels=self._to_pixels.run(image)[0],
            box=seen_box(self._transform, width, height),
        )

    def maps(self, seen: Sequence[_Seen]) -> list[FloatArray]:
        """A map (g, g) for each photo, of a network that says what the model says.

        Raises:
            ExplanationError: the network rebuilt from the weights says another class.
        """
        from regraft.engines.explanations import METHOD, class_logits, find_layer

        if not seen:
            return []
        if not self.method:
            self.classifier = self._rebuilt()
            self.layer = find_layer(self.classifier, seen[0].pixels[:1])
            self.method = METHOD
        model = self._model
        logits = class_logits(self.classifier, np.concatenate([photo.pixels for photo in seen]))
        mean = logits.reshape(len(seen), len(self._transform.views), -1).mean(axis=1)
        for photo, best in zip(seen, map(int, mean.argmax(axis=1)), strict=True):
            if photo.probabilities.max() - photo.probabilities[best] > _TIE:
                raise ExplanationError(
                    f"the network rebuilt from the model's weights says {model.classes[best]} of "
                    f"{photo.question.path}, the model {photo.predicted}: heat maps of another "
                    "network would explain nothing"
                )
        return self._maps_of(self.classifier, seen)

    def sanity_check(
        self,
        pairs: Sequence[tuple[_Seen, FloatArray]],
        *,
        deadline: float,
        progress: Progress,
    ) -> SanityCheck | None:
        """Compare maps with those of networks with random weights, until the time is up.

        None where there is nothing to compare: every map is the same everywhere.

        Raises:
            ExplanationError: the time was up before anything was compared.
        """
        from regraft.engines.explanations import randomised

        if not pairs:
            return None
        networks = max(_NETWORKS, math.ceil(_COMPARISONS / len(pairs)))
        correlations: list[float] = []
        for seed in range(networks):
            if time.monotonic() > deadline:
                break
            network = randomised(self.classifier, seed=seed)
            for start in range(0, len(pairs), _BATCH):
                progress("checking the heat maps", len(correlations), networks * len(pairs))
                if time.monotonic() > deadline:
                    break
                batch = pairs[start : start + _BATCH]
                others = self._maps_of(network, [photo for photo, _ in batch])
                correlations += [
                    _likeness(m, other) for (_, m), other in zip(batch, others, strict=True)
                ]
        progress("checking the heat maps", networks * len(pairs), networks * len(pairs))
        if not correlations:
            raise ExplanationError("the time was up before the heat maps could be checked")
        return SanityCheck(
            correlation=median(correlations),
            n=len(correlations),
            photos=min(len(correlations), len(pairs)),
            networks=math.ceil(len(correlations) / len(pairs)),
        )

    def _rebuilt(self) -> Any:
        try:
            return network_of(self._model, make=self._make)
        except RegraftError as error:
            raise ExplanationError(f"the model's network cannot be rebuilt: {error}") from error

    def _maps_of(self, classifier: Any, seen: Sequence[_Seen]) -> list[FloatArray]:
        """Maps (g, g) averaged over the views, each laid as the photo is."""
        from regraft.engines.explanations import class_maps

        views = self._transform.views
        targets = np.repeat([photo.target for photo in seen], len(views))
        pixels = np.concatenate([photo.pixels for photo in seen])
        maps = class_maps(classifier, self.layer, pixels, targets).astype(np.float64)
        maps = maps.reshape(len(seen), len(views), *maps.shape[1:])
        for i, view in enumerate(views):
            if view == "mirror":
                maps[:, i] = maps[:, i, :, ::-1]
        return list(maps.mean(axis=1))


def _likeness(first: FloatArray, second: FloatArray) -> float:
    """Rank correlation of two maps without its sign.

    It is 0 where the second map is the same everywhere or holds what is no number: nothing of the
    first one is left in it.
    """
    if not np.isfinite(second).all():
        return 0.0
    correlation = rank_correlation(first.ravel(), second.ravel())
    return 0.0 if math.isnan(correlation) else abs(correlation)


def _heat_map(photo: _Seen, values: FloatArray) -> HeatMap:
    shares = values / values.max()
    return HeatMap(
        path=photo.question.path,
        role=photo.question.role,
        target=photo.target_name,
        predicted=photo.predicted,
        confidence=float(photo.probabilities.max()),
        values=tuple(tuple(round(float(x), 3) for x in row) for row in shares),
        box=photo.box,
    )
