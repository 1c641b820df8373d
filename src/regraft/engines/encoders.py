"""Text encoders: a folder of a pretrained transformer in, its facts or its parts as modules out.

The folder is in the format of Hugging Face, perhaps with the files that sentence-transformers adds:
`config.json`, and what says how token vectors become one vector. `Encoder` runs the network part by
part, so that it can be cut between its layers.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regraft.engines.torch import read_state
from regraft.engines.transformers import LEFT_OUT, quiet
from regraft.errors import BackboneError, MissingExtraError
from regraft.telemetry import opt_out

if TYPE_CHECKING:
    import torch

MODULES = "modules.json"  # of sentence-transformers
_SENTENCES = ("sentence_bert_config.json", "sentence_roberta_config.json")
_TOKENIZER, _TOKENIZER_CONFIG, _VOCABULARY = "tokenizer.json", "tokenizer_config.json", "vocab.txt"
_POOLINGS = ("mean", "cls", "max")
_PARTS = ("embeddings.", "embeddings_project.", "encoder.", "transformer.")
_LARGEST = 500_000_000  # parameters; a graph of more would exceed the 2 GB of a protobuf message


@dataclass(frozen=True, slots=True)
class DescribedEncoder:
    """Facts on a text encoder.

    Attributes:
        config: what of its `config.json` is needed to build the network again.
        pooling: "mean", "cls" or "max": how token vectors become one.
        is_normalised: whether features have length one.
        network: the folder of the network in the folder, in which its weights are.
        feature_width: numbers in a feature vector.
        max_tokens: the longest text it takes, with the marks at its ends.
        tokenizer: its `tokenizer.json`, or `vocab.txt` where there is no other.
        lowercase: whether capitals are made small before it; None where nothing says so.
    """

    config: dict[str, Any]
    pooling: str
    is_normalised: bool
    network: Path
    feature_width: int
    max_tokens: int
    tokenizer: Path
    lowercase: bool | None


def title(config: Mapping[str, Any]) -> str:
    """An encoder for people."""
    return f"encoder: {config['model_type']}"


def is_encoder(folder: Path, config: Mapping[str, Any]) -> bool:
    """Whether a folder with this `config.json` ({} for none) holds a text encoder."""
    return (folder / MODULES).is_file() or config.get("model_type") in _FAMILIES


def describe_encoder(folder: Path) -> DescribedEncoder:
    """Facts on the encoder in a folder; its weights need not be there.

    Raises:
        BackboneError: the folder holds no encoder, one of a kind that is not supported, or no
            tokenizer.
        MissingExtraError: transformers is not installed.
    """
    layout = layout_of(folder)
    config = _json(layout.network / "config.json")
    if not isinstance(config, dict):
        raise BackboneError(
            f"{layout.network} has no config.json, expected a folder of a text encoder as Hugging "
            "Face or sentence-transformers save it"
        )
    if config.get("model_type") not in _FAMILIES:
        raise BackboneError(
            f"{folder} holds a network of the family {config.get('model_type')}, expected one of "
            f"{', '.join(sorted(_FAMILIES))}"
        )
    left_out = (*LEFT_OUT, "architectures", "gradient_checkpointing", "use_cache")
    config = {name: value for name, value in config.items() if name not in left_out}
    read = _Read.of(config, where=str(folder))
    return DescribedEncoder(
        config=config,
        pooling=layout.pooling,
        is_normalised=layout.is_normalised,
        network=layout.network,
        feature_width=int(read.config.hidden_size),
        max_tokens=_max_tokens(layout.network, read.most_positions),
        tokenizer=_tokenizer_of(folder, layout.network),
        lowercase=_lowercase(layout.network),
    )


def width_of(config: Mapping[str, Any]) -> int:
    """Numbers in a feature vector.

    Raises:
        BackboneError: it is of no encoder that is supported.
        MissingExtraError: transformers is not installed.
    """
    return int(_Read.of(config).config.hidden_size)


def parameters_in(weights: Path) -> int:
    """Parameters of the embeddings and the layers in a file of weights.

    Of safetensors only the header is read.

    Raises:
        BackboneError: the file cannot be read.
    """
    from math import prod

    if weights.suffix == ".safetensors":
        from safetensors import safe_open

        try:
            with safe_open(weights, framework="numpy") as opened:
                shapes = {name: opened.get_slice(name).get_shape() for name in opened.keys()}  # noqa: SIM118
        except Exception as error:  # safetensors has its own exception, outside its typing
            raise BackboneError(
                f"{weights} cannot be read as weights ({error}); fetch it again"
            ) from error
    else:
        shapes = {name: list(tensor.shape) for name, tensor in read_state(weights).items()}
    counted = [
        prod(shape)
        for name, shape in shapes.items()
        if (name.startswith(_PARTS) or name.partition(".")[2].startswith(_PARTS))
        and not name.endswith("position_ids")
    ]
    return sum(counted)


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


def load_encoder(
    config: Mapping[str, Any],
    weights: Path,
    *,
    pooling: str = "mean",
    is_normalised: bool = False,
    is_published: bool = False,
) -> Encoder:
    """An encoder in evaluation mode.

    Args:
        config, pooling, is_normalised: see `DescribedEncoder`.
        weights: a file of its parameters.
        is_published: it is as transformers publishes it: of a network that has a task, or of an
            older version.

    Raises:
        BackboneError: the network is not supported, or the weights do not fit it.
        MissingExtraError: transformers is not installed.
    """
    read = _Read.of(config)
    network = _network_of(read.config, weights, name=title(config), is_published=is_published)
    count = sum(p.numel() for p in network.parameters())
    if count > _LARGEST:
        raise BackboneError(
            f"{weights} holds an encoder of {count:,} parameters, expected at most {_LARGEST:,}; "
            "take a smaller one of the same family"
        )
    return Encoder(
        network=network.eval(),
        layers=tuple(read.family.layers(network)),
        stages=0 if read.family.shares_layers else 1 + int(read.config.num_hidden_layers),
        max_tokens=read.most_positions,
        vocabulary=int(read.config.vocab_size),
        pooling=pooling,
        is_normalised=is_normalised,
        _family=read.family,
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


@dataclass(frozen=True, slots=True)
class _Read:
    """A configuration as transformers reads it, and its family."""

    config: Any
    family: _Family

    @classmethod
    def of(cls, given: Mapping[str, Any], *, where: str = "this configuration") -> _Read:
        try:
            opt_out()
            from transformers import AutoConfig
        except ImportError as error:
            raise MissingExtraError("text encoders", "text") from error
        try:
            fields = dict(given)
            kind = str(fields.pop("model_type"))
            family = _FAMILIES[kind]
            with quiet():
                config: Any = AutoConfig.for_model(kind, **fields)
        except Exception as error:  # each configuration checks its values in its own way
            what = " ".join(str(error).split())[:200]
            raise BackboneError(
                f"{where} is not of a text encoder ({what}); expected what the config.json of one "
                f"says: {', '.join(sorted(_FAMILIES))}"
            ) from error
        if kind == "deberta-v2" and getattr(config, "conv_kernel_size", 0) > 0:
            raise BackboneError(
                f"{where} holds a DeBERTa network with a convolution between its layers, expected "
                "one without; take a version 3 of DeBERTa"
            )
        return cls(config, family)

    @property
    def most_positions(self) -> int:
        """The most tokens for which the network has positions."""
        return int(self.config.max_position_embeddings) - self.family.first_position(self.config)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where in a folder the network lies, and what follows it."""

    network: Path
    pooling: str = "mean"
    is_normalised: bool = False


def layout_of(folder: Path) -> Layout:
    """What modules.json of sentence-transformers says; a plain encoder is averaged.

    Raises:
        BackboneError: a step behind the network is not supported.
    """
    listed = _json(folder / MODULES)
    if listed is None:
        return Layout(folder)
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
    return Layout(network, pooling, is_normalised)


def _pooling_of(path: Path) -> str:
    """As sentence-transformers writes it, today or before its version 5."""
    settings = _json(path)
    if settings is None:
        raise BackboneError(
            f"{path} is not there, and {MODULES} asks for it; put it there, or features would be "
            "others than the network was trained for"
        )
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


def _network_of(config: Any, weights: Path, *, name: str, is_published: bool) -> Any:
    """The network without the layer that some put behind the first token."""
    import torch

    opt_out()
    import transformers

    make: Any = transformers.AutoModel
    how: dict[str, Any] = {"dtype": torch.float32, "attn_implementation": "eager"}
    try:
        with quiet():
            if is_published:
                network, loading = make.from_pretrained(
                    weights.parent,
                    config=config,
                    local_files_only=True,
                    trust_remote_code=False,
                    use_safetensors=weights.suffix == ".safetensors",
                    weights_only=True,
                    output_loading_info=True,
                    **how,
                )
                missing = [n for n in loading["missing_keys"] if not n.startswith("pooler.")]
            else:
                network, missing = make.from_config(config, trust_remote_code=False, **how), []
    except Exception as error:  # a damaged file raises whatever its format raises
        what = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{weights} cannot be loaded as {name} ({what}); if it was fetched only "
            "in part, fetch it again"
        ) from error
    if hasattr(network, "pooler"):
        network.pooler = None
    if not is_published:
        state = read_state(weights)
        missing = [n for n, t in network.state_dict().items() if _differs(t, state.get(n))]
        if not missing:
            network.load_state_dict(state, strict=False)
    if missing:
        raise BackboneError(
            f"the weights in {weights} do not fit {name}: {sorted(missing)[0]} is "
            "missing or has another shape; the file belongs to another config.json"
        )
    return network


def _differs(expected: Any, found: Any) -> bool:
    return found is None or found.shape != expected.shape


def _tokenizer_of(folder: Path, network: Path) -> Path:
    """The file that tells how texts are taken apart."""
    places = [place / name for name in (_TOKENIZER, _VOCABULARY) for place in (network, folder)]
    for path in places:
        if path.is_file():
            return path
    raise BackboneError(
        f"{network} has no {_TOKENIZER} or {_VOCABULARY}; put {_TOKENIZER} there: "
        "transformers.AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER) makes it"
    )


def _max_tokens(folder: Path, most_positions: int) -> int:
    """The smallest of what the network, its tokenizer and sentence-transformers allow."""
    limits = [most_positions]
    tokenizer = _json(folder / _TOKENIZER_CONFIG) or {}
    limits.append(int(tokenizer.get("model_max_length") or limits[0]))
    for name in _SENTENCES:
        limits.append(int((_json(folder / name) or {}).get("max_seq_length") or limits[0]))
    return min(limits)


def _lowercase(folder: Path) -> bool | None:
    """Whether the tokenizer, or sentence-transformers before it, makes letters small."""
    if (_json(folder / _SENTENCES[0]) or {}).get("do_lower_case"):
        return True
    fast = _json(folder / _TOKENIZER)
    if fast is None:
        stated = (_json(folder / _TOKENIZER_CONFIG) or {}).get("do_lower_case")
        return None if stated is None else bool(stated)
    steps = fast.get("normalizer") or {}
    return any(
        step.get("type") == "Lowercase" or step.get("lowercase") is True
        for step in (steps, *steps.get("normalizers", ()))
    )
