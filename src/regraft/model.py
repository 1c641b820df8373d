"""A trained classifier as one artifact: image files in, calibrated predictions out.

A Model is a single ONNX graph (transform, backbone, head, calibration, unfamiliarity) plus the
names and thresholds needed to read its outputs. What predicts here is the very file that is
saved, so nothing can differ between training and use. On disk it is a folder:

    model.json           format, classes, thresholds, what it was made from, hashes of the rest
    model.onnx           `image` uint8 (h, w, 3) in; `probabilities` (k,), `unfamiliarity` () out
    weights.safetensors  backbone and head parameters, to train on from here
    tokenizer.json       of texts alone, whose graph has `tokens` int64 (t,) in
    training_contents.safetensors   short hashes of what it was trained on
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import math
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, NoReturn, overload

import numpy as np
from numpy.typing import NDArray

from regraft._version import __version__
from regraft.backbones.architectures import (
    Architecture,
    OnnxFile,
    architecture_json,
    image_network,
    read_architecture,
)
from regraft.backbones.backbone import Backbone
from regraft.backbones.graphs import embedding_graph, network_tensors
from regraft.engines.base import Engine
from regraft.engines.devices import load_graph
from regraft.errors import ModelError, StorageError, UnreadableInputError, UsageError
from regraft.heads import Familiarity, Head
from regraft.inputs import Input, each, is_one, is_path, name_of, pixels_of
from regraft.kinds import kind_named, transform_from_dict
from regraft.kinds.base import Transform, read_input
from regraft.metrics.rates import FloatArray
from regraft.model_record import (
    FORMAT,
    GRAPH,
    RECORD,
    WEIGHTS,
    is_model_folder,
    read_graph,
    read_record,
)
from regraft.onnx_graphs import GraphBuilder, value
from regraft.progress import Progress, silent
from regraft.storage.files import make_folder, part_folder, storage_errors, write_atomic
from regraft.storage.saved import naming, read_json
from regraft.storage.switching import commit, current, locked, read_whole
from regraft.training_contents import FILE as _CONTENTS
from regraft.training_contents import UNKNOWN, TrainingContents, read_training_contents
from regraft.workers import map_threads

_AGAIN = "copy the whole model folder again, or save the model again"
CENTRE, GAIN = "depths.centre", "depths.gain"  # tensors of a head on several depths
_ROUNDING = 1e-3  # of numbers of half precision


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a model says of one image.

    `probabilities` are calibrated, (k,) in class order, summing to 1. `set` holds the classes
    that cannot be excluded (conformal set). `flag` is "" or why to be careful: "unsure" (the
    set is not just the predicted class), "unfamiliar" (unlike the training images), "unreadable"
    or "ignored" (not an input at all); of the latter two `reason` says why, and there are no
    probabilities. `prediction["messy"]` is the probability of a class.
    """

    path: str
    predicted: str
    confidence: float
    probabilities: tuple[float, ...]
    set: tuple[str, ...]
    unfamiliarity: float
    flag: str
    reason: str = ""
    classes: tuple[str, ...] = field(default=(), repr=False)

    def __getitem__(self, name: str) -> float:
        """The probability of a class.

        Raises:
            KeyError: there is no such class, or the input could not be read.
        """
        if name not in self.classes:
            known = ", ".join(self.classes) or f"none: {self.reason}"
            raise KeyError(f"there is no class {name!r}; the classes are {known}")
        return self.probabilities[self.classes.index(name)]

    @classmethod
    def unreadable(cls, path: str, error: UnreadableInputError) -> Prediction:
        """Of a file that cannot be decoded."""
        return cls(path, "", math.nan, (), (), math.nan, "unreadable", str(error))

    @classmethod
    def ignored(cls, path: str, reason: str) -> Prediction:
        """Of a file that is no input, for example of another suffix."""
        return cls(path, "", math.nan, (), (), math.nan, "ignored", reason)


@dataclass(frozen=True)
class Model:
    """A trained classifier; make one with an approach's `fit`, read one with `load`.

    Args:
        classes: the k class names, in the order of the probabilities.
        approach: name of the approach that made it, with its `settings`.
        backbone: facts on the pretrained network: name, licence, source, transform.
        set_thresholds: probability (k,) from which a class enters the prediction set.
        unfamiliar_from: unfamiliarity, 0 to 4, beyond which an image is flagged; see
            `heads.familiarity`.
        temperature: what logits were divided by.
        trained_on: facts on the data: fingerprint, number of images, columns of its table.
        graph: the ONNX file.
        weights: parameters by name, or the file of them, read only when asked for.
        files: files that the transform needs, by their name in the model folder.
        contents: short hashes of what it was trained on or chosen by.
    """

    classes: tuple[str, ...]
    approach: str
    settings: Mapping[str, Any]
    backbone: Mapping[str, Any]
    set_thresholds: tuple[float, ...]
    unfamiliar_from: float
    temperature: float
    trained_on: Mapping[str, Any]
    graph: bytes = field(repr=False)
    weights: Mapping[str, NDArray[Any]] | Path = field(repr=False)
    files: Mapping[str, Path] = field(default_factory=dict, repr=False)
    made_with: str = __version__
    contents: TrainingContents = field(default=UNKNOWN, repr=False)

    def __repr__(self) -> str:
        classes = ", ".join(self.classes)
        return f"Model({self.approach} on {self.backbone.get('name')}: {classes})"

    @overload
    def predict(  # type: ignore[overload-overlap]  # a str is a sequence of them
        self, inputs: Input, *, jobs: int | None = None, progress: Progress = silent
    ) -> Prediction: ...

    @overload
    def predict(
        self, inputs: Iterable[Input], *, jobs: int | None = None, progress: Progress = silent
    ) -> list[Prediction]: ...

    def predict(
        self,
        inputs: Input | Iterable[Input],
        *,
        jobs: int | None = None,
        progress: Progress = silent,
    ) -> Prediction | list[Prediction]:
        """The prediction of one input, or a list of them in the order of many.

        A file that is not there or cannot be read is flagged, not raised.

        Args:
            inputs: paths, PIL pictures or upright RGB, uint8 (h, w, 3), one or many; of a model of
                texts also the texts themselves, see `inputs`.
            jobs: worker threads.
            progress: told how many are done.

        Raises:
            DataError: it is nothing of the kind.
            ModelError: a picture came, and the model reads texts.
        """
        numbered = list(enumerate(each(inputs), start=1))
        found = []
        for prediction in map_threads(self._predict_one, numbered, jobs=jobs):
            found.append(prediction)
            progress("predictions", len(found), len(numbered))
        return found[0] if is_one(inputs) else found

    def flagging_from(self, distance: float | None) -> Model:
        """The same model with another distance from which a photo is unfamiliar; None: as it is.

        Raises:
            UsageError: it is not within 0 to 4.
        """
        if distance is None:
            return self
        if not 0 <= distance <= 4:
            raise UsageError(
                f"unfamiliar-from is {distance:g}, expected a number from 0 to 4; that of "
                f"the model is {self.unfamiliar_from:.3f}"
            )
        return replace(self, unfamiliar_from=distance)

    def predict_image(self, image: NDArray[np.uint8], name: str = "") -> Prediction:
        """The prediction for upright RGB, uint8 (h, w, 3); safe to call from several threads."""
        return self.predict_array(image, name)

    def predict_array(self, array: NDArray[Any], name: str = "") -> Prediction:
        """The prediction for what `transform.read` returned; safe to call from several threads.

        That is upright RGB, uint8 (h, w, 3), of a photo, and token numbers, int64 (t,), of a text.
        """
        return self.judge(name, *self._engine.run(array))

    def judge(
        self, path: str, probabilities: NDArray[Any], unfamiliarity: NDArray[Any]
    ) -> Prediction:
        """Set and flag for what the graph returned of an image: (k,) and ().

        Raises:
            ModelError: these are no probabilities of the classes.
        """
        p = probabilities.astype(np.float64)
        if p.shape != (len(self.classes),) or unfamiliarity.shape != ():
            self._refuse(f"probabilities of the shape {p.shape}, expected ({len(self.classes)},)")
        if not (np.isfinite(p).all() and np.isfinite(unfamiliarity)):
            self._refuse("numbers that are not finite")
        if not (p.min() >= -_ROUNDING and p.max() <= 1 + _ROUNDING):
            self._refuse("probabilities outside 0 to 1")
        best, distance = int(p.argmax()), float(unfamiliarity)
        kept = tuple(
            name
            for name, each, threshold in zip(self.classes, p, self.set_thresholds, strict=True)
            if each >= threshold
        )
        flag = "" if kept == (self.classes[best],) else "unsure"
        if distance > self.unfamiliar_from:
            flag = "unfamiliar"
        return Prediction(
            path=path,
            predicted=self.classes[best],
            confidence=float(p[best]),
            probabilities=tuple(map(float, p)),
            set=kept,
            unfamiliarity=distance,
            flag=flag,
            classes=self.classes,
        )

    def save(self, folder: str | Path) -> Path:
        """Write the model folder, whole or not at all; an earlier model there is replaced.

        Raises:
            ModelError: the folder exists and holds something else.
            StorageError: it cannot be written.
        """
        folder = Path(folder)
        if folder.exists() and not is_model_folder(folder) and any(folder.iterdir()):
            raise ModelError(
                f"{folder} exists and is not a model folder; choose another name to save under"
            )
        files = {GRAPH: self.graph, WEIGHTS: _weights_bytes(self.tensors)}
        if self.contents is not UNKNOWN:
            files[_CONTENTS] = self.contents.to_bytes()
        with storage_errors(f"read what belongs to the model beside {folder}"):
            files |= {name: path.read_bytes() for name, path in self.files.items()}
        hashes = {name: hashlib.sha256(data).hexdigest() for name, data in files.items()}
        with part_folder(folder) as staged:
            new = make_folder(staged / folder.name)
            for name, data in files.items():
                write_atomic(new / name, data)
            write_atomic(new / RECORD, json.dumps(self._card(hashes), indent=1) + "\n")
            if os.path.lexists(folder):
                busy = StorageError(f"another process writes in {folder.parent}; wait for it")
                with locked(folder.parent, busy):
                    commit(staged, folder.parent, [folder.name])
            else:
                with storage_errors(f"write {folder}"):
                    new.rename(folder)
        return folder

    @property
    def tensors(self) -> Mapping[str, NDArray[Any]]:
        """Parameters of backbone and head by name."""
        if isinstance(self.weights, Path):
            from safetensors.numpy import load_file

            with naming(self.weights, ModelError, _AGAIN):
                return dict(load_file(self.weights))
        return self.weights

    @property
    def columns(self) -> Mapping[str, str]:
        """Names of the columns, by role, of the table that it was trained on; {} without one."""
        columns = self.trained_on.get("columns", {})
        return columns if isinstance(columns, Mapping) else {}

    @cached_property
    def transform(self) -> Transform:
        """From the bytes of a file to what the graph takes.

        Raises:
            ModelError: what the model says of it is no transform.
        """
        with naming(self._file(RECORD), ModelError, _AGAIN):
            return transform_from_dict(self.backbone["transform"], self.files)

    @cached_property
    def architecture(self) -> Architecture:
        """What network its backbone is.

        Raises:
            ModelError: what the model says of it is no architecture.
        """
        with naming(self._file(RECORD), ModelError, _AGAIN):
            return read_architecture(self.backbone["architecture"])

    def check(self) -> None:
        """Predict something, to see whether the graph goes with the rest of the model.

        Raises:
            ModelError: the graph cannot be loaded or run, or takes or gives something else.
        """
        self.predict_array(self.transform.read(self.transform.sample()))

    @cached_property
    def _engine(self) -> Engine:
        kind = kind_named(self.transform.modality)
        engine = load_graph(self.graph, name=str(self._file(GRAPH)))
        engine.check(kind.graph_input, ("probabilities", "unfamiliarity"))
        return engine

    def _file(self, name: str) -> Path:
        """Where a file of the model lies; of a model that was never saved, its name."""
        return self.weights.parent / name if isinstance(self.weights, Path) else Path(name)

    def _refuse(self, what: str) -> NoReturn:
        raise ModelError(f"{self._file(GRAPH)} gives {what}; {_AGAIN}")

    def _predict_one(self, numbered: tuple[int, Input]) -> Prediction:
        number, given = numbered
        name = name_of(given, number, self.transform.modality)
        try:
            return self.judge(name, *self._engine.run(self._array_of(given)))
        except UnreadableInputError as error:
            return Prediction.unreadable(name, error)

    def _array_of(self, given: Input) -> NDArray[Any]:
        """What the graph takes."""
        kind = kind_named(self.transform.modality)
        if isinstance(given, str | os.PathLike):
            if is_path(given, kind.name):
                return self.transform.read(read_input(Path(given)))
            return self.transform.read(str(given).encode("utf-8", "replace"))
        if not kind.is_picture:
            of = kind.things
            raise ModelError(f"the model reads {of}, and a picture came; give it {of}")
        return pixels_of(given)

    def _card(self, hashes: Mapping[str, str]) -> dict[str, Any]:
        return {
            "kind": "regraft model",
            "format": FORMAT,
            "made_with": self.made_with,
            "classes": list(self.classes),
            "approach": self.approach,
            "settings": dict(self.settings),
            "backbone": dict(self.backbone),
            "temperature": self.temperature,
            "set_thresholds": list(self.set_thresholds),
            "unfamiliar_from": self.unfamiliar_from,
            "trained_on": dict(self.trained_on),
            "files": dict(hashes),
        }


@dataclass(frozen=True, slots=True)
class DepthFeatures:
    """Scaled statistics of several depths, see `backbones.depths`, in place of the last layer.

    `embedding` is the ONNX file from `image` to `features`; `centre` and `gain` float32 (d,) are
    what it scales them by.
    """

    embedding: bytes
    centre: NDArray[np.float32]
    gain: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class TrainedNetwork:
    """A backbone whose parameters were trained.

    `embedding` is the ONNX file from `image` to `features`, `tensors` the parameters by name.
    """

    embedding: bytes
    tensors: Mapping[str, NDArray[Any]]


def load(folder: str | Path) -> Model:
    """Read a model folder, or the model of a run folder.

    Raises:
        ModelError: it is not there, is of a newer format, lacks a file or was altered.
    """
    given = Path(folder)
    place = Path(os.path.abspath(given))  # noqa: PTH100 - keeps links

    def of_run() -> Model | None:
        model = current(given, "model")
        return _read_model(model) if is_model_folder(model) else None

    def of_folder() -> Model:
        model = current(place.parent, place.name)
        return _read_model(given if model == place else model)

    if not is_model_folder(given) and (found := read_whole(given, "model", of_run)):
        return found
    return read_whole(place.parent, place.name, of_folder)


def _read_model(folder: Path) -> Model:
    if not is_model_folder(folder):
        raise ModelError(_why_no_model(folder))
    record, backbone = read_record(folder)
    graph = read_graph(folder, record)
    return Model(
        classes=tuple(record.classes),
        approach=record.approach,
        settings=record.settings,
        backbone=backbone,
        set_thresholds=tuple(record.set_thresholds),
        unfamiliar_from=record.unfamiliar_from,
        temperature=record.temperature,
        trained_on=record.trained_on,
        graph=graph,
        weights=folder / WEIGHTS,
        files={n: folder / n for n in record.files if n not in (GRAPH, WEIGHTS, _CONTENTS)},
        made_with=record.made_with,
        contents=read_training_contents(folder),
    )


def network_of(
    model: Model, *, make: Callable[[int], Any] | None = None, calibrated: bool = False
) -> Any:
    """The model as a torch module of `features` and `head`: pixels in, logits out.

    Args:
        model: with a linear head on a network of timm, of torchvision or from scratch.
        make: builds the network where it was the user's own; called with the number of classes.
        calibrated: divide logits by the model's temperature: their softmax is what it predicts.

    Raises:
        ModelError: it has no such head, or its network cannot be made from its weights.
        BackboneError: the weights do not fit the architecture.
        TrainingError: `make` builds no network.
    """
    from regraft.engines.classifiers import remove_classifier
    from regraft.engines.networks import restore_scratch, with_head

    tensors = model.tensors
    own = model.settings.get("architecture")
    why = ""
    if "head.weights" not in tensors:
        why = f"a {model.approach} model decides by its nearest training photos"
    elif isinstance(model.architecture, OnnxFile):
        why = "the model's backbone is an ONNX file, which is no torch network"
    if why:
        raise ModelError(
            f"the model cannot become a torch network: {why}; use it as ONNX (regraft export)"
        )
    if own and make is None:
        raise ModelError(
            f"the model's network is your own ({own}), and a saved model runs no code by itself; "
            "give make=, a function that returns it for a number of classes"
        )
    temperature = model.temperature if calibrated else 1.0
    head = (tensors["head.weights"] / temperature, tensors["head.bias"] / temperature)
    with _weights_file(model) as weights:
        if model.approach != "scratch":
            features = image_network(model.architecture).load(weights)
            remove_classifier(features)
            if CENTRE in tensors:
                from regraft.engines.depths import depths_module

                features = depths_module(
                    features,
                    model.settings["depths"],
                    (tensors[CENTRE], tensors[GAIN]),
                    image_size_px=int(model.backbone["transform"]["image_size_px"]),
                )
            return with_head(features, head)
        size_px = int(model.backbone["transform"]["image_size_px"])
        return restore_scratch(make, weights, head=head, image_size_px=size_px)


@contextlib.contextmanager
def _weights_file(model: Model) -> Iterator[Path]:
    """The model's weights as a file, written for the moment where it was never saved."""
    if isinstance(model.weights, Path):
        yield model.weights
        return
    with tempfile.TemporaryDirectory(prefix="regraft-") as folder:
        path = Path(folder) / WEIGHTS
        path.write_bytes(_weights_bytes(model.weights))
        yield path


def _weights_bytes(tensors: Mapping[str, NDArray[Any]]) -> bytes:
    """A safetensors file. Its writer takes the memory as it lies, whatever order that has."""
    from safetensors.numpy import save

    return bytes(save({name: np.array(tensor, order="C") for name, tensor in tensors.items()}))


def compose_graph(
    embedding: bytes, head: Head, familiarity: Familiarity, *, temperature: float
) -> bytes:
    """The complete ONNX graph: upright RGB in, calibrated probabilities and unfamiliarity out.

    `embedding` maps `image` to `features`, see `backbones.graphs.embedding_graph`.
    """
    import onnx

    model = onnx.load_from_string(embedding)
    graph = GraphBuilder("head")
    head.add_to(graph)
    divisor = graph.tensor("temperature", np.asarray(temperature, np.float32))
    calibrated = graph("Div", "logits", divisor)
    graph("Softmax", calibrated, output="probabilities", axis=-1)
    familiarity.add_to(graph)
    graph.add_to(model.graph)
    del model.graph.output[:]
    model.graph.output.extend(
        [value("probabilities", np.float32, [None]), value("unfamiliarity", np.float32, [])]
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString())


def assemble(
    *,
    backbone: Backbone,
    head: Head,
    familiarity: Familiarity,
    temperature: float,
    set_thresholds: FloatArray,
    classes: tuple[str, ...],
    approach: str,
    settings: Mapping[str, Any],
    trained_on: Mapping[str, Any],
    trained_contents: Iterable[str],
    network: TrainedNetwork | None = None,
    depths: DepthFeatures | None = None,
) -> Model:
    """Put a fitted head on its backbone: the Model with its graph and all its parameters.

    `network` is the backbone as it was trained, None for the pretrained one, `depths` what the head
    takes where that are not the features of its last layer; `trained_contents` are the SHA-256
    of all that anything in the model was trained on or chosen by.
    """
    if network is None:
        embedding = embedding_graph(backbone).read_bytes() if depths is None else depths.embedding
        tensors: Mapping[str, NDArray[Any]] = network_tensors(backbone)
    else:
        embedding, tensors = network.embedding, network.tensors
    return Model(
        classes=classes,
        approach=approach,
        settings=settings,
        backbone={
            "name": backbone.name,
            "architecture": architecture_json(backbone.architecture),
            "source": backbone.source,
            "licence": backbone.licence,
            "pretrained_on": backbone.pretrained_on,
            "weights_sha256": backbone.weights_sha256,
            "transform": backbone.transform.to_dict(),
        },
        set_thresholds=tuple(float(t) for t in set_thresholds),
        unfamiliar_from=familiarity.threshold,
        temperature=temperature,
        trained_on=trained_on,
        graph=compose_graph(embedding, head, familiarity, temperature=temperature),
        weights={
            **{f"backbone.{name}": t for name, t in tensors.items()},
            **head.tensors(),
            **({} if depths is None else {CENTRE: depths.centre, GAIN: depths.gain}),
        },
        files=backbone.transform.files(),
        contents=backbone.contents.after_training(
            trained_contents, trains_backbone=network is not None
        ),
    )


def _why_no_model(folder: Path) -> str:
    if not folder.exists():
        return f"there is no folder {folder}; give a model folder or the --out folder of a fit"
    if (folder / "run.json").exists():
        if any((folder / "models").glob(f"*/{RECORD}")):
            return (
                f"the run in {folder} has lost its model; to put the one that it had before to "
                f"work, run: regraft rollback {folder}"
            )
        with contextlib.suppress(OSError, ValueError, LookupError):
            about: dict[str, Any] = read_json(folder / "run.json", dict[str, Any])
            if about["status"] == "done":
                return f"the run in {folder} has lost its model; fit again with --force"
        return f"the run in {folder} has no model yet; run the same regraft fit again to finish it"
    return f"{folder} holds no model.json; give a model folder or the --out folder of a fit"
