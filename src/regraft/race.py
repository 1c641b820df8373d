"""The memory of a race: which candidates are finished, and which are clearly behind.

An Optuna study kept as lines of JSON, with the predictions beside it as safetensors. A process
that is killed loses at most the fold it was training; the same command finds the rest again.
Optuna also decides, by successive halving, which partial training is not worth finishing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from regraft.approaches import Approach, CrossValidation, TrainingLog
from regraft.backbones.architectures import architecture_json
from regraft.errors import StorageError, TrainingError
from regraft.metrics import FewerImages, IntArray
from regraft.seals import sealed_json, sha256_of, unsealed_json
from regraft.storage import make_folder
from regraft.switching import settled, write_together

if TYPE_CHECKING:
    import optuna

_WAIT_S = 10.0  # for who looks into the folder at the same moment
_FIRST_RUNG = 2  # epochs before a candidate can be found behind
_REDUCTION = 3  # of those at a rung, one in so many goes on
_NOT_SIGNIFICANT = 0.05  # accuracy behind the best at the same epoch that is never held against one


class BehindError(TrainingError):
    """A candidate is clearly behind and was stopped."""


class _OnDisk(Mapping[str, NDArray[Any]]):
    """Arrays of a safetensors file, read when they are asked for."""

    def __init__(self, file: Path) -> None:
        """Read the names; raises what safetensors does for a file that is not whole."""
        from safetensors import safe_open

        self._file: Any = safe_open(file, framework="numpy")
        names: Any = self._file.keys
        self._names = tuple(names())

    def __getitem__(self, name: str) -> NDArray[Any]:
        found: NDArray[Any] = self._file.get_tensor(name)
        return found

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
        self._study: optuna.Study | None = None
        self._best: dict[int, float] = {}

    def recall(self, key: str) -> tuple[CrossValidation, float] | None:
        """The stored result and the seconds it took; None if there is none, or it is damaged."""
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
            found = CrossValidation(
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
            return found, float(about["seconds"])
        except (OSError, ValueError, LookupError, TypeError):
            return None
        except Exception as error:  # safetensors has an exception class of its own
            if type(error).__name__ == "SafetensorError":
                return None
            raise

    def keep(self, key: str, found: CrossValidation, seconds: float) -> CrossValidation:
        """Store a result, replacing an earlier one of fewer folds; its network is on disk then."""
        if self._folder is None:
            return found
        from safetensors.numpy import save

        arrays: dict[str, Any] = {
            "folds": np.ascontiguousarray(found.folds),
            "labels": np.ascontiguousarray(found.labels),
            "probabilities": np.ascontiguousarray(found.probabilities),
        }
        if found.logits is not None:
            arrays["logits"] = np.ascontiguousarray(found.logits)
        if found.fewer is not None:
            arrays["fewer"] = np.ascontiguousarray(found.fewer.probabilities)
        about = {
            "seconds": seconds,
            "chosen": dict(found.chosen),
            "temperature": found.temperature,
            "log": [_log_to(entry) for entry in found.log],
            "has_network": found.network is not None,
            "fewer_share": None if found.fewer is None else found.fewer.share,
        }
        parts: dict[str, bytes] = {"safetensors": save(arrays)}
        network = self._folder / f"{key}.network.safetensors"
        is_written = isinstance(found.network, _OnDisk) and network.exists()
        if found.network is not None and not is_written:
            parts["network.safetensors"] = save(dict(found.network))
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
            found = replace(found, network=self._network(key))
        return found

    def _network(self, key: str) -> _OnDisk:
        assert self._folder is not None
        return _OnDisk(self._folder / f"{key}.network.safetensors")

    @contextlib.contextmanager
    def trial(self, title: str, *, can_stop: bool) -> Iterator[Any]:
        """A trial of the study; yields what to call with (epoch, accuracy) after each epoch.

        Raises:
            BehindError: from that call, where successive halving stops the candidate.
        """
        with _quiet():
            import optuna

            study = self._open_study()
            trial = study.ask()
            trial.set_user_attr("candidate", title)

        def report(epoch: int, accuracy: float) -> None:
            if math.isnan(accuracy):  # nothing was predicted
                return
            trial.report(accuracy, epoch)
            best = self._best.get(epoch, 0.0)
            self._best[epoch] = max(best, accuracy)
            behind = best - accuracy > _NOT_SIGNIFICANT
            # Asked even of one that is ahead: the others are held against what it answers with.
            if can_stop and trial.should_prune() and behind:
                raise BehindError(
                    f"stopped after {epoch + 1} epochs: {100 * accuracy:.1f} % on the first fold, "
                    f"where another had {100 * best:.1f} % by then"
                )

        try:
            yield report
        except BehindError:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            raise
        except BaseException:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
            raise
        values = trial.study.trials[trial.number].intermediate_values
        study.tell(trial, values[max(values)] if values else 0.0)

    def _open_study(self) -> optuna.Study:
        if self._study is None:
            import optuna

            optuna.logging.set_verbosity(optuna.logging.ERROR)
            storage: Any = None
            if self._folder is not None:
                from optuna.storages import JournalStorage
                from optuna.storages.journal import JournalFileBackend

                journal = self._folder / "journal.jsonl"
                # The run folder is this process's alone, so a lock is one that a kill left there.
                journal.with_name(f"{journal.name}.lock").unlink(missing_ok=True)
                if not _is_whole(journal):
                    journal.unlink(missing_ok=True)
                storage = JournalStorage(JournalFileBackend(str(journal)))
            self._study = optuna.create_study(
                study_name="race",
                storage=storage,
                direction="maximize",
                load_if_exists=True,
                sampler=optuna.samplers.RandomSampler(seed=0),
                pruner=optuna.pruners.SuccessiveHalvingPruner(
                    min_resource=_FIRST_RUNG, reduction_factor=_REDUCTION
                ),
            )
            for trial in self._study.trials:  # of the process that was interrupted
                for epoch, accuracy in trial.intermediate_values.items():
                    self._best[epoch] = max(self._best.get(epoch, 0.0), accuracy)
        return self._study


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


def _is_whole(journal: Path) -> bool:
    """Whether every line can be read; the last one of a killed process may be cut short."""
    try:
        lines = journal.read_text(encoding="utf-8").splitlines(keepends=True)
        return all(line.endswith("\n") and isinstance(json.loads(line), dict) for line in lines)
    except (OSError, ValueError):
        return False


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("optuna").setLevel(logging.ERROR)
        yield
