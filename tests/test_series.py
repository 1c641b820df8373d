"""Frames of films, from the folder to the report: scored by film, and nobody is told otherwise."""

from __future__ import annotations

import os
import random
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

import regraft as rg
from regraft.inspection.auditing import Audit
from regraft.inspection.issues import Series
from regraft.reporting.checks import trust_checks
from regraft.reporting.scores import headline_of
from regraft.workflow import audit
from tests.commands import CommandLine, read_json, read_table
from tests.films import drawn_film, write_clips

CLASSES = ("open", "shut") * 3
KNOWN = "No photo it was tested on was known from training"


@dataclass(frozen=True)
class Filmed:
    """Six films, two fits of them, and what was printed of the first."""

    photos: Path
    clips: dict[str, int]
    run: rg.Run
    by_column: rg.Run


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory, shared_graphs: Path) -> Filmed:
    folder = tmp_path_factory.mktemp("films")
    (folder / "cache" / "regraft").mkdir(parents=True)
    (folder / "cache" / "regraft" / "graphs").symlink_to(shared_graphs)
    clips = write_clips(folder / "photos", CLASSES)
    lines = [f"{path},{path.split('/')[0]},{clip}" for path, clip in clips.items()]
    (folder / "labels.csv").write_text("\n".join(["file,label,clip", *lines]) + "\n")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        run = rg.fit(folder / "photos", approaches=["linear_probe"], out=folder / "run")
        by_column = rg.fit(
            folder / "labels.csv",
            image_dir=folder / "photos",
            columns={"group_column": "clip"},
            approaches=["linear_probe"],
            out=folder / "by_column",
        )
    return Filmed(folder / "photos", clips, run, by_column)


def test_frames_are_scored_by_film_as_if_somebody_had_named_the_films(filmed: Filmed) -> None:
    (found,), (expected,) = filmed.run.evaluations, filmed.by_column.evaluations
    assert found.accuracy == expected.accuracy
    assert found.accuracy.value < 0.7  # films say nothing of their class
    order = read_json(filmed.run.folder / "run.json")["audit"]["series"]
    assert (order["series"], order["photos"], order["sources"]) == (6, 48, ["names"])
    assert order["kept"] == "series"
    assert order["differs"]
    assert order["by_chance"]["value"] > 0.9
    assert order["accuracy"]["value"] == pytest.approx(found.accuracy.value, abs=1e-6)


def test_the_report_says_what_folds_by_chance_would_have_said(filmed: Filmed) -> None:
    page = (filmed.run.folder / "report.html").read_text(encoding="utf-8")
    assert "Folds by chance would have said" in page
    (check,) = [check for check in trust_checks(filmed.run) if check.claim == KNOWN]
    assert check.answer == "yes"
    assert "Folds by chance would have said" in check.reason
    page = (filmed.by_column.folder / "report.html").read_text(encoding="utf-8")
    assert "Folds by chance" not in page  # the groups were named


def test_rows_and_issues_name_the_series(filmed: Filmed) -> None:
    groups: dict[str, set[int]] = {}
    for row in read_table(filmed.run.folder / "dataset.csv"):
        groups.setdefault(row["group"], set()).add(filmed.clips[row["path"]])
    assert len(groups) == 6
    assert "series open/clip00_frame0000.jpg" in groups
    assert all(len(clips) == 1 for clips in groups.values())
    series = [
        row for row in read_table(filmed.run.folder / "issues.csv") if row["issue"] == "series"
    ]
    assert len(series) == 6
    (first,) = [row for row in series if row["path"] == "open/clip00_frame0000.jpg"]
    assert first["detail"] == "open/clip00_frame0007.jpg (8 photos one after another, alike)"
    assert not [
        row for row in read_table(filmed.run.folder / "issues.csv") if "near" in row["issue"]
    ]


def test_named_groups_stay_as_they_are(filmed: Filmed) -> None:
    groups = {row["group"] for row in read_table(filmed.by_column.folder / "dataset.csv")}
    assert groups == {str(clip) for clip in range(6)}
    assert filmed.by_column.about.audit.series.parted == 0


def test_the_terminal_says_so(regraft: CommandLine, filmed: Filmed) -> None:
    scanned = regraft("scan", str(filmed.photos)).err
    assert "48 files are numbered in 6 runs" in " ".join(scanned.split())
    told = " ".join(regraft("report", str(filmed.run.folder)).err.split())
    assert told  # the report is written again from what the run folder holds


def labels_of(found: Audit) -> Series:
    series = found.findings.series
    assert series is not None
    return series


def same_films(found: Audit, clips: dict[str, int]) -> bool:
    """Whether the series are the films, none parted and none joined."""
    series = labels_of(found)
    members = [
        {clips[found.findings.rows[i].path] for i in series.members(number)}
        for number in range(len(series))
    ]
    in_one = sum(series.sizes) == len(clips)
    return in_one and sorted(map(tuple, members)) == [
        (clip,) for clip in sorted(set(clips.values()))
    ]


@pytest.mark.parametrize(
    "pattern",
    [
        "{label}/video{clip}/{frame:05}.jpg",
        "{label}/clip{clip:02}_frame{frame:04}_jpg.rf.7f3a9c2e11aa04b2.jpg",
        "{label}/VID_2024051{clip}_143022_{frame:03}.jpg",
        "{label}/cam1_2024-05-1{clip}T14-30-{frame:02}.jpg",
    ],
)
def test_films_are_found_by_names_of_many_kinds(graphs: Path, tmp_path: Path, pattern: str) -> None:
    clips = write_clips(tmp_path, CLASSES, pattern=pattern)
    assert same_films(audit(tmp_path), clips)


@pytest.mark.parametrize("how", ["exif", "file"])
def test_films_are_found_by_times_where_names_say_nothing(
    graphs: Path, tmp_path: Path, how: str
) -> None:
    clips = {}
    for clip, label in enumerate(CLASSES):
        (tmp_path / label).mkdir(exist_ok=True)
        for frame, picture in enumerate(drawn_film(500 + clip)):
            name = f"{random.Random(100 * clip + frame).getrandbits(64) | 15 << 60:016x}ab.jpg"
            path = tmp_path / label / name
            seconds = 3_600 * (clip + 1) + 2 * frame
            exif = Image.Exif()
            if how == "exif":
                clock = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}"
                exif.get_ifd(0x8769)[0x9003] = f"2024:05:11 {clock}"
            picture.save(path, quality=70, exif=exif)
            if how == "file":
                os.utime(path, (1.7e9 + seconds, 1.7e9 + seconds))
            clips[f"{label}/{name}"] = clip
    found = audit(tmp_path)
    assert same_films(found, clips)
    source = {"exif": "time taken", "file": "time of the file"}[how]
    assert found.by_order.sources == (source,)


def test_frames_dealt_over_training_and_test_are_told_as_a_leak(
    graphs: Path, tmp_path: Path
) -> None:
    for clip, label in enumerate(CLASSES):
        for frame, picture in enumerate(drawn_film(500 + clip)):
            split = "test" if (clip + frame) % 4 == 0 else "train"
            (tmp_path / "data" / split / label).mkdir(parents=True, exist_ok=True)
            picture.save(tmp_path / "data" / split / label / f"clip{clip}_{frame}.jpg", quality=70)
    run = rg.fit(tmp_path / "data", approaches=["linear_probe"], out=tmp_path / "run")
    by_name = {evaluation.on: evaluation.accuracy.value for evaluation in run.evaluations}
    assert by_name["test"] > 0.8
    assert by_name["cross-validation"] < 0.7
    best = headline_of(run)
    assert best is not None
    assert best.on == "cross-validation"
    leaks = {issue.path for issue in run.issues if issue.issue == "leakage"}
    assert leaks == {row.path for row in run.data.test}
    (check,) = [check for check in trust_checks(run) if check.claim == KNOWN]
    assert check.answer == "careful"
    assert any("not independent" in note for note in run.about.notes)


def test_one_film_a_class_is_scored_in_blocks_and_that_is_said(
    graphs: Path, tmp_path: Path
) -> None:
    write_clips(tmp_path / "data", ("open", "shut"), frames=24, step_px=4)
    run = rg.fit(tmp_path / "data", approaches=["linear_probe"], out=tmp_path / "run")
    assert run.about.audit.series.cut == ("open", "shut")
    assert any("are of one series" in note for note in run.about.notes)
    (check,) = [check for check in trust_checks(run) if check.claim == KNOWN]
    assert check.answer == "no"


def test_groups_of_what_belongs_together_for_folds_of_ones_own(
    graphs: Path, tmp_path: Path
) -> None:
    clips = write_clips(tmp_path, CLASSES)
    data = rg.find_groups(rg.scan(tmp_path))
    of_group: dict[str, set[int]] = {}
    for row in data.ok:
        of_group.setdefault(row.group, set()).add(clips[row.path])
    assert sorted(map(tuple, of_group.values())) == [(clip,) for clip in range(6)]


@pytest.mark.slow
def test_numbered_photos_that_are_no_film(graphs: Path, test_data: Path) -> None:
    found = audit(test_data / "rooms")
    assert len(labels_of(found)) == 0
    assert not found.by_order.differs
    assert "series" not in {issue.issue for issue in found.findings.issues}


@pytest.mark.slow
def test_photos_of_one_photographer_are_found_by_the_numbers_of_their_site(
    graphs: Path, test_data: Path
) -> None:
    """Six pairs, each of one animal or one bush: the same ant is in training and in test."""
    found = audit(test_data / "hymenoptera")
    series = labels_of(found)
    pairs = {
        tuple(found.findings.rows[i].path for i in series.members(number))
        for number in range(len(series))
    }
    assert len(pairs) <= 8
    assert (
        "train/ants/470127037_513711fd21.jpg",
        "val/ants/470127071_8b8ee2bd74.jpg",
    ) in pairs
    assert not found.by_order.differs
