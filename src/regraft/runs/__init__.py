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
    where.json        private, for its owner alone: absolute paths of the data, settings and command

No other file holds an absolute path: the folder can be shared without `where.json`. `run.json`
says "running" until the rest is complete and "done" afterwards, so a folder left by a killed
process is never taken for a finished one. Where a run or a model is there already, the new run is
made in a folder within (`NEXT`) and takes its place in one step once it is complete: until then,
and if it never is, the old one is as it was.
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
