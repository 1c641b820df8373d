"""kill -9 at random moments of whatever writes: nothing is lost, and results are the same.

Command   python -m benchmarks kills
          (python -m benchmarks.kills --kills 15 --seed 3: as many, at other moments)
Data      photos of rooms, made small: 30 of each class for runs, others for what comes later
Expected  nothing lost after 100 kills, and results as of an undisturbed run

    fit, cold           from an empty cache; killed again and again until it is let finish
    fit, warm           the same, with the backbone's graph in the cache
    fit --force         over a finished run, which has to work, unchanged, until the new one does
    fit, in the race    with networks, killed once something lies in `race/`: what is finished there
                        is found again and not trained again
    watch               one pass over two cameras, copies kept
    correct             eight photos under their right label
    review              decisions over HTTP: what was acknowledged is in the file
    export --force      over the three files of an export of another model
    rollback            of a run that keeps an earlier model
    promotion           fit --with-corrections

The moment of a kill is drawn from the time that the command takes undisturbed, or from its last
part where that is what matters. Every kind of work has a cache of its own.
"""

from __future__ import annotations

import argparse
import hashlib
import http.client
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from PIL import Image

import regraft as rg
from benchmarks.data import environment_with_cache, photo_folder
from benchmarks.rows import Row, at_most, markdown_table
from regraft.approaches.base import CrossValidation
from regraft.racing import Race
from regraft.runs.corrections import read_corrections
from regraft.runs.decisions import read_decisions
from regraft.storage.files import is_part

_WAIT_S = 600.0  # for a command that nobody disturbs
_TABLES = ("predictions.csv", "evaluation.json", "dataset.csv", "issues.csv", "model/model.onnx")
_QUICK = ("--approach", "linear_probe")
_RACE = ("--approach", "linear_probe", "--approach", "fine_tune", "--budget")


@dataclass
class Campaign:
    """What was killed how often, and what was wrong afterwards."""

    name: str
    checked: str
    kills: int = 0
    wrong: list[str] = field(default_factory=list)

    def expect(self, is_so: bool, what: str) -> None:
        """Note what is not so."""
        if not is_so:
            self.wrong.append(what)

    @property
    def row(self) -> Row:
        """One line of the table."""
        lost = "nothing lost" if not self.wrong else f"{len(self.wrong)} wrong: {self.wrong[0]}"
        name = f"{self.name}: {self.checked}"
        return at_most(name, len(self.wrong), 0, measured=f"{self.kills} kills, {lost}")


@dataclass(frozen=True)
class Place:
    """A folder with `photos/`, `new/` and the finished runs `old/` and `other/`; and its cache."""

    folder: Path
    chance: random.Random
    race_budget_s: float

    def environment(self, cache: str = "cache") -> Mapping[str, str]:
        """That of a process which uses a cache below the folder."""
        return environment_with_cache(self.folder / cache)

    def start(self, *words: object, cache: str = "cache") -> subprocess.Popen[str]:
        """A command that runs beside this process."""
        return subprocess.Popen(
            [sys.executable, "-m", "regraft", *map(str, words)],
            cwd=self.folder,
            env=self.environment(cache),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,  # a kill is one of all that the command started
        )

    def run(self, *words: object, cache: str = "cache") -> float:
        """Run a command, which has to succeed; seconds that it took."""
        started = time.monotonic()
        process = self.start(*words, cache=cache)
        _, errors = process.communicate(timeout=_WAIT_S)
        if process.returncode != 0:
            raise AssertionError(f"regraft {' '.join(map(str, words))}: {errors.strip()[-500:]}")
        return time.monotonic() - started

    def kill(self, *words: object, within: tuple[float, float], cache: str = "cache") -> bool:
        """Kill a command at a random moment, in seconds; False if it had ended before."""
        process = self.start(*words, cache=cache)
        try:
            process.wait(self.chance.uniform(*within))
        except subprocess.TimeoutExpired:
            return kill_all(process)
        process.communicate(timeout=60)
        return False

    def fresh(self, name: str, *, of: str) -> Path:
        """A copy of a folder, in the place of an earlier one."""
        shutil.rmtree(self.folder / name, ignore_errors=True)
        return Path(shutil.copytree(self.folder / of, self.folder / name))


def kill_all(process: subprocess.Popen[str]) -> bool:
    """Kill a command and every process that it started; False if it had ended before."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate(timeout=60)
    return process.returncode == -signal.SIGKILL


def run(*, kills: int = 100, seed: int = 0, race_budget_s: float = 90.0) -> list[Row]:
    """A row for each kind of work, and one for all.

    Args:
        kills: how many in all, shared out among the kinds; each gets one at least.
        seed: of the moments.
        race_budget_s: of a race in which networks are trained.
    """
    rooms = photo_folder("rooms") / "train"
    rows: list[Row] = []
    done = wrong = 0
    with tempfile.TemporaryDirectory(prefix="regraft-bench-") as folder:
        place = Place(Path(folder), random.Random(seed), race_budget_s)
        _prepare(place, rooms)
        for kind, share in SHARES.items():
            campaign = kind(place, max(1, round(share * kills / 100)))
            sys.stderr.write(f"{campaign.row.name}: {campaign.row.measured}\n")
            sys.stderr.flush()
            rows.append(campaign.row)
            done, wrong = done + campaign.kills, wrong + len(campaign.wrong)
    measured = f"{done} kills, {wrong or 'nothing'} lost or different"
    return [*rows, at_most("all together", wrong, 0, measured=measured)]


def _prepare(place: Place, rooms: Path) -> None:
    for name in ("clean", "messy"):
        files = sorted((rooms / name).iterdir())
        for number, source in enumerate(files[:42]):
            below = f"photos/{name}" if number < 30 else f"new/{name}"
            target = place.folder / below / f"{number}.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(source) as photo:
                photo.convert("RGB").resize((160, 120)).save(target)
    place.run("fit", "photos", *_QUICK, "--out", "old")
    place.run("fit", "photos", "--approach", "knn", "--out", "other")


def _results(run_folder: Path) -> dict[str, str]:
    """Hashes of what a run found, and of its model, read as the program reads it."""
    rg.read_run(run_folder)
    rg.load(run_folder)
    return {name: _sha256(run_folder / name) for name in _TABLES}


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _parts(folder: Path) -> list[str]:
    return [str(path) for path in folder.rglob("*") if is_part(path)]


# --- fits


def fit_cold(place: Place, kills: int) -> Campaign:
    """From nothing, three kills to a run that is then finished."""
    return _fits(place, Campaign("fit, cold", "results, cache"), kills, chain=3, warm=False)


def fit_warm(place: Place, kills: int) -> Campaign:
    """With the graph of the backbone, four kills to a run."""
    return _fits(place, Campaign("fit, warm", "results, cache"), kills, chain=4, warm=True)


def _fits(place: Place, campaign: Campaign, kills: int, *, chain: int, warm: bool) -> Campaign:
    expected = _results(place.folder / "old")
    command = ("fit", "photos", *_QUICK, "--out", "killed")
    took = 0.0
    while campaign.kills < kills:
        shutil.rmtree(place.folder / "killed", ignore_errors=True)
        shutil.rmtree(place.folder / "own", ignore_errors=True)
        if warm:
            graphs = place.folder / "own" / "regraft" / "graphs"
            shutil.copytree(place.folder / "cache" / "regraft" / "graphs", graphs)
        for _ in range(min(chain, kills - campaign.kills)):
            if not place.kill(*command, within=(0.0, took or 20.0), cache="own"):
                break
            campaign.kills += 1
            _expect_unfinished(campaign, place.folder / "killed")
        if not _is_done(place.folder / "killed"):
            took = place.run(*command, cache="own")
        campaign.expect(_results(place.folder / "killed") == expected, "other results")
        campaign.expect(not _parts(place.folder / "own"), "parts of files are left in the cache")
        campaign.expect(not _parts(place.folder / "killed"), "parts are left in the run folder")
    return campaign


def _is_done(run_folder: Path) -> bool:
    try:
        rg.read_run(run_folder)
    except rg.RegraftError:
        return False
    return True


def _expect_unfinished(campaign: Campaign, run_folder: Path) -> None:
    """A run that was killed passes for a finished one only if it is one; its model is whole."""
    if _is_done(run_folder):
        return
    try:
        campaign.expect(bool(rg.load(run_folder).tensors), "a model without weights")
    except rg.RegraftError as error:
        campaign.expect("altered" not in str(error), f"a damaged model: {error}")


def forced_fit(place: Place, kills: int) -> Campaign:
    """Over a finished run with what people gave to it."""
    campaign = Campaign("fit --force", "old run, or new run; what people gave")
    command = ("fit", "photos", *_QUICK, "--out", "forced", "--force")
    old, new = _results(place.folder / "other"), _results(place.folder / "old")
    place.fresh("forced", of="other")
    took = place.run(*command)
    while campaign.kills < kills:
        given = place.fresh("forced", of="other") / "decisions.csv"
        given.write_text("when,path,action,label,was,sha256\n", encoding="utf-8")
        for _ in range(3):
            # Half of them towards the end, where the new takes the place of the old.
            within = place.chance.choice([(0.0, took), (0.7 * took, 1.05 * took)])
            killed = place.kill(*command, within=within)
            results = _results(given.parent)
            campaign.expect(results in (old, new), "neither the old run nor the new one")
            campaign.expect(given.exists(), "decisions are gone")
            if not killed:
                campaign.expect(results == new, "it ended, and the old run is there")
                break
            campaign.kills += 1
        place.run(*command)
        campaign.expect(_results(given.parent) == new, "other results")
        campaign.expect(not _parts(given.parent), "parts are left in the run folder")
    return campaign


def fit_in_the_race(place: Place, kills: int) -> Campaign:
    """With networks that are trained, twice killed once something is finished."""
    campaign = Campaign(
        "fit, in the race", "finished folds found again, not trained again; predicts"
    )
    budget = f"{place.race_budget_s:g}s"
    command = ("fit", "photos", *_RACE, budget, "--out", "raced")
    most = 0
    while campaign.kills < kills:
        shutil.rmtree(place.folder / "raced", ignore_errors=True)
        before: dict[str, CrossValidation] = {}
        for number in range(min(2, kills - campaign.kills)):
            process = place.start(*command)
            wanted = 1 + number
            race = place.folder / "raced" / "race"
            while process.poll() is None and len(list(race.glob("*.json"))) < wanted:
                time.sleep(0.02)
            time.sleep(place.chance.uniform(0.0, 0.1 * place.race_budget_s))
            if not kill_all(process):
                break
            campaign.kills += 1
            after = _finished(place.folder / "raced")
            for key, folds in before.items():
                campaign.expect(
                    _holds(after.get(key), folds), f"{key} is lost or was trained again"
                )
            before = after
        if not _is_done(place.folder / "raced"):
            place.run(*command)
        finished = rg.read_run(place.folder / "raced")
        entries = [c for c in finished.comparison.candidates if c.status == "done"]
        campaign.expect(len(entries) >= len(before), "fewer candidates than were finished")
        most = max(most, len(entries))
        campaign.expect(not (place.folder / "raced" / "race").exists(), "the race is left behind")
        campaign.expect(not _parts(place.folder / "raced"), "parts are left in the run folder")
        place.run("predict", "raced", "new")
    campaign.expect(most > 1, "no race had the time to finish a network")
    return campaign


def _finished(run_folder: Path) -> dict[str, CrossValidation]:
    """What is finished of each candidate in a race that nobody runs, by its key."""
    folder = run_folder / "race"
    if not folder.is_dir():
        return {}
    race = Race(folder)
    keys = [path.stem for path in folder.glob("*.json")]
    recalled = {key: race.recall(key) for key in keys}
    return {key: entry[0] for key, entry in recalled.items() if entry is not None}


def _holds(after: CrossValidation | None, before: CrossValidation) -> bool:
    """Whether the folds that were finished before are there as they were; calibration aside."""
    if after is None:
        return False
    first, second = (
        folds.probabilities if folds.logits is None else folds.logits[None]
        for folds in (before, after)
    )
    covered = ~np.isnan(first).any(axis=2)
    return first.shape == second.shape and np.array_equal(first[covered], second[covered])


# --- what a model is used for


def watch(place: Place, kills: int) -> Campaign:
    """One pass over two cameras; every photo once, each copy whole."""
    campaign = Campaign("watch", "every photo once, events, copies")
    cameras = place.folder / "cameras"
    for number, source in enumerate(sorted((place.folder / "new").rglob("*.jpg"))):
        for camera in ("hall", "yard"):
            target = cameras / camera / f"20260101-{number // 60:02}{number % 60:02}00.jpg"
            target.parent.mkdir(parents=True, exist_ok=True)
            with Image.open(source) as photo:
                photo.rotate(1 + (camera == "yard")).save(target)
            os.utime(target, (1_767_225_600, 1_767_225_600 + 60 * number))

    def command(name: str) -> tuple[object, ...]:
        options = ("--keep-photos", f"{name}-copies", "--settle", "0", "--once")
        return ("watch", "old", "cameras", "--db", f"{name}.db", *options)

    took = place.run(*command("undisturbed"))
    expected = _history(place.folder / "undisturbed.db"), _copies(place, "undisturbed")
    while campaign.kills < kills:
        for path in place.folder.glob("killed.db*"):
            path.unlink()
        shutil.rmtree(place.folder / "killed-copies", ignore_errors=True)
        for _ in range(min(3, kills - campaign.kills)):
            if not place.kill(*command("killed"), within=(0.3 * took, took)):
                break
            campaign.kills += 1
        place.run(*command("killed"))
        now = _history(place.folder / "killed.db"), _copies(place, "killed")
        campaign.expect(now == expected, "another history, or other copies")
        campaign.expect(
            not _parts(place.folder / "killed-copies"), "parts are left with the copies"
        )
    return campaign


def _history(file: Path) -> list[tuple[Any, ...]]:
    with sqlite3.connect(file) as connection:
        rows = connection.execute(
            "SELECT camera, sha256, path, taken, predicted, confidence, flag FROM photos "
            "ORDER BY camera, sha256"
        ).fetchall()
    connection.close()
    return rows


def _copies(place: Place, name: str) -> dict[str, str]:
    folder = place.folder / f"{name}-copies"
    return {
        str(path.relative_to(folder)): _sha256(path)
        for path in sorted(folder.rglob("*.jpg"))
        if not is_part(path)
    }


def correct(place: Place, kills: int) -> Campaign:
    """The same command again keeps what is missing; each photo whole, the log readable."""
    campaign = Campaign("correct", "photos whole, log readable, all kept in the end")
    photos = sorted((place.folder / "new" / "messy").iterdir())[:8]
    command = ("correct", "corrected", *photos, "--label", "messy")
    place.fresh("corrected", of="old")
    took = place.run(*command)
    expected = {c.sha256: c.label for c in read_corrections(place.folder / "corrected")}
    while campaign.kills < kills:
        run_folder = place.fresh("corrected", of="old")
        for _ in range(min(3, kills - campaign.kills)):
            before = len(read_corrections(run_folder))
            if not place.kill(*command, within=(0.5 * took, took)):
                break
            campaign.kills += 1
            corrections = read_corrections(run_folder)
            campaign.expect(len(corrections) >= before, "a correction is lost")
            for correction in corrections:
                whole = _sha256(correction.file) == correction.sha256
                campaign.expect(whole, "a photo is not whole")
        place.run(*command)
        now = {c.sha256: c.label for c in read_corrections(run_folder)}
        campaign.expect(now == expected, "other corrections")
        campaign.expect(not _parts(run_folder), "parts are left in the run folder")
    return campaign


def review(place: Place, kills: int) -> Campaign:
    """Decisions as the page sends them, until the server is killed."""
    campaign = Campaign("review", "every acknowledged decision is in the file")
    run_folder, expected = place.fresh("reviewed", of="old"), _results(place.folder / "old")
    while campaign.kills < kills:
        before = len(read_decisions(run_folder / "decisions.csv", missing_ok=True).entries)
        process = place.start("review", run_folder, "--no-browser")
        assert process.stderr is not None
        address = next(line.split()[-1] for line in process.stderr if "http://" in line)
        moment = time.monotonic() + place.chance.uniform(0.05, 1.0)
        acknowledged = 0
        for answer in _decisions(address):
            acknowledged += answer
            if time.monotonic() > moment:
                break
        if not kill_all(process):
            raise AssertionError("regraft review ended by itself")
        campaign.kills += 1
        entries = read_decisions(run_folder / "decisions.csv", missing_ok=True).entries
        campaign.expect(acknowledged > 0, "nothing could be decided")
        campaign.expect(len(entries) - before >= acknowledged, "an acknowledged decision is lost")
        campaign.expect(_results(run_folder) == expected, "the run has changed")
    campaign.expect(not _parts(run_folder), "parts are left in the run folder")
    return campaign


def _decisions(address: str) -> Iterator[int]:
    """Decide on photos in turn; yields 1 for each decision that is acknowledged."""
    parts = urlsplit(address)

    def ask(place: str, body: object = None) -> Any:
        connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=30)
        method, headers = ("GET", {}) if body is None else ("POST", {})
        if body is not None:
            headers = {"Content-Type": "application/json"}
        text = None if body is None else json.dumps(body)
        connection.request(method, f"{parts.path}{place}", text, headers)
        answer = connection.getresponse()
        data = json.loads(answer.read())
        connection.close()
        if answer.status != 200:
            raise AssertionError(f"{answer.status}: {data}")
        return data

    page = ask("start")
    decisions, seen = dict(page["decisions"]), page["seen"]
    for number in range(10_000):
        photo = page["photos"][number % len(page["photos"])]["id"]
        action = ("keep", "exclude")[number // len(page["photos"]) % 2]
        standing = decisions.get(str(photo)) or {}
        asked = {"number": photo, "action": action, "label": "", "seen": seen}
        answer = ask("decide", {**asked, "after": standing.get("when")})
        decisions |= answer["decisions"]
        seen = answer["seen"]
        yield 1


def export(place: Place, kills: int) -> Campaign:
    """Over an export of another model: the three files are of one export."""
    campaign = Campaign("export --force", "three files of one export")
    command = ("export", "old", "exported/m.onnx", "--check", "new/clean", "--force")

    def files(name: str) -> dict[str, str]:
        folder = place.folder / name
        return {p.name: _sha256(p) for p in sorted(folder.iterdir()) if p.suffix == ".onnx"}

    place.run("export", "other", "before/m.onnx", "--check", "new/clean")
    shutil.rmtree(place.folder / "exported", ignore_errors=True)
    took = place.run(*command)
    after, before = files("exported"), files("before")
    while campaign.kills < kills:
        exported = place.fresh("exported", of="before")
        within = place.chance.choice([(0.0, took), (0.8 * took, 1.02 * took)])
        if not place.kill(*command, within=within):
            continue
        campaign.kills += 1
        campaign.expect(files("exported") in (before, after), "the file is of neither export")
        names = sorted(p.name for p in exported.iterdir() if not p.name.startswith("."))
        campaign.expect(names == ["m.md", "m.onnx", "m.py"], f"files are missing: {names}")
        place.run(*command)
        campaign.expect(files("exported") == after, "another file")
        left = [path.name for path in exported.iterdir() if path.name.startswith(".")]
        campaign.expect(not left, f"{left} are left beside the export")
    return campaign


def rollback(place: Place, kills: int) -> Campaign:
    """Of a run that keeps one earlier model: one of the two is at work, the other kept."""
    campaign = Campaign("rollback", "one model at work, the other kept")
    run_folder = place.fresh("rolled", of="old")
    (run_folder / "models").mkdir()
    shutil.copytree(place.folder / "other" / "model", run_folder / "models" / "0001")
    both = {"linear_probe", "knn"}
    took = place.run("rollback", "rolled")
    while campaign.kills < kills:
        if not place.kill("rollback", "rolled", within=(0.5 * took, 1.02 * took)):
            continue
        campaign.kills += 1
        at_work = rg.load(run_folder).approach
        kept = [rg.load(path).approach for path in (run_folder / "models").iterdir()]
        campaign.expect(
            {at_work, *kept} == both and len(kept) == 1, f"{at_work} at work, {kept} kept"
        )
        place.run("predict", "rolled", "new/clean")
        place.run("rollback", "rolled")
        campaign.expect(rg.load(run_folder).approach != at_work, "it was not rolled back")
        campaign.expect(not _parts(run_folder), "parts are left in the run folder")
    return campaign


def promotion(place: Place, kills: int) -> Campaign:
    """A fit on corrections, killed in its last third; then the same command again."""
    campaign = Campaign(
        "promotion", "old or new model at work, the other kept; promoted in the end"
    )
    place.fresh("promoted", of="old")
    photos = sorted((place.folder / "new" / "messy").iterdir())[:4]
    place.run("correct", "promoted", *photos, "--label", "messy")
    (place.folder / "promoted").rename(place.folder / "with-corrections")
    command = ("fit", "photos", *_QUICK, "--with-corrections", "promoted", "--out", "better")

    def models() -> tuple[str, list[str]]:
        run_folder = place.folder / "promoted"
        rg.load(run_folder)
        kept = sorted((run_folder / "models").glob("*/model.onnx"))
        return _sha256(run_folder / "model" / "model.onnx"), [_sha256(path) for path in kept]

    def begin() -> None:
        place.fresh("promoted", of="with-corrections")
        shutil.rmtree(place.folder / "better", ignore_errors=True)

    begin()
    old = models()[0]
    took = place.run(*command)
    expected, results = models(), _results(place.folder / "better")
    while campaign.kills < kills:
        begin()
        for _ in range(min(2, kills - campaign.kills)):
            if not place.kill(*command, within=(0.6 * took, 1.02 * took)):
                break
            campaign.kills += 1
            campaign.expect(models() in (expected, (old, [])), "another model, or one is not kept")
        if not _was_promoted(place.folder / "better"):
            place.run(*command)
        campaign.expect(models() == expected, "other models in the end")
        campaign.expect(_results(place.folder / "better") == results, "other results")
        left = [*_parts(place.folder / "promoted"), *_parts(place.folder / "better")]
        campaign.expect(not left, "parts are left in the run folders")
    return campaign


def _was_promoted(run_folder: Path) -> bool:
    """Whether a run says what became of its model."""
    try:
        return rg.read_run(run_folder).about.promotion is not None
    except rg.RegraftError:
        return False


SHARES: Mapping[Callable[[Place, int], Campaign], int] = {
    fit_cold: 12,
    fit_warm: 20,
    forced_fit: 14,
    fit_in_the_race: 6,
    watch: 12,
    correct: 10,
    review: 8,
    export: 6,
    rollback: 6,
    promotion: 6,
}
"""Of a hundred kills."""


def main(arguments: Sequence[str] | None = None) -> int:
    """As many kills as wanted, at the moments of a seed; 1 if something was lost or different."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.kills")
    parser.add_argument("--kills", type=int, default=100, help="in all; each kind gets one")
    parser.add_argument("--seed", type=int, default=0, help="of the moments")
    options = parser.parse_args(arguments)
    rows = run(kills=options.kills, seed=options.seed)
    sys.stdout.write(markdown_table({"kills": rows}))
    return int(not all(row.met for row in rows))


if __name__ == "__main__":
    sys.exit(main())
