"""What a model is, was made from and was measured to do, as a model card in Markdown.

The headings follow Mitchell et al. 2019, "Model Cards for Model Reporting".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from regraft.evidence.evaluation import Evaluation
from regraft.exporting.forms import Form, form_of
from regraft.exporting.precisions import PRECISIONS
from regraft.kinds import kind_named
from regraft.metrics import METRICS
from regraft.metrics.rates import Estimate
from regraft.model import Model
from regraft.storage.records import from_json

_LICENCE_UNKNOWN = "not known"


def model_card(
    model: Model, exported: Mapping[str, Any], evaluations: Sequence[Evaluation] = ()
) -> str:
    """The card of a model that was exported; `exported` is `Exported.to_dict()`."""
    backbone = model.backbone
    form, precision = form_of(model), PRECISIONS[exported["precision"]]
    one, many = form.thing, f"{form.things}"
    name = str(exported["file"]).replace("\\", "/").rpartition("/")[2]
    parts = [
        f"# {name.removesuffix('.onnx')}",
        f"A classifier of {many}: {_listed(model.classes)}. Made with regraft {model.made_with}.",
        "## What it is",
        _table(
            [
                ("Approach", model.approach),
                ("Backbone", f"{backbone['name']}, pretrained on {backbone['pretrained_on']}"),
                ("Licence of the backbone", str(backbone["licence"] or _LICENCE_UNKNOWN)),
                ("Trained on", f"{model.trained_on.get('images', 0):,} {many} of the user"),
                ("Fingerprint of the data", str(model.trained_on.get("fingerprint", ""))),
                ("Precision", f"{exported['precision']}: {precision.summary}"),
                ("Size", _size(exported["bytes"])),
            ]
        ),
        "## How to run it",
        f"```bash\npip install {form.packages}\n"
        f"python {name.removesuffix('.onnx')}.py {kind_named(form.modality).example}\n```",
        f"Input {form.graph_input(model)}. Outputs: `probabilities`, "
        f"float32 `[{len(model.classes)}]` in the order {_listed(model.classes)}; "
        "`unfamiliarity`, float32. Classes, thresholds and origin are in the file's metadata.",
        "ONNX Runtime reports to its maker by itself, from version 1.31 on Linux as well. The "
        "script switches that off; in code of your own, set the environment variable "
        "`ORT_DISABLE_TELEMETRY=1` before `onnxruntime` is imported.",
        "## What its answers mean",
        "Probabilities are calibrated. The *set* holds every class whose probability reaches its "
        f"threshold; it holds the true class of about nine {many} in ten, of a class with few "
        f"training {many} less surely so, as long as {many} are like those it was trained on. "
        f"A {one} whose set is not just the predicted class is `unsure`.",
        _table(
            [
                (f"Threshold of {cell}", f"{threshold:.3f}")
                for cell, threshold in zip(model.classes, model.set_thresholds, strict=True)
            ]
        ),
        f"*Unfamiliarity* (0 to 4) is the mean cosine distance to the nearest training {many}, "
        "times 2 minus the highest probability: more where the classes are in doubt. "
        f"Above {model.unfamiliar_from:.3f} a {one} is `unfamiliar`, and its class should not be "
        "relied on.",
        "## How good it is",
        _measured(evaluations, many),
        "## How the exported file was checked",
        _checked(exported, form),
        "## What it should not be used for",
        f"It knows the classes above and no other: a {one} of something else gets one of them, "
        f"unless it is flagged. It was measured on {many} like those it was trained on; other "
        f"{form.others} need new measurements (`regraft evaluate`). It was not examined "
        "for fairness towards people, and decisions about people need more than this file.",
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _measured(evaluations: Sequence[Evaluation], many: str) -> str:
    if not evaluations:
        return "Not known here: the model was exported without the run it came from."
    blocks = []
    for found in evaluations:
        title = "a test set, read once" if found.on == "test" else "cross-validation"
        rows = [(METRICS[name].title, _estimate(each)) for name, each in found.metrics.items()]
        rows += [
            (f"Recall of {_cell(name)}", _estimate(score.recall))
            for name, score in found.per_class.items()
        ]
        if known := found.overlap.flattering:
            title += f"; the backbone had been trained on {known:,} of them before, which flatters"
        blocks.append(f"On {found.n:,} {many} ({title}), with 95 % intervals:\n\n{_table(rows)}")
    return "\n\n".join(blocks)


def _estimate(estimate: Estimate | None) -> str:
    if estimate is None or math.isnan(estimate.value):
        return "not defined"
    return f"{estimate.value:.3f} [{estimate.low:.3f}, {estimate.high:.3f}]"


def _checked(exported: Mapping[str, Any], form: Form) -> str:
    checked, odd, many = exported["checked"], exported["odd"], form.things
    precision = PRECISIONS[exported["precision"]]
    said = [
        f"Before it was written, the script beside it was run on {checked['inputs']:,} {many} and "
        f"on {odd['inputs']} {form.odd}, in a process of its own. Accepted is "
        f"{precision.agreement.summary}."
    ]
    if checked["inputs"]:
        said.append(
            f"On the {many}, probabilities differed from the model's by "
            f"{checked['largest_difference']:.4f} at most; {len(checked['changed'])} of them got "
            f"another class, and {len(checked['ties'])} more where two classes were nearly level."
        )
    if checked["accuracy"]:
        said.append(f"Accuracy changed by {from_json(checked['accuracy'], Estimate).points}.")
    if exported["ms"] is not None and precision.convert is not None:
        said.append(
            f"A {form.thing} takes {exported['ms']:.1f} ms on one thread where it took "
            f"{exported['ms_before']:.1f} ms, and the file has {_size(exported['bytes'])} "
            f"where it had {_size(exported['bytes_before'])}."
        )
    if checked["unread"]:
        said.append(
            f"{len(checked['unread'])} {many} could not be read without regraft's own decoders."
        )
    return " ".join(said)


def _size(count: int) -> str:
    return f"{count / 1e6:.1f} MB" if count >= 100_000 else f"{count / 1e3:.0f} kB"


def _table(rows: Sequence[tuple[str, str]]) -> str:
    lines = ["| | |", "|---|---|", *(f"| {_cell(a)} | {_cell(b)} |" for a, b in rows)]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Text that stays one cell, and text, whatever a class is called."""
    for character in "\\|<>*[]`":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _listed(names: Sequence[str]) -> str:
    return ", ".join(_cell(name) for name in names)
