"""Text encoders: a folder of a pretrained transformer in, its facts or its parts as modules out.

The folder is in the format of Hugging Face, perhaps with the files that sentence-transformers
adds: `config.json`, the weights, and what says how token vectors become one vector. `Encoder`
runs the network part by part, so that it can be cut between its layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.engines.hugging_face import licence_of
from regraft.engines.torch import read_state
from regraft.engines.transformers import quiet
from regraft.errors import BackboneError, MissingExtraError

if TYPE_CHECKING:
    import torch

_POOLINGS = ("mean", "cls", "max")
_PARTS = ("embeddings.", "embeddings_project.", "encoder.", "transformer.")
_LARGEST = 500_000_000  # parameters; a graph of more would exceed the 2 GB of a protobuf message


@dataclass(frozen=True, slots=True)
class DescribedEncoder:
    """Facts on a text encoder.

    Attributes:
        family: as `config.json` calls it, such as "bert".
        parameters: of what makes the features.
        feature_width: numbers in a feature vector.
        max_tokens: the longest text it takes, with the marks at its ends.
        stages: the embeddings and each layer; 0 where layers share their parameters, because
            such a network cannot be cut.
        pooling: "mean", "cls" or "max": how token vectors become one.
        is_normalised: whether features have length one.
        lowercase: whether its tokenizer ignores capitals.
        licence: as the model card states it; "" where it does not.
    """

    family: str
    parameters: int
    feature_width: int
    max_tokens: int
    stages: int
    pooling: str
    is_normalised: bool
    lowercase: bool
    licence: str


def describe_encoder(folder: Path) -> DescribedEncoder:
    """Facts on the encoder in a folder; its weights are not loaded, only their shapes.

    Raises:
        BackboneError: the folder holds no encoder, or one of a kind that is not supported.
        MissingExtraError: transformers is not installed.
    """
    layout = _layout_of(folder)
    config = _config_of(layout.network)
    family = _family_of(config, folder)
    return DescribedEncoder(
        family=config.model_type,
        parameters=_parameters_of(layout.network),
        feature_width=int(config.hidden_size),
        max_tokens=_max_tokens(layout.network, config, family),
        stages=0 if family.shares_layers else 1 + int(config.num_hidden_layers),
        pooling=layout.pooling,
        is_normalised=layout.is_normalised,
        lowercase=_lowercase(layout.network),
        licence=licence_of(folder),
    )


@dataclass(frozen=True, slots=True)
class Encoder:
    """A text encoder whose parts can be run one by one.

    A mask (n, t) is true where a token is real; None says that all are, which makes a smaller
    graph. Stage 0 is the embeddings, stage k is layer k - 1.
    """

    network: torch.nn.Module
    layers: tuple[torch.nn.Module, ...]
    stages: int
    max_tokens: int
    vocabulary: int
    pooling: str
    is_normalised: bool
    _family: _Family

    def embed(self, tokens: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """Token numbers int64 (n, t) to the input of the first layer (n, t, h)."""
        import torch

        places = torch.arange(tokens.shape[1], device=tokens.device)
        positions = (places + self._family.first_position(self.network.config))[None]
        kinds = torch.zeros(1, 1, dtype=torch.long, device=tokens.device)
        found: torch.Tensor = self._family.embed(self.network, tokens, positions, kinds, mask)
        return found

    def run(
        self, x: torch.Tensor, mask: torch.Tensor | None, *, first_layer: int = 0
    ) -> Iterator[torch.Tensor]:
        """The output (n, t, h) of each layer from `first_layer` on, whose input is `x`."""
        besides = self._family.besides(self.network, x, mask)
        for layer in self.layers[first_layer:]:
            found: Any = layer(x, *besides)
            x = found[0] if isinstance(found, tuple) else found
            yield x

    def pool(self, x: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
        """The output of the last layer (n, t, h) to features (n, h)."""
        import torch

        if self.pooling == "cls":
            pooled = x[:, 0]
        elif self.pooling == "max":
            seen = x if mask is None else x.masked_fill(~mask[..., None], -torch.inf)
            pooled = seen.amax(dim=1)
        elif mask is None:
            pooled = x.mean(dim=1)
        else:
            counts = mask.sum(dim=1, keepdim=True).clamp(min=1)
            pooled = (x * mask[..., None]).sum(dim=1) / counts
        return torch.nn.functional.normalize(pooled, dim=-1) if self.is_normalised else pooled

    def parts(self) -> list[list[torch.nn.Parameter]]:
        """The parameters of each stage; what all layers use goes with the embeddings."""
        of_layers = [list(layer.parameters()) for layer in self.layers]
        known = {id(p) for layer in of_layers for p in layer}
        rest = [p for p in self.network.parameters() if id(p) not in known]
        if not self.stages:
            return [list(self.network.parameters())]
        return [rest, *of_layers]


def load_encoder(folder: Path, weights: Path | None = None) -> Encoder:
    """The encoder of a folder, in evaluation mode.

    Args:
        folder: see the module.
        weights: a safetensors file with the parameters of the same network, trained further; None
            for the weights in the folder.

    Raises:
        BackboneError: the folder holds no encoder, one that is not supported, or weights that do
            not fit.
        MissingExtraError: transformers is not installed.
    """
    layout = _layout_of(folder)
    config = _config_of(layout.network)
    family = _family_of(config, folder)
    network = _network_of(layout.network, config, weights)
    count = sum(p.numel() for p in network.parameters())
    if count > _LARGEST:
        raise BackboneError(
            f"{folder} holds an encoder of {count:,} parameters, expected at most {_LARGEST:,}; "
            "take a smaller one of the same family"
        )
    return Encoder(
        network=network.eval(),
        layers=tuple(family.layers(network)),
        stages=0 if family.shares_layers else 1 + int(config.num_hidden_layers),
        max_tokens=_max_tokens(layout.network, config, family),
        vocabulary=int(config.vocab_size),
        pooling=layout.pooling,
        is_normalised=layout.is_normalised,
        _family=family,
    )


@dataclass(frozen=True, slots=True)
class _Family:
    """What differs between kinds of transformers.

    `embed` is given the network, tokens, positions, token types and the mask; `besides` the
    network, the input of a layer and the mask, and returns what layers are called with besides
    their input.
    """

    layers: Callable[[Any], Sequence[Any]]
    embed: Callable[..., Any]
    besides: Callable[..., tuple[Any, ...]]
    first_position: Callable[[Any], int]
    shares_layers: bool = False


def _bias(x: Any, mask: Any) -> Any:
    """What is added to the attention of each token to another: hides what is not real."""
    import torch

    if mask is None:
        return None
    return (~mask[:, None, None, :]).to(x.dtype) * torch.finfo(x.dtype).min


def _embed_bert(network: Any, tokens: Any, positions: Any, kinds: Any, _mask: Any) -> Any:
    x = network.embeddings(input_ids=tokens, position_ids=positions, token_type_ids=kinds)
    project = getattr(network, "embeddings_project", None)  # of small ELECTRA networks
    return x if project is None else project(x)


def _embed_without_kinds(network: Any, tokens: Any, positions: Any, _kinds: Any, _mask: Any) -> Any:
    return network.embeddings(input_ids=tokens, position_ids=positions)


def _embed_albert(network: Any, tokens: Any, positions: Any, kinds: Any, mask: Any) -> Any:
    x = _embed_bert(network, tokens, positions, kinds, mask)
    return network.encoder.embedding_hidden_mapping_in(x)


def _embed_deberta(network: Any, tokens: Any, positions: Any, kinds: Any, mask: Any) -> Any:
    return network.embeddings(
        input_ids=tokens, position_ids=positions, token_type_ids=kinds, mask=mask
    )


def _besides_bert(_network: Any, x: Any, mask: Any) -> tuple[Any, ...]:
    return (_bias(x, mask),)


def _besides_mpnet(network: Any, x: Any, mask: Any) -> tuple[Any, ...]:
    return (_bias(x, mask), network.encoder.compute_position_bias(x))


def _besides_deberta(network: Any, x: Any, mask: Any) -> tuple[Any, ...]:
    import torch

    encoder = network.encoder
    if mask is None:
        seen = torch.ones(1, 1, 1, 1, dtype=torch.bool, device=x.device)
    else:
        seen = encoder.get_attention_mask(mask)
    return (seen, None, encoder.get_rel_pos(x), encoder.get_rel_embedding())


def _layers_of_albert(network: Any) -> list[Any]:
    config, groups = network.config, network.encoder.albert_layer_groups
    share = config.num_hidden_layers / config.num_hidden_groups
    return [groups[int(i / share)] for i in range(config.num_hidden_layers)]


def _from_zero(_config: Any) -> int:
    return 0


def _behind_padding(config: Any) -> int:
    return int(config.pad_token_id) + 1


_BERT = _Family(lambda n: n.encoder.layer, _embed_bert, _besides_bert, _from_zero)
_ROBERTA = _Family(lambda n: n.encoder.layer, _embed_bert, _besides_bert, _behind_padding)
_FAMILIES = {
    "albert": _Family(_layers_of_albert, _embed_albert, _besides_bert, _from_zero, True),
    "bert": _BERT,
    "camembert": _ROBERTA,
    "deberta-v2": _Family(lambda n: n.encoder.layer, _embed_deberta, _besides_deberta, _from_zero),
    "distilbert": _Family(
        lambda n: n.transformer.layer, _embed_without_kinds, _besides_bert, _from_zero
    ),
    "electra": _BERT,
    "mpnet": _Family(
        lambda n: n.encoder.layer, _embed_without_kinds, _besides_mpnet, _behind_padding
    ),
    "roberta": _ROBERTA,
    "xlm-roberta": _ROBERTA,
}


def _family_of(config: Any, folder: Path) -> _Family:
    """How to run the network that a config describes."""
    if config.model_type not in _FAMILIES:
        raise BackboneError(
            f"{folder} holds a network of the family {config.model_type}, expected one of "
            f"{', '.join(sorted(_FAMILIES))}"
        )
    if config.model_type == "deberta-v2" and getattr(config, "conv_kernel_size", 0) > 0:
        raise BackboneError(
            f"{folder} holds a DeBERTa network with a convolution between its layers, expected "
            "one without; take a version 3 of DeBERTa"
        )
    return _FAMILIES[config.model_type]


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where in a folder the network lies, and what follows it."""

    network: Path
    pooling: str = "mean"
    is_normalised: bool = False


def _layout_of(folder: Path) -> _Layout:
    """What modules.json of sentence-transformers says; a plain encoder is averaged."""
    listed = _json(folder / "modules.json")
    if listed is None:
        if not (folder / "config.json").is_file():
            raise BackboneError(
                f"{folder} has no config.json, expected a folder of a text encoder as Hugging "
                "Face or sentence-transformers save it"
            )
        return _Layout(folder)
    network, pooling, is_normalised = folder, "mean", False
    for module in listed:
        kind, path = str(module["type"]).rpartition(".")[2], folder / str(module.get("path", ""))
        if kind == "Transformer":
            network = path
        elif kind == "Pooling":
            pooling = _pooling_of(path / "config.json")
        elif kind == "Normalize":
            is_normalised = True
        else:
            raise BackboneError(
                f"{folder} has a module {kind} in its modules.json, expected Transformer, Pooling "
                "and Normalize"
            )
    return _Layout(network, pooling, is_normalised)


def _pooling_of(path: Path) -> str:
    """As sentence-transformers writes it, today or before its version 5."""
    settings = _json(path) or {}
    modes = settings.get("pooling_mode") or [
        name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for name, is_used in settings.items()
        if name.startswith("pooling_mode_") and is_used is True
    ]
    modes = [modes] if isinstance(modes, str) else list(modes) or ["mean"]
    if len(modes) != 1 or modes[0] not in _POOLINGS:
        raise BackboneError(
            f"{path} asks for the pooling {' and '.join(modes)}, expected one of "
            f"{', '.join(_POOLINGS)}"
        )
    return str(modes[0])


def _json(path: Path) -> Any:
    """What a JSON file holds; None if there is no such file."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise BackboneError(f"{path} cannot be read as JSON ({error}); fetch it again") from error


def _config_of(folder: Path) -> Any:
    try:
        from transformers import AutoConfig
    except ImportError as error:
        raise MissingExtraError("text encoders", "text") from error
    try:
        with quiet():
            return AutoConfig.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
    except Exception as error:  # transformers raises several kinds for what it does not know
        what = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{folder} cannot be read as a text encoder ({what}); expected a folder as Hugging "
            "Face or sentence-transformers save it"
        ) from error


def _network_of(folder: Path, config: Any, weights: Path | None) -> Any:
    """The network without the layer that some put behind the first token."""
    import torch
    import transformers

    make: Any = transformers.AutoModel
    how: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
    missing: Sequence[str] = ()
    try:
        with quiet():
            if weights is None:
                network, loading = make.from_pretrained(
                    folder,
                    config=config,
                    local_files_only=True,
                    trust_remote_code=False,
                    output_loading_info=True,
                    **how,
                )
                missing = [n for n in loading["missing_keys"] if not n.startswith("pooler.")]
            else:
                network = make.from_config(config, trust_remote_code=False, **how)
    except Exception as error:  # a damaged file raises whatever its format raises
        what = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"the text encoder in {folder} cannot be loaded ({what}); if it was fetched only in "
            "part, fetch it again"
        ) from error
    if hasattr(network, "pooler"):
        network.pooler = None
    if weights is not None:
        state = read_state(weights)
        missing = [n for n, t in network.state_dict().items() if _differs(t, state.get(n))]
        if not missing:
            network.load_state_dict(state, strict=False)
    if missing:
        raise BackboneError(
            f"the weights in {weights or folder} do not fit the encoder of {folder}: "
            f"{sorted(missing)[0]} is missing or has another shape; name the folder that the "
            "weights were trained from"
        )
    return network


def _differs(expected: Any, found: Any) -> bool:
    return found is None or found.shape != expected.shape


def _parameters_of(folder: Path) -> int:
    """Parameters of the embeddings and the layers, from the shapes in the weights' headers."""
    from math import prod

    shapes: dict[str, tuple[int, ...]] = {}
    files = sorted(folder.glob("model*.safetensors"))
    for path in files:
        from safetensors import safe_open

        try:
            with safe_open(path, framework="numpy") as opened:
                names = list(opened.keys())
                shapes |= {name: tuple(opened.get_slice(name).get_shape()) for name in names}
        except Exception as error:  # safetensors has its own exception, outside its typing
            raise BackboneError(
                f"{path} cannot be read as weights ({error}); fetch it again"
            ) from error
    if not files:
        plain = folder / "pytorch_model.bin"
        if not plain.is_file():
            raise BackboneError(
                f"{folder} has no weights, expected model.safetensors beside config.json"
            )
        shapes = {name: tuple(t.shape) for name, t in read_state(plain).items()}
    counted = [
        prod(shape)
        for name, shape in shapes.items()
        if (name.startswith(_PARTS) or name.partition(".")[2].startswith(_PARTS))
        and not name.endswith("position_ids")
    ]
    return sum(counted)


def _max_tokens(folder: Path, config: Any, family: _Family) -> int:
    """The smallest of what the network, its tokenizer and sentence-transformers allow."""
    limits = [int(config.max_position_embeddings) - family.first_position(config)]
    tokenizer = _json(folder / "tokenizer_config.json") or {}
    limits.append(int(tokenizer.get("model_max_length") or limits[0]))
    for name in ("sentence_bert_config.json", "sentence_roberta_config.json"):
        limits.append(int((_json(folder / name) or {}).get("max_seq_length") or limits[0]))
    return min(limits)


def _lowercase(folder: Path) -> bool:
    """Whether the tokenizer, or sentence-transformers before it, makes letters small."""
    settings = _json(folder / "tokenizer_config.json") or {}
    before = _json(folder / "sentence_bert_config.json") or {}
    fast = _json(folder / "tokenizer.json")
    if fast is not None:
        steps = fast.get("normalizer") or {}
        is_small = any(
            step.get("type") == "Lowercase" or step.get("lowercase") is True
            for step in (steps, *steps.get("normalizers", ()))
        )
    else:
        is_small = bool(settings.get("do_lower_case", False))
    return is_small or bool(before.get("do_lower_case", False))
