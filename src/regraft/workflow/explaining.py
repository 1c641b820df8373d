"""A model and photos in, pictures of where it finds evidence for a class out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regraft.approaches.scratch import load_architecture
from regraft.dataset import find_inputs
from regraft.errors import ExplanationError, UnreadableInputError
from regraft.evidence.explaining import (
    Explanations,
    HeatMap,
    Question,
    explain_photos,
    explain_run,
    write_explanations,
)
from regraft.inputs import Input, as_files, each
from regraft.kinds import IMAGE
from regraft.model import load
from regraft.progress import Progress, silent
from regraft.runs import Run, read_run, require_data
from regraft.storage.files import make_folder, write_atomic
from regraft.workflow.reading import of_photos, require_photos
from regraft.workflow.reporting import report


@dataclass(frozen=True, slots=True)
class Explained:
    """What `explain` found and wrote.

    `pictures` are the PNG files with the path of the photo that each shows; `report` is the report
    that was written again. One of them is empty.
    """

    explanations: Explanations
    pictures: tuple[tuple[HeatMap, Path], ...] = ()
    report: Path | None = None

    def __repr__(self) -> str:
        where = self.report or f"{len(self.pictures):,} pictures"
        return f"Explained({self.explanations!r}, {where})"

    @property
    def rows(self) -> list[dict[str, Any]]:
        """One for each photo: path, class, confidence, picture, and why there is none."""
        files = {heat_map.path: str(path) for heat_map, path in self.pictures}
        explained = [
            {
                "path": m.path,
                "target": m.target,
                "predicted": m.predicted,
                "confidence": round(m.confidence, 6),
                "picture": files.get(m.path, ""),
                "reason": "",
            }
            for m in self.explanations.maps
        ]
        nothing = {"target": "", "predicted": "", "confidence": "", "picture": ""}
        left = [{"path": p, **nothing, "reason": why} for p, why in self.explanations.left_out]
        return explained + left

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        files = {heat_map.path: str(path) for heat_map, path in self.pictures}
        data = self.explanations.to_dict()
        for photo in data["photos"]:
            photo["picture"] = files.get(photo["path"], "")
        return data


def explain(
    model: str | Path,
    files: Input | Iterable[Input] = (),
    *,
    out: str | Path = "explanations",
    architecture: str | None = None,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Explained:
    """Heat maps of where a model finds evidence for a class.

    Without files those of a run's confident errors and typical hits are made again, and its report
    with them. With files each photo is explained for the class the model says, and written as a
    PNG with the heat map laid over it; what cannot be read is listed and the rest goes on.

    Args:
        model: a run folder; with files a model folder does as well.
        files: photos, folders or glob patterns, PIL pictures or uint8 (h, w, 3), one or many.
        out: the folder of the PNG files.
        architecture: where the network of a model trained from scratch on your own is, as for
            `fit`.
        jobs: worker threads.
        progress: told how many maps are done.

    Raises:
        RunError: without files, the folder holds no complete run.
        ModelError: the model cannot be read, or reads something else than photos.
        DataError: an input is not there, no image was found, or the run is not of photos.
        ExplanationError: the model has no gradient, no photo could be read, or the maps do not
            depend on what was learned.
        UsageError: the architecture cannot be imported.
        StorageError: a file cannot be written.
    """
    make = load_architecture(architecture) if architecture is not None else None
    instead = "predictions.csv of its run lists what it was wrong on"
    given = each(files)
    if not given:
        run = read_run(model)
        require_photos(run.data, "explain", instead)
        return _explain_again(run, make, jobs=jobs, progress=progress)
    of_photos(load(model), "explain", instead)
    with as_files(given) as paths:
        questions = [
            Question(path, Path(path)) for path in find_inputs(paths, modality=IMAGE).paths
        ]
        explanations = explain_photos(
            Path(model), questions, make=make, jobs=jobs, progress=progress
        )
        if not explanations.shown:
            check = explanations.check if explanations.maps else None
            raise ExplanationError(check.text if check else explanations.reason)
        pictures, gone = _write_pictures(explanations.shown, Path(out))
    explanations = replace(explanations, left_out=(*explanations.left_out, *gone))
    return Explained(explanations, pictures=pictures)


def _explain_again(
    run: Run, make: Callable[[int], Any] | None, *, jobs: int | None, progress: Progress
) -> Explained:
    """The heat maps of a run, and its report, made again."""
    require_data(run)
    explanations = explain_run(
        run.folder / "model",
        run.data,
        run.predictions,
        make=make,
        jobs=jobs,
        progress=progress,
    )
    write_explanations(run.folder, explanations)
    return Explained(explanations, report=report(run.folder, run.folder / "report.html"))


def _write_pictures(
    maps: Sequence[HeatMap], out: Path
) -> tuple[tuple[tuple[HeatMap, Path], ...], list[tuple[str, str]]]:
    """A PNG for each map in the folder `out`, where no other file is replaced; and what is gone
    by now, with the reason."""
    from regraft.reporting.heat_maps import explained_picture, may_be_replaced

    make_folder(out)
    written: dict[Path, HeatMap] = {}
    gone = []
    for heat_map in maps:
        try:
            picture = explained_picture(Path(heat_map.path), heat_map)
        except UnreadableInputError as error:
            gone.append((heat_map.path, str(error)))
            continue
        name, number = f"{Path(heat_map.path).stem}-explained", 1
        path = out / f"{name}.png"
        while path in written or not may_be_replaced(path):
            number += 1
            path = out / f"{name}-{number}.png"
        write_atomic(path, picture)
        written[path] = heat_map
    return tuple((heat_map, path) for path, heat_map in written.items()), gone
