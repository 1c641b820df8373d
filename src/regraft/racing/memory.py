"""The memory of a race: which candidates are finished, and what they predicted.

Predictions are kept as safetensors, and beside them, as JSON, what else is known of them. A process
that is killed loses at most the fold it was training; the same command finds the rest again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regraft.approaches.base import Approach, CrossValidation, TrainingLog
from regraft.backbones.architectures import architecture_json
from regraft.errors import StorageError
from regraft.metrics.rates import FewerImages, IntArray
from regraft.storage.files import make_folder
from regraft.storage.seals import sealed_json, sha256_of, unsealed_json
from regraft.storage.switching import settled, write_together

_WAIT_S = 10.0  # for who looks into the folder at the same moment


class Predicted(NamedTuple):
    """Predictions on the folds, and the seconds they took."""

    predictions: CrossValidation
    seconds: float


class _OnDisk(Mapping[str, NDArray[Any]]):
    """Arrays of a safetensors file, read when they are asked for."""

    def __init__(self, file: Path) -> None:
        """Read the names; raises what safetensors does for a file that is not whole."""
        from safetensors import safe_open

        self._file: Any = safe_open(file, framework="numpy")
        names: Any = self._file.keys
        self._names = tuple(names())

    def __getitem__(self, name: str) -> NDArray[Any]:
        tensor: NDArray[Any] = self._file.get_tensor(name)
        return tensor

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class Race:
    """Results of candidates by key, in a folder or, without one, in memory only."""

    def __init__(self, folder: Path | None = None) -> None:
        """Open what is there; a damaged store is begun anew."""
        self._folder = make_folder(folder) if folder is not None else None
        if self._folder is not None:
            settled(self._folder)

    def recall(self, key: str) -> Predicted | None:
        """The stored result; None if there is none, or it is damaged."""
        if self._folder is None:
            return None
        from safetensors.numpy import load_file

        try:
            text = (self._folder / f"{key}.json").read_text(encoding="utf-8")
            about = _about_of(text)
            for name, digest in about.get("sha256", {}).items():
                if sha256_of(self._folder / f"{key}.{name}") != digest:
                    return None
            arrays = load_file(self._folder / f"{key}.safetensors")
            network = self._network(key) if about["has_network"] else None
            log = tuple(_log_from(entry) for entry in about["log"])
            predictions = CrossValidation(
                folds=arrays["folds"],
                labels=arrays["labels"],
                probabilities=arrays["probabilities"],
                chosen=about["chosen"],
                temperature=about["temperature"],
                logits=arrays.get("logits"),
                log=log,
                network=network,
                fewer=(
                    FewerImages(arrays["fewer"], float(about["fewer_share"]))
                    if "fewer" in arrays
                    else None
                ),
            )
            return Predicted(predictions, float(about["seconds"]))
        except (OSError, ValueError, LookupError, TypeError):
            return None
        except Exception as error:  # safetensors has an exception class of its own
            if type(error).__name__ == "SafetensorError":
                return None
            raise

    def keep(self, key: str, predicted: Predicted) -> Predicted:
        """Store a result, replacing an earlier one of fewer folds; its network is on disk then."""
        if self._folder is None:
            return predicted
        from safetensors.numpy import save

        predictions, seconds = predicted
        arrays: dict[str, Any] = {
            "folds": np.ascontiguousarray(predictions.folds),
            "labels": np.ascontiguousarray(predictions.labels),
            "probabilities": np.ascontiguousarray(predictions.probabilities),
        }
        if predictions.logits is not None:
            arrays["logits"] = np.ascontiguousarray(predictions.logits)
        if predictions.fewer is not None:
            arrays["fewer"] = np.ascontiguousarray(predictions.fewer.probabilities)
        about = {
            "seconds": seconds,
            "chosen": dict(predictions.chosen),
            "temperature": predictions.temperature,
            "log": [_log_to(entry) for entry in predictions.log],
            "has_network": predictions.network is not None,
            "fewer_share": None if predictions.fewer is None else predictions.fewer.share,
        }
        parts: dict[str, bytes] = {"safetensors": save(arrays)}
        network = self._folder / f"{key}.network.safetensors"
        is_written = isinstance(predictions.network, _OnDisk) and network.exists()
        if predictions.network is not None and not is_written:
            parts["network.safetensors"] = save(dict(predictions.network))
        digests = {name: hashlib.sha256(data).hexdigest() for name, data in parts.items()}
        if is_written:
            digests["network.safetensors"] = sha256_of(network)
        # All of them at once: a kill in between would cost the result that is there.
        write_together(
            self._folder,
            {f"{key}.{name}": data for name, data in parts.items()}
            | {f"{key}.json": sealed_json(about | {"sha256": digests})},
            busy=StorageError(f"another process writes in {self._folder}"),
            timeout_s=_WAIT_S,
        )
        if "network.safetensors" in parts:
            predictions = replace(predictions, network=self._network(key))
        return Predicted(predictions, seconds)

    def _network(self, key: str) -> _OnDisk:
        assert self._folder is not None
        return _OnDisk(self._folder / f"{key}.network.safetensors")


def _about_of(text: str) -> dict[str, Any]:
    """What a result says of itself; that of an earlier version has no seal.

    Raises:
        ValueError: it is damaged.
    """
    entry = json.loads(text)
    if isinstance(entry, dict) and "has_network" in entry:
        return entry
    return unsealed_json(text)


def race_key(approach: Approach, fingerprint: str, folds: IntArray) -> str:
    """What a result depends on: approach, weights, transform, data and folds; 16 hex characters."""
    network = approach.network
    parts = {
        "approach": approach.name,
        "settings": dict(approach.settings),
        "weights": network.weights_sha256,
        "architecture": architecture_json(network.architecture),
        "transform": network.transform.to_dict(),
        "data": fingerprint,
        "folds": hashlib.sha256(np.ascontiguousarray(folds).tobytes()).hexdigest(),
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:16]


def _log_to(log: TrainingLog) -> Mapping[str, Any]:
    from dataclasses import astuple

    return {
        "fold": log.fold,
        "steps": [astuple(step) for step in log.steps],
        "rates": log.rates,
        "chosen_rate": log.chosen_rate,
    }


def _log_from(entry: Mapping[str, Any]) -> TrainingLog:
    from regraft.engines.training import Step

    return TrainingLog(
        int(entry["fold"]),
        tuple(Step(*step) for step in entry["steps"]),
        tuple((float(rate), float(loss)) for rate, loss in entry["rates"]),
        float(entry["chosen_rate"]),
    )
