"""The errors regraft raises on purpose. Each message says what was received, what was
expected and what to do next, in one line; the command line prints it and nothing else.

    RegraftError                exit code 1
    ├── DataError               a folder, file or table that cannot be used
    │   └── UnreadableInputError  one input file; it becomes a row, never the end of a job
    │       └── TooLargeError       one with more pixels or bytes than are accepted
    ├── BackboneError           an unknown, missing or damaged pretrained network
    ├── ModelError              a saved model that cannot be read
    ├── TrainingError           a network that does not train: wrong shape, divergence
    │   └── OutOfTimeError      the time budget ended first
    ├── ExplanationError        heat maps that cannot be made, or that say nothing
    ├── ExportError             an exported model that would not predict as the model does
    ├── RunError                a run folder that is finished, busy or foreign
    ├── StorageError            a disk that is full or not writable
    ├── MissingExtraError       an optional dependency that is not installed
    └── UsageError              exit code 2: an option outside its range
"""

from __future__ import annotations


class RegraftError(Exception):
    """Base of every error that regraft explains in one line."""

    exit_code = 1


class DataError(RegraftError):
    """A folder, file or label table cannot be used as given."""


class UnreadableInputError(DataError):
    """One input file cannot be decoded; `str(error)` is the reason shown in its row."""


class TooLargeError(UnreadableInputError):
    """One input file has more pixels or bytes than are accepted."""


class BackboneError(RegraftError):
    """A pretrained network is unknown, missing or not what its hash says."""


class ModelError(RegraftError):
    """A saved model is missing a file, was altered, or is of a newer format."""


class TrainingError(RegraftError):
    """A network cannot be trained; its candidate is recorded as failed and others go on."""


class OutOfTimeError(TrainingError):
    """The time budget ended before the candidate was finished."""


class ExplanationError(RegraftError):
    """No heat maps can be made for a model, or those that can be made say nothing of it."""


class ExportError(RegraftError):
    """An exported file would not predict what the model predicts, or cannot be made."""


class RunError(RegraftError):
    """A run folder is finished, in use by another process, or not a run folder."""


class StorageError(RegraftError):
    """A file could not be written, for example because the disk is full."""


class MissingExtraError(RegraftError):
    """An optional dependency is needed and not installed."""

    def __init__(self, purpose: str, extra: str) -> None:
        super().__init__(f'{purpose} needs an extra: pip install "regraft[{extra}]"')


class UsageError(RegraftError):
    """An option has a value outside its range."""

    exit_code = 2
