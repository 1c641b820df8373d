"""One limit for all that can be computed again: who has to go, and who stays."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regraft.errors import UsageError
from regraft.storage.cache import ContentStore, limit_bytes, make_room
from regraft.storage.files import cache_dir

GIB = 1024**3


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """A cache with six files of 1,000 bytes, the first used longest ago, and a graph."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    names = [
        "features/a.sqlite",
        "activations/one-0-0.bin",
        "measures/b.sqlite",
        "activations/two-0-0.bin",
        "activations/two-0-1.bin",
        "graphs/network.onnx",
    ]
    made = {}
    for age, name in enumerate(names):
        path = cache_dir() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(1_000))
        if path.suffix == ".bin":
            path.with_suffix(".json").write_text("[]")
        os.utime(path, (1e9 + age, 1e9 + age))
        made[name] = path
    return made


def _limit(monkeypatch: pytest.MonkeyPatch, size: float) -> None:
    monkeypatch.setenv("REGRAFT_CACHE_GB", repr(size / GIB))


def _gone(files: dict[str, Path]) -> list[str]:
    return [name for name, path in files.items() if not path.exists()]


def test_the_least_recently_used_of_all_kinds_goes_first(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit(monkeypatch, 5_500.5)  # the graph does not count
    assert make_room("features", "new.sqlite", 2_000) == 2_500
    assert _gone(files) == ["features/a.sqlite", "activations/one-0-0.bin"]
    assert not files["activations/one-0-0.bin"].with_suffix(".json").exists()
    assert make_room("features", "new.sqlite", 2_000) == 2_500, "there is room by now"


def test_what_is_written_to_stays_and_what_was_used_within_the_hour(
    files: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    _limit(monkeypatch, 0.5)
    os.utime(files["measures/b.sqlite"])
    assert make_room("activations", "two-0-", 10) == -3_000
    assert _gone(files) == ["features/a.sqlite", "activations/one-0-0.bin"]


@pytest.mark.parametrize("setting", ["lots", "-1", "nan", "inf", "8 GB"])
def test_a_limit_that_is_no_number_is_explained(
    monkeypatch: pytest.MonkeyPatch, setting: str
) -> None:
    monkeypatch.setenv("REGRAFT_CACHE_GB", setting)
    expected = f"REGRAFT_CACHE_GB is {setting!r}, expected a number of gigabytes such as 12"
    for ask in (limit_bytes, lambda: ContentStore("features", "key")):
        with pytest.raises(UsageError) as caught:
            ask()
        assert str(caught.value) == expected


def test_a_store_keeps_no_more_than_the_limit_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    _limit(monkeypatch, 300_000)
    store = ContentStore("features", "new", rows_per_commit=2)
    for number in range(200):
        store.write(f"{number}", bytes(5_120))
    store.close()
    assert "holds its limit of 0.0 GiB and keeps no more features" in store.warning
    assert "regraft cache clear --features" in store.warning
    kept = cache_dir() / "features" / "new.sqlite"
    assert 200_000 < kept.stat().st_size < 400_000
    assert sorted(path.name for path in kept.parent.iterdir()) == ["new.sqlite"], "others went"
