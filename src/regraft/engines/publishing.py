"""A trained classifier as a folder that timm loads, and transformers through timm."""

from __future__ import annotations

import json
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from regraft.engines.classifiers import classifier_names
from regraft.engines.timm import create
from regraft.errors import ExportError
from regraft.telemetry import opt_out

_ALIKE = 1e-3  # how far logits may be from those of the classifier, relative to the largest


def save_for_timm(
    classifier: Any,
    folder: Path,
    *,
    architecture: str,
    classes: Sequence[str],
    preprocessing: Mapping[str, Any],
) -> None:
    """Write `config.json` and `model.safetensors` in timm's own form.

    Args:
        classifier: a network of `features` and `head`; see `networks.with_head`.
        folder: where to; it exists.
        architecture: timm's name.
        classes: the k names.
        preprocessing: `input_size`, `crop_pct`, `crop_mode`, `interpolation`, `mean`, `std`.

    Raises:
        ExportError: the network's classifier is not one linear layer.
    """
    opt_out()
    import timm
    import torch
    from timm.models import save_for_hf

    names = classifier_names(create(architecture))
    if len(names) != 1:
        raise ExportError(
            f"{architecture} has {len(names)} classifiers, expected one, so its head has no place; "
            "export the model as ONNX: regraft export MODEL FILE.onnx"
        )
    network: Any = timm.create_model(architecture, pretrained=False, num_classes=len(classes))
    state = dict(classifier.features.state_dict())
    for part in ("weight", "bias"):
        state[f"{names[0]}.{part}"] = getattr(classifier.head, part)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        what = " ".join(str(error).split())[:200]
        raise ExportError(
            f"the head does not fit the classifier of {architecture} ({what}); export the model as "
            "ONNX: regraft export MODEL FILE.onnx"
        ) from error
    size = tuple(preprocessing["input_size"])
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        pixels = torch.randn(2, *size, generator=generator)
        expected, found = classifier.eval()(pixels), network.eval()(pixels)
    if float((found - expected).abs().max()) > _ALIKE * max(1.0, float(expected.abs().max())):
        raise ExportError(
            f"timm's {architecture} with this head does not say what the model says; export the "
            "model as ONNX: regraft export MODEL FILE.onnx"
        )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # timm's, of what it cannot know of another's weights
        save_for_hf(
            network,
            str(folder),
            model_config={"label_names": list(classes)},
            safe_serialization=True,
            data_config=dict(preprocessing),
        )
    path = folder / "config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    # transformers passes the number of classes by itself, and fails where it stands here as well.
    given = ("num_classes", "in_chans", "global_pool")
    arguments = {k: v for k, v in config.pop("model_args", {}).items() if k not in given}
    if arguments:
        config["model_args"] = arguments
    path.write_text(json.dumps(config, indent=1) + "\n", encoding="utf-8")
