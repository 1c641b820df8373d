"""The verbs people use, one a file, composed from the modules above: fit, evaluate, predict...

The command line calls these and prints what they return; a notebook can do the same. Nothing
here prints. The stages of a fit, one after the other:

request     what is asked: its fields are the options, its settings stand in run.json, its command
            line repeats it
fitting     the whole, on one screen
preparing   names, data, decisions and corrections read; nothing is written
inspecting  what cannot be read marked, what belongs together grouped, a test set held out
comparing   the candidates and the race
assessing   the final model and the one look at the test set; heat maps
recording   the files of the run folder

`planning` goes the first four, with costs in place of results. Every other file is a verb.
"""

from __future__ import annotations

from regraft.dataset import scan
from regraft.workflow.auditing import audit, report_data
from regraft.workflow.correcting import correct, rollback
from regraft.workflow.evaluating import evaluate
from regraft.workflow.explaining import Explained, explain
from regraft.workflow.exporting import export
from regraft.workflow.fitting import fit
from regraft.workflow.planning import Plan, PlannedCandidate, plan
from regraft.workflow.predicting import beginnings, predict, predict_texts, predictions_table
from regraft.workflow.reading import LabelColumns
from regraft.workflow.reporting import SideBySide, report, report_side_by_side
from regraft.workflow.request import DEFAULT_BUDGET_S, AuditRequest, FitRequest, PlanRequest
from regraft.workflow.reviewing import review, review_command
from regraft.workflow.serving import serve
from regraft.workflow.watching import timeline, watch

__all__ = [
    "DEFAULT_BUDGET_S",
    "AuditRequest",
    "Explained",
    "FitRequest",
    "LabelColumns",
    "Plan",
    "PlanRequest",
    "PlannedCandidate",
    "SideBySide",
    "audit",
    "beginnings",
    "correct",
    "evaluate",
    "explain",
    "export",
    "fit",
    "plan",
    "predict",
    "predict_texts",
    "predictions_table",
    "report",
    "report_data",
    "report_side_by_side",
    "review",
    "review_command",
    "rollback",
    "scan",
    "serve",
    "timeline",
    "watch",
]
