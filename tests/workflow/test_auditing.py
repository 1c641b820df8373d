"""An audit says of the data what a fit says of them."""

from __future__ import annotations

import inspect
import shutil
from dataclasses import fields, replace
from pathlib import Path

import pytest
from PIL import Image

import regraft as rg
from regraft.inspection.issues import Issue
from regraft.storage.records import to_json
from regraft.workflow import AuditRequest, FitRequest


def _without_suspects(issues: tuple[Issue, ...]) -> list[Issue]:
    """What is told without a model, in its order, with scores as a run folder keeps them."""
    return [replace(i, score=round(i.score, 6)) for i in issues if i.issue != "label_suspect"]


def _add_faults(folder: Path) -> None:
    """A copy, a near copy, a contradiction, and two files that cannot be decoded."""
    first, second, third = sorted((folder / "clean").iterdir())[:3]
    messy = next((folder / "messy").iterdir())
    shutil.copy(first, first.with_name("copy.jpg"))
    _resave(second, second.with_name("again.jpg"))
    shutil.copy(third, messy.with_name("contradiction.jpg"))
    messy.with_name("damaged.jpg").write_bytes(b"no photo")
    _cut(messy, messy.with_name("cut.jpg"))


def _resave(source: Path, target: Path) -> None:
    with Image.open(source) as photo:
        photo.save(target, quality=40)


def _cut(source: Path, target: Path) -> None:
    whole = source.read_bytes()
    target.write_bytes(whole[: len(whole) // 2])


@pytest.mark.parametrize("seed", [0, 2**32 + 5])
def test_audit_and_fit_find_the_same_issues(photo_folder: Path, tmp_path: Path, seed: int) -> None:
    _add_faults(photo_folder)
    audited = rg.audit(photo_folder, seed=seed)
    run = rg.fit(photo_folder, approaches="knn", seed=seed, out=tmp_path / "run")
    issues = _without_suspects(audited.findings.issues)
    assert issues == _without_suspects(run.issues)
    assert {"exact_duplicate", "near_duplicate", "label_conflict", "unreadable"} <= {
        issue.issue for issue in issues
    }
    assert audited.findings.shortcuts is not None
    assert to_json(audited.findings.shortcuts) == to_json(run.about.audit.shortcuts)
    assert to_json(audited.by_order) == to_json(run.about.audit.series)


def test_audit_and_fit_find_the_same_leaks_into_a_given_test_set(
    photo_folder: Path, tmp_path: Path
) -> None:
    """A test photo that is cut off is marked by both; the near copy of another leaks.

    How large classes are is another thing: a fit does not train on the near copy.
    """
    test = tmp_path / "test"
    for name in ("clean", "messy"):
        (test / name).mkdir(parents=True)
        for path in sorted((photo_folder / name).iterdir())[:4]:
            path.rename(test / name / path.name)
    _resave(next((test / "clean").iterdir()), photo_folder / "clean" / "leak.jpg")
    _cut(next((test / "messy").iterdir()), test / "messy" / "cut.jpg")
    audited = rg.audit(photo_folder, test=test)
    run = rg.fit(photo_folder, test=test, approaches="knn", out=tmp_path / "run")
    issues, of_fit = (
        [issue for issue in _without_suspects(both) if issue.issue != "class_balance"]
        for both in (audited.findings.issues, run.issues)
    )
    assert issues == of_fit
    assert {"leakage", "unreadable"} <= {issue.issue for issue in issues}


def test_an_option_of_both_is_one_field_with_one_default() -> None:
    audit, fit = ({f.name: f.default for f in fields(r)} for r in (AuditRequest, FitRequest))
    shared = audit.keys() & fit.keys()
    assert shared == {f.name for f in fields(AuditRequest)} - {"backbone"}
    assert {name: audit[name] for name in shared} == {name: fit[name] for name in shared}
    assert list(inspect.signature(rg.audit).parameters) == [f.name for f in fields(AuditRequest)]
