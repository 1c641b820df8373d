"""kill -9 at every system call of what replaces a model or a run: one is at work, none is lost."""

from __future__ import annotations

import itertools
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from regraft.errors import RunError
from regraft.model import load
from regraft.runs import NEXT, open_run, read_run
from regraft.runs.promotion import promote, roll_back
from regraft.storage.switching import COMMITTED, LOCK, settled, write_together
from tests.faults import Faults
from tests.reporting.sample_runs import results_of

pytestmark = pytest.mark.slow

SETTINGS: dict[str, object] = {"seed": 1, "backbones": []}
EXPORTED = ("m.md", "m.py", "m.onnx")


# --- what is killed; each is given the folder that holds `run/` and `other/`


def rollback(here: str) -> None:
    roll_back(Path(here) / "run")


def promotion(here: str) -> None:
    promote(read_run(Path(here) / "other"), read_run(Path(here) / "run"))


def forced_fit(here: str) -> None:
    """The end of it: all has been computed and is written now."""
    other = Path(here) / "other"
    with open_run(Path(here) / "run", SETTINGS, force=True) as place:
        place.results = results_of(read_run(other).about)
        for path in other.iterdir():
            if path.name not in ("run.json", "model"):
                shutil.copy(path, place.folder)
        load(other).save(place.folder / "model")


def saving(here: str) -> None:
    load(Path(here) / "other").save(Path(here) / "run" / "model")


def export(here: str) -> None:
    """The three files of an export."""
    busy = RunError("busy")
    write_together(Path(here) / "out", dict.fromkeys(EXPORTED, "new" * 100), busy=busy)


# --- what has to be so afterwards


def name_of(model: Path) -> str:
    """Whose model it is; its hashes are checked on loading."""
    return load(model).made_with


def named(run: Path, name: str) -> None:
    card = json.loads((run / "model" / "model.json").read_text(encoding="utf-8"))
    text = json.dumps(card | {"made_with": name})
    (run / "model" / "model.json").write_text(text, encoding="utf-8")


@pytest.fixture
def prepare(made_once: Path, tmp_path: Path) -> Callable[[], Path]:
    """Makes `run/`, with a model "old" at work and one "older" kept, and `other/` with "new"."""
    for folder, name in (("run", "old"), ("kept", "older"), ("other", "new")):
        shutil.copytree(made_once / "run", tmp_path / "first" / folder)
        named(tmp_path / "first" / folder, name)
    (tmp_path / "first" / "run" / "models").mkdir()
    (tmp_path / "first" / "kept" / "model").rename(tmp_path / "first" / "run" / "models" / "0001")
    shutil.rmtree(tmp_path / "first" / "kept")
    (tmp_path / "first" / "run" / "issues.csv").unlink()
    (tmp_path / "first" / "run" / "issues.csv").write_text(
        "path,issue,score,detail\nold.jpg,outlier,0.1,of the old run\n", encoding="utf-8"
    )
    (tmp_path / "first" / "run" / "training.csv").write_text("of the old run", encoding="utf-8")
    (tmp_path / "first" / "run" / "decisions.csv").write_text("given", encoding="utf-8")
    numbers = itertools.count()

    def copy() -> Path:
        target = tmp_path / str(next(numbers))
        shutil.copytree(tmp_path / "first", target, copy_function=os.link)
        return target

    return copy


def kept(run: Path) -> list[str]:
    return [name_of(path) for path in sorted((run / "models").iterdir())]


def is_tidy(run: Path) -> bool:
    hidden = {path.name for path in run.iterdir() if path.name.startswith(".")}
    return not hidden - {LOCK, NEXT}


def test_a_rollback_that_is_killed(prepare: Callable[[], Path]) -> None:
    outcomes = []
    with Faults(__name__) as faults:
        for fault in faults.every("rollback", prepare):
            run = fault.folder / "run"
            at_work = name_of(run)
            assert at_work in ("old", "older"), fault
            other = {"old": "older", "older": "old"}[at_work]
            assert name_of(run / "model") == at_work, fault
            assert kept(run) == [other], fault
            assert not (run / COMMITTED).exists(), fault
            assert name_of(roll_back(run)) == other, fault
            assert kept(run) == [at_work], fault
            assert is_tidy(run), fault
            outcomes.append(at_work)
    assert len(outcomes) > 40
    assert set(outcomes) == {"old", "older"}


def test_a_promotion_that_is_killed(prepare: Callable[[], Path]) -> None:
    outcomes = []
    with Faults(__name__) as faults:
        for fault in faults.every("promotion", prepare):
            run, other = fault.folder / "run", fault.folder / "other"
            at_work = name_of(run)
            assert at_work in ("old", "new"), fault
            assert kept(run) == (["older"] if at_work == "old" else ["older", "old"]), fault
            assert promote(read_run(other), read_run(run)).promoted  # the same command again
            assert name_of(run) == "new", fault
            assert kept(run) == ["older", "old"], fault
            assert name_of(roll_back(run)) == "old", fault
            assert is_tidy(run), fault
            outcomes.append(at_work)
    assert len(outcomes) > 40
    assert set(outcomes) == {"old", "new"}


def test_a_forced_fit_that_is_killed_at_its_end(prepare: Callable[[], Path]) -> None:
    outcomes = []
    with Faults(__name__) as faults:
        for fault in faults.every("forced_fit", prepare):
            run = fault.folder / "run"
            found = read_run(run)
            at_work = name_of(run)
            is_new = at_work == "new"
            assert at_work in ("old", "new"), fault
            assert (found.about.settings == SETTINGS) == is_new, fault
            assert ([i.path for i in found.issues] == ["old.jpg"]) != is_new, fault
            assert (run / "training.csv").exists() != is_new, fault
            assert (run / "decisions.csv").read_text(encoding="utf-8") == "given", fault
            assert kept(run) == ["older"], fault
            forced_fit(str(fault.folder))  # the same command again
            assert name_of(run) == "new", fault
            assert read_run(run).about.settings == SETTINGS, fault
            hidden = [path.name for path in run.iterdir() if path.name.startswith(".")]
            assert hidden == [], fault
            outcomes.append(at_work)
    assert len(outcomes) > 60
    assert set(outcomes) == {"old", "new"}


def test_saving_over_a_model_that_is_killed(prepare: Callable[[], Path]) -> None:
    outcomes = []
    with Faults(__name__) as faults:
        for fault in faults.every("saving", prepare):
            model = fault.folder / "run" / "model"
            outcomes.append(name_of(model))
            assert outcomes[-1] in ("old", "new"), fault
            saving(str(fault.folder))
            assert name_of(model) == "new", fault
            assert is_tidy(fault.folder / "run"), fault
    assert len(outcomes) > 30
    assert set(outcomes) == {"old", "new"}


@pytest.mark.parametrize("is_first", [True, False])
def test_an_export_that_is_killed(tmp_path: Path, is_first: bool) -> None:
    """Its three files are of one export, and there is none of them where there were none."""
    numbers = itertools.count()

    def prepare() -> Path:
        here = tmp_path / str(next(numbers))
        (here / "out").mkdir(parents=True)
        for name in () if is_first else EXPORTED:
            (here / "out" / name).write_text("old", encoding="utf-8")
        return here

    outcomes = []
    with Faults(__name__) as faults:
        for fault in faults.every("export", prepare):
            out = fault.folder / "out"
            settled(out)
            found = {path.name: path.read_text(encoding="utf-8") for path in out.glob("m.*")}
            is_new = found.get("m.onnx") == "new" * 100
            old = {} if is_first else dict.fromkeys(EXPORTED, "old")
            assert found == (dict.fromkeys(EXPORTED, "new" * 100) if is_new else old), fault
            export(str(fault.folder))
            assert sorted(path.name for path in out.iterdir()) == sorted(EXPORTED), fault
            outcomes.append(is_new)
    assert len(outcomes) > 20
    assert set(outcomes) == {True, False}
