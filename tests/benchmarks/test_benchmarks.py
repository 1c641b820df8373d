"""Benchmarks are code that others rely on: they import, register, print and run at tiny sizes.

No timing is asserted anywhere.
"""

from __future__ import annotations

import hashlib
import importlib
import inspect
import os
import sys
from pathlib import Path

import pytest

from benchmarks import __main__ as command_line
from benchmarks import data, fit_speed, machine, memory, registry, rows, scan_speed, timing
from regraft.metrics.rates import Estimate
from regraft.storage.files import cache_dir
from tests.browser import chromium

BENCHMARKS = registry.BENCHMARKS
Row = rows.Row
FOLDER = Path(data.__file__).parent
HELPERS = {"__init__", "__main__", "rows", "data", "timing", "machine", "registry"}
HELPERS |= {"pools", "batched", "served", "recordings"}


def test_every_module_imports_and_says_what_it_is() -> None:
    names = sorted(path.stem for path in FOLDER.glob("*.py"))
    modules = [importlib.import_module(f"benchmarks.{name}") for name in names if name[0] != "_"]

    assert all(inspect.getdoc(module) for module in modules)
    assert len(modules) == len(names) - 2 >= len(BENCHMARKS)


def test_every_benchmark_opens_with_command_data_and_expected_figures() -> None:
    for name in BENCHMARKS:
        text = inspect.getdoc(importlib.import_module(f"benchmarks.{name}")) or ""
        assert f"Command   python -m benchmarks {name}\n" in text
        assert "\nData      " in text
        assert "\nExpected  " in text
    assert len(BENCHMARKS) == 22


def test_every_file_is_a_benchmark_or_serves_one() -> None:
    rivals = {"plain_torch", "fastai_rooms", "fastai_textile"}
    assert {path.stem for path in FOLDER.glob("*.py")} == HELPERS | rivals | set(BENCHMARKS)


def test_every_benchmark_runs_without_arguments() -> None:
    for run in BENCHMARKS.values():
        parameters = inspect.signature(run).parameters.values()
        assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in parameters)


@pytest.mark.parametrize(
    ("value", "reached", "kept"),
    [(4.0, True, True), (4.1, True, False), (3.9, False, True), (float("nan"), False, False)],
)
def test_targets_include_their_limit_and_no_number_meets_none(
    value: float, reached: bool, kept: bool
) -> None:
    assert rows.at_least("ratio", value, 4, measured="x").met is reached
    assert rows.at_most("seconds", value, 4, measured="x").met is kept


def test_a_target_is_written_as_given_or_from_its_limit() -> None:
    assert rows.at_least("ratio", 5, 4.5, measured="5").target == "at least 4.5"
    assert rows.at_most("time", 5, 8, measured="5 s", target="at most 8 s").target == "at most 8 s"


def test_table_is_aligned_markdown_and_escapes_bars() -> None:
    found = {
        "speed": [Row("embed", "120", "at least 4", True), Row("torch|eager", "9\n8")],
        "memory": [Row("peak", "2 GiB", "at most 1", False)],
    }

    assert rows.markdown_table(found) == (
        "| benchmark | what         | measured | target     | met |\n"
        "| --------- | ------------ | -------- | ---------- | --- |\n"
        "| speed     | embed        | 120      | at least 4 | yes |\n"
        "| speed     | torch\\|eager | 9 8      |            |     |\n"
        "| memory    | peak         | 2 GiB    | at most 1  | NO  |\n"
    )


def test_numbers_are_written_with_interval_or_range() -> None:
    assert rows.rate_text(Estimate(0.95, 0.764, 0.9911, "wilson")) == "0.950 [0.764, 0.991]"
    assert rows.spread_text([3.0, 1.0, 2.0], digits=1, unit="s") == "2.0 (1.0 to 3.0) s"
    assert rows.spread_text([1234.4], digits=0, unit="images/s") == "1,234 images/s"


def test_machine_names_cores_and_versions() -> None:
    text = machine.describe_machine()
    assert "cores of" in text
    assert "onnxruntime" in text
    assert "load at the start" in text


def test_main_prints_and_writes_the_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "table.md"
    fake = {"good": lambda: [Row("answer", "42", "at least 40", True)], "other": list[Row]}

    assert command_line.main(["good", "--write", str(file)], fake) == 0

    printed = capsys.readouterr().out
    assert printed == file.read_text(encoding="utf-8")
    assert "| good      | answer | 42       | at least 40 | yes |" in printed
    assert "other" not in printed


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["speed"], "there is no benchmark 'speed'; expected good"),
        (["good", "--write", "absent/table.md"], "there is no folder absent"),
    ],
)
def test_main_refuses_what_it_cannot_do_before_it_starts(
    arguments: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        command_line.main(arguments, {"good": list[Row]})

    assert left.value.code == 2
    assert expected in capsys.readouterr().err


def test_a_broken_benchmark_does_not_lose_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def broken() -> list[Row]:
        raise ValueError("no such thing")

    assert command_line.main([], {"bad": broken, "good": lambda: [Row("answer", "42")]}) == 1

    printed = capsys.readouterr().out
    assert "| bad       | failed | ValueError: no such thing |" in printed
    assert "| good      | answer | 42 " in printed


def test_a_skipped_benchmark_says_why_and_is_no_failure() -> None:
    def skipped() -> list[Row]:
        raise rows.SkippedError("there are no photos")

    assert command_line.run_one("photos", skipped) == (
        [Row("skipped", "there are no photos")],
        True,
    )


def test_absent_photos_are_skipped_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGRAFT_TEST_DATA", str(tmp_path))

    with pytest.raises(rows.SkippedError, match=r"there is no .*rooms; set REGRAFT_TEST_DATA to"):
        data.photo_folder("rooms")


def test_real_photos_are_those_the_figures_are_for(
    test_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = data.photo_data("rooms")

    assert found.root == (test_data / "rooms").resolve()
    assert (len(found.train), len(found.test)) == (192, 20)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("before", [None, "elsewhere"])
def test_own_cache_is_apart_and_leaves_things_as_they_were(
    before: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    if before is not None:
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / before))
    users = cache_dir()

    with data.own_cache():
        inside = cache_dir()
        inside.mkdir(parents=True)

    assert inside != users
    assert not inside.exists()
    assert cache_dir() == users
    assert ("XDG_CACHE_HOME" in os.environ) is (before is not None)


def test_alternatives_take_turns() -> None:
    order: list[str] = []

    def case(name: str, seconds: float) -> float:
        order.append(name)
        return seconds

    found = timing.take_turns({"a": lambda: case("a", 1), "b": lambda: case("b", 2)}, repeats=3)

    assert order == ["a", "b"] * 3
    assert found == {"a": [1, 1, 1], "b": [2, 2, 2]}


def test_a_process_is_timed_from_outside_and_its_failure_shown() -> None:
    seconds, out, _ = timing.run_process([sys.executable, "-c", "print(6 * 7)"])
    assert seconds > 0
    assert out == "42\n"
    with pytest.raises(RuntimeError, match=r"left with 1:[\s\S]*ZeroDivisionError"):
        timing.run_process([sys.executable, "-c", "1 / 0"])


def test_slow_imports_are_found_in_the_list_of_imports() -> None:
    _, _, listed = timing.run_process(
        [sys.executable, "-X", "importtime", "-c", "import json.tool"]
    )

    assert {"json", "argparse"} <= fit_speed.imported_packages(listed)
    assert fit_speed.imported_packages(
        "import time:  1 |  2 |   torch.nn\nloading torchvision"
    ) == {"torch"}


def test_private_memory_is_read_from_the_status_of_a_process() -> None:
    assert memory.private_gib("Name:\tx\nRssAnon:\t 1572864 kB\nRssFile:\t 9 kB\n") == 1.5
    assert memory.private_gib("Name:\tx\nState:\tZ (zombie)\n") == 0.0


def test_generated_files_all_differ(tmp_path: Path) -> None:
    scan_speed.make_files(tmp_path, 30)

    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len({hashlib.sha256(path.read_bytes()).digest() for path in files}) == len(files) == 30
    assert {path.suffix for path in files} == {".jpg", ".png"}


def test_scan_speed_at_a_tiny_size() -> None:
    found = scan_speed.run(files=40, repeats=1)

    assert [row.name for row in found] == [
        "scan of 40 small files, headers only",
        "scan of 40 small files, every image decoded",
    ]
    assert all(row.met and row.target == "below 60 s" for row in found)
    assert all("files/s" in row.measured for row in found)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "arguments", "count", "last"),
    [
        ("embed_speed", "repeats=1, photos=2", 11, "of embed and of plain PyTorch"),
        ("fit_speed", "repeats=1, fastai=False", 4, "measured='none', target='none', met=True"),
        ("memory", "small=2, large=4", 3, "target='at most 1.2 times', met=True"),
        ("train_memory", "images=60, candidates=('Scratch(epochs=1)',)", 1, "met=True"),
        pytest.param(
            *("report_speed", "photos=0, repeats=1", 4, "target='below 6 MB', met=True"),
            marks=pytest.mark.skipif(bool(chromium.why_not()), reason="needs a browser"),
        ),
    ],
)
def test_slow_benchmarks_at_a_tiny_size(
    name: str, arguments: str, count: int, last: str, test_data: Path
) -> None:
    """In a process of their own: they import torch, whose warnings are not ours to answer for."""
    code = f"from benchmarks.{name} import run\nfor row in run({arguments}): print(row)\n"

    _, printed, _ = timing.run_process([sys.executable, "-c", code])

    lines = printed.splitlines()
    assert len(lines) == count
    assert last in lines[-1]
    assert "nan" not in printed
