"""Weights that others publish, and the file of them on this machine.

The hubs' own clients fetch and keep the files, in their own caches, so that what another tool has
fetched is found. Nothing is fetched unless a backbone of a hub is named.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from regraft.errors import BackboneError
from regraft.telemetry import opt_out

WEIGHTS_FILES = ("model.safetensors", "pytorch_model.bin")
_HASHED = re.compile(r"-([0-9a-f]{8,})\.(?:pth|pt|bin|safetensors)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Published:
    """Weights of a hub.

    Attributes:
        title: whose they are, for people; where `instead` is empty, as `--arch` takes it.
        place: where the hub keeps them, in words.
        licence: as the hub names it; "" where it does not.
        pretrained_on: the data, as far as the hub says.
        local: the file on this machine, None if it is not there.
        fetch: fetches it.
        instead: what to do where it cannot be fetched; "" for a file of weights.
    """

    title: str
    place: str
    licence: str
    pretrained_on: str
    local: Callable[[], Path | None]
    fetch: Callable[[], Path]
    instead: str = ""

    def file(self, notify: Callable[[str], None]) -> Path:
        """The file of the weights, fetched if it is not there; `notify` is told of that.

        Raises:
            BackboneError: it is not there and cannot be fetched, or was altered on the way.
        """
        path = self.local()
        if path is None:
            notify(f"fetching the weights of {self.title} from {self.place}")
            try:
                path = self.fetch()
            except Exception as error:  # each client raises kinds of its own
                instead = self.instead or (
                    "fetch the file on another one and use: --backbone file:WEIGHTS --arch "
                    f"{self.title}"
                )
                raise BackboneError(
                    f"the weights of {self.title} are not on this machine and cannot be fetched "
                    f"from {self.place} ({reason(error)}); {instead}"
                ) from error
        return path


@dataclass(frozen=True, slots=True)
class HubFile:
    """The first of some files in a repository of the Hugging Face hub, in its client's cache."""

    repository: str
    names: tuple[str, ...]
    revision: str = ""

    def local(self) -> Path | None:
        """The file on this machine, None if it is not there."""
        opt_out()
        from huggingface_hub import try_to_load_from_cache

        for name in self.names:
            cached = try_to_load_from_cache(self.repository, name, revision=self.revision or None)
            if isinstance(cached, str):
                return Path(cached)
        return None

    def fetch(self) -> Path:
        """Fetch the file; raises what the hub's client raises."""
        opt_out()
        from huggingface_hub import hf_hub_download
        from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

        for i, name in enumerate(self.names):
            try:
                return Path(hf_hub_download(self.repository, name, revision=self.revision or None))
            except LocalEntryNotFoundError:  # no network: no other name will be found either
                raise
            except EntryNotFoundError:
                if i == len(self.names) - 1:
                    raise
        raise BackboneError(f"{self.repository} has no file of weights")


@dataclass(frozen=True, slots=True)
class UrlFile:
    """A file at an address, in the cache of torch's hub."""

    url: str

    def local(self) -> Path | None:
        """The file on this machine, None if it is not there."""
        return path if (path := self._place()).is_file() else None

    def fetch(self) -> Path:
        """Fetch the file; raises what torch's hub raises."""
        import torch

        path = self._place()
        path.parent.mkdir(parents=True, exist_ok=True)
        named = _HASHED.search(self.url)
        torch.hub.download_url_to_file(self.url, str(path), named and named[1])
        return path

    def _place(self) -> Path:
        import torch

        return Path(torch.hub.get_dir()) / "checkpoints" / self.url.rpartition("/")[2]


def reason(error: Exception) -> str:
    """The first line of what a client raised."""
    return (str(error).strip().partition("\n")[0] or type(error).__name__)[:200]


def data_of(tag: str) -> str:
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


def hash_in_name(path: Path) -> str:
    """The beginning of the SHA-256 that a hub's cache names a file after; "" if it names none.

    The Hugging Face cache names a blob after its whole hash, torch's hub a file after eight digits.
    """
    real = path.resolve().name
    if re.fullmatch(r"[0-9a-f]{64}", real):
        return real
    named = _HASHED.search(real)
    return named[1] if named else ""
