"""Whether the model says "not sure" and "never seen anything like this" when it should.

Command   python -m benchmarks reject
Data      clothing (50 random halves of its training photos); rooms, clothing, hymenoptera,
          simulated fabric (extra `demo`), solar cells (extra `bench`), and frames of noise, of one
          colour and dark
Expected  prediction sets hold the true class of 88 to 93 %; unfamiliarity tells every set from
          every other with an AUROC of at least 0.99; fewer than 5 % of held-out photos of the
          model's own kind are flagged; it tells a garment that was left out of training better
          than the highest class probability does

A linear probe on Lite0 each time. Unfamiliarity is the one that is saved with a model, from
three quarters of a set's photos; the rest are held out.
"""

from __future__ import annotations

import contextlib
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

import regraft as rg
from benchmarks.data import own_cache, photo_folder, textile_folder
from benchmarks.race import held_out_table
from benchmarks.rows import Row, SkippedError, at_least
from regraft.backbones.built_in import DEFAULT_BACKBONE
from regraft.heads import (
    Familiarity,
    LinearHead,
    doubt,
    fit_familiarity,
    fit_logistic,
    fitting,
    softmax,
)
from regraft.metrics.rates import FloatArray, IntArray

COVERAGE = (0.88, 0.93)
AUROC = 0.99
FLAGGED = 0.05
SPLITS = 50
MOST = 1_000  # photos of a set
PENALTY = 4.0
FOLDS = 5
FRAMES = 200  # of each artificial kind


def run(*, splits: int = SPLITS) -> list[Row]:
    """Coverage, AUROC between all sets, flagged share, garments left out."""
    with own_cache(), tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        sets = _sets(Path(folder))
        features, labels = sets.pop("clothing, labelled")
        return [
            *_coverage(splits),
            *_between(sets),
            *_left_out(features, labels),
        ]


def _sets(folder: Path) -> dict[str, tuple[FloatArray, IntArray]]:
    """Features and class numbers of every set; artificial frames have the class 0."""
    found: dict[str, tuple[FloatArray, IntArray]] = {}
    for name in ("rooms", "clothing", "hymenoptera"):
        data = rg.scan(photo_folder(name))
        found[name] = _embedded(data, MOST)
        if name == "clothing":
            found["clothing, labelled"] = _embedded(data, 10**9)
    found["simulated fabric"] = _embedded(rg.scan(textile_folder()), MOST)
    with contextlib.suppress(SkippedError):
        root, table = held_out_table("solar cells", folder, seed=0)
        found["solar cells"] = _embedded(rg.scan(root, labels=table), MOST)
    for name in ("noise", "one colour", "dark"):
        _make_frames(folder / name, name)
        found[name] = _embedded(rg.scan(folder / name), MOST)
    return found


def _embedded(data: rg.Dataset, most: int) -> tuple[FloatArray, IntArray]:
    rows = data.ok[:: -(-len(data.ok) // most)]
    some = rg.Dataset.from_rows(data.root, rows)
    numbers = {name: i for i, name in enumerate(some.classes)}
    features = np.asarray(rg.embed(some, DEFAULT_BACKBONE), dtype=np.float64)
    return features, np.array([numbers[row.label] for row in some.ok], dtype=np.int64)


def _make_frames(folder: Path, kind: str) -> None:
    random = np.random.default_rng(0)
    (folder / "frames").mkdir(parents=True)
    (folder / "others").mkdir()  # a data set has two classes
    for i in range(FRAMES):
        if kind == "noise":
            pixels = random.integers(0, 256, (240, 320, 3))
        elif kind == "one colour":
            pixels = np.broadcast_to(random.integers(0, 256, 3), (240, 320, 3))
        else:
            pixels = random.poisson(random.uniform(1, 8), (240, 320, 3))
        place = folder / ("frames" if i % 2 else "others") / f"{i}.png"
        Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8)).save(place)


def _coverage(splits: int) -> list[Row]:
    data = rg.scan(photo_folder("clothing"))
    rows = data.ok
    features = np.asarray(rg.embed(data, DEFAULT_BACKBONE), dtype=np.float64)
    labels = np.array([data.classes.index(row.label) for row in rows])
    shares, sizes = [], []
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(len(rows))
        train, held = np.sort(order[: len(rows) // 2]), np.sort(order[len(rows) // 2 :])
        some = [replace(rows[i], split="train") for i in train]
        model = rg.LinearProbe().fit(rg.Dataset.from_rows(data.root, some), seed=seed)
        weights, bias = (model.tensors[f"head.{name}"] for name in ("weights", "bias"))
        logits = (features[held] @ weights + bias) / model.temperature
        sets = softmax(logits) >= np.array(model.set_thresholds)
        shares.append(float(sets[np.arange(len(held)), labels[held]].mean()))
        sizes.append(float(sets.sum(axis=1).mean()))
    mean = float(np.mean(shares))
    return [
        Row(
            f"clothing, {splits} random halves: sets that hold the true class",
            f"{mean:.3f} ({min(shares):.3f} to {max(shares):.3f}), {np.mean(sizes):.2f} classes",
            target=f"{COVERAGE[0]} to {COVERAGE[1]}",
            met=COVERAGE[0] <= mean <= COVERAGE[1],
        )
    ]


def _auroc(inside: FloatArray, outside: FloatArray) -> float:
    from sklearn.metrics import roc_auc_score

    truth = np.r_[np.zeros(len(inside)), np.ones(len(outside))]
    return float(roc_auc_score(truth, np.r_[inside, outside]))


def _between(sets: dict[str, tuple[FloatArray, IntArray]]) -> list[Row]:
    worst, where, flagged = 1.0, "", {}
    real = [name for name in sets if name not in ("noise", "one colour", "dark")]
    for name in real:
        features, labels = sets[name]
        order = np.random.default_rng(0).permutation(len(labels))
        cut = 3 * len(order) // 4
        known, held = order[:cut], order[cut:]
        found, head = _fitted(features[known], labels[known])
        own = _unfamiliarity(found, head, features[held])
        flagged[name] = float((own > found.threshold).mean())
        for other, (theirs, _) in sets.items():
            if other == name:
                continue
            area = _auroc(own, _unfamiliarity(found, head, theirs))
            if area < worst:
                worst, where = area, f"{name} against {other}"
    pairs = len(real) * (len(sets) - 1)
    most = max(flagged.values())
    each = ", ".join(f"{name} {share:.1%}" for name, share in flagged.items())
    return [
        at_least(
            f"unfamiliarity, AUROC, the worst of {pairs} pairs",
            worst,
            AUROC,
            measured=f"{worst:.4f} ({where})",
        ),
        Row(
            "held-out photos of the own kind that are flagged",
            f"{most:.1%} at most ({each})",
            target=f"fewer than {FLAGGED:.0%}",
            met=most < FLAGGED,
        ),
    ]


def _fitted(features: FloatArray, labels: IntArray) -> tuple[Familiarity, LinearHead]:
    """As an approach fits them: doubts are those of a head that had not seen the photo."""
    n, k = len(labels), int(labels.max()) + 1
    doubts = np.zeros(n)
    with fitting():
        (head,) = fit_logistic(features, labels, k, [PENALTY])
        for fold in range(FOLDS):
            held = np.arange(n) % FOLDS == fold
            (other,) = fit_logistic(features[~held], labels[~held], k, [PENALTY])
            doubts[held] = doubt(softmax(other.logits(features[held])))
    return fit_familiarity(features, labels, np.arange(n), doubts), head


def _unfamiliarity(found: Familiarity, head: LinearHead, features: FloatArray) -> FloatArray:
    return found.unfamiliarity(features, softmax(head.logits(features)))


def _left_out(features: FloatArray, labels: IntArray) -> list[Row]:
    both, doubts, distance = [], [], []
    for left_out in range(int(labels.max()) + 1):
        inside = np.flatnonzero(labels != left_out)
        random = np.random.default_rng(left_out)
        inside = random.permutation(inside)
        cut = 3 * len(inside) // 4
        known, held = inside[:cut], inside[cut:]
        theirs = np.flatnonzero(labels == left_out)
        numbers = np.unique(labels[known], return_inverse=True)[1].astype(np.int64)
        found, head = _fitted(features[known], numbers)
        inner, outer = features[held], features[theirs]
        both.append(_auroc(*(_unfamiliarity(found, head, x) for x in (inner, outer))))
        doubts.append(_auroc(*(doubt(softmax(head.logits(x))) for x in (inner, outer))))
        distance.append(_auroc(found.distances(inner), found.distances(outer)))
    mean, other = float(np.mean(both)), float(np.mean(doubts))
    return [
        at_least(
            "a garment left out of training, mean AUROC of unfamiliarity over the classes",
            mean,
            other,
            measured=f"{mean:.3f} (its distance alone {np.mean(distance):.3f})",
            target=f"above {other:.3f}, that of the highest class probability",
        )
    ]
