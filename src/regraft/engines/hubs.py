"""Where timm and torchvision publish weights, and the file of them on this machine.

The hubs' own clients fetch and keep the files, in their own caches, so that what another tool has
fetched is found. Nothing is fetched unless a backbone of a hub is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from regraft.engines import architectures, transformers
from regraft.errors import BackboneError
from regraft.telemetry import opt_out

_HUB_FILES = ("model.safetensors", "pytorch_model.bin")
_HASHED = re.compile(r"-([0-9a-f]{8,})\.(?:pth|pt|bin|safetensors)$")


@dataclass(frozen=True, slots=True)
class Published:
    """Weights of a hub.

    Attributes:
        architecture: see `architectures` and `encoders`.
        place: where the hub keeps them, in words.
        licence: as the hub names it; "" where it does not.
        pretrained_on: the data, as far as the hub says.
        described: size, width and transform; 0 parameters where only the weights tell.
        match: how the file is read; see `load_network`.
        local: the file on this machine, None if it is not there.
        fetch: fetches it.
        instead: what to do where it cannot be fetched; "" for a file of weights.
        modality: the kind of input.
        companions: files that its transform needs, by name.
    """

    architecture: str
    place: str
    licence: str
    pretrained_on: str
    described: architectures.Described
    match: str
    local: Callable[[], Path | None]
    fetch: Callable[[], Path]
    instead: str = ""
    modality: str = "image"
    companions: Mapping[str, Path] = field(default_factory=dict)

    def file(self, told: Callable[[str], None]) -> Path:
        """The file of the weights, fetched if it is not there; `told` of that.

        Raises:
            BackboneError: it is not there and cannot be fetched, or was altered on the way.
        """
        path = self.local()
        if path is None:
            name = transformers.title(self.architecture)
            told(f"fetching the weights of {name} from {self.place}")
            try:
                path = self.fetch()
            except Exception as error:  # each client raises kinds of its own
                instead = self.instead or (
                    "fetch the file on another one and use: --backbone file:WEIGHTS --arch "
                    f"{self.architecture}"
                )
                raise BackboneError(
                    f"the weights of {name} are not on this machine and cannot be fetched from "
                    f"{self.place} ({reason(error)}); {instead}"
                ) from error
        return path


def reason(error: Exception) -> str:
    """The first line of what a client raised."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]


def in_timm(name: str) -> Published:
    """What timm publishes under a name, with its pretrained tag ("resnet18.a1_in1k") or without.

    Raises:
        BackboneError: it does not know the name, or has no weights for it.
    """
    opt_out()
    import timm

    try:
        config: Any = timm.get_pretrained_cfg(name, allow_unregistered=False)
    except Exception as error:
        base, _, tag = name.partition(".")
        tags = timm.list_pretrained(f"{base}.*") if timm.is_model(base) else []
        if tag and tags:
            raise BackboneError(
                f"timm has no weights {name!r}; expected {' or '.join(tags[:5])}"
            ) from error
        raise architectures.unknown(name, "timm", timm.list_models()) from error
    base = name.partition(".")[0]
    if not config.has_weights:
        raise BackboneError(f"timm has no weights for {base}; give a file of them with --arch")
    tag = config.tag or ""
    repository, _, revision = str(config.hf_hub_id or "").partition("@")
    place = f"{repository} on the Hugging Face hub" if repository else str(config.url)
    names = (config.hf_hub_filename,) if config.hf_hub_filename else _HUB_FILES
    return Published(
        architecture=f"{base}.{tag}" if tag else base,
        place=place,
        licence=str(config.license or ""),
        pretrained_on=_data_of(tag),
        described=architectures.describe_architecture(f"{base}.{tag}" if tag else base),
        match="timm",
        local=lambda: (
            _hub_local(repository, names, revision) if repository else _url_local(config.url)
        ),
        fetch=lambda: (
            _hub_fetch(repository, names, revision) if repository else _url_fetch(config.url)
        ),
    )


def in_torchvision(name: str) -> Published:
    """What torchvision publishes: "resnet50", or "resnet50:IMAGENET1K_V1" for certain weights.

    Raises:
        BackboneError: it does not know the name.
    """
    base, _, which = name.partition(":")
    weights = architectures.default_weights(base, which)
    architecture = f"{architectures.TORCHVISION}{base}"
    described = architectures.describe_architecture(architecture)
    return Published(
        architecture=architecture,
        place=weights.url,
        licence="",
        pretrained_on=_data_of(weights.name.lower()),
        described=architectures.Described(
            described.parameters,
            described.feature_width,
            architectures.torchvision_transform(weights),
        ),
        match="name",
        local=lambda: _url_local(weights.url),
        fetch=lambda: _url_fetch(weights.url),
    )


def search(text: str) -> list[tuple[str, str, int]]:
    """Names of weights in timm that hold a text, with their licence and input size in pixels."""
    opt_out()
    import timm

    pattern = text if any(c in text for c in "*?[") else f"*{text}*"
    found = []
    for name in timm.list_pretrained(pattern):
        config: Any = timm.get_pretrained_cfg(name)
        found.append((name, str(config.license or "unknown"), int(config.input_size[-1])))
    return found


def _data_of(tag: str) -> str:
    """The pretraining data as a tag of timm or torchvision names them: "a1_in1k"."""
    last = tag.lower()
    for part, title in (
        ("in22k_ft_in1k", "ImageNet-22k, then ImageNet-1k"),
        ("in21k_ft_in1k", "ImageNet-21k, then ImageNet-1k"),
        ("in12k_ft_in1k", "ImageNet-12k, then ImageNet-1k"),
        ("ft_in1k", f"{tag.partition('_ft_')[0]}, then ImageNet-1k"),
        ("in22k", "ImageNet-22k"),
        ("in21k", "ImageNet-21k"),
        ("in12k", "ImageNet-12k"),
        ("in1k", "ImageNet-1k"),
        ("imagenet1k", "ImageNet-1k"),
    ):
        if part in last:
            return title
    return tag or "unknown data"


def _hub_local(repository: str, names: tuple[str, ...], revision: str) -> Path | None:
    opt_out()
    from huggingface_hub import try_to_load_from_cache

    for name in names:
        found = try_to_load_from_cache(repository, name, revision=revision or None)
        if isinstance(found, str):
            return Path(found)
    return None


def _hub_fetch(repository: str, names: tuple[str, ...], revision: str) -> Path:
    opt_out()
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    for i, name in enumerate(names):
        try:
            return Path(hf_hub_download(repository, name, revision=revision or None))
        except LocalEntryNotFoundError:  # no network: no other name will be found either
            raise
        except EntryNotFoundError:
            if i == len(names) - 1:
                raise
    raise BackboneError(f"{repository} has no file of weights")


def _url_local(url: str) -> Path | None:
    path = _url_place(url)
    return path if path.is_file() else None


def _url_fetch(url: str) -> Path:
    import torch

    path = _url_place(url)
    path.parent.mkdir(parents=True, exist_ok=True)
    named = _HASHED.search(url)
    torch.hub.download_url_to_file(url, str(path), named and named[1])
    return path


def _url_place(url: str) -> Path:
    import torch

    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def hash_in_name(path: Path) -> str:
    """The beginning of the SHA-256 that a hub's cache names a file after; "" if it names none.

    The Hugging Face cache names a blob after its whole hash, torch's hub a file after eight digits.
    """
    real = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", real):
        return real
    named = _HASHED.search(real)
    return named[1] if named else ""
