"""timm: its networks, and what it publishes of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

from regraft.engines import require_training
from regraft.engines.classifiers import Described, describe, pixel_transform, unknown
from regraft.engines.hubs import WEIGHTS_FILES, HubFile, Published, UrlFile, data_of
from regraft.errors import BackboneError
from regraft.telemetry import opt_out


def create(name: str) -> Any:
    """The network with random weights, its classifier included.

    Args:
        name: with its pretrained tag ("resnet18.a1_in1k") or without.

    Raises:
        BackboneError: timm has none of that name; suggests the nearest ones.
        MissingExtraError: PyTorch is not installed.
    """
    require_training(f"the network {name}")
    opt_out()
    import timm

    try:
        return timm.create_model(name, pretrained=False)
    except Exception as error:  # timm raises several kinds for a name it does not know
        raise unknown(name, "timm", timm.list_models()) from error


def load(name: str, weights: Path) -> Any:
    """The network as timm loads what it publishes, which it may have to rename or reshape.

    Raises:
        BackboneError: the file is damaged, or of another network.
    """
    opt_out()
    import timm

    try:
        network: Any = timm.create_model(
            name, pretrained=True, pretrained_cfg_overlay={"file": str(weights)}
        )
    except Exception as error:  # a damaged file raises whatever its format raises
        what = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"timm cannot load {name} from {weights} ({what}); if it was fetched only in part, "
            "remove it"
        ) from error
    return network.eval()


@cache
def describe_network(name: str) -> Described:
    """Facts on a network and its transform.

    Raises:
        BackboneError: there is none of that name.
    """
    network = create(name)
    return describe(network, transform_of(network))


def transform_of(network: Any, published: dict[str, Any] | None = None) -> dict[str, Any]:
    """The transform of a network, or that of the weights `published` for it elsewhere."""
    opt_out()
    import timm.data

    config = timm.data.resolve_model_data_config(network)  # type: ignore
    if published:
        given = {name: value for name, value in published.items() if value is not None}
        config = timm.data.resolve_data_config(given, model=network)  # type: ignore
    transform = pixel_transform(
        int(config["input_size"][-1]),
        float(config["crop_pct"]),
        interpolation=config["interpolation"],
        mean=config["mean"],
        std=config["std"],
    )
    return transform | ({"resize": "squash"} if config.get("crop_mode") == "squash" else {})


def published(name: str) -> tuple[str, Published]:
    """What timm publishes under a name, with its pretrained tag ("resnet18.a1_in1k") or without.

    Returns:
        The name of the network with its tag, and where its weights are.

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
        raise unknown(name, "timm", timm.list_models()) from error
    base = name.partition(".")[0]
    if not config.has_weights:
        raise BackboneError(f"timm has no weights for {base}; give a file of them with --arch")
    tag = config.tag or ""
    network = f"{base}.{tag}" if tag else base
    repository, _, revision = str(config.hf_hub_id or "").partition("@")
    file: HubFile | UrlFile = UrlFile(str(config.url))
    if repository:
        names = (config.hf_hub_filename,) if config.hf_hub_filename else WEIGHTS_FILES
        file = HubFile(repository, names, revision)
    return network, Published(
        title=network,
        place=f"{repository} on the Hugging Face hub" if repository else str(config.url),
        licence=str(config.license or ""),
        pretrained_on=data_of(tag),
        local=file.local,
        fetch=file.fetch,
    )


def search(text: str) -> list[tuple[str, str, int]]:
    """Names of weights in timm that hold a text, with their licence and input size in pixels."""
    require_training("a search for backbones")
    opt_out()
    import timm

    pattern = text if any(c in text for c in "*?[") else f"*{text}*"
    rows = []
    for name in timm.list_pretrained(pattern):
        config: Any = timm.get_pretrained_cfg(name)
        rows.append((name, str(config.license or "unknown"), int(config.input_size[-1])))
    return rows
