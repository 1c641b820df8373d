"""Data in, what is wrong with it out, also as a page."""

from __future__ import annotations

from pathlib import Path

from regraft.dataset import Dataset, require_trainable
from regraft.inspection.auditing import Audit, audit_data
from regraft.progress import Progress, silent
from regraft.storage.files import write_atomic
from regraft.workflow.reading import LabelColumns, scanned, tell_notes


def audit(
    data: str | Path | Dataset,
    *,
    labels: str | Path | None = None,
    image_dir: str | Path | None = None,
    test: str | Path | None = None,
    columns: LabelColumns | None = None,
    backbone: str | None = None,
    seed: int = 0,
    jobs: int | None = None,
    progress: Progress = silent,
) -> Audit:
    """What is wrong with the data: copies, leakage, doubtful labels, outliers, faults, shortcuts.

    Nothing is trained but a linear probe, and no file is changed. Arguments are those of `fit`;
    `data` may be a Dataset as well.

    Raises:
        DataError: there is no labelled photo.
        BackboneError: the backbone is unknown or not installed.
    """
    is_dataset = isinstance(data, Dataset)
    data = scanned(
        data,
        labels=labels,
        image_dir=image_dir,
        test=test,
        min_class_images=1,
        jobs=jobs,
        progress=progress,
        columns=columns,
    )
    if data.ok and not is_dataset:
        tell_notes(data, progress)
    if not data.ok:
        require_trainable(data)
    return audit_data(data, backbone=backbone, seed=seed, jobs=jobs, progress=progress)


def report_data(audited: Audit, out: str | Path, *, seed: int = 0) -> Path:
    """Write what an audit and a first look at the photos show as one offline HTML file.

    Args:
        audited: what `audit` returned.
        out: the HTML file.
        seed: of the map.

    Raises:
        StorageError: `out` cannot be written.
    """
    from regraft.reporting import build_data_report

    write_atomic(Path(out), build_data_report(audited, seed=seed))
    return Path(out)
