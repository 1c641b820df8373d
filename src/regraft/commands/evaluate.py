"""`regraft evaluate`."""

from __future__ import annotations

from regraft.commands.options import Columns, Jobs, ModelPath, Output, Source
from regraft.commands.printing import console, hint, print_result, shown_progress


def evaluate(
    *,
    model: ModelPath,
    source: Source,
    output: Output = "text",
    jobs: Jobs = None,
    columns: Columns,
) -> None:
    """Score a model on labelled images that it has not seen.

    Example: regraft evaluate runs/photos more_labelled_photos/
    """
    from regraft import workflow
    from regraft.commands.drawing.evaluate import show_evaluation, show_overlap
    from regraft.commands.drawing.lines import new_input
    from regraft.evidence.evaluation import evaluation_csv
    from regraft.model import load

    loaded = load(model)
    modality = loaded.transform.modality
    with shown_progress() as progress:
        evaluation = workflow.evaluate(
            loaded,
            source.data,
            labels=source.labels,
            image_dir=source.image_dir,
            columns=columns.named(),
            jobs=jobs,
            progress=progress,
        )
    show_overlap(console(stderr=True), evaluation.overlap, modality=modality)
    again = hint("predict", model, new_input(modality))
    print_result(
        output,
        text=lambda _, prose: show_evaluation(
            prose, evaluation, modality=modality, next_command=again
        ),
        csv=lambda: evaluation_csv(evaluation),
        json=evaluation.to_dict,
    )
