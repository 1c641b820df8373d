"""What is asked of a fit, a plan or an audit: one record, whose fields are the options and their
defaults.

That of a fit gives the settings in run.json and the command line that repeats the run. A verb
that is decorated with `takes` is called with the fields of its record as arguments.
"""

from __future__ import annotations

import functools
import inspect
import os
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import KW_ONLY, MISSING, dataclass, fields
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from regraft.backbones.sources import BackboneOptions
from regraft.dataset import Dataset
from regraft.errors import UsageError
from regraft.progress import Progress, silent
from regraft.workflow.reading import LabelColumns

DEFAULT_BUDGET_S = 300.0

Arguments = ParamSpec("Arguments")
Request = TypeVar("Request")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class DataRequest:
    """What is asked of all that looks at data: where they are, and how to go about it.

    Args:
        data: a folder or a label table, see `scan` for the layouts; or a Dataset, for which the
            next four say nothing.
        labels: a label table for the files in `data`.
        image_dir: where the files named by a label table are.
        test: labelled data for the test set, kept out of every choice.
        columns: names of columns of the label table: `path_column`, `text_column`,
            `label_column`, `split_column`, `group_column`.
        seed: of splits, folds and samples.
        jobs: worker threads; by default one a core.
        progress: told how far each step is.
    """

    data: str | Path | Dataset
    _: KW_ONLY
    labels: str | Path | None = None
    image_dir: str | Path | None = None
    test: str | Path | None = None
    columns: LabelColumns | None = None
    seed: int = 0
    jobs: int | None = None
    progress: Progress = silent

    @property
    def source(self) -> Path:
        """The folder or table; of a Dataset its root."""
        return self.data.root if isinstance(self.data, Dataset) else Path(self.data)


@dataclass(frozen=True, slots=True)
class AuditRequest(DataRequest):
    """What is asked of `audit`.

    Args:
        backbone: whose features are compared; by default the built-in one of that kind of input.
    """

    _: KW_ONLY
    backbone: str | None = None


@dataclass(frozen=True, slots=True)
class PlanRequest(DataRequest):
    """What is asked of `plan`, and of `fit` beside where it writes.

    Args:
        budget_s: seconds for the whole run; candidates get fewer epochs, or are left out.
        backbones: name or names to try, or checkpoints to go on from; by default the built-in
            one, and the installed others too unless approaches are named.
        approaches: name or names to try; by default all.
        resize: "crop", "pad" or "squash"; by default the backbone's own.
        backbone_options: what the names of backbones do not say, see there.
        architecture: a network for `scratch`, "package.module:name" or "path/file.py:name".
        decisions: those of a review, to be applied to the data: a run folder or its decisions.csv.
            They go along to the new run folder, so that its review goes on from there.
        with_corrections: a run folder whose model was corrected at work: the corrected photos are
            trained on as well, its test set stays as it was, and the new model replaces the one
            at work there unless it is significantly worse.
    """

    _: KW_ONLY
    budget_s: float = DEFAULT_BUDGET_S
    backbones: str | Sequence[str] = ()
    approaches: str | Sequence[str] = ()
    resize: str | None = None
    backbone_options: BackboneOptions | None = None
    architecture: str | None = None
    decisions: str | Path | None = None
    with_corrections: str | Path | None = None

    def __post_init__(self) -> None:
        """Raises UsageError: the budget is no time at all."""
        if self.budget_s <= 0:
            raise UsageError(f"the budget is {self.budget_s:g} s, expected more than 0, such as 5m")
        for name in ("backbones", "approaches"):
            given = getattr(self, name)
            names = (given,) if isinstance(given, str) else tuple(given)
            object.__setattr__(self, name, names)

    def settings(self, *, decisions: Any, corrections: Any) -> dict[str, Any]:
        """What run.json keeps, JSON values: all that the result depends on, and where it is.

        Args:
            decisions: what stands for those of a review, with the hash of their file; None for
                none.
            corrections: the same for those of a run.
        """
        places = {
            name: value and os.path.realpath(value)
            for name in ("labels", "image_dir", "test")
            for value in [getattr(self, name)]
        }
        settings = {
            "data": os.path.realpath(self.source),
            **places,
            "columns": dict(self.columns or {}),
            "budget_s": self.budget_s,
            "backbones": list(self.backbones),
            "approaches": list(self.approaches),
            "resize": self.resize,
            "backbone_options": dict(self.backbone_options or {}),
            "architecture": self.architecture,
            "decisions": decisions,
            "corrections": corrections,
            "seed": self.seed,
        }
        if isinstance(self.data, Dataset):  # no command line repeats it
            settings["dataset"] = self.data.fingerprint()
        return settings


@dataclass(frozen=True, slots=True, kw_only=True)
class FitRequest(PlanRequest):
    """What is asked of `fit`: all that is asked of `plan`, and where the run goes.

    Args:
        out: the run folder; by default `runs/<name of the data>`.
        force: replace a run that is there.
        command: kept in run.json, to repeat the run.
    """

    out: str | Path | None = None
    force: bool = False
    command: str = ""


def takes(
    request: Callable[Arguments, Request],
) -> Callable[[Callable[[Request], Result]], Callable[Arguments, Result]]:
    """Let a function of one record be called with the fields of that record.

    Its signature and its documentation are those of the record, so that an option and its default
    are written once.
    """

    def decorate(run: Callable[[Request], Result]) -> Callable[Arguments, Result]:
        @functools.wraps(run)
        def call(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Result:
            return run(request(*args, **kwargs))

        signature = inspect.signature(request)
        returned = inspect.signature(run).return_annotation
        call.__signature__ = signature.replace(return_annotation=returned)  # type: ignore[attr-defined]
        call.__doc__ = _documentation(run, request)
        return call

    return decorate


def _documentation(run: Callable[..., Any], request: Callable[..., Any]) -> str:
    """The docstring of a function, with the arguments of its record before what it returns."""
    records = [cls for cls in reversed(getattr(request, "__mro__", ())) if cls is not object]
    arguments = "".join(inspect.cleandoc(c.__doc__ or "").partition("\nArgs:")[2] for c in records)
    before, section, after = re.split(
        r"^(Returns:|Raises:)$", inspect.cleandoc(run.__doc__ or ""), maxsplit=1, flags=re.MULTILINE
    )
    return f"{before}Args:{arguments}\n\n{section}{after}"


_BACKBONE_FLAGS = {
    "architecture": "--arch",
    "normalize": "--normalize",
    "image_size_px": "--size",
    "accept_licence": "--accept-licence",
}


def command_of(settings: Mapping[str, Any], folder: Path | None = None) -> str:
    """The command line that does what `fit` was asked to do, for another folder if None.

    Args:
        settings: see `PlanRequest.settings`; those that an earlier version did not have may lack.
        folder: of the run.
    """
    given = {**_DEFAULTS, **settings}
    words = ["regraft", "fit", given["data"]]
    if folder is not None:
        words += ["--out", str(folder)]
    for name in ("labels", "image_dir", "test", "resize", "architecture"):
        if given[name] is not None:
            words += [f"--{name.replace('_', '-')}", given[name]]
    words += _backbone_words(given["backbone_options"] or {})
    for name, flag in (("decisions", "--decisions"), ("corrections", "--with-corrections")):
        if given[name]:
            words += [flag, given[name]["path"]]
    for name, column in (given["columns"] or {}).items():
        words += [f"--{name.replace('_', '-')}", column]
    words += [word for name in given["backbones"] for word in ("--backbone", name)]
    words += [word for name in given["approaches"] for word in ("--approach", name)]
    if folder is not None or given["budget_s"] != DEFAULT_BUDGET_S:
        words += ["--budget", f"{given['budget_s']:f}".rstrip("0").rstrip(".") + "s"]
    if folder is not None or given["seed"] != 0:
        words += ["--seed", str(given["seed"])]
    return shlex.join(words)


def _backbone_words(options: Mapping[str, Any]) -> list[str]:
    words = []
    for name, flag in _BACKBONE_FLAGS.items():
        if (value := options.get(name)) not in (None, False):
            words += [flag] if value is True else [flag, str(value)]
    return words


_DEFAULTS = {f.name: f.default for f in fields(PlanRequest) if f.default is not MISSING} | {
    "corrections": None
}
