"""Measures: in the order of the rows, read once, and safe when files or the cache are damaged."""

from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest

from regraft.dataset import Dataset, scan
from regraft.features.measures import Measures, measure_rows
from regraft.kinds.images import examiner as image_examiner
from regraft.kinds.images.attributes import SIGNATURE_PX, Attributes, Sketch, measure
from tests.conftest import MakeImageFolder


@pytest.fixture
def data(make_image_folder: MakeImageFolder) -> Dataset:
    return scan(make_image_folder({"cat": 4, "dog": 4}, size=(40, 30)))


def measured(data: Dataset) -> Measures:
    return measure_rows(data, data.rows, jobs=1)


def refuse_to_read(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(data: bytes) -> tuple[Attributes, Sketch]:
        raise AssertionError("a file was measured")

    monkeypatch.setattr(image_examiner, "measure", refuse)


def count_reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    reads: list[int] = []

    def counted(data: bytes) -> tuple[Attributes, Sketch]:
        reads.append(len(data))
        return measure(data)

    monkeypatch.setattr(image_examiner, "measure", counted)
    return reads


def same(a: Measures, b: Measures) -> bool:
    return (
        repr(a.attributes) == repr(b.attributes)
        and np.array_equal(a.signatures, b.signatures)
        and a.previews == b.previews
    )


def test_measures_go_with_their_rows(data: Dataset) -> None:
    found = measured(data)
    assert found.signatures.shape == (8, SIGNATURE_PX, SIGNATURE_PX)
    assert found.signatures.dtype == np.uint8
    for row, attributes, signature, preview in zip(
        data.rows, found.attributes, found.signatures, found.previews, strict=True
    ):
        wanted, drawn, small = measure((data.root / row.path).read_bytes())
        assert repr(attributes) == repr(wanted)
        assert np.array_equal(signature, drawn)
        assert preview == small
    assert found.failures == {}
    assert found.warning == ""


def test_some_rows_in_another_order(data: Dataset) -> None:
    found = measured(data)
    some = measure_rows(data, [data.rows[5], data.rows[1]])
    assert repr(some.attributes) == repr((found.attributes[5], found.attributes[1]))
    assert np.array_equal(some.signatures, found.signatures[[5, 1]])


def test_a_second_run_reads_no_file(data: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    first = measured(data)
    refuse_to_read(monkeypatch)
    shutil.rmtree(data.root)
    assert same(measured(data), first)


def test_only_what_is_new_is_read(
    make_image_folder: MakeImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured(scan(make_image_folder({"cat": 4, "dog": 4})))
    more = scan(make_image_folder({"cat": 5, "dog": 4}))
    reads = count_reads(monkeypatch)
    measured(more)
    assert len(reads) == 1


def test_copies_are_read_once(
    make_image_folder: MakeImageFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_image_folder({"cat": 2, "dog": 2})
    for i in range(3):
        shutil.copy(root / "cat/0.png", root / f"cat/copy{i}.png")
    reads = count_reads(monkeypatch)
    found = measured(scan(root))
    assert len(reads) == 4
    assert len(found.attributes) == 7
    assert None not in found.attributes


@pytest.mark.parametrize(
    "damage",
    [
        b"",
        b"short",
        bytes(SIGNATURE_PX**2),
        bytes(SIGNATURE_PX**2) + b"no json",
        bytes(SIGNATURE_PX**2) + b'{"width": 3}',
        bytes(SIGNATURE_PX**2) + b"\xff\xfe",
    ],
)
def test_a_damaged_value_is_measured_again(
    damage: bytes, data: Dataset, own_cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = measured(data)
    (store,) = (own_cache / "measures").glob("*.sqlite")
    connection = sqlite3.connect(store)
    with connection:
        connection.execute(
            "UPDATE contents SET value = ? WHERE sha256 = ?", (damage, data.rows[2].sha256)
        )
    connection.close()
    reads = count_reads(monkeypatch)
    assert same(measured(data), first)
    assert len(reads) == 1


def test_a_damaged_store_is_made_anew(data: Dataset, own_cache: Path) -> None:
    first = measured(data)
    (store,) = (own_cache / "measures").glob("*.sqlite")
    store.write_bytes(b"this is no database" * 100)
    again = measured(data)
    assert same(again, first)
    assert again.warning.endswith("was damaged and has been removed; its measures are made again")


def test_an_unreadable_file_has_a_reason_and_no_attributes(photo_folder: Path) -> None:
    whole = (photo_folder / "clean" / "0.jpg").read_bytes()
    (photo_folder / "clean" / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    data = scan(photo_folder)  # headers only: the damage shows when it is decoded
    found = measured(data)
    (path,) = found.failures
    assert path == "clean/cut.jpg"
    assert "truncated" in found.failures[path]
    lost = [i for i, one in enumerate(found.attributes) if one is None]
    assert [data.rows[i].path for i in lost] == ["clean/cut.jpg"]
    assert not found.signatures[lost].any()


def test_a_file_that_is_gone_has_a_reason(data: Dataset) -> None:
    (data.root / data.rows[0].path).unlink()
    found = measured(data)
    assert list(found.failures) == [data.rows[0].path]
    assert found.attributes[0] is None


def test_rows_that_were_never_read_have_no_attributes(make_image_folder: MakeImageFolder) -> None:
    root = make_image_folder({"cat": 2, "dog": 2})
    (root / "cat/empty.png").write_bytes(b"")
    data = scan(root)
    found = measured(data)
    known = {row.path for row, one in zip(data.rows, found.attributes, strict=True) if one}
    assert "cat/empty.png" in {row.path for row in data.rows} - known
    assert len(known) == 4


def test_without_rows_there_is_nothing(data: Dataset) -> None:
    found = measure_rows(data, [])
    assert (found.attributes, found.signatures.shape) == ((), (0, SIGNATURE_PX, SIGNATURE_PX))


def test_a_cache_that_cannot_be_written_is_said_and_does_not_stop_the_work(
    data: Dataset, own_cache: Path
) -> None:
    own_cache.mkdir(parents=True)
    (own_cache / "measures").write_text("a file where the folder should be")
    found = measured(data)
    assert None not in found.attributes
    assert "the measure cache" in found.warning
    assert "work goes on without it" in found.warning


def test_progress_ends_at_the_total(data: Dataset) -> None:
    calls: list[tuple[str, int, int]] = []
    measure_rows(data, data.rows, progress=lambda *call: calls.append(call))
    assert calls[-1] == ("measuring photos", 8, 8)


@pytest.mark.parametrize("value", [b"[]", b"null", b"{}", b"{", b'{"width": 3}'])
def test_a_damaged_value_is_measured_again_once(
    data: Dataset, monkeypatch: pytest.MonkeyPatch, value: bytes, own_cache: Path
) -> None:
    first = measured(data)
    (store,) = (own_cache / "measures").glob("*.sqlite")
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE contents SET value = ?", (bytes(SIGNATURE_PX**2) + value,))
    connection.close()
    assert same(measured(data), first)
    refuse_to_read(monkeypatch)
    assert same(measured(data), first)
