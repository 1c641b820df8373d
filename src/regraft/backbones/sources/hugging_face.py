"""Networks on the Hugging Face hub, or in folders of its form: what they are, where they are.

`config.json` says which network it is: an image model, or a text encoder. What its pixels pass
through stands in `preprocessor_config.json`, what becomes of texts in `tokenizer.json` and the
files of sentence-transformers, the licence in the model card (`README.md`). The weights are
`model.safetensors`, or `pytorch_model.bin`, which is read as data. Everything is fetched by the
hub's own client, into its own cache.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

from regraft.backbones.architectures import (
    NetworkFacts,
    SentenceEncoder,
    Timm,
    Transformers,
    WeightsLayout,
    image_facts,
)
from regraft.backbones.backbone import Backbone
from regraft.backbones.published import published_backbone
from regraft.backbones.sources import Request
from regraft.backbones.tokenizers import encoder_transform
from regraft.engines import encoders, timm, transformers
from regraft.engines.hubs import WEIGHTS_FILES, Published, reason
from regraft.errors import BackboneError
from regraft.kinds.images.transform import normalisation_named
from regraft.progress import note
from regraft.telemetry import opt_out
from regraft.training_contents import NOTHING, UNKNOWN

_CONFIG, _PIXELS, _CARD = "config.json", "preprocessor_config.json", "README.md"
_POOLING = "1_Pooling/config.json"  # where sentence-transformers writes it
_PAPERS = (_CARD, encoders.MODULES, "*config.json", "*tokenizer.json", "*vocab.txt")  # patterns
_NAME = re.compile(r"(?P<name>[\w.-]+(/[\w.-]+)?)(@(?P<revision>[\w./-]+))?")
_IMAGE_FILES = f"{_CONFIG}, {_PIXELS}, {_CARD} and {WEIGHTS_FILES[0]}"
_TEXT_FILES = (
    f"{_CONFIG}, tokenizer.json, {_CARD}, {WEIGHTS_FILES[0]} and, where there are, "
    f"{encoders.MODULES} and {_POOLING}"
)
_ANY_FILES = (
    f"{_CONFIG}, {_CARD}, {WEIGHTS_FILES[0]}, and {_PIXELS} of an image model, or "
    f"tokenizer.json, {encoders.MODULES} and {_POOLING} of a text encoder,"
)
_POINTER = b"version https://git-lfs"
_DATA = {
    "imagenet-1k": "ImageNet-1k",
    "imagenet": "ImageNet-1k",
    "imagenet_1k": "ImageNet-1k",
    "imagenet-21k": "ImageNet-21k",
    "imagenet-22k": "ImageNet-22k",
    "imagenet_21k": "ImageNet-21k",
}


def find(name: str, request: Request) -> Backbone:
    """The backbone of a repository of the hub, or of a folder in its form.

    Args:
        name: "OWNER/NAME", with "@REVISION" or without, or a folder.
        request: how pixels are normalised where there is no `preprocessor_config.json`, and who is
            told of what is fetched and of what is not as the file says.

    Raises:
        BackboneError: it is not there and cannot be fetched, or is neither an image model nor a
            text encoder.
        MissingExtraError: it is one of transformers, which is not installed.
        UsageError: pixels are not normalised in such a way.
    """
    if request.normalize:
        normalisation_named(request.normalize)
    folder, repository = Path(name), ""
    if not folder.is_dir():
        named = _NAME.fullmatch(name)
        if not named:
            raise BackboneError(
                f"there is no folder {name}, and no repository of the hub has such a name; "
                "expected hf:OWNER/NAME or hf:FOLDER"
            )
        repository = named["name"]
        folder = _metadata(
            repository, named["revision"] or "", lambda text: note(request.progress, text)
        )
    config = {} if (folder / encoders.MODULES).is_file() else _json(folder / _CONFIG)
    if encoders.is_encoder(folder, config):
        return _encoder(folder, repository, request)
    architecture: Timm | Transformers
    if "pretrained_cfg" in config and "architecture" in config:
        architecture, facts = _of_timm(config)
    else:
        architecture, facts = _of_transformers(folder, config, request)
    return published_backbone(
        _published(
            folder,
            repository,
            title=architecture.title,
            network=folder,
            files=_IMAGE_FILES,
            trained_on=_trained_on,
        ),
        request,
        architecture=architecture,
        facts=facts,
        layout=WeightsLayout.NAMES if isinstance(architecture, Timm) else WeightsLayout.PUBLISHED,
        folder="" if repository else folder.resolve().name,
        contents=NOTHING if repository else UNKNOWN,
    )


def _published(
    folder: Path,
    repository: str,
    *,
    title: str,
    network: Path,
    files: str,
    trained_on: Callable[[Mapping[str, Any]], str],
) -> Published:
    """Where the weights are: in a snapshot of a repository or a folder, `network` in it."""
    card = _front_matter(folder / _CARD)
    below = network.relative_to(folder).as_posix()
    return Published(
        title=title,
        place=f"{repository} on the Hugging Face hub" if repository else str(folder),
        licence=_licence(card),
        pretrained_on=trained_on(card),
        local=partial(_local_weights, network, is_repository=bool(repository)),
        fetch=partial(_fetch_weights, repository, folder.name, "" if below == "." else f"{below}/"),
        instead=_instead(repository, files),
    )


def _encoder(folder: Path, repository: str, request: Request) -> Backbone:
    """A text encoder, perhaps of sentence-transformers, whose network may lie in a folder below."""
    described = encoders.describe_encoder(folder)
    architecture = SentenceEncoder(described.config, described.pooling, described.is_normalised)
    return published_backbone(
        _published(
            folder,
            repository,
            title=architecture.title,
            network=described.network,
            files=_TEXT_FILES,
            trained_on=_texts_trained_on,
        ),
        request,
        architecture=architecture,
        transform=encoder_transform(
            described.tokenizer, max_tokens=described.max_tokens, lower_case=described.lowercase
        ),
        folder="" if repository else folder.resolve().name,
        contents=NOTHING if repository else UNKNOWN,
    )


def _of_timm(config: Mapping[str, Any]) -> tuple[Timm, NetworkFacts]:
    """Architecture and facts of a model that timm has put on the hub."""
    architecture = Timm(str(config["architecture"]))
    described = timm.describe_network(architecture.name)
    transform = timm.transform_of(architecture.build(), dict(config["pretrained_cfg"]))
    return architecture, image_facts(replace(described, transform=transform))


def _of_transformers(
    folder: Path, config: Mapping[str, Any], request: Request
) -> tuple[Transformers, NetworkFacts]:
    """Architecture and facts of a model of transformers."""
    if "model_type" not in config:
        raise BackboneError(
            f"{folder / _CONFIG} names no model type; expected that of an image model of "
            "transformers, or of timm"
        )
    architecture = Transformers(transformers.relevant(config))
    described = transformers.describe_network(architecture.config)
    if (folder / _PIXELS).is_file():
        transform, notes = transformers.transform_of(_json(folder / _PIXELS), config)
        for text in notes:
            name = folder.name if folder.is_absolute() else folder
            note(request.progress, f"{name}: {text}")
        return architecture, image_facts(replace(described, transform=transform))
    if not request.normalize:
        raise BackboneError(
            f"{folder} has no {_PIXELS}, so nothing says how its pixels were normalised; put that "
            "file there, or add --normalize torch, tf or caffe"
        )
    normalisation = asdict(normalisation_named(request.normalize))
    transform = described.transform | {"normalisation": normalisation}
    return architecture, image_facts(replace(described, transform=transform))


def _metadata(repository: str, revision: str, notify: Callable[[str], None]) -> Path:
    """The snapshot with everything but the weights; asks the hub for what was never asked for."""
    opt_out()
    from huggingface_hub import snapshot_download, try_to_load_from_cache

    def known(name: str) -> Any:
        """The file in the cache; None where nobody asked for it yet, else that there is none."""
        return try_to_load_from_cache(repository, name, revision=revision or None)

    at = [Path(path) for n in (_CONFIG, encoders.MODULES) if isinstance(path := known(n), str)]
    cached = at[0].parent if at else None
    if cached is not None and all(known(name) is not None for name in _wanted(cached)):
        return cached
    notify(f"asking the Hugging Face hub for the metadata of {repository}")
    try:
        folder = Path(
            snapshot_download(repository, revision=revision or None, allow_patterns=[*_PAPERS])
        )
    except Exception as error:  # the client raises kinds of its own, and those of its transport
        if cached is not None:  # without a licence, it is said to be not stated
            return cached
        raise BackboneError(
            f"{repository} is not on this machine and cannot be fetched from the Hugging Face hub "
            f"({_refusal(error)}); {_instead(repository)}"
        ) from error
    if not any((folder / name).is_file() for name in (_CONFIG, encoders.MODULES)):
        if cached is not None:
            return cached
        raise BackboneError(
            f"{repository} has no {_CONFIG} on this machine or on the hub; {_instead(repository)}"
        )
    return folder


def _wanted(folder: Path) -> list[str]:
    """What is asked of the hub if a snapshot lacks it, and nobody knows that it is not there."""
    is_listed = (folder / encoders.MODULES).is_file()
    if not encoders.is_encoder(folder, {} if is_listed else _json(folder / _CONFIG)):
        return [_PIXELS, _CARD]
    vocabulary = "vocab.txt" if (folder / "vocab.txt").is_file() else "tokenizer.json"
    return [_CARD, encoders.MODULES, vocabulary, *([_POOLING] if is_listed else [])]


def _local_weights(folder: Path, *, is_repository: bool) -> Path | None:
    """The weights of a snapshot or a folder; None where they have to be fetched.

    Raises:
        BackboneError: they are not all there, and nobody can fetch them.
    """
    for name in WEIGHTS_FILES:
        if (path := folder / name).is_file():
            _require_whole(path)
            return path
    several = next(folder.glob("*.index.json"), None)
    if several is not None:
        raise BackboneError(
            f"{folder} holds its weights in several files ({several.name}); save them as one with "
            'save_pretrained(max_shard_size="100GB")'
        )
    if is_repository:
        return None
    begun = next(folder.rglob("*.incomplete"), None)
    raise BackboneError(
        f"{folder} holds no {' or '.join(WEIGHTS_FILES)}"
        + (f", only a download that was broken off ({begun.name})" if begun else "")
        + "; put the file there"
    )


def _require_whole(path: Path) -> None:
    """Raises BackboneError: the file was fetched only in part, or stands for another one."""
    with path.open("rb") as file:
        start = file.read(len(_POINTER))
    if start == _POINTER:
        raise BackboneError(f"{path} only points to the weights; fetch them with: git lfs pull")
    if path.suffix != ".safetensors":
        return
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="numpy"):
            pass
    except SafetensorError as error:
        raise BackboneError(
            f"{path} is damaged or was fetched only in part ({reason(error)}); remove it and "
            "fetch it again"
        ) from error


def _fetch_weights(repository: str, revision: str, below: str = "") -> Path:
    """The weights in a repository, or in its folder `below` ("0_Transformer/")."""
    opt_out()
    from huggingface_hub import snapshot_download

    for name in WEIGHTS_FILES:
        wanted = [f"{below}{name}", f"{below}{name}.index.json"]
        folder = Path(snapshot_download(repository, revision=revision, allow_patterns=wanted))
        path = _local_weights(folder / below, is_repository=True)
        if path is not None:
            return path
    raise BackboneError(f"no {' or '.join(WEIGHTS_FILES)} is there")


def _instead(repository: str, files: str = _ANY_FILES) -> str:
    """What to do without a network, or where the hub refuses."""
    return f"put {files} of {repository} into a folder and use: --backbone hf:FOLDER"


def _refusal(error: Exception) -> str:
    """Why the hub's client fetched nothing, in a line."""
    opt_out()
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    if isinstance(error, GatedRepoError):
        return "it is gated: accept its terms on the hub, then run hf auth login"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such repository, or it is private"
    return reason(error)


def _front_matter(path: Path) -> dict[str, Any]:
    """The metadata of a model card; {} where there is none."""
    opt_out()
    from huggingface_hub.repocard import metadata_load

    try:
        return dict(metadata_load(path) or {}) if path.is_file() else {}
    except Exception:  # cards are written by hand: one that is not YAML states nothing
        return {}


def _licence(facts: Mapping[str, Any]) -> str:
    """The licence that a model card states, and whether its terms have to be accepted."""
    given = facts.get("license") or ""
    licence = " and ".join(map(str, given)) if isinstance(given, list) else str(given)
    if licence == "other" and facts.get("license_name"):
        licence = f"other ({facts['license_name']})"
    is_gated = any(str(name).startswith("extra_gated") for name in facts)
    return f"{licence or 'not stated'}, gated" if is_gated else licence


def _trained_on(facts: Mapping[str, Any]) -> str:
    """The data that a model card names."""
    given = facts.get("datasets") or []
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    titles = [_DATA.get(name.rpartition("/")[2].lower(), name) for name in names]
    return ", then ".join(sorted(titles, key=lambda t: t == "ImageNet-1k")) or "unknown data"


def _texts_trained_on(facts: Mapping[str, Any]) -> str:
    """The same of an encoder of texts, which may have seen dozens at once."""
    given = facts.get("datasets") or []
    names = [given] if isinstance(given, str) else [str(name) for name in given]
    if len(names) > 3:
        return f"{names[0]}, {names[1]} and {len(names) - 2} other data sets"
    return ", ".join(names) or "unknown data"


def _json(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BackboneError(
            f"{path} cannot be read ({error.strerror}); a folder for hf: holds {_CONFIG}, "
            f"{_PIXELS} and {WEIGHTS_FILES[0]}"
        ) from error
    except ValueError as error:
        raise BackboneError(f"{path} is no JSON ({error}); fetch it again") from error
    if not isinstance(content, dict):
        raise BackboneError(f"{path} holds {type(content).__name__}, expected an object of JSON")
    return content
