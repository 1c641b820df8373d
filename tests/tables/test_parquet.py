"""Parquet tables: texts, numbers with names, images, and damage."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from regraft.errors import DataError, MissingExtraError, UnreadableInputError
from regraft.kinds.base import read_input
from regraft.tables.cells import cell_path
from regraft.tables.parquet import read_parquet, read_parquet_cell

pyarrow = pytest.importorskip("pyarrow")
from pyarrow import parquet  # noqa: E402 - only where it is installed


def write(path: Path, columns: dict[str, Any], *, metadata: Any = None, **options: Any) -> Path:
    """A Parquet file, as pandas or `datasets` write one."""
    table = pyarrow.table(columns)
    if metadata is not None:
        table = table.replace_schema_metadata({"huggingface": json.dumps(metadata)})
    parquet.write_table(table, path, **options)
    return path


def png(seed: int) -> bytes:
    """A small photo as the bytes of a file."""
    pixels = np.random.default_rng(seed).integers(0, 255, (8, 8, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


CLASSES = {"info": {"features": {"label": {"_type": "ClassLabel", "names": ["box", "ball"]}}}}


def test_images_of_datasets_and_the_names_of_their_classes(tmp_path: Path) -> None:
    images = [{"bytes": png(i), "path": f"{i}.png"} for i in range(5)]
    path = write(
        tmp_path / "train.parquet",
        {"image": images, "label": [0, 1, 1, -1, None]},
        metadata=CLASSES,
        row_group_size=2,
    )
    found = read_parquet(path)
    assert found.header == ["image", "label"]
    assert found.files == {0}
    assert [r.cells for r in found.records] == [
        ["0.png", "box"],
        ["1.png", "ball"],
        ["2.png", "ball"],
        ["3.png", ""],
        ["4.png", ""],
    ]
    for number in (4, 0, 2):  # of three row groups
        assert read_parquet_cell(path, number, 0) == png(number)
    assert read_parquet_cell(path, 1, 1) == b"ball"
    assert read_input(cell_path(str(path), 6, 1)) == png(4)


def test_columns_of_any_type_are_texts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "t.parquet",
        {
            "text": ["grüße", None],
            "meta": [{"n": 1, "deep": {"x": "y"}}, {"n": None, "deep": {"x": None}}],
            "word": pyarrow.array(["u", "v"]).dictionary_encode(),
            "yes": [True, False],
            "share": [0.5, 2.0],
            "tags": [["a", "b"], ["c"]],
            "vector": [[0.5, 1.5], [2.5]],
            "when": pyarrow.array([0, None], pyarrow.date32()),
        },
    )
    found = read_parquet(path)
    assert found.files == frozenset()
    first, second = (dict(zip(found.header, r.cells, strict=True)) for r in found.records)
    assert first == {
        "text": "grüße",
        "meta.n": "1",
        "meta.deep.x": "y",
        "word": "u",
        "yes": "true",
        "share": "0.5",
        "tags": '["a", "b"]',
        "vector": "[numbers]",
        "when": "1970-01-01",
    }
    assert (second["text"], second["meta.n"], second["word"]) == ("", "", "v")
    assert (second["tags"], second["vector"]) == ("c", "2.5")
    for column, name in enumerate(found.header):
        assert read_parquet_cell(path, 0, column).decode() == first[name]


def test_structs_without_bytes_name_files(tmp_path: Path) -> None:
    images = pyarrow.array(
        [{"bytes": None, "path": "a.png"}, {"bytes": None, "path": "b.png"}],
        pyarrow.struct([("bytes", pyarrow.binary()), ("path", pyarrow.string())]),
    )
    found = read_parquet(write(tmp_path / "t.parquet", {"image": images}))
    assert found.files == frozenset()
    assert [r.cells for r in found.records] == [["a.png"], ["b.png"]]


def test_bytes_without_names_are_files_and_a_missing_one_is_empty(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"photo": [png(1), None, png(2)]})
    found = read_parquet(path)
    assert found.files == {0}
    assert [r.cells for r in found.records] == [["a file"], [""], ["a file"]]
    assert read_parquet_cell(path, 1, 0) == b""
    with pytest.raises(UnreadableInputError, match="the cell is empty"):
        read_input(cell_path(str(path), 3, 1))


def test_a_table_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "t.parquet", {"text": ["old"]})
    assert read_input(cell_path(str(path), 2, 1)) == b"old"
    write(path, {"text": ["newer", "x"]})
    assert read_input(cell_path(str(path), 2, 1)) == b"newer"
    for row, column in ((1, 1), (9, 1), (2, 5)):
        with pytest.raises(UnreadableInputError, match="has no such cell"):
            read_input(cell_path(str(path), row, column))


@pytest.mark.parametrize("at", [0.0, 0.3, 0.6, 0.99])
def test_damage_is_told_in_a_line(tmp_path: Path, at: float) -> None:
    path = write(tmp_path / "t.parquet", {"text": [f"text {i} " * 9 for i in range(500)]})
    data = bytearray(path.read_bytes())
    start = int(at * (len(data) - 8))
    data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)
    said = ""
    try:
        assert len(read_parquet(path).records) == 500
    except DataError as error:
        said = str(error)
    assert not said or said.startswith("t.parquet is no whole Parquet table (")
    assert "\n" not in said


def test_what_is_no_parquet(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").write_text("text,label\n")
    with pytest.raises(DataError, match=r"t\.parquet is no whole Parquet table"):
        read_parquet(tmp_path / "t.parquet")


def test_without_pyarrow_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "t.parquet", {"text": ["a"]})
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(
        MissingExtraError, match=r'needs an extra: pip install "regraft\[parquet\]"'
    ):
        read_parquet(path)
    with pytest.raises(UnreadableInputError, match=r"regraft\[parquet\]"):
        read_input(cell_path(str(path), 2, 1))
