"""PyTorch: a network and a weights file in, an ONNX graph and plain tensors out.

The only importer of torch and timm, and always inside a function: prediction and frozen
features never pay for that import once a backbone's graph is on disk.
"""

from __future__ import annotations

import contextlib
import io
import logging
import re
import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.engines import require_training
from regraft.engines.classifiers import classifier_names, feature_width, remove_classifier
from regraft.engines.stages import chain_of
from regraft.errors import BackboneError
from regraft.onnx_graphs import OPSET
from regraft.telemetry import opt_out

if TYPE_CHECKING:
    import torch

_PREFIXES = ("module.", "model.", "network.")  # of parallel training, of Lightning modules
_OBJECT = re.compile(r"Unsupported (?:global: GLOBAL|class) ([\w.]+)")


def load_state(
    network: Any, state: dict[str, Any], *, title: str, file: str, in_order: bool = False
) -> Any:
    """The network in evaluation mode with the parameters of a state dict.

    Args:
        network: changed in place.
        state: see `read_state`. It may have another classifier, or none.
        title: what network it is, for people.
        file: the name of the file it was read from.
        in_order: it holds the same parameters in the same order, under names of another library.

    Raises:
        BackboneError: they do not fit; names the first tensor that differs.
    """
    expected = network.state_dict()
    if in_order and len(state) == len(expected):
        state = dict(zip(expected, state.values(), strict=True))
    state = _part_of_module(state, expected, file)
    heads = () if in_order else tuple(f"{name}." for name in classifier_names(network))
    for name, tensor in expected.items():
        shape = tuple(state[name].shape) if name in state else "missing"
        if shape == tuple(tensor.shape):
            continue
        if name.startswith(heads):
            state.pop(name, None)
            continue
        raise BackboneError(
            f"the weights in {file} do not fit {title}: {name} is {shape}, expected "
            f"{tuple(tensor.shape)}; name the architecture the file was saved from"
        )
    network.load_state_dict(state, strict=False)
    return network.eval()


def _part_of_module(
    state: dict[str, Any], expected: Mapping[str, Any], file: str
) -> dict[str, Any]:
    """The tensors of the network alone, where a file holds a larger module that it is a part of.

    Lightning modules keep networks under names of their own ("net.conv1.weight") beside losses
    and metrics. Nothing is changed where a name fits as it is.

    Raises:
        BackboneError: several parts would fit.
    """
    if any(name in state for name in expected):
        return state
    found: Counter[str] = Counter()
    for name in state:
        parts = name.split(".")
        ends = (".".join(parts[i:]) for i in range(1, len(parts)))
        found.update(name.removesuffix(end) for end in ends if end in expected)
    most = max(found.values(), default=0)
    best = [prefix for prefix, count in found.items() if count == most]
    if len(best) > 1:
        raise BackboneError(
            f"{file} holds several networks that would fit ({', '.join(sorted(best))}); save the "
            "state dict of the one you mean"
        )
    return {
        name.removeprefix(prefix): tensor
        for prefix in best
        for name, tensor in state.items()
        if name.startswith(prefix)
    } or state


def read_state(weights: Path) -> dict[str, Any]:
    """A state dict, without a prefix that all its names have.

    Checkpoints of Lightning hold it beside the state of the training, which is left.

    Raises:
        BackboneError: the file cannot be read, holds other objects, or no state dict.
        MissingExtraError: PyTorch is not installed.
    """
    require_training(f"reading {weights.name}")
    import torch

    try:
        if weights.suffix == ".safetensors":
            from safetensors.torch import load_file

            state: Any = load_file(weights)
        else:
            state = torch.load(weights, map_location="cpu", weights_only=True)
    except Exception as error:
        if weights.suffix == ".pkl" and "not an allowed global" in str(error):  # torch's words
            raise _holds_code(weights) from error
        if objects := _OBJECT.search(str(error)):
            raise BackboneError(
                f"{weights.name} holds an object ({objects[1]}) beside its weights, and reading it "
                "would run code; save the weights alone: "
                "torch.save(module.state_dict(), 'weights.pth')"
            ) from error
        what = str(error).partition("\n")[0]
        raise BackboneError(
            f"{weights.name} cannot be read as weights ({what}); expected a .safetensors file or "
            "a state dict saved with torch.save, fetched as a whole"
        ) from error
    state = state.get("state_dict", state) if isinstance(state, dict) else state
    if (
        not isinstance(state, dict)
        or not state
        or not all(hasattr(t, "shape") for t in state.values())
    ):
        raise BackboneError(f"{weights.name} holds no state dict; save network.state_dict()")
    own = "backbone."  # of regraft's models, which have a head beside it
    if any(name.startswith(own) for name in state):
        return {n.removeprefix(own): t for n, t in state.items() if n.startswith(own)}
    while prefix := next((p for p in _PREFIXES if all(n.startswith(p) for n in state)), ""):
        state = {name.removeprefix(prefix): tensor for name, tensor in state.items()}
    return dict(state)


def _holds_code(file: Path) -> BackboneError:
    """What is said of a file that would run code if it were opened, such as an export of fastai."""
    return BackboneError(
        f"{file.name} is a pickle, which runs code when it is opened, so regraft opens none; save "
        "network.state_dict(), or of a learner of fastai: from regraft.frameworks.fastai import "
        'save_learner_weights; save_learner_weights(learner, "body.safetensors")'
    )


@dataclass(frozen=True, slots=True)
class Exported:
    """A network as ONNX graphs and plain arrays.

    `features` maps `pixels` float32 (n, 3, s, s), or `tokens` int64 (n, t), to `features` float32
    (n, d), the pooled last layer. `stages` does the same and has more outputs, maps (n, c, h, w) or
    tokens (n, t, c): `boundary_1`, `boundary_2`... are the inputs of the stages from the second on,
    `stem` that of the first, where something comes before it, and `end` is what the last one gives.
    It is empty for a network that cannot be cut. `tensors` are the parameters by name.
    """

    features: bytes
    stages: bytes
    tensors: dict[str, Any]


def export_network(network: Any, *, title: str, image_size_px: int) -> Exported:
    """A pretrained network without its classifier, ready for ONNX Runtime.

    Raises:
        BackboneError: it takes no pictures of that size, or cannot be exported.
    """
    import onnx
    import torch

    require_size(network, title, image_size_px)
    chain = chain_of(network, image_size_px=image_size_px)

    class Tapped(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, ...]:
            taps = []
            for i, (_, link) in enumerate(chain.links):
                if i and i in chain.starts:
                    taps.append(x)
                x = link(x)
                if chain.stages and i == chain.starts[-1]:
                    end = x
            return (x, *taps, end) if chain.stages else (x,)

    has_stem = chain.stages and chain.starts[0] > 0
    outputs = ["features", *(["stem"] if has_stem else [])]
    outputs += [f"boundary_{i}" for i in range(1, chain.stages)]
    outputs += ["end"] if chain.stages else []
    try:
        stages = export_module(Tapped(), outputs, image_size_px=image_size_px)
    except Exception as error:  # what PyTorch cannot export ends in one of many kinds
        raise BackboneError(f"PyTorch cannot export {title} to ONNX ({_line(error)})") from error
    extractor = onnx.utils.Extractor(onnx.load_from_string(stages))
    features = extractor.extract_model(["pixels"], ["features"])
    return Exported(
        features.SerializeToString(),
        stages if chain.stages else b"",
        {name: t.detach().contiguous().numpy() for name, t in network.state_dict().items()},
    )


def require_size(network: Any, title: str, image_size_px: int) -> None:
    """Remove the classifier of a network, and see that it makes features of such pictures.

    Raises:
        BackboneError: it does not; tells what it says to that.
    """
    import torch

    width = feature_width(network)
    remove_classifier(network)
    try:
        with torch.no_grad():
            found = network.eval()(torch.zeros(1, 3, image_size_px, image_size_px))
    except Exception as error:  # each network says in its own way what it takes
        raise BackboneError(
            f"{title} cannot take images of {image_size_px} px ({_line(error)}); leave --size out, "
            "or give a size that it takes"
        ) from error
    if tuple(found.shape) != (1, width):
        raise BackboneError(
            f"{title} makes {tuple(found.shape)} of one image without its classifier, expected "
            f"(1, {width}); export it as ONNX and use onnx:FILE"
        )


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:200]


def export_module(module: torch.nn.Module, outputs: Sequence[str], *, image_size_px: int) -> bytes:
    """A module in evaluation mode as an ONNX graph with input `pixels` float32 (n, 3, s, s)."""
    import torch

    pixels = torch.zeros(2, 3, image_size_px, image_size_px)
    # Of weights that were trained with their channels last the exporter makes strides of a graph.
    module = module.to(memory_format=torch.contiguous_format)
    return export_graph(module, {"pixels": pixels}, outputs, {0: torch.export.Dim("n", min=1)})


def export_graph(
    module: torch.nn.Module,
    example: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    sizes: Mapping[int, Any],
) -> bytes:
    """A module in evaluation mode as an ONNX graph with one input.

    Args:
        module: maps one tensor to one tensor or several.
        example: the name of the input, and a tensor like those it will be given.
        outputs: their names.
        sizes: which axes of the input vary, as `torch.export.Dim`.
    """
    import torch

    ((name, tensor),) = example.items()
    opt_out()  # the exporter may ask ONNX Runtime
    with _quiet():
        program: Any = torch.onnx.export(
            module.eval(),
            (tensor,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[name],
            output_names=list(outputs),
            dynamic_shapes=(dict(sizes),),
            verbose=False,
        )
    graph = program.model_proto
    # The exporter notes the source line of every node: three quarters of the graph's text and
    # paths of this machine, which have no place in a file people share.
    for node in graph.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for value in graph.graph.value_info:
        del value.metadata_props[:]
    return bytes(graph.SerializeToString())


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Hold back the exporter's warnings and progress lines; errors still raise."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
