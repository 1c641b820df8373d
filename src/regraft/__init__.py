"""regraft: a new head on a pretrained network, with evidence of whether it will hold.

    import regraft as rg

    data = rg.scan("rooms/")
    comparison = rg.compare([rg.LinearProbe(), rg.Knn()], data)
    print(comparison.verdict)  # with the accuracy on photos that were left out of the training
    model = comparison.best.fit(data)  # trained on all of them, so that others have to test it
    print(rg.evaluate(model, "more_rooms/").accuracy)
    model.save("rooms.model")

or all of it at once: `rg.fit("rooms/")`. Names are imported when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from regraft._version import __version__

if TYPE_CHECKING:
    from regraft.approaches.base import Approach
    from regraft.approaches.fine_tune import FineTune
    from regraft.approaches.knn import Knn
    from regraft.approaches.linear_probe import LinearProbe
    from regraft.approaches.multilayer_probe import MultilayerProbe
    from regraft.approaches.scratch import Scratch
    from regraft.backbones.backbone import Backbone
    from regraft.backbones.built_in import list_backbones
    from regraft.backbones.sources import get_backbone
    from regraft.backbones.sources.modules import module_backbone
    from regraft.dataset import Dataset, Row, scan
    from regraft.errors import RegraftError
    from regraft.evidence.evaluation import Evaluation
    from regraft.features.embedding import embed
    from regraft.inspection.auditing import find_groups
    from regraft.inspection.issues import Issue, find_issues
    from regraft.metrics.rates import Estimate
    from regraft.model import Model, Prediction, load
    from regraft.racing import Comparison, compare
    from regraft.runs import Run, read_run
    from regraft.workflow import (
        audit,
        correct,
        evaluate,
        explain,
        export,
        fit,
        plan,
        predict,
        report,
        review,
        rollback,
        serve,
        timeline,
        watch,
    )

_HOME = {
    "Approach": "approaches.base",
    "Comparison": "racing",
    "Backbone": "backbones.backbone",
    "Dataset": "dataset",
    "Estimate": "metrics.rates",
    "Evaluation": "evidence.evaluation",
    "FineTune": "approaches.fine_tune",
    "Issue": "inspection.issues",
    "Knn": "approaches.knn",
    "LinearProbe": "approaches.linear_probe",
    "Model": "model",
    "MultilayerProbe": "approaches.multilayer_probe",
    "Prediction": "model",
    "RegraftClassifier": "frameworks.estimators",
    "RegraftError": "errors",
    "Row": "dataset",
    "Run": "runs",
    "Scratch": "approaches.scratch",
    "audit": "workflow",
    "compare": "racing",
    "correct": "workflow",
    "embed": "features.embedding",
    "evaluate": "workflow",
    "explain": "workflow",
    "export": "workflow",
    "find_groups": "inspection.auditing",
    "find_issues": "inspection.issues",
    "fit": "workflow",
    "get_backbone": "backbones.sources",
    "list_backbones": "backbones.built_in",
    "load": "model",
    "module_backbone": "backbones.sources.modules",
    "plan": "workflow",
    "predict": "workflow",
    "read_run": "runs",
    "report": "workflow",
    "review": "workflow",
    "rollback": "workflow",
    "scan": "dataset",
    "serve": "workflow",
    "timeline": "workflow",
    "watch": "workflow",
}

__all__ = [
    "Approach",
    "Backbone",
    "Comparison",
    "Dataset",
    "Estimate",
    "Evaluation",
    "FineTune",
    "Issue",
    "Knn",
    "LinearProbe",
    "Model",
    "MultilayerProbe",
    "Prediction",
    "RegraftClassifier",
    "RegraftError",
    "Row",
    "Run",
    "Scratch",
    "__version__",
    "audit",
    "compare",
    "correct",
    "embed",
    "evaluate",
    "explain",
    "export",
    "find_groups",
    "find_issues",
    "fit",
    "get_backbone",
    "list_backbones",
    "load",
    "module_backbone",
    "plan",
    "predict",
    "read_run",
    "report",
    "review",
    "rollback",
    "scan",
    "serve",
    "timeline",
    "watch",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'regraft' has no attribute {name!r}")
    return getattr(import_module(f"regraft.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return __all__
