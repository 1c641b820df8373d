"""What `rivals` compares with: `python -m benchmarks.fastai_textile ROOT TABLE HOW`.

TABLE is a CSV of path, label, split below ROOT; what is in the split `test` is fastai's
validation set, so it may even look at it after every epoch. HOW is `default` (`fine_tune(4)`,
defaults everywhere, 224 px) or `best` (its augmentation, the rate that `lr_find` suggests, twelve
epochs after the frozen one). The weights are those that regraft uses. Prints a line of JSON:
seconds since training began (`lr_find` included) and accuracy after each epoch.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.fastai_rooms import weights_under_own_names
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.backbones.sources import get_backbone

EPOCHS = {"default": 4, "best": 12}


def main(root: Path, table: Path, how: str) -> None:
    """Train, print."""
    from fastai.vision.all import (
        Callback,
        ImageDataLoaders,
        Resize,
        accuracy,
        aug_transforms,
        pd,
        set_seed,
        vision_learner,
    )

    set_seed(0)
    frame = pd.read_csv(table)
    frame["held"] = frame["split"] == "test"
    transforms: dict[str, Any] = {"item_tfms": Resize(224)}
    if how == "best":
        transforms = {"item_tfms": Resize(256), "batch_tfms": aug_transforms(size=224)}
    loaders = ImageDataLoaders.from_df(
        frame, root, fn_col="path", label_col="label", valid_col="held", **transforms
    )

    class Clock(Callback):  # type: ignore[misc]
        """Notes when each epoch ended, and how good it was."""

        order = 90  # after the recorder

        def after_epoch(self) -> None:
            ended.append((round(time.perf_counter() - started, 1), self.recorder.values[-1][-1]))

    ended: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        learner = vision_learner(
            loaders,
            get_backbone(DEFAULT_BACKBONE).architecture.title,
            metrics=accuracy,
            path=folder,
            pretrained_cfg_overlay={"file": str(weights_under_own_names(Path(folder)))},
        )
        started = time.perf_counter()
        with learner.no_bar(), learner.no_logging():
            options = {}
            if how == "best":
                options = {"base_lr": learner.lr_find(show_plot=False).valley}
            learner.add_cb(Clock())
            learner.fine_tune(EPOCHS[how], **options)
    found = {
        "epochs": ended,
        "images": len(loaders.valid_ds),
        "rate": float(options.get("base_lr", 2e-3)),
    }
    sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3])
