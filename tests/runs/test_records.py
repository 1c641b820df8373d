"""Records of earlier versions: what they said in another form, or not at all."""

from __future__ import annotations

from dataclasses import fields

from regraft.runs.records import Results, RunRecord, Start, members_of, other_file, run_record
from regraft.storage.records import to_json
from tests.reporting.sample_runs import results_of


def test_what_is_read_is_what_is_written() -> None:
    """Each member of run.json is written by the stages, or by who opens and closes the folder."""
    written = [f.name for part in (Start, Results) for f in fields(part)]
    of_folder = {"format", "status", "finished", "seconds", "seconds_total", "promotion"}
    assert len(written) == len(set(written))
    assert {f.name for f in fields(RunRecord)} == of_folder | set(written)


def test_results_are_read_back() -> None:
    decisions = {"from": "a.csv", "skipped": 2, "applied": {"kept": 1}}
    about = run_record({"data": "photos", "classes": ["a", "b"], "decisions": decisions})
    members = to_json(members_of(results_of(about)))
    assert members["decisions"]["from"] == "a.csv"
    assert run_record(members) == about


def test_earlier_versions_named_the_other_file_in_the_detail() -> None:
    files = {"a.jpg", "a, b (1).jpg", "b (1).jpg"}
    assert other_file("a.jpg", files) == "a.jpg"
    assert other_file("a.jpg, mirrored, labelled cat and dog", files) == "a.jpg"
    assert other_file("a, b (1).jpg (near duplicate)", files) == "a, b (1).jpg"
    assert other_file("b (1).jpg", files) == "b (1).jpg"
    assert other_file("unlike the others, rank 1 by its distance to them", files) == ""


def test_earlier_versions_looked_for_all_copies_or_none() -> None:
    assert run_record({"audit": {"effects": []}}).audit.near_copies
    assert not run_record({"audit": {}}).audit.near_copies
    assert not run_record({"audit": {"near_copies": False}}).audit.near_copies
    assert run_record({}).audit.series is None


def test_of_a_newer_format_only_what_all_formats_have_is_read() -> None:
    newer = {"format": 99, "status": "done", "regraft": "9.0", "classes": 3, "settings": []}
    record = run_record(newer)
    assert (record.format, record.status, record.regraft) == (99, "done", "9.0")
    assert record.classes == ()


def test_where_decisions_come_from() -> None:
    decisions = run_record({"decisions": {"from": "a.csv", "skipped": 2}}).decisions
    assert decisions is not None
    assert (decisions.source, decisions.skipped) == ("a.csv", 2)
