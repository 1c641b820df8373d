"""The run folder: everything a fit found, as plain files, written whole and read back.

    run.json          status, settings, versions, machine, dataset fingerprint, seconds per phase
    dataset.csv       one row per file found
    issues.csv        what is wrong with the data
    comparison.json   every candidate on the same folds, and the verdict
    evaluation.json   metrics with intervals: cross-validation, and the test set if there is one
    predictions.csv   one row per image, predicted by a model that had not seen it
    training.csv      every step and epoch of the networks that were trained
    lr_range.csv      their learning-rate range tests
    exploration.json  the map of the photos, how the classes keep apart, plain facts by class
    explanations.json heat maps of some photos, see `explaining.py`
    report.html       all of the above for people
    model/            the model, see `model.py`
    decisions.csv     what people decided in a review, see `decisions.py`; no later fit removes it
    corrections/      what people said of photos that the model met at work, see `corrections.py`
    models/           models that were replaced, see `promotion.py`
    race/             until the run is done: predictions, and networks of first folds
    where.json        private, for its owner alone: absolute paths of the data, settings and command

`decisions.csv`, `corrections/` and `models/` belong to the user: nothing removes them. Only
`where.json` holds absolute paths, so that the folder can be shared without it; files far away are
named ".../NAME".

`run.json` says "running" until the rest is complete and "done" afterwards, so a folder left by a
killed process is never taken for a finished one. Where a run or a model is there already, the new
run is made in a folder within (`NEXT`) and takes its place in one step once it is complete: until
then, and if it never is, the old one is as it was. That step is a rename to `.regraft.committed`
(`storage/switching.py`), which is there for a moment, or until the next command after a kill.
`.regraft.lock` is held while a folder is written; names that end in `.regraft.part` are incomplete.

The files here: `folder` writes it, `reading` makes a Run of it, `records` are the types of run.json
and comparison.json and how those of earlier versions are read, `settings` what was asked for and
where the data are, `pairing` what several runs said of the same photos.
"""

from regraft.evidence.predictions import ImagePrediction, predictions_csv
from regraft.runs.folder import (
    NEXT,
    RACE,
    Workplace,
    check_folder,
    free_folder,
    note_promotion,
    open_run,
    write_results,
)
from regraft.runs.reading import (
    Run,
    finished_run,
    read_run,
    require_data,
    settings_of,
    shown_from,
)
from regraft.runs.records import (
    NOT_COMPARED,
    AuditRecord,
    BackboneRecord,
    CandidateRecord,
    ComparisonRecord,
    DecisionsRecord,
    Promotion,
    Results,
    RunRecord,
)
from regraft.runs.settings import WHERE, place_data, shareable_settings

__all__ = [
    "NEXT",
    "NOT_COMPARED",
    "RACE",
    "WHERE",
    "AuditRecord",
    "BackboneRecord",
    "CandidateRecord",
    "ComparisonRecord",
    "DecisionsRecord",
    "ImagePrediction",
    "Promotion",
    "Results",
    "Run",
    "RunRecord",
    "Workplace",
    "check_folder",
    "finished_run",
    "free_folder",
    "note_promotion",
    "open_run",
    "place_data",
    "predictions_csv",
    "read_run",
    "require_data",
    "settings_of",
    "shareable_settings",
    "shown_from",
    "write_results",
]
