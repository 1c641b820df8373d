"""What people type and see: help, options, exit codes, where output goes, hints to copy."""

from __future__ import annotations

import io
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from PIL import Image
from rich.console import Console

from regraft import workflow
from regraft._version import __version__
from regraft.approaches import APPROACHES
from regraft.commands import app
from regraft.commands.drawing.figures import clock_time
from regraft.commands.drawing.predict import show_predictions
from regraft.commands.drawing.progress import live_progress
from regraft.commands.durations import parse_duration
from regraft.errors import UsageError
from regraft.model import Prediction
from regraft.progress import NOTE
from tests.commands import QUICK, CommandLine, process, read_json, snapshot
from tests.conftest import MakeImageFolder

COMMANDS: Any = typer.main.get_command(app.app)
NAMES = {
    *("fit", "plan", "scan", "audit", "predict", "evaluate", "explain", "report", "review"),
    *("export", "serve", "watch", "timeline", "correct", "rollback", "backbones", "cache"),
    "track",
}
LEAVES = [*sorted(NAMES - {"cache"}), "cache show", "cache clear"]


@pytest.fixture
def run_folder(
    made_once: Path, warm_cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """The run folder of `photos`; with `more`, they are in the working folder, the cache warm."""
    for name in ("photos", "more"):
        shutil.copytree(made_once / name, tmp_path / name)
    shutil.copytree(made_once / "run", tmp_path / "runs" / "photos", copy_function=os.link)
    monkeypatch.chdir(tmp_path)
    return Path("runs/photos")


# --- help, version, completion


def test_the_commands_are_those_of_the_design() -> None:
    assert set(COMMANDS.commands) == NAMES
    assert set(COMMANDS.commands["cache"].commands) == {"show", "clear"}


@pytest.mark.parametrize("name", LEAVES)
def test_every_help_explains_itself_with_an_example(regraft: CommandLine, name: str) -> None:
    found = regraft.done(*name.split(), "--help")
    assert found.err == ""
    assert f"Usage: regraft {name}" in found.out
    (example,) = re.findall(r"Example: (regraft .*)", found.out)
    _assert_runnable(example)
    assert max(map(len, found.out.splitlines())) <= 80
    assert regraft.done(*name.split(), "-h").out == found.out


@pytest.mark.parametrize("name", ["fit", "plan"])
def test_help_names_every_approach(regraft: CommandLine, name: str) -> None:
    text = " ".join(regraft.done(name, "--help").out.split())
    assert f"To try: {', '.join(APPROACHES)}; repeatable." in text


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_and_argument_is_explained(name: str) -> None:
    checked = 0
    for parameter in _find(name).params:
        checked += 1
        assert parameter.help, f"{name} {parameter.name}"
    assert checked or name == "none"


def test_the_overview_names_every_command(regraft: CommandLine) -> None:
    text = regraft.done("--help").out
    for name in NAMES:
        assert re.search(rf"^  {name} +\S", text, flags=re.MULTILINE)
    assert "..." not in text.partition("Commands:")[2], "a description is cut short"


@pytest.mark.parametrize("arguments", [(), ("cache",)])
def test_without_a_command_help_is_shown(regraft: CommandLine, arguments: tuple[str, ...]) -> None:
    found = regraft(*arguments)
    assert found.code == 2
    assert found.out == ""
    assert "Usage: regraft" in found.err


def test_version(regraft: CommandLine) -> None:
    assert regraft.done("--version").out == f"regraft {__version__}\n"
    assert process("--version").stdout == f"regraft {__version__}\n"


def test_help_imports_nothing_that_takes_time() -> None:
    code = (
        "import sys\nfrom regraft.commands.app import run\nassert run(['fit', '--help']) == 0\n"
        "heavy = {'rich', 'numpy', 'PIL', 'onnxruntime', 'sklearn', 'regraft.workflow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_completion_of_commands_and_options() -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("no bash")
    folder = Path(sys.executable).parent
    script = (
        f'PATH="{folder}:$PATH"; regraft() {{ "{sys.executable}" -m regraft "$@"; }}\n'
        'complete_script="$(regraft --show-completion)"; echo "$complete_script" | tail -1\n'
    )
    done = subprocess.run([bash, "-c", script], capture_output=True, text=True, check=True)
    assert "regraft" in done.stdout
    for words, expected in (
        ("regraft ev", ["evaluate"]),
        ("regraft fit --app", ["--approach"]),
        ("regraft predict model x --format j", ["json"]),
    ):
        environment = os.environ | {
            "_REGRAFT_COMPLETE": "complete_bash",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        assert process(env=environment).stdout.split() == expected


# --- exit codes and errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fitt", "no such command 'fitt'. Did you mean 'fit'?; see: regraft --help"),
        ("--bogus", "no such option: --bogus; see: regraft --help"),
        ("fit", "missing argument 'DATA'; see: regraft fit --help"),
        ("fit a b", "unexpected extra argument"),
        ("fit a --seed x", "invalid value for '--seed'"),
        ("fit a --seed -1", "invalid value for '--seed'"),
        ("audit a --seed -1", "invalid value for '--seed'"),
        ("fit a --jobs 0", "invalid value for '--jobs'"),
        ("fit a --resize cut", "'cut' is not one of 'crop', 'pad', 'squash'"),
        ("scan a --format xml", "'xml' is not one of 'text', 'csv', 'json'"),
        ("fit a --budget soon", "the budget is 'soon', expected a duration with its unit, such as"),
        ("fit a --budget 5", "the budget is '5', expected a duration with its unit, such as 90s"),
        ("fit a --budget 0", "the budget is '0'"),
        ("fit a --approach magic", "there is no approach 'magic'; expected linear_probe, knn"),
        ("plan a --approach magic", "there is no approach 'magic'; expected linear_probe, knn"),
        ("plan a --format xml", "'xml' is not one of 'text', 'csv', 'json'"),
        ("scan . --image-dir x", "give --labels as well"),
    ],
)
def test_wrong_usage_is_one_line_and_exit_code_2(
    regraft: CommandLine, arguments: str, message: str
) -> None:
    found = regraft(*arguments.split())
    assert found.code == 2
    assert found.out == ""
    assert message in found.error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("fit missing", "there is no missing"),
        ("scan missing", "there is no missing"),
        ("plan missing", "there is no missing"),
        ("predict missing a.jpg", "there is no folder missing; give a model folder or the --out"),
        ("evaluate missing .", "there is no folder missing"),
        ("report missing", "missing is not a run folder: it has no run.json"),
        ("explain missing", "missing is not a run folder: it has no run.json"),
        ("explain missing a.jpg", "there is no folder missing; give a model folder or the --out"),
        ("fit . --backbone efficientnet", "no backbone named 'efficientnet'; did you mean"),
    ],
)
def test_a_failure_is_one_line_and_exit_code_1(
    regraft: CommandLine, arguments: str, message: str, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    found = regraft(*arguments.split())
    assert found.code == 1
    assert message in found.error
    assert not any(tmp_path.iterdir())


def test_a_defect_is_one_line_unless_asked(
    regraft: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workflow, "fit", _raising(ZeroDivisionError("first\nsecond")))
    message = regraft("fit", "x").error
    assert message.startswith("unexpected ZeroDivisionError: first; this is a defect in regraft")
    assert "REGRAFT_TRACEBACK=1" in message
    monkeypatch.setenv("REGRAFT_TRACEBACK", "1")
    with pytest.raises(ZeroDivisionError):
        app.run(["fit", "x"])


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (MemoryError(), "out of memory; try fewer worker threads, such as --jobs 1"),
        (OSError(28, "No space left on device", "a.json"), "No space left on device: 'a.json'"),
        (RecursionError("too deep"), "unexpected RecursionError"),
    ],
)
def test_what_nobody_foresaw_is_one_line(
    regraft: CommandLine, monkeypatch: pytest.MonkeyPatch, error: Exception, message: str
) -> None:
    monkeypatch.setattr(workflow, "fit", _raising(error))
    found = regraft("fit", "x")
    assert found.code == 1
    assert message in found.error


def _import_error_after_an_interrupt() -> ImportError:
    error = ImportError("initialization of _core raised an unreported exception")
    error.__cause__ = KeyboardInterrupt()
    return error


@pytest.mark.parametrize("error", [KeyboardInterrupt(), _import_error_after_an_interrupt()])
def test_an_interrupt_is_exit_code_130_and_says_how_to_go_on(
    regraft: CommandLine, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(workflow, "fit", _raising(error))
    found = regraft("fit", "x")
    assert found.code == 130
    assert found.err == (
        "interrupted: what was finished is kept; run the same command again to go on\n"
    )


def test_an_interrupt_during_the_first_imports_is_one_line_too() -> None:
    code = (
        "import sys\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'typer': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting())\n"
        "from regraft.__main__ import main\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


def test_an_interrupt_in_a_callback_of_python_itself_is_not_lost() -> None:
    code = (
        "import signal, time, weakref\n"
        "from regraft import __main__\n"
        "from regraft.commands import app\n"
        "class Thing: pass\n"
        "def run(arguments):\n"
        "    thing = Thing()\n"
        "    kept = weakref.ref(thing, lambda _: signal.raise_signal(signal.SIGINT))\n"
        "    del thing\n"
        "    time.sleep(20)\n"
        "app.run = run\n"
        "__main__.main()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "interrupted\n")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")
def test_output_that_cannot_be_written(make_image_folder: MakeImageFolder) -> None:
    folder = make_image_folder({"a": 2, "b": 2})
    scan = f'"{sys.executable}" -m regraft scan "{folder}" --format csv'
    for redirection, code in (("| head -1", 0), (">&-", 0), ("> /dev/full", 1)):
        script = f'{scan} {redirection}; exit "${{PIPESTATUS[0]}}"'
        done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=False)
        assert done.returncode == code, redirection
        assert "Traceback" not in done.stderr
        assert len(done.stderr.splitlines()) == code


# --- where output goes


@pytest.mark.parametrize("style", ["csv", "json"])
def test_machine_output_is_all_there_is_on_standard_output(
    regraft: CommandLine, run_folder: Path, style: str
) -> None:
    photos = sorted(Path("photos").rglob("*.jpg"))
    expected = {
        ("scan", "photos"): (24, "path"),
        ("predict", run_folder, *photos[:3]): (3, "path"),
        ("evaluate", run_folder, "more"): (6, "metric"),
        ("backbones",): (4, "name"),
        ("cache", "show"): (4, "kind"),
    }
    for command, (count, first) in expected.items():
        found = regraft.done(*command, "--format", style)
        assert found.err == "", command
        if style == "csv":
            assert len(found.rows) == count
            assert next(iter(found.rows[0])) == first
        elif command[0] == "evaluate":
            assert found.data["accuracy"].keys() == {"value", "low", "high", "method"}
        else:
            rows = found.data["parts"] if command[0] == "cache" else found.data
            assert len(rows) == count
            assert first in rows[0]


def test_prose_goes_to_standard_error(regraft: CommandLine, run_folder: Path) -> None:
    for command in (
        ("scan", "photos"),
        ("evaluate", run_folder, "more"),
        ("report", run_folder),
        ("fit", "photos", *QUICK),
        ("cache", "clear", "--features"),
    ):
        found = regraft.done(*command)
        assert found.out == "", command
        assert found.err.strip()


def test_predictions_as_csv_and_json_agree(regraft: CommandLine, run_folder: Path) -> None:
    Path("photos/broken, file.jpg").write_bytes(b"")
    as_csv = regraft.done("predict", run_folder, "photos", "--format", "csv")
    header = "path,predicted,confidence,set,flag,p_clean,p_messy,reason"
    assert as_csv.out.splitlines()[0] == header
    as_json = regraft.done("predict", run_folder, "photos", "--format", "json").data
    assert len(as_json) == len(as_csv.rows) == 25
    for row, item in zip(as_csv.rows, as_json, strict=True):
        assert Path(row["path"]).exists()
        assert row["path"] == item["path"]
        assert row["flag"] == item["flag"]
        assert row["flag"] in ("", "unsure", "unfamiliar", "unreadable")
        if row["flag"] == "unreadable":
            assert [row["predicted"], row["confidence"], row["p_clean"]] == ["", "", ""]
            assert item["reason"] == row["reason"] == "the file is empty"
            continue
        assert float(row["confidence"]) == item["confidence"]
        assert row["set"].split("|") == item["set"] or item["set"] == []
        assert item["confidence"] == max(item["probabilities"].values())
        assert sum(item["probabilities"].values()) == pytest.approx(1, abs=1e-5)


def test_predict_takes_files_folders_and_patterns(regraft: CommandLine, run_folder: Path) -> None:
    def paths(*inputs: str, flag: str = "") -> list[str]:
        rows = regraft.done("predict", run_folder, *inputs, "--format", "csv").rows
        return [row["path"] for row in rows if (row["flag"] == "ignored") is bool(flag)]

    everything = paths("photos")
    assert len(everything) == 24
    assert everything == paths("photos/*") == paths("photos/clean", "photos/messy/*.jpg")
    assert paths("photos/**/1*.jpg") == [p for p in everything if Path(p).name.startswith("1")]
    assert paths(everything[3], "photos/clean") == [
        everything[3],
        *(p for p in everything[:12] if p != everything[3]),
    ]
    Path("photos/.hidden").mkdir()
    shutil.copy(everything[0], "photos/.hidden/a.jpg")
    Path("photos/notes.txt").write_text("no photo", encoding="utf-8")
    assert paths("photos") == everything
    assert paths("photos", flag="ignored") == ["photos/.hidden/a.jpg", "photos/notes.txt"]


def test_what_predict_passes_over_is_told_and_listed(
    regraft: CommandLine, run_folder: Path
) -> None:
    Path("new").mkdir()
    shutil.copy(next(Path("photos/clean").iterdir()), "new/1.jpg")
    for name in ("IMG_1.NEF", "photo.jpg_large", "noext"):
        shutil.copy("new/1.jpg", f"new/{name}")
    shown = regraft.done("predict", run_folder, "new")
    assert len(shown.out.splitlines()) == 2
    assert "3 ignored: not looked at\n  new/IMG_1.NEF: not an image (.NEF)\n" in shown.err
    assert "1 file: 1 " in shown.err
    rows = regraft.done("predict", run_folder, "new", "--format", "csv").rows
    assert [(row["path"], row["flag"], row["reason"]) for row in rows[1:]] == [
        ("new/IMG_1.NEF", "ignored", "not an image (.NEF)"),
        ("new/noext", "ignored", "not an image (no suffix)"),
        ("new/photo.jpg_large", "ignored", "not an image (.jpg_large)"),
    ]
    items = regraft.done("predict", run_folder, "new", "--format", "json").data
    assert [item["reason"] for item in items] == [row["reason"] for row in rows]
    assert items[1]["probabilities"] == {}


def test_predict_takes_tables_of_photos(regraft: CommandLine, run_folder: Path) -> None:
    photos = sorted(Path("photos/messy").iterdir())[:3]
    lines = [f"messy/{path.stem},messy" for path in photos]
    Path("test.csv").write_text("\n".join(["image_id,label", *lines, "gone,clean"]) + "\n")
    rows = regraft.done("predict", run_folder, "test.csv", "--format", "csv").rows
    assert [row["path"] for row in rows] == [*map(str, photos), "gone"]
    assert rows[-1]["reason"] == "not found; named in line 5 of test.csv"
    Path("lists").mkdir()
    Path("test.csv").rename("lists/test.csv")
    error = regraft("predict", run_folder, "lists/test.csv").error
    assert "none of the 4 names in test.csv" in error
    assert "give the folder with --image-dir" in error
    options = ("--image-dir", "photos", "--path-column", "image_id", "--format", "csv")
    assert regraft.done("predict", run_folder, "lists/test.csv", *options).rows == rows
    unseen = [f"messy/{path.stem},messy" for path in sorted(Path("more/messy").iterdir())]
    Path("lists/more.csv").write_text("\n".join(["image_id,label", *unseen]) + "\n")
    scored = regraft.done("evaluate", run_folder, "lists/more.csv", "--image-dir", "more")
    assert "of 6 test photos" in scored.err


def test_nothing_to_predict_is_wrong_usage(regraft: CommandLine, run_folder: Path) -> None:
    found = regraft("predict", run_folder)
    assert found.code == 2
    assert found.error == "nothing to predict; give files, folders, patterns, a table or --text"
    found = regraft("predict", run_folder, "--text", "hello")
    assert found.error == "the model reads photos, and --text is for models of texts; give files"


def test_an_evaluation_finds_the_classes_below_other_folders(
    regraft: CommandLine, run_folder: Path
) -> None:
    for i, path in enumerate(sorted(Path("more/messy").iterdir())[:4]):
        place = Path(f"later/cam1/messy/day{i % 2}")
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place)
    found = regraft.done("evaluate", run_folder, "later", "--format", "json").data
    assert found["n"] == 4
    assert found["per_class"]["messy"]["n"] == 4


def test_a_model_folder_does_as_well_as_its_run(regraft: CommandLine, run_folder: Path) -> None:
    of_run = regraft.done("predict", run_folder, "photos", "--format", "csv")
    of_model = regraft.done("predict", run_folder / "model", "photos", "--format", "csv")
    assert of_run.out == of_model.out


def test_when_nothing_can_be_read_predict_fails(regraft: CommandLine, run_folder: Path) -> None:
    Path("text.jpg").write_text("hello", encoding="utf-8")
    found = regraft("predict", run_folder, "text.jpg", "--format", "csv")
    assert found.code == 1
    assert found.rows[0]["flag"] == "unreadable"
    assert "none of the 1 files could be read; the first is text.jpg" in found.error


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


def test_evaluate_takes_a_label_table(regraft: CommandLine, run_folder: Path) -> None:
    lines = [f"{path.name},{path.parent.name}" for path in sorted(Path("more").rglob("*.jpg"))]
    Path("flat").mkdir()
    for path in Path("more/clean").iterdir():
        shutil.copy(path, "flat")
    table = "bild,art\n" + "\n".join(line for line in lines if line.endswith("clean"))
    Path("labels.csv").write_text(table, encoding="utf-8")
    columns = ("--path-column", "bild", "--label-column", "art", "--format", "json")
    of_table = regraft.done("evaluate", run_folder, "labels.csv", "--image-dir", "flat", *columns)
    of_folder = regraft.done("evaluate", run_folder, "flat", "--labels", "labels.csv", *columns)
    assert of_table.data == of_folder.data
    assert of_table.data["n"] == len(table.splitlines()) - 1


def test_backbones(regraft: CommandLine, graphs: Path) -> None:
    for item in regraft.done("backbones", "--format", "json").data:
        assert item["input_size"][0] == (256 if item["task"] == "sentence similarity" else 3)
        assert item.keys() >= {
            *("name", "source", "task", "pretrained_on", "input_size", "mean", "std"),
            *("interpolation", "crop_pct", "licence", "parameters", "feature_width"),
            "available_offline",
        }
    text = regraft.done("backbones")
    assert "efficientnet_lite0" in text.out
    assert max(map(len, text.out.splitlines())) <= 80
    assert "regraft backbones --measure" in text.err


@pytest.mark.slow
def test_backbones_are_measured_here(
    regraft: CommandLine, graphs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    only = [b for b in cli_backbones() if b.name == "efficientnet_lite0"]
    monkeypatch.setattr("regraft.catalogue.list_backbones", lambda: tuple(only))
    found = regraft.done("backbones", "--measure", "--format", "json").data
    assert found[0]["images_per_second"] > 1
    assert regraft.done("backbones", "--format", "json").data == found


def cli_backbones() -> Any:
    from regraft.catalogue import list_backbones

    return list_backbones()


def test_the_cache_is_shown_and_cleared(
    regraft: CommandLine, run_folder: Path, own_cache: Path
) -> None:
    shown = regraft.done("cache", "show", "--format", "json").data
    assert shown["folder"] == str(own_cache)
    features = next(part for part in shown["parts"] if part["kind"] == "features")
    assert features["detail"] == "24 vectors"
    assert str(own_cache) in regraft.done("cache", "show").out
    assert regraft.done("cache", "clear", "--features").err.startswith("freed ")
    after = {p["kind"]: p for p in regraft.done("cache", "show", "--format", "json").data["parts"]}
    assert after["features"]["bytes"] == 0
    assert after["graphs"]["bytes"] > 0
    assert (run_folder / "model" / "model.onnx").exists()


def test_parts_of_the_cache_are_cleared_alone(regraft: CommandLine, own_cache: Path) -> None:
    files = [
        own_cache / "features" / "a.sqlite",
        own_cache / "graphs" / "b.onnx",
        own_cache / "activations" / "c.bin",
    ]

    def fill() -> None:
        for path in files:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(bytes(1_500_000))

    for option, left in (
        ("--features", [False, True, True]),
        ("--graphs", [True, False, True]),
        ("--activations", [True, True, False]),
    ):
        fill()
        assert regraft.done("cache", "clear", option).err.startswith("freed 1.5 MB\n")
        assert [path.exists() for path in files] == left
    fill()
    freed = regraft.done("cache", "clear", "--features", "--activations").err
    assert freed.startswith("freed 3.0 MB\n")
    assert [path.exists() for path in files] == [False, True, False]
    fill()
    assert regraft.done("cache", "clear").err.startswith("freed 4.5 MB\n")
    assert not any(path.exists() for path in files)
    assert regraft.done("cache", "clear").err.startswith("freed 0.0 MB\n")


def test_a_cache_limit_that_is_no_number(
    regraft: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REGRAFT_CACHE_GB", "plenty")
    found = regraft("cache", "show")
    assert found.code == 2
    assert "REGRAFT_CACHE_GB is 'plenty', expected a number of gigabytes" in found.error


# --- plan


@pytest.fixture
def planned_once(graphs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`plan` answers the same arguments from memory, and knows how fast the backbone is."""
    from regraft.catalogue import get_backbone, remember_speed

    shared = (graphs / "graphs").resolve()  # where a speed would be seen by other tests
    (graphs / "graphs").unlink()
    shutil.copytree(shared, graphs / "graphs", copy_function=os.link)
    remember_speed(get_backbone("efficientnet_lite0"), 100.0)
    known: dict[str, Any] = {}
    real = workflow.plan

    def plan(*given: Any, **options: Any) -> workflow.Plan:
        key = repr((given, {name: v for name, v in options.items() if name != "progress"}))
        if key not in known:
            known[key] = real(*given, **options)
        return known[key]

    monkeypatch.setattr(workflow, "plan", plan)


def test_plan_as_csv_json_and_text(
    regraft: CommandLine, run_folder: Path, planned_once: None
) -> None:
    options = ("--approach", "linear_probe", "--approach", "scratch")
    plan = regraft.done("plan", "photos", *options, "--format", "json").data
    assert plan.keys() == {
        *("modality", "size", "similarity", "quadrant", "advice", "reason", "source"),
        "candidates",
    }
    assert (plan["size"]["images"], plan["size"]["word"]) == (24, "small")
    assert 0 < plan["similarity"]["value"] < 1
    assert plan["quadrant"] == f"small and {plan['similarity']['word']}"
    titles = ["linear_probe on efficientnet_lite0", "scratch on small_resnet"]
    assert [one["title"] for one in plan["candidates"]] == titles
    probe, scratch = plan["candidates"]
    assert (probe["epochs"], probe["seconds"], probe["fit_seconds"]) == (None, 0.24, 0)
    assert (scratch["epochs"], scratch["reason"]) == (40, "")
    assert scratch["seconds"] > 0
    assert scratch["fit_seconds"] > 0

    as_csv = regraft.done("plan", "photos", *options, "--format", "csv")
    assert as_csv.out.splitlines()[0] == "title,seconds,fit_seconds,epochs,reason"
    assert [row["title"] for row in as_csv.rows] == titles
    assert [float(row["seconds"]) for row in as_csv.rows] == [
        one["seconds"] for one in plan["candidates"]
    ]

    text = regraft.done("plan", "photos", *options)
    assert text.out == ""
    prose = " ".join(text.err.split())
    assert plan["quadrant"].capitalize() in prose
    assert plan["advice"] in prose
    assert "24 training photos of 2 classes, the smallest with 12: small." in prose
    assert re.search(r"^linear_probe on efficientnet_lite0 +moments +moments", text.err, re.M)
    assert re.search(r"^scratch on small_resnet, 40 epochs +\d[\d.]* (s|min)", text.err, re.M)
    assert text.err.rstrip().endswith("next     regraft fit photos")
    assert [path.name for path in Path("runs").iterdir()] == ["photos"], "plan writes no run"


def test_a_plan_says_what_cannot_be_trained(
    regraft: CommandLine, run_folder: Path, planned_once: None
) -> None:
    Path("net.py").write_text("def wrong(classes):\n    return classes\n", encoding="utf-8")
    options = ("--approach", "scratch", "--architecture", "net.py:wrong")
    (one,) = regraft.done("plan", "photos", *options, "--format", "json").data["candidates"]
    assert one["seconds"] is None
    assert one["reason"] == "the architecture returned int, expected a torch.nn.Module"
    assert one["reason"] in " ".join(regraft.done("plan", "photos", *options).err.split())
    (row,) = regraft.done("plan", "photos", *options, "--format", "csv").rows
    assert (row["seconds"], row["reason"]) == ("", one["reason"])


# --- explain


def test_explain_writes_pictures_of_files(regraft: CommandLine, run_folder: Path) -> None:
    photos = sorted(Path("photos/clean").iterdir())[:2]
    Path("photos/broken.jpg").touch()
    twin = Path("photos/messy") / photos[0].name
    shutil.copy(photos[1], twin)
    Path("out").mkdir()
    theirs = Path("out") / f"{photos[1].stem}-explained.png"
    theirs.write_text("somebody's own file", encoding="utf-8")
    given = (*photos, twin, "photos/broken.jpg")
    found = regraft.done("explain", run_folder, *given, "--out", "out")
    rows = [line.split() for line in found.out.splitlines()[1:]]
    written = {row[-1]: Path(row[-2]).name for row in rows}
    assert written == {
        str(photos[0]): f"{photos[0].stem}-explained.png",
        str(photos[1]): f"{photos[1].stem}-explained-2.png",
        str(twin): f"{photos[0].stem}-explained-2.png",
    }
    assert theirs.read_text(encoding="utf-8") == "somebody's own file"
    for name in written.values():
        with Image.open(Path("out") / name) as picture:
            assert picture.size == (120, 90)
    assert "not explained: photos/broken.jpg: the file is empty" in found.err
    assert "With random weights in place of the learned ones the maps change" in found.err
    predicted = regraft.done("predict", run_folder, *photos, "--format", "json").data
    assert [row[0] for row in rows[:2]] == [p["predicted"] for p in predicted]

    before = sorted(Path("out").iterdir())
    again = regraft.done("explain", run_folder, *given, "--out", "out", "--format", "csv")
    assert sorted(Path("out").iterdir()) == before, "its own pictures are replaced"
    assert again.err == ""
    assert [row["reason"] for row in again.rows] == ["", "", "", "the file is empty"]
    assert {row["picture"] for row in again.rows[:3]} == {f"out/{n}" for n in written.values()}
    data = regraft.done("explain", run_folder / "model", *given, "--format", "json").data
    assert data["sanity_check"]["passed"] is True
    assert [p["picture"] for p in data["photos"]] == [
        f"explanations/{photos[0].stem}-explained.png",
        f"explanations/{photos[1].stem}-explained.png",
        f"explanations/{photos[0].stem}-explained-2.png",
    ]
    assert data["left_out"] == [{"path": "photos/broken.jpg", "reason": "the file is empty"}]


def test_explain_makes_the_maps_of_a_run(regraft: CommandLine, run_folder: Path) -> None:
    assert "show-heat" not in (run_folder / "report.html").read_text(encoding="utf-8")
    kept = {name: (run_folder / name).read_bytes() for name in ("run.json", "predictions.csv")}
    found = regraft.done("explain", run_folder)
    assert found.out == ""
    assert "typical hits explained" in found.err
    assert f"report   {run_folder / 'report.html'}" in found.err
    page = (run_folder / "report.html").read_text(encoding="utf-8")
    assert 'id="show-heat"' in page
    data = read_json(run_folder / "explanations.json")
    assert data["sanity_check"]["passed"] is True
    assert page.count("heat map of what speaks for") == len(data["photos"])
    assert not Path("explanations").exists()
    for name, content in kept.items():
        assert (run_folder / name).read_bytes() == content
    rows = regraft.done("explain", run_folder, "--format", "csv").rows
    assert [row["path"] for row in rows if not row["reason"]] == [p["path"] for p in data["photos"]]


def test_explain_says_why_it_cannot(regraft: CommandLine, run_folder: Path) -> None:
    Path("empty.jpg").touch()
    found = regraft("explain", run_folder, "empty.jpg", "--out", "out")
    assert (found.code, found.out) == (1, "")
    assert "none of the 1 photos can be explained" in found.error
    assert not Path("out").exists()
    regraft.done("fit", "photos", "--approach", "knn", "--out", "runs/knn")
    found = regraft("explain", "runs/knn")
    assert found.code == 1
    assert "a knn model decides by its nearest training photos" in found.error
    assert not Path("runs/knn/explanations.json").exists()


# --- what people copy


@pytest.mark.slow
def test_every_hint_can_be_run(regraft: CommandLine, run_folder: Path, planned_once: None) -> None:
    spaced = Path("two words").resolve()
    shutil.copytree("photos", spaced)
    hints = set()
    for command in (
        ("scan", spaced),
        ("scan", "photos", "--group-column", "patient no"),
        ("plan", "photos", *QUICK),
        ("fit", "photos", *QUICK),
        ("fit", spaced, *QUICK, "--out", "runs/it's"),
        ("predict", run_folder, "photos"),
        ("predict", run_folder, "photos/clean", "photos/messy"),
        ("evaluate", run_folder, "more"),
        ("report", run_folder),
        ("explain", run_folder),
        ("explain", run_folder, "photos/clean"),
        ("backbones",),
        ("cache", "show"),
        ("cache", "clear", "--features"),
    ):
        err = regraft.done(*command).err
        found = re.findall(r"^next     (.*)$", err, flags=re.MULTILINE)
        assert len(found) == 1, f"{command}: {err}"
        assert err.rstrip().endswith(found[0]), "the hint comes last"
        hints.add(found[0])
    assert len(hints) >= 10
    for hint in hints:
        _assert_runnable(hint)
    assert f"regraft fit '{spaced}'" in hints
    assert "regraft fit photos --group-column 'patient no'" in hints


def test_nothing_that_is_copied_is_broken_on_a_narrow_terminal(
    regraft: CommandLine, run_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    long = Path("a folder whose name is longer than a terminal is wide, as happens") / "photos"
    long.parent.mkdir()
    shutil.copytree("photos", long)
    (long / "clean" / "empty file with quite a long name indeed.jpg").touch()
    fit = regraft.done("fit", long, *QUICK, "--out", long.parent / "run")
    scan = regraft.done("scan", long)
    predict = regraft.done("predict", run_folder, long)
    evaluate = regraft.done("evaluate", long.parent / "run", "more")
    report = long.parent / "run" / "report.html"
    assert f"report   {report}\n" in fit.err
    assert f"regraft predict '{long.parent / 'run'}' new_photo.jpg" in fit.err
    assert f"regraft fit '{long}'" in scan.err
    unreadable = "clean/empty file with quite a long name indeed.jpg: the file is empty"
    assert unreadable in scan.err
    assert unreadable in fit.err
    assert len(predict.out.splitlines()) == 1 + 25
    for line in predict.out.splitlines()[1:]:
        assert str(long) in line
    assert "95 % interval" in evaluate.err


def test_file_names_cannot_break_a_line(regraft: CommandLine, run_folder: Path) -> None:
    odd = Path("photos/clean/first\nsecond\x1b[31m.jpg")
    shutil.copy(next(Path("photos/clean").iterdir()), odd)
    (odd.parent / "third\nfourth.jpg").touch()
    lines = regraft.done("predict", run_folder, odd).out.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith(r"photos/clean/first\nsecond\x1b[31m.jpg")
    assert r"clean/third\nfourth.jpg: the file is empty" in regraft.done("scan", "photos").err
    rows = regraft.done("predict", run_folder, odd, "--format", "csv").rows
    assert rows[0]["path"] == str(odd)
    assert r"there is no no\nsuch" in regraft("fit", "no\nsuch").error


def test_tables_are_utf8_whatever_the_locale(made_once: Path, tmp_path: Path) -> None:
    folder = tmp_path / "照片"
    shutil.copytree(made_once / "photos", folder)
    environment = os.environ | {"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"}
    run = made_once / "run"
    more = tmp_path / "更多"
    shutil.copytree(made_once / "more", more)
    for command in (["scan", folder], ["predict", run, folder], ["evaluate", run, more]):
        done = process(*command, env=environment, encoding="utf-8")
        assert done.returncode == 0, done.stderr
        table = process(*command, "--format", "csv", env=environment, encoding="utf-8")
        assert table.returncode == 0, table.stderr
        if command[0] == "predict":
            assert "照片" in done.stdout
            assert "照片" in table.stdout


def test_columns_stay_aligned_whatever_names_hold() -> None:
    predictions = [
        _prediction("a.jpg", "照片", ("照片",)),
        _prediction("[red]b[/red].jpg", "[bold]x[/bold]", ("[bold]x[/bold]", "照片"), "unsure"),
        _prediction("c.jpg", "plain", (), "unfamiliar"),
        Prediction("d.jpg", "", float("nan"), (), (), float("nan"), "unreadable", "[dim] empty"),
    ]
    out, prose = io.StringIO(), io.StringIO()
    show_predictions(
        Console(file=out, width=40), Console(file=prose, width=80), predictions, next_command="x"
    )
    assert out.getvalue().splitlines() == [
        "predicted       confidence  flag        cannot be excluded    file",
        "照片                 0.900              照片                  a.jpg",
        "[bold]x[/bold]       0.900  unsure      [bold]x[/bold], 照片  [red]b[/red].jpg",
        "plain                0.900  unfamiliar  none fits well        c.jpg",
        "                            unreadable                        d.jpg ([dim] empty)",
    ]
    text = prose.getvalue()
    assert "4 files: 1 照片, 1 [bold]x[/bold], 1 plain" in text
    for flag in ("unsure", "unfamiliar", "unreadable"):
        assert f"1 {flag}: " in text


def test_run_json_keeps_the_command_as_typed(regraft: CommandLine, run_folder: Path) -> None:
    regraft.done("fit", "photos", *QUICK, "--out", "runs/it's mine")
    assert read_json(Path("runs/it's mine/run.json"))["command"] == (
        "regraft fit photos --approach linear_probe --out 'runs/it'\"'\"'s mine'"
    )


def test_runs_without_a_name_do_not_collide(regraft: CommandLine, run_folder: Path) -> None:
    before = (run_folder / "run.json").read_bytes()
    regraft.done("fit", "photos", *QUICK)
    assert sorted(path.name for path in Path("runs").iterdir()) == ["photos", "photos-2"]
    said = regraft.done("fit", "photos", *QUICK).err
    assert "runs/photos holds a finished run, so this one goes to runs/photos-3\n" in said
    assert (run_folder / "run.json").read_bytes() == before


def test_the_report_can_be_written_elsewhere(regraft: CommandLine, run_folder: Path) -> None:
    (run_folder / "report.html").unlink()
    regraft.done("report", run_folder, "--out", "shared.html")
    assert "<html" in Path("shared.html").read_text(encoding="utf-8")
    assert not (run_folder / "report.html").exists()
    regraft.done("report", run_folder)
    assert (run_folder / "report.html").exists()
    found = regraft("report", run_folder, "--out", "no/such/folder/a.html")
    assert "could not write no/such/folder/a.html" in found.error


# --- progress


@pytest.fixture
def screen() -> Console:
    return Console(file=io.StringIO(), force_terminal=True, width=80, color_system=None)


def _drawn(screen: Console) -> str:
    assert isinstance(screen.file, io.StringIO)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", screen.file.getvalue())


def test_a_bar_shows_how_many_and_how_long(screen: Console) -> None:
    with live_progress(screen, show_after_s=0.0) as progress:
        progress("a slow beginning", 0, NOTE)
        progress("a slow beginning", 0, NOTE)
        progress("listing", 1_234, 0)
        for done in range(0, 2_001, 500):
            progress("features of [a network]", done, 2_000)
            screen.file.flush()
            _redraw()
    drawn = _drawn(screen)
    assert drawn.count("a slow beginning") == 1
    assert "features of [a network]" in drawn
    assert re.search(r"500/2,000, \d:\d\d", drawn)


def _redraw() -> None:
    import time

    time.sleep(0.15)  # the bars are drawn ten times a second


def test_quick_steps_draw_nothing(screen: Console) -> None:
    with live_progress(screen) as progress:
        for done in range(11):
            progress("features", done, 10)
    assert "features" not in _drawn(screen)


def test_without_a_terminal_a_line_now_and_then() -> None:
    console = Console(file=io.StringIO(), width=80)
    with live_progress(console, plain_every_s=0.0) as progress:
        progress("exporting, once", 0, NOTE)
        progress("exporting, once", 0, NOTE)
        for done in range(3):
            progress("features", done, 2)
    assert isinstance(console.file, io.StringIO)
    assert console.file.getvalue().splitlines() == [
        "exporting, once",
        "features: 0 of 2",
        "features: 1 of 2",
    ]


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0:00"), (59.6, "1:00"), (754, "12:34"), (3_661, "1:01:01")]
)
def test_times_are_short(seconds: float, shown: str) -> None:
    assert clock_time(seconds) == shown


# --- durations


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("90s", 90), ("5m", 300), ("1.5h", 5400), ("1h30m", 5400), (" 2M ", 120)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", "0", "0s", "5", "1h30", "-5", "5 minutes", "m", "1m1h", "nan", "inf", "1e3"]
)
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(UsageError, match="expected a duration with its unit, such as 90s, 5m or"):
        parse_duration(text)


def test_nothing_needs_no_unit_where_it_is_allowed() -> None:
    assert parse_duration("0", "hold", zero=True) == 0
    with pytest.raises(UsageError, match="the hold is '3', expected a duration with its unit"):
        parse_duration("3", "hold", zero=True)


# --- helpers


def _find(name: str) -> Any:
    command = COMMANDS
    for part in name.split():
        command = command.commands[part]
    return command


def _assert_runnable(line: str) -> None:
    """That a line to copy names a command and options that exist."""
    if line.startswith("pip install"):
        return
    words = list(_words_of_the_command(line))
    assert words[0] == "regraft", line
    name = words[1] if words[1] in NAMES - {"cache"} else " ".join(words[1:3])
    known = {option for parameter in _find(name).params for option in parameter.opts}
    for word in words[2:]:
        if word.startswith("--"):
            assert word in known, f"{line}: no option {word}"


def _words_of_the_command(line: str) -> Iterator[str]:
    for word in shlex.split(line):
        if word == ">":
            return
        yield word


def _raising(error: BaseException) -> Any:
    def raise_it(*arguments: object, **options: object) -> None:
        raise error

    return raise_it


def _prediction(path: str, predicted: str, kept: tuple[str, ...], flag: str = "") -> Prediction:
    return Prediction(path, predicted, 0.9, (0.9, 0.1), kept, 0.1, flag)


# --- several runs side by side


@pytest.fixture
def second_run(run_folder: Path) -> Path:
    """A copy of the run that was made with another seed."""
    shutil.copytree(run_folder, "runs/second")
    about = read_json(Path("runs/second/run.json"))
    about["settings"]["seed"] = 5
    Path("runs/second/run.json").write_text(json.dumps(about), encoding="utf-8")
    return Path("runs/second")


def test_runs_are_put_side_by_side(
    regraft: CommandLine, run_folder: Path, second_run: Path
) -> None:
    before = {path: snapshot(path) for path in (run_folder, second_run)}
    found = regraft.done("report", run_folder, second_run)
    assert found.out == ""
    assert found.err == (
        "report   comparison.html\nnext     regraft predict runs/photos new_photo.jpg\n"
    )
    text = Path("comparison.html").read_text(encoding="utf-8")
    assert "photos and second" in text
    assert {path: snapshot(path) for path in before} == before


def test_a_page_that_is_there_is_kept(
    regraft: CommandLine, run_folder: Path, second_run: Path
) -> None:
    mine = Path("comparison.html")
    mine.write_text("years of work", encoding="utf-8")
    for out in ((), ("--out", mine)):
        message = regraft("report", run_folder, second_run, *out).error
        assert "comparison.html is there already; add --force to replace it or choose" in message
    assert mine.read_text(encoding="utf-8") == "years of work"
    regraft.done("report", run_folder, second_run, "--out", "other.html")
    assert mine.read_text(encoding="utf-8") == "years of work"
    regraft.done("report", run_folder, second_run, "--force")
    assert "<html" in mine.read_text(encoding="utf-8")


def test_what_cannot_be_shown_is_said_and_the_rest_goes_on(
    regraft: CommandLine, run_folder: Path, second_run: Path
) -> None:
    shutil.copytree(run_folder, "runs/third")
    about = read_json(Path("runs/third/run.json"))
    Path("runs/third/run.json").write_text(json.dumps({**about, "status": "interrupted"}))
    again = second_run / ".." / "second"
    found = regraft.done("report", run_folder, "runs/third", "missing", second_run, again)
    notes = [line for line in found.err.splitlines() if line.startswith("note     ")]
    assert len(notes) == 3
    assert "left out: the run in runs/third is not finished (interrupted)" in notes[0]
    assert "left out: missing is not a run folder" in notes[1]
    assert notes[2] == f"note     {again} was given twice and is shown once"
    text = Path("comparison.html").read_text(encoding="utf-8")
    assert "is not finished (interrupted)" in text
    assert "was given twice and is shown once" in text


@pytest.mark.parametrize(
    ("others", "message"),
    [
        (["runs/photos"], "1 of 2 runs can be shown, expected at least 2: runs/photos was given"),
        (["missing"], "1 of 2 runs can be shown, expected at least 2: left out: missing is not a"),
        (["photos"], "expected at least 2: left out: photos is not a run folder: it has no run"),
    ],
)
def test_fewer_than_two_runs_are_one_line(
    regraft: CommandLine, run_folder: Path, others: list[str], message: str
) -> None:
    found = regraft("report", run_folder, *others)
    assert found.code == 1
    assert message in found.error
    assert not Path("comparison.html").exists()


def test_several_runs_from_python(run_folder: Path, second_run: Path) -> None:
    path = workflow.report([run_folder, second_run], "both.html")
    assert path == Path("both.html")
    assert workflow.report((run_folder, second_run), "both.html") == path, "replaced as asked"
