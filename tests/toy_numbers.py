"""A kind of input in one file: each .npy file holds 48 readings, a float array (48,).

What `test_toy_kind.py` copies to another folder and adds to `KINDS`: nothing else knows of it.
"""

import hashlib
import io
import json
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import ClassVar

import msgspec
import numpy as np

from regraft.backbones.architectures import NetworkFacts
from regraft.backbones.backbone import Backbone
from regraft.engines.torch import Exported
from regraft.errors import UnreadableInputError
from regraft.exporting.forms import Form
from regraft.kinds import Kind, Part
from regraft.kinds.base import InputInfo, Reader
from regraft.kinds.examiner import (
    CONTENT,
    INCIDENTAL,
    Clue,
    Measured,
    Moment,
    Portraits,
    Shown,
    Trait,
    far_from_others,
)
from regraft.onnx_graphs import GraphBuilder, value

READINGS = 48


def decode(data):
    try:
        numbers = np.load(io.BytesIO(data), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise UnreadableInputError("is no .npy file of numbers") from error
    if numbers.shape != (READINGS,) or numbers.dtype.kind not in "iuf":
        raise UnreadableInputError(f"holds {numbers.dtype} {numbers.shape}, expected ({READINGS},)")
    return numbers.astype(np.float32)


def inspect(data):
    return InputInfo(len(decode(data)), 1, "float32")


READER = Reader(inspect, decode)


@dataclass(frozen=True)
class ReadingsTransform:
    modality: ClassVar[str] = "readings"
    views: ClassVar[tuple[str, ...]] = ("plain",)
    positions: ClassVar[int] = READINGS
    is_batchable: ClassVar[bool] = True

    @classmethod
    def from_dict(cls, values, files=None):
        return cls()

    def to_dict(self):
        return {"modality": self.modality}

    def facts(self):
        return {"readings": READINGS}

    def files(self):
        return {}

    def plain(self, *, precropped=False):
        return self

    def read(self, data, *, most=None):
        return decode(data)

    def vary(self, data, seed):
        return decode(data)

    def graph(self):
        graph = GraphBuilder("batch")
        graph("Unsqueeze", "readings", graph.ints(0), output="batch")
        batch = value("batch", np.float32, [1, READINGS])
        return graph.model([value("readings", np.float32, [READINGS])], [batch])

    def stored_graph(self):
        raise NotImplementedError  # no network of this kind begins with the input

    def fit_shape(self, array):
        return array

    def sample(self):
        file = io.BytesIO()
        np.save(file, np.zeros(READINGS, np.float32))
        return file.getvalue()


class Spectrum(msgspec.Struct, frozen=True, tag_field="family", tag="spectrum"):
    """The readings themselves beside their squares."""

    is_frozen: ClassVar[bool] = True

    @property
    def title(self):
        return "readings and squares"

    def describe(self, weights):
        return NetworkFacts(0, 2 * READINGS)

    def export(self, weights, layout, transform):
        graph = GraphBuilder("readings")
        squares = graph("Mul", "x", "x")
        graph("Concat", "x", squares, output="features", axis=1)
        taken = [value("x", np.float32, ["n", READINGS])]
        model = graph.model(taken, [value("features", np.float32, ["n", 2 * READINGS])])
        return Exported(model.SerializeToString(), b"", {})


BACKBONES = (
    Backbone(
        name="squares",
        architecture=Spectrum(),
        package=__name__,
        weights_file=Path(__file__).name,  # there are no others
        weights_sha256=hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        task="readings",
        pretrained_on="nothing",
        licence="CC0-1.0",
        parameters=0,
        feature_width=2 * READINGS,
        transform=ReadingsTransform(),
    ),
)


@dataclass(frozen=True)
class Level:
    mean: float
    spread: float

    def to_json(self):
        return json.dumps(asdict(self))


class ReadingsExaminer:
    key = "readings-1"
    signature = ((READINGS,), np.dtype(np.float32))
    clues = (Clue("spread", CONTENT, (lambda a: a.spread,)),)
    clues_of_kind: ClassVar = {INCIDENTAL: "the number of the file", CONTENT: "spread"}
    series_example = "readings of one day"
    traits = (Trait("level", "volts", False, lambda a: a.mean),)
    faults: ClassVar = {"level": "of an odd level"}

    def measure(self, data):
        numbers = decode(data)
        shown = " ".join(f"{number:.2f}" for number in numbers[:6]) + " …"
        return Measured(Level(float(numbers.mean()), float(numbers.std())), numbers, shown.encode())

    def attributes_from_json(self, text):
        return Level(**json.loads(text))

    def moment(self, attributes):
        return Moment()

    def find_faults(self, attributes):
        means = np.array([math.nan if a is None else a.mean for a in attributes])
        return {"level": (far_from_others(np.nan_to_num(means)), np.full(len(means), 0.5))}

    def summary(self, attributes, previews):
        return (("Level", f"{np.mean([a.mean for a in attributes]):.2f} volts in the mean"),)

    def shown(self, preview):
        return Shown(text=preview.decode())

    def portraits(self, classes, labels, previews):
        return Portraits()


SCRIPT = '''"""Classify readings: python NAME.py a.npy [b.npy ...]"""

import json
import os
import sys
from pathlib import Path

import numpy as np

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
import onnxruntime

session = onnxruntime.InferenceSession(str(Path(__file__).with_suffix(".onnx")))
facts = session.get_modelmeta().custom_metadata_map
classes, thresholds = json.loads(facts["classes"]), json.loads(facts["set_thresholds"])
for path in sys.argv[1:]:
    readings = np.load(path, allow_pickle=False).astype(np.float32)
    found, distance = session.run(None, {"readings": readings})
    likely = [name for name, p, t in zip(classes, found, thresholds, strict=True) if p >= t]
    best = classes[int(found.argmax())]
    unfamiliar = float(distance) > float(facts["unfamiliar_from"])
    said = {"path": path, "predicted": best, "set": likely, "unfamiliarity": float(distance)}
    said["flag"] = "unfamiliar" if unfamiliar else "" if likely == [best] else "unsure"
    said["probabilities"] = dict(zip(classes, found.tolist(), strict=True))
    print(json.dumps(said))
'''


def write_odd(folder):
    for name, level in (("zero", 0.0), ("large", 1e6)):
        np.save(folder / f"{name}.npy", np.full(READINGS, level))
    return [str(path) for path in sorted(folder.glob("*.npy"))]


FORM = Form(
    modality="readings",
    script=lambda: SCRIPT,
    script_reads=".npy files",
    packages="onnxruntime numpy",
    graph_input=lambda model: f"`readings`: float32 `[{READINGS}]`",
    odd="flat readings",
    facts=lambda model: {},
    write_odd=write_odd,
    integers=lambda graph, arrays: graph,
)

KIND = Kind(
    name="readings",
    thing="recording",
    things="recordings",
    noun="file",
    usual="recordings in one folder per class (.npy)",
    example="readings.npy",
    suffixes=frozenset({".npy"}),
    extent="readings",
    others="sensors",
    graph_input=("readings", "tensor(float)", 1),
    reader=Part(READER),
    transform=Part(ReadingsTransform.from_dict),
    examiner=Part(ReadingsExaminer()),
    backbones=Part(BACKBONES),
    form=Part(FORM),
)
