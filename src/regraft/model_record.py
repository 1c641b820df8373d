"""What `model.json` says of a saved model, and whether the files beside it are those it names.

kind, format, made_with     "regraft model", 2, the version that wrote it
classes                     the k class names
set_thresholds              k probabilities from which a class enters the prediction set
unfamiliar_from             0 to 4
approach, settings, backbone, temperature, trained_on
files                       the other files of the folder and their SHA-256
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Any

import msgspec

from regraft._version import __version__
from regraft.errors import ModelError
from regraft.storage.saved import check_regular, naming, parse_json, read_bytes

FORMAT = 2  # 1 named architectures by a string, see `backbones.architectures`
RECORD, GRAPH, WEIGHTS = "model.json", "model.onnx", "weights.safetensors"
_AGAIN = "copy the whole model folder again, or save the model again"
_MOST_RECORD = 16 * 2**20
_MOST_GRAPH = 2 * 2**30  # of a protocol buffer
_MOST_FILE = 64 * 2**30

Probability = Annotated[float, msgspec.Meta(ge=0, le=1)]
Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]
Name = Annotated[str, msgspec.Meta(min_length=1)]


class BackboneRecord(msgspec.Struct, kw_only=True, frozen=True):
    """Facts on the pretrained network; some are added by sources of their own."""

    name: str
    architecture: str | dict[str, Any]
    transform: dict[str, Any]
    source: str = ""
    licence: str = ""
    pretrained_on: str = ""
    weights_sha256: str = ""


class ModelRecord(msgspec.Struct, kw_only=True, frozen=True):
    """See the module."""

    made_with: str
    classes: Annotated[list[Name], msgspec.Meta(min_length=1)]
    approach: str
    settings: dict[str, Any]
    backbone: BackboneRecord
    temperature: Annotated[float, msgspec.Meta(gt=0, le=1e6)]
    set_thresholds: list[Probability]
    unfamiliar_from: Annotated[float, msgspec.Meta(ge=0, le=4)]
    trained_on: dict[str, Any]
    files: dict[Name, Hash]

    def __post_init__(self) -> None:
        """Raises ValueError: parts of it do not agree."""
        k = len(self.classes)
        if len(set(self.classes)) < k:
            raise ValueError("two of its classes have one name")
        if len(self.set_thresholds) != k:
            raise ValueError(
                f"it has {len(self.set_thresholds)} set_thresholds for {k} classes, expected {k}"
            )
        for name in (GRAPH, WEIGHTS):
            if name not in self.files:
                raise ValueError(f"its files lack {name}")


def is_model_folder(folder: Path) -> bool:
    """Whether there is a record of a model in it, readable or not."""
    return (folder / RECORD).exists() or (folder / RECORD).is_symlink()


def read_record(folder: Path) -> tuple[ModelRecord, dict[str, Any]]:
    """The record of a model folder, and the facts on its backbone with all that sources added.

    Raises:
        ModelError: it is of a newer format, or something is missing or wrong.
    """
    path = folder / RECORD
    with naming(path, ModelError, _AGAIN):
        data = read_bytes(path, most=_MOST_RECORD)
        said: Any = parse_json(data)
        if not isinstance(said, dict) or said.get("kind") != "regraft model":
            raise ModelError(f"{path} does not describe a regraft model; {_AGAIN}")
        number = said.get("format")
        if not isinstance(number, int) or isinstance(number, bool) or number > FORMAT:
            raise ModelError(
                f"{folder} has model format {number!r:.40}, made with regraft "
                f"{said.get('made_with')!r:.40}; this is regraft {__version__}, which reads up to "
                f"format {FORMAT}: upgrade with pip install --upgrade regraft"
            )
        record = msgspec.convert(said, ModelRecord)
        return record, said["backbone"]


def read_graph(folder: Path, record: ModelRecord) -> bytes:
    """The graph of a model folder, after a look whether all files are those of the record.

    Raises:
        ModelError: a file is missing, or was altered.
    """
    for name in record.files:
        if Path(name).name != name or name in (".", ".."):
            raise ModelError(f"{folder / RECORD} names the file {name!r}, expected one beside it")
    graph = b""
    for name, expected in record.files.items():
        path = folder / name
        if not path.exists():
            raise ModelError(f"{folder} lacks {name}; {_AGAIN}")
        with naming(path, ModelError, _AGAIN):
            if name == GRAPH:
                graph = read_bytes(path, most=_MOST_GRAPH)
                digest = hashlib.sha256(graph).hexdigest()
            else:
                check_regular(path, most=_MOST_FILE)
                with path.open("rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
        if digest != expected:
            raise ModelError(
                f"{path} was altered or damaged: its SHA-256 is {digest[:12]}..., expected "
                f"{expected[:12]}...; {_AGAIN}"
            )
    return graph
