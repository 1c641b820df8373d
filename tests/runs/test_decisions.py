"""The file of decisions: what it comes to, that nothing is lost, what it does to a dataset."""

from __future__ import annotations

import dataclasses
import multiprocessing
import tempfile
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regraft.dataset import Dataset, Row, check_data
from regraft.errors import DataError, StorageError
from regraft.inspection.issues import Issue
from regraft.runs.decisions import (
    ACTIONS,
    COLUMNS,
    DECISIONS,
    LONGEST_NAME,
    Decision,
    DecisionLog,
    Key,
    apply_decisions,
    carry_over,
    decisions_file,
    decisions_in_force,
    new_class_name,
    new_decision,
    open_log,
    read_decisions,
)
from regraft.runs.records import AppliedRecord, DecisionsRecord

HEADER = ",".join(COLUMNS)
A, B, C = ("a" * 64, "b" * 64, "c" * 64)


def row(path: str = "cat/1.jpg", sha256: str = A, label: str = "cat", **more: str) -> Row:
    return Row(path, sha256, label, **more)  # type: ignore[arg-type]


def write(file: Path, *decisions: Decision) -> None:
    with open_log(file) as writer:
        writer.add(*decisions)


def log_of(*decisions: Decision) -> DecisionLog:
    return DecisionLog(Path("decisions.csv"), decisions, "")


# --- what a log comes to

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12)
labels = names.map(lambda text: unicodedata.normalize("NFC", text))


@st.composite
def entries(draw: st.DrawFn) -> Decision:
    action = draw(st.sampled_from(sorted(ACTIONS)))
    has_label = action in ("keep", "relabel")
    return Decision(
        when=f"2026-05-04T10:00:00.{draw(st.integers(0, 999_999)):06d}+00:00",
        path=draw(st.sampled_from(["1.jpg", 'a, "b".jpg', "line\nfeed\r.jpg", "back\\n\\.jpg"])),
        action=action,
        label=draw(labels) if has_label else "",
        was=draw(names),
        sha256=draw(st.sampled_from([A, B])),
    )


@given(st.lists(entries(), max_size=12))
def test_each_photo_is_decided_by_the_last_that_was_not_taken_back(made: list[Decision]) -> None:
    expected = {}
    for key in {entry.key for entry in made}:
        left = [entry for entry in made if entry.key == key]
        while pairs := [  # of a decision and the undoing right behind it, which cancel each other
            i for i in range(len(left) - 1) if left[i].action != "undo" == left[i + 1].action
        ]:
            del left[pairs[0] : pairs[0] + 2]
        if left and left[-1].action != "undo":
            expected[key] = left[-1]
    assert decisions_in_force(made) == expected


def test_undo_restores_what_was_before_and_is_idle_without_a_decision() -> None:
    one = row()
    undo, keep, exclude = (new_decision(one, action) for action in ("undo", "keep", "exclude"))
    key: Key = (one.path, one.sha256)
    assert decisions_in_force([undo]) == {}
    assert decisions_in_force([undo, keep, exclude]) == {key: exclude}
    assert decisions_in_force([keep, exclude, undo]) == {key: keep}
    assert decisions_in_force([keep, exclude, undo, undo]) == {}
    assert decisions_in_force([keep, undo, undo, exclude]) == {key: exclude}


def test_other_content_is_another_photo() -> None:
    keep, exclude = new_decision(row(), "keep"), new_decision(row(sha256=B), "exclude")
    assert len(decisions_in_force([keep, exclude])) == 2


# --- the file


@given(st.lists(st.lists(entries(), min_size=1, max_size=3), max_size=4))
@settings(deadline=None, max_examples=40)
def test_what_is_written_is_read(batches: list[list[Decision]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / DECISIONS
        for batch in batches:
            write(file, *batch)
        found = read_decisions(file, missing_ok=True)
        assert list(found.entries) == [entry for batch in batches for entry in batch]
        assert found.note == ""
        if batches:
            lines = file.read_text(encoding="utf-8").split("\n")
            assert len(lines) == 2 + len(found.entries)  # a header, and the end of the last line
        assert not list(Path(folder).glob(".*"))  # no lock is left behind


@given(st.lists(entries(), min_size=1, max_size=4), st.data())
@settings(deadline=None, max_examples=80)
def test_a_file_cut_anywhere_loses_no_whole_line_and_takes_the_next(
    made: list[Decision], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / DECISIONS
        write(file, *made)
        whole = file.read_bytes()
        end = data.draw(st.integers(0, len(whole)))
        file.write_bytes(whole[:end])
        n_whole = max(0, whole[:end].count(b"\n") - 1)
        is_complete = end < len(whole) and whole[end : end + 1] == b"\n"
        kept = made[: n_whole + (is_complete and b"\n" in whole[:end])]
        found = read_decisions(file)
        assert list(found.entries) == kept
        tail = whole[:end].rpartition(b"\n")[2]
        assert bool(found.note) == bool(tail and not is_complete)
        write(file, made[0])
        again = read_decisions(file)
        assert list(again.entries) == [*kept, made[0]]
        assert again.note == ""


def _decide(file: str, name: str, count: int) -> None:
    for number in range(count):
        write(Path(file), new_decision(row(f"{name}/{number}.jpg"), "keep"))


def test_two_processes_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / DECISIONS
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=_decide, args=(str(file), name, 15)) for name in "xyz"]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    found = read_decisions(file)
    assert {e.path for e in found.entries} == {f"{n}/{i}.jpg" for n in "xyz" for i in range(15)}
    assert len(found.entries) == 45
    assert found.note == ""


def test_a_line_written_by_hand_without_a_line_feed_counts(tmp_path: Path) -> None:
    file = tmp_path / DECISIONS
    file.write_text(f"{HEADER}\r\ntoday,cat/1.jpg,relabel,dog,cat,{A}", encoding="utf-8-sig")
    assert [e.label for e in read_decisions(file).entries] == ["dog"]
    write(file, new_decision(row(), "undo"))
    assert [e.action for e in read_decisions(file).entries] == ["relabel", "undo"]
    assert read_decisions(file).in_force() == {}


def test_another_content_of_the_file_has_another_hash(tmp_path: Path) -> None:
    file = tmp_path / DECISIONS
    assert read_decisions(file, missing_ok=True).entries == ()
    write(file, new_decision(row(), "keep"))
    first = read_decisions(file)
    write(file, new_decision(row(), "undo"))
    assert first.sha256 != read_decisions(file).sha256


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (
            "path;label\n",
            "decisions.csv",
            "is no file of review decisions: its first line is 'path;label'",
        ),
        (f"{HEADER}\nnow,a.jpg,delete,,cat,{A}\n", "line 2 of", "the action is 'delete'"),
        (f"{HEADER}\nnow,a.jpg,relabel,,cat,{A}\n", "line 2 of", "it names no class"),
        (f"{HEADER}\nnow,a.jpg,keep,cat,cat,{A}\nnow,b.jpg\n", "line 3 of", "has 2 cells"),
        (f"{HEADER}\nnow,a.jpg,exclude,,cat,12\n", "line 2 of", "the sha256 is '12'"),
        (f"{HEADER}\nnow,,exclude,,cat,{A}\n", "line 2 of", "it names no file"),
        (f'{HEADER}\nnow,"a.jpg,exclude,,cat,{A}\n', "line 2 of", "cannot be understood"),
        (f"{HEADER}\nnow,\xe9.jpg,exclude,,cat,{A}\n", "line 2 of", "is not UTF-8"),
    ],
)
def test_what_cannot_be_understood_is_one_line_and_nothing_is_appended(
    tmp_path: Path, text: str, where: str, said: str
) -> None:
    file = tmp_path / DECISIONS
    file.write_bytes(text.encode("latin-1"))
    for use in (lambda: read_decisions(file), lambda: write(file, new_decision(row(), "keep"))):
        with pytest.raises(DataError) as error:
            use()
        assert where in str(error.value)
        assert said in str(error.value)
        assert "\n" not in str(error.value)
    assert file.read_bytes() == text.encode("latin-1")


def test_where_decisions_are(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no decisions\.csv.*regraft review"):
        decisions_file(tmp_path)
    with pytest.raises(DataError, match=r"there is no .*gone"):
        decisions_file(tmp_path / "gone")
    write(tmp_path / DECISIONS, new_decision(row(), "keep"))
    assert decisions_file(tmp_path) == decisions_file(tmp_path / DECISIONS) == tmp_path / DECISIONS


def test_a_folder_that_is_gone_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="could not write"):
        write(tmp_path / "gone" / DECISIONS, new_decision(row(), "keep"))


def test_decisions_are_carried_over_once(tmp_path: Path) -> None:
    first, second = tmp_path / "1.csv", tmp_path / "2.csv"
    write(first, new_decision(row(), "relabel", "dog"), new_decision(row(sha256=B), "exclude"))
    write(second, new_decision(row(sha256=C), "keep"))
    for _ in range(2):
        carry_over(read_decisions(first), second)
    carry_over(read_decisions(first), first)
    assert [e.sha256 for e in read_decisions(second).entries] == [C, A, B]
    assert len(read_decisions(first).entries) == 2


# --- single decisions


def test_a_decision_says_what_it_is_about() -> None:
    made = new_decision(row(), "relabel", "dog")
    assert dataclasses.astuple(made)[1:] == ("cat/1.jpg", "relabel", "dog", "cat", A)
    assert new_decision(row(), "relabel", "cat").action == "keep"
    assert new_decision(row(), "keep", "dog").label == "cat"
    assert new_decision(row(), "exclude", "dog").label == ""


def test_nothing_is_decided_on_what_was_not_read() -> None:
    with pytest.raises(DataError, match=r"cannot be decided on cat/1\.jpg: the sha256 is ''"):
        new_decision(row(sha256=""), "exclude")
    with pytest.raises(DataError, match="it names no class"):
        new_decision(row(label=""), "keep")
    with pytest.raises(DataError, match="the action is 'burn'"):
        new_decision(row(), "burn")


def test_names_of_new_classes() -> None:
    assert (
        new_class_name(" cafe\N{COMBINING ACUTE ACCENT} ")
        == "caf\N{LATIN SMALL LETTER E WITH ACUTE}"
    )
    assert new_class_name("<b>&") == "<b>&"
    with pytest.raises(DataError, match="is empty"):
        new_class_name("  ")
    with pytest.raises(DataError, match="has 201 characters, expected 200"):
        new_class_name("x" * (LONGEST_NAME + 1))
    for bad in ("a\nb", "a\0", "\ud800"):
        with pytest.raises(DataError, match="control characters"):
            new_class_name(bad)


# --- what they do to a dataset


def dataset(*rows: Row) -> Dataset:
    return Dataset.from_rows(Path("/photos"), rows, notes=["from the scan"])


def test_labels_and_exclusions_are_applied_and_told() -> None:
    rows = [row(f"{label}/{i}.jpg", f"{n}{i}" * 32, label)
            for n, label in enumerate(("cat", "dog")) for i in range(4)]  # fmt: skip
    log = log_of(
        new_decision(rows[0], "relabel", "dog"),
        new_decision(rows[1], "exclude"),
        new_decision(rows[2], "keep"),
        new_decision(rows[3], "relabel", "<i>bird</i>"),
    )
    found, applied = apply_decisions(dataset(*rows), log)
    assert [r.label for r in found.rows] == ["dog", "cat", "cat", "<i>bird</i>", *["dog"] * 4]
    assert [r.path for r in found.rows if r.status == "excluded"] == [rows[1].path]
    assert found.rows[1].reason.startswith("excluded in a review on 20")
    assert applied.record(()) == DecisionsRecord(
        applied=AppliedRecord(relabelled=2, excluded=1, kept=1), source="decisions.csv"
    )
    assert found.notes == (
        "from the scan",
        "Decided in a review (decisions.csv): 2 relabelled (cat/0.jpg: cat to dog and cat/3.jpg: "
        "cat to <i>bird</i>); 1 excluded (cat/1.jpg); 1 kept as labelled.",
        "Class '<i>bird</i>' is new: no photo had that label before the review.",
    )
    assert rows[0].label == "cat"  # what was given is as it was


def test_decisions_on_files_that_are_gone_or_changed_are_told_in_one_line() -> None:
    old = [row(f"{i}.jpg", f"{i}" * 64) for i in range(5)]
    log = log_of(*(new_decision(one, "exclude") for one in old))
    found, applied = apply_decisions(dataset(row("0.jpg", A), old[4]), log)
    assert applied.skipped == ("0.jpg", "1.jpg", "2.jpg", "3.jpg")
    assert [r.status for r in found.rows] == ["ok", "excluded"]
    assert found.notes[-1] == (
        "4 decisions were not applied, the file is gone or has changed: 0.jpg, 1.jpg, 2.jpg and 1 "
        "more."
    )
    nowhere, _ = apply_decisions(dataset(row("new.jpg", C)), log_of(new_decision(old[1], "keep")))
    assert "1 decision was not applied" in nowhere.notes[-1]
    assert "No decision fits this data" in nowhere.notes[-1]


def test_a_new_decision_on_changed_content_leaves_nothing_to_tell() -> None:
    log = log_of(new_decision(row(), "exclude"), new_decision(row(sha256=B), "keep"))
    _, applied = apply_decisions(dataset(row(sha256=B)), log)
    assert (applied.kept, applied.skipped) == (("cat/1.jpg",), ())


def test_a_label_confirmed_later_holds_for_the_scan_that_never_knew_it() -> None:
    """Relabelled in one review, confirmed under the new label in that of the next run."""
    relabelled = dataclasses.replace(row(), label="dog")
    log = log_of(new_decision(row(), "relabel", "dog"), new_decision(relabelled, "keep"))
    found, applied = apply_decisions(dataset(row()), log)
    assert [r.label for r in found.rows] == ["dog"]
    assert applied.relabelled == ("cat/1.jpg",)


@pytest.mark.parametrize(("action", "label", "expected"), [
    ("relabel", "dog", ["dog", "dog", "dog"]),
    ("keep", "", ["cat", "cat", "cat"]),
])  # fmt: skip
def test_a_label_given_to_one_copy_settles_the_contradiction(
    action: str, label: str, expected: list[str]
) -> None:
    copies = [row("cat/1.jpg"), row("dog/1.jpg", A, "dog"), row("cat/2.jpg", A, "cat")]
    others = [
        row(f"{n}/{i}.jpg", f"{i}{n[0]}" * 32, n) for n in ("cat", "dog") for i in range(3, 6)
    ]
    data = dataset(*copies, *others)
    assert {r.status for r in check_data(data).rows[:3]} == {"conflict"}
    found, _ = apply_decisions(data, log_of(new_decision(copies[0], action, label)))
    checked = check_data(found)
    assert [r.label for r in checked.rows[:3]] == expected
    assert {r.status for r in checked.rows} == {"ok"}
    assert not any("two labels" in note for note in checked.notes)


def test_contradicting_decisions_stay_a_contradiction() -> None:
    copies = [row("cat/1.jpg"), row("dog/1.jpg", A, "dog")]
    log = log_of(*(new_decision(one, "keep") for one in copies))
    checked = check_data(apply_decisions(dataset(*copies), log)[0])
    assert {r.status for r in checked.rows} == {"conflict"}


def test_the_training_copy_of_an_excluded_test_photo_is_trained_on() -> None:
    rows = [row(f"{n}/{i}.jpg", f"{i}{n[0]}" * 32, n, split="train") for n in ("cat", "dog")
            for i in range(3)]  # fmt: skip
    test = [row("test/cat.jpg", rows[0].sha256, "cat", split="test"),
            row("test/dog.jpg", C, "dog", split="test")]  # fmt: skip
    data = dataset(*rows, *test)
    assert check_data(data).rows[0].status == "excluded"
    found, _ = apply_decisions(data, log_of(new_decision(test[0], "exclude")))
    assert [r.path for r in check_data(found).test] == ["test/dog.jpg"]
    assert check_data(found).rows[0].status == "ok"


def test_what_was_out_already_keeps_its_reason() -> None:
    gone = row(status="ignored", reason="hidden")
    broken = row("broken.jpg", B, status="unreadable", reason="truncated")
    log = log_of(*(new_decision(one, "exclude") for one in (gone, broken)))
    found, _ = apply_decisions(dataset(gone, broken), log)
    assert found.rows[0] == gone
    assert found.rows[1].status == "excluded"


def test_a_photo_without_a_label_can_be_given_one() -> None:
    new = row(label="", status="unlabelled")
    found, applied = apply_decisions(dataset(new), log_of(new_decision(new, "relabel", "cat")))
    assert [(r.label, r.status) for r in found.ok] == [("cat", "ok")]
    assert "cat/1.jpg: no label to cat" in found.notes[1]
    assert applied.relabelled == ("cat/1.jpg",)


def test_what_a_review_has_answered_is_not_listed_again() -> None:
    kept, out, moved, other = (row(f"{i}.jpg", f"{i}" * 64) for i in range(4))
    log = log_of(new_decision(kept, "keep"), new_decision(out, "exclude"),
                 new_decision(moved, "relabel", "dog"))  # fmt: skip
    _, applied = apply_decisions(dataset(kept, out, moved, other), log)
    gone = [
        *(Issue(r.path, kind, 0.9, "") for r in (kept, moved)
          for kind in ("label_suspect", "outlier", "quality")),
        Issue(out.path, "exact_duplicate", 1.0, other.path, other.path),
        Issue(other.path, "exact_duplicate", 1.0, out.path, out.path),
    ]  # fmt: skip
    stay = [
        *(Issue(other.path, kind, 0.9, "") for kind in ("label_suspect", "outlier", "quality")),
        Issue(kept.path, "near_duplicate", 1.0, other.path, other.path),
        Issue(".", "class_balance", 0.5, "few"),
    ]
    assert applied.silence([*gone, *stay]) == tuple(stay)
