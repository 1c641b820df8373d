"""A Model in, one ONNX file with everything that is needed to use it out.

The graph is the one the model predicts with; the export adds what its numbers mean.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft._version import __version__
from regraft.engines.onnx import OnnxEngine
from regraft.engines.precision import half_weights, integer_graph
from regraft.model import Model

PRECISIONS = ("float32", "half", "int8")
SCRIPT_MARK = "Classify photos with the .onnx file beside this script"


def with_precision(
    model: Model, precision: str, images: Callable[[], Sequence[NDArray[np.uint8]]]
) -> Model:
    """The model with its graph in another precision; `images` are to calibrate integers with."""
    model = replace(model, graph=_named_once(model.graph))
    if precision == "half":
        return replace(model, graph=half_weights(model.graph))
    if precision == "int8":
        return replace(model, graph=integer_graph(model.graph, images()))
    return model


def _named_once(graph: bytes) -> bytes:
    """The graph with each set of operators imported once, which other tools insist on."""
    import onnx

    model = onnx.load_from_string(graph)
    versions = {opset.domain: opset.version for opset in model.opset_import}
    del model.opset_import[:]
    for domain, version in versions.items():
        model.opset_import.add(domain=domain, version=version)
    return bytes(model.SerializeToString())


def with_metadata(model: Model, *, precision: str) -> bytes:
    """The graph with its facts as metadata: texts, and JSON where there are several values."""
    import onnx
    from onnx import helper

    graph = onnx.load_from_string(model.graph)
    graph.producer_name, graph.producer_version = "regraft", __version__
    graph.doc_string = (
        "image: upright RGB, uint8 [height, width, 3], of any size. probabilities: calibrated, "
        "float32 [n_classes] in the order of the metadata entry `classes`. unfamiliarity: mean "
        "cosine distance to the nearest training images, times 2 minus the highest probability."
    )
    helper.set_model_props(graph, metadata(model, precision=precision))
    return bytes(graph.SerializeToString())


def metadata(model: Model, *, precision: str) -> dict[str, str]:
    """What the file says of itself."""
    transform: Any = model.backbone["transform"]
    return {
        "kind": "regraft model",
        "regraft_version": model.made_with,
        "classes": json.dumps(list(model.classes), ensure_ascii=False),
        "set_thresholds": json.dumps(list(model.set_thresholds)),
        "unfamiliar_from": repr(model.unfamiliar_from),
        "resize": str(transform["resize"]),
        "image_size_px": str(transform["image_size_px"]),
        "approach": model.approach,
        "backbone": str(model.backbone["name"]),
        "backbone_source": str(model.backbone["source"]),
        "backbone_licence": str(model.backbone["licence"]),
        "pretrained_on": str(model.backbone["pretrained_on"]),
        "trained_on_images": str(model.trained_on.get("images", "")),
        "data_fingerprint": str(model.trained_on.get("fingerprint", "")),
        "precision": precision,
    }


def milliseconds(graph: bytes, images: Sequence[NDArray[np.uint8]], *, rounds: int = 3) -> float:
    """Median time of one image on one thread, in ms; decoding is not part of it."""
    engine = OnnxEngine(graph)
    for image in images[:2]:
        engine.run(image)
    times = []
    for _ in range(rounds):
        for image in images:
            started = time.perf_counter()
            engine.run(image)
            times.append(time.perf_counter() - started)
    return 1_000 * float(np.median(times))


def standalone_source() -> str:
    """The script that is shipped beside an exported file."""
    return files("regraft.exporting").joinpath("standalone.py").read_text(encoding="utf-8")
