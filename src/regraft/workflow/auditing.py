"""A request in, what is wrong with its data out, also as a page."""

from __future__ import annotations

from pathlib import Path

from regraft.clock import Clock
from regraft.inspection.auditing import Audit, audit_data
from regraft.storage.files import write_atomic
from regraft.workflow.inspecting import decode_data, look_for_issues
from regraft.workflow.preparing import Tools, prepare_audit
from regraft.workflow.reading import tell_notes
from regraft.workflow.request import AuditRequest, takes


@takes(AuditRequest)
def audit(request: AuditRequest) -> Audit:
    """What is wrong with the data: copies, leakage, doubtful labels, outliers, faults, shortcuts.

    The data go through the stages that `fit` begins with, without a limit of time. Nothing is
    trained but a linear probe, and no file is changed.

    Raises:
        DataError: there is no labelled photo.
        BackboneError: the backbone is unknown or not installed.
    """
    prepared = prepare_audit(request)
    tell_notes(request.data, prepared.dataset, request.progress)
    tools = Tools(Clock(), request.seed, request.jobs, request.progress)
    decoded = decode_data(prepared, tools)
    inspection = look_for_issues(decoded, tools)
    assert decoded.network is not None
    assert inspection is not None
    return audit_data(
        decoded.dataset,
        inspection,
        decoded.network,
        seed=tools.seed,
        jobs=tools.jobs,
        progress=tools.progress,
    )


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
