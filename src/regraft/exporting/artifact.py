"""A Model in, one ONNX file with everything that is needed to use it out.

The graph is the one the model predicts with; the export adds what its numbers mean.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regraft._version import __version__
from regraft.engines.onnx import OnnxEngine
from regraft.errors import ExportError
from regraft.exporting.forms import form_of
from regraft.exporting.precisions import PRECISIONS, advice_instead
from regraft.model import Model

_SMALLER = 0.95  # of the size, above which another precision is not worth its name


def with_precision(model: Model, name: str, arrays: Sequence[NDArray[Any]]) -> Model:
    """The model with its graph in another precision.

    Args:
        model: any.
        name: of the precision.
        arrays: what the graph takes, of some inputs, to calibrate it with.

    Raises:
        ExportError: the graph cannot be converted, or would be no smaller.
    """
    precision, graph = PRECISIONS[name], _named_once(model.graph)
    model = replace(model, graph=graph)
    if precision.convert is None:
        return model
    try:
        converted = precision.convert(model, arrays)
        if precision.shrinks and len(converted) > _SMALLER * len(graph):
            raise ExportError(
                f"--precision {name} would leave {len(converted) / 1e6:.1f} of "
                f"{len(graph) / 1e6:.1f} MB: hardly any of its numbers belong to a network"
            )
    except ExportError as error:
        raise ExportError(f"{error}{advice_instead(name)}") from error
    return replace(model, graph=converted)


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
    form = form_of(model)
    graph.doc_string = (
        f"{form.graph_input(model)}. probabilities: calibrated, float32 [n_classes] in the order "
        "of the metadata entry `classes`. unfamiliarity: mean cosine distance to the nearest "
        f"training {form.things}, times 2 minus the highest probability."
    )
    helper.set_model_props(graph, metadata(model, precision=precision))
    return bytes(graph.SerializeToString())


def metadata(model: Model, *, precision: str) -> dict[str, str]:
    """What the file says of itself."""
    return {
        "kind": "regraft model",
        "modality": model.transform.modality,
        "regraft_version": model.made_with,
        "classes": json.dumps(list(model.classes), ensure_ascii=False),
        "set_thresholds": json.dumps(list(model.set_thresholds)),
        "unfamiliar_from": repr(model.unfamiliar_from),
        "approach": model.approach,
        "backbone": str(model.backbone["name"]),
        "backbone_source": str(model.backbone["source"]),
        "backbone_licence": str(model.backbone["licence"]),
        "pretrained_on": str(model.backbone["pretrained_on"]),
        "data_fingerprint": str(model.trained_on.get("fingerprint", "")),
        "precision": precision,
        **form_of(model).facts(model),
    }


def milliseconds(graph: bytes, arrays: Sequence[NDArray[Any]], *, rounds: int = 3) -> float:
    """Median time of one input on one thread, in ms; decoding is not part of it."""
    engine = OnnxEngine(graph)
    for array in arrays[:2]:
        engine.run(array)
    times = []
    for _ in range(rounds):
        for array in arrays:
            started = time.perf_counter()
            engine.run(array)
            times.append(time.perf_counter() - started)
    return 1_000 * float(np.median(times))


def standalone_source(model: Model) -> str:
    """The script that is shipped beside an exported file."""
    return form_of(model).script()
