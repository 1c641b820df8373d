"""Finding a command, its help, and what goes wrong: one line and an exit code."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from regraft import workflow
from regraft._version import __version__
from regraft.approaches import APPROACHES
from regraft.commands import app
from tests.commands import CommandLine, assert_runnable, find_command, process

NAMES = {
    *("fit", "plan", "scan", "audit", "predict", "evaluate", "explain", "report", "review"),
    *("export", "serve", "watch", "timeline", "correct", "rollback", "backbones", "cache"),
    "track",
}
LEAVES = [*sorted(NAMES - {"cache"}), "cache show", "cache clear"]


def test_the_commands_are_those_of_the_design() -> None:
    assert set(find_command("").commands) == NAMES
    assert set(find_command("cache").commands) == {"show", "clear"}


@pytest.mark.parametrize("name", LEAVES)
def test_every_help_explains_itself_with_an_example(regraft: CommandLine, name: str) -> None:
    found = regraft.done(*name.split(), "--help")
    assert found.err == ""
    assert f"Usage: regraft {name}" in found.out
    (example,) = re.findall(r"Example: (regraft .*)", found.out)
    assert_runnable(example)
    assert max(map(len, found.out.splitlines())) <= 80
    assert regraft.done(*name.split(), "-h").out == found.out


@pytest.mark.parametrize("name", ["fit", "plan"])
def test_help_names_every_approach(regraft: CommandLine, name: str) -> None:
    text = " ".join(regraft.done(name, "--help").out.split())
    assert f"To try: {', '.join(APPROACHES)}; repeatable." in text


@pytest.mark.parametrize("name", LEAVES)
def test_every_option_and_argument_is_explained(name: str) -> None:
    checked = 0
    for parameter in find_command(name).params:
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
        ("fit a --approach magic", "there is no approach 'magic'; expected multilayer_probe, l"),
        ("plan a --approach magic", "there is no approach 'magic'; expected multilayer_probe, l"),
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


def _raising(error: BaseException) -> Any:
    def raise_it(*arguments: object, **options: object) -> None:
        raise error

    return raise_it
