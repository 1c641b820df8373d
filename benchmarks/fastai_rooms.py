"""The fastai script that `fit_speed` compares with: `python -m benchmarks.fastai_rooms ROOMS`.

What its tutorials teach: images from folders, `vision_learner`, `fine_tune(4)` (one epoch with
the body frozen, then four with all of it), defaults everywhere, 224 px. The weights are the very
file regraft uses, handed to timm under timm's own names. Prints a line of JSON: accuracy on
`val`, its images, seconds of training.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path

from regraft.backbones.backbone import weights_path
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.backbones.sources import get_backbone


def main(rooms: Path) -> None:
    """Train on `rooms/train`, score on `rooms/val`, print."""
    from fastai.vision.all import ImageDataLoaders, Resize, accuracy, set_seed, vision_learner

    set_seed(0)
    loaders = ImageDataLoaders.from_folder(rooms, train="train", valid="val", item_tfms=Resize(224))
    with tempfile.TemporaryDirectory() as folder:
        learner = vision_learner(
            loaders,
            get_backbone(DEFAULT_BACKBONE).architecture.title,
            metrics=accuracy,
            pretrained_cfg_overlay={"file": str(weights_under_own_names(Path(folder)))},
        )
    started = time.perf_counter()
    with learner.no_bar(), learner.no_logging():
        learner.fine_tune(4)
    trained_in = time.perf_counter() - started
    found = {
        "accuracy": learner.recorder.values[-1][-1],
        "images": len(loaders.valid_ds),
        "training_seconds": round(trained_in, 2),
    }
    sys.stdout.write(json.dumps(found) + "\n")


def weights_under_own_names(folder: Path) -> Path:
    """The backbone's weights as a file that timm loads by itself.

    The package holds the same tensors in the same order under the names of another library.
    """
    import timm
    import torch

    backbone = get_backbone(DEFAULT_BACKBONE)
    names = timm.create_model(backbone.architecture.title, pretrained=False).state_dict()
    state = torch.load(weights_path(backbone), map_location="cpu", weights_only=True)
    path = folder / "weights.pth"
    torch.save(dict(zip(names, state.values(), strict=True)), path)
    return path


if __name__ == "__main__":
    main(Path(sys.argv[1]))
