"""ONNX Runtime: an ONNX graph (file or bytes) in, an engine that runs it on the CPU out.

One session is shared by all worker threads and each call uses the calling thread alone: with
decoding in the same worker this keeps every core busy without copies between processes.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from regraft.errors import ModelError
from regraft.telemetry import opt_out

IDENTITY = "onnxruntime/float32"


def load_runtime() -> Any:
    """The package onnxruntime, which nothing else imports, with its telemetry switched off.

    Call it before something that must not be loaded ahead of it. usearch is such a thing: loaded
    first, it makes the import of ONNX Runtime end the process by a segmentation fault (usearch
    2.26.6 and onnxruntime 1.31.1 on Linux).
    """
    opt_out()
    import onnxruntime

    return onnxruntime


def load_quantizer() -> Any:
    """The package onnxruntime.quantization; see `load_runtime`."""
    load_runtime()
    import onnxruntime.quantization

    return onnxruntime.quantization


class OnnxEngine:
    """An ONNX Runtime session with a single input."""

    identity = IDENTITY

    def __init__(self, graph: Path | bytes, *, threads: int = 1, name: str = "") -> None:
        """Load `graph`.

        Args:
            graph: path of an .onnx file, or its bytes.
            threads: threads a single call may use.
            name: what errors call it; "" for the path, or "the graph".

        Raises:
            ModelError: the graph cannot be loaded.
        """
        self._name = name or (str(graph) if isinstance(graph, Path) else "the graph")
        onnxruntime = load_runtime()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised; they need not be printed too
        # Photos differ in size. The arena and the memory patterns would keep a buffer for each
        # size ever seen; without them memory stays flat.
        options.enable_cpu_mem_arena = False
        options.enable_mem_pattern = False
        try:
            self._session = onnxruntime.InferenceSession(
                str(graph) if isinstance(graph, Path) else graph,
                options,
                providers=["CPUExecutionProvider"],
            )
        except Exception as error:  # ONNX Runtime raises a different class for each status code
            raise ModelError(f"ONNX Runtime cannot load {self._name}: {_why(error)}") from error
        inputs = self._session.get_inputs()
        if not inputs:
            raise ModelError(f"{self._name} takes no input")
        self._input = inputs[0].name

    def run(self, array: NDArray[Any]) -> tuple[NDArray[Any], ...]:
        """See `Engine`."""
        try:
            return tuple(self._session.run(None, {self._input: array}))
        except MemoryError:
            raise
        except Exception as error:  # as above
            raise ModelError(f"ONNX Runtime cannot run {self._name}: {_why(error)}") from error

    def check(self, taken: tuple[str, str, int], given: tuple[str, ...]) -> None:
        """See `Engine`."""
        inputs = [(i.name, i.type, len(i.shape)) for i in self._session.get_inputs()]
        outputs = [(o.name, o.type) for o in self._session.get_outputs()]
        if inputs != [taken]:
            raise ModelError(f"{self._name} takes {inputs}, expected {[taken]}")
        if outputs != [(name, "tensor(float)") for name in given]:
            raise ModelError(f"{self._name} gives {outputs}, expected {', '.join(given)}")


def _why(error: Exception) -> str:
    text = str(error)
    if "allocat" in text or "bad_alloc" in text:
        return "it needs more memory than there is"
    return text.partition("\n")[0][:300]


def pooled_map(graph: bytes, features: str = "features") -> str | None:
    """The value whose mean over places is `features`: a map (v, d, h, w); None if there is none.

    Only what leaves each channel's mean as it is may lie between the two.
    """
    import onnx

    nodes = onnx.load_from_string(graph).graph.node
    maker = {output: node for node in nodes for output in node.output}
    places, value = None, features
    while (node := maker.get(value)) is not None:
        if node.op_type in ("ReduceMean", "GlobalAveragePool"):
            places = node.input[0]
        elif node.op_type not in ("Reshape", "Flatten", "Squeeze", "Identity"):
            break
        value = node.input[0]
    return places


def with_outputs(graph: bytes, values: Iterable[str]) -> bytes:
    """The graph with some of its values, float32, as further outputs."""
    import onnx
    from onnx import helper

    model = onnx.load_from_string(graph)
    number = onnx.TensorProto.FLOAT
    model.graph.output.extend(helper.make_tensor_value_info(v, number, None) for v in values)
    return bytes(model.SerializeToString())
