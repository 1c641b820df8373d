"""An epoch on cached boundary activations, against one of full fine-tuning of the same network.

Command   python -m benchmarks epoch_speed
Data      256 simulated fabric images of the extra `demo`
Expected  last two stages of Lite0: about 6 times faster than everything

Both run the training loop of regraft at batch 32 with the precision that is faster for each (see
`engines.training.measure_speed`), channels last. The full epoch reads pixels that are decoded,
augmented and stored as well: it differs only in what trains. They take turns.
"""

from __future__ import annotations

import time
from dataclasses import replace
from statistics import median

import numpy as np

import regraft as rg
from benchmarks.data import own_cache, textile_folder
from benchmarks.rows import Row, at_least, spread_text
from regraft.approaches.plans import TrainingPlan
from regraft.engines.training import Recipe, measure_speed, train
from regraft.features.activations import Activations

FASTER = 6.0
BATCH = 32


def run(*, repeats: int = 3, photos: int = 256) -> list[Row]:
    """Seconds of both epochs and their ratio.

    Args:
        repeats: epochs of each.
        photos: images of an epoch.
    """
    folder = textile_folder()
    with own_cache():
        data = rg.scan(folder)
        rows = data.train[:: max(1, len(data.train) // photos)][:photos]
        data = rg.Dataset.from_rows(data.root, rows)
        labels, classes = data.labels(data.train), len(data.classes)
        cases = {}
        for train_what in ("last_2_stages", "all"):
            plan: TrainingPlan = rg.FineTune(train=train_what).plan()
            inputs = Activations(data, data.train, plan.backbone, plan.boundary)
            inputs.prepare(1)
            trainee = plan.make(classes)
            speed = measure_speed(
                trainee, inputs.shape, inputs.dtype, n_classes=classes, batch_size=BATCH
            )
            recipe = Recipe(epochs=1, batch_size=BATCH, learning_rate=1e-4)
            cases[train_what] = (trainee, inputs, recipe, speed.precision)
        seconds: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(repeats):
            for name, (trainee, inputs, recipe, precision) in cases.items():
                started = time.perf_counter()
                train(
                    trainee,
                    inputs,
                    labels,
                    np.arange(len(labels)),
                    replace(recipe),
                    n_classes=classes,
                    precision=precision,
                )
                seconds[name].append(time.perf_counter() - started)
    ratio = median(seconds["all"]) / median(seconds["last_2_stages"])
    return [
        at_least(
            "epoch of full fine-tuning / epoch of the last two stages on cached activations",
            ratio,
            FASTER,
            measured=f"{ratio:.1f} times",
            target=f"at least {FASTER:g} times",
        ),
        *(
            Row(
                f"epoch of {len(labels)} photos, {name}, {cases[name][3]}",
                spread_text(times, digits=1, unit="s"),
            )
            for name, times in seconds.items()
        ),
    ]
