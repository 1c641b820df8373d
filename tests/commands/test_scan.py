"""Every file is listed."""

from __future__ import annotations

from pathlib import Path

from tests.commands import CommandLine


def test_scan_lists_every_file_and_decodes_unless_told_not_to(
    regraft: CommandLine, run_folder: Path
) -> None:
    photo = sorted(Path("photos/messy").iterdir())[0]
    photo.write_bytes(photo.read_bytes()[:-400])
    as_csv = regraft.done("scan", "photos", "--format", "csv")
    as_json = regraft.done("scan", "photos", "--format", "json").data
    assert len(as_json) == 24
    assert as_csv.rows == [{name: str(v) for name, v in row.items()} for row in as_json]
    bad = [row["path"] for row in as_csv.rows if row["status"] == "unreadable"]
    assert bad == [f"messy/{photo.name}"]
    quick = regraft.done("scan", "photos", "--format", "csv", "--header-only", "--jobs", "2")
    assert {row["status"] for row in quick.rows} == {"ok"}
