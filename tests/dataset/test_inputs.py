"""What is to be predicted: nothing that was named or found is passed over in silence."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regraft.dataset import InputOptions, find_inputs
from regraft.errors import DataError
from tests.conftest import MakeImageFolder


@pytest.fixture
def here(make_image_folder: MakeImageFolder, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with photos in new/ and other files beside them."""
    root = make_image_folder({"new": 3, "new/more": 1})
    for name in ("IMG_1.NEF", "photo.jpg_large", "noext", ".DS_Store"):
        (root / "new" / name).write_bytes(b"x")
    monkeypatch.chdir(root)
    return root


def test_files_of_a_folder_that_are_no_inputs_are_listed(here: Path) -> None:
    found = find_inputs(["new"], modality="image")
    assert list(found.paths) == ["new/0.png", "new/1.png", "new/2.png", "new/more/0.png"]
    assert found.left_out == {
        "new/.DS_Store": "a hidden file",
        "new/IMG_1.NEF": "not an image (.NEF)",
        "new/noext": "not an image (no suffix)",
        "new/photo.jpg_large": "not an image (.jpg_large)",
    }


def test_what_is_named_is_tried_whatever_its_suffix(here: Path) -> None:
    found = find_inputs(["new", "new/noext", "new/*.png"], modality="image")
    assert "new/noext" in found.paths
    assert "new/noext" not in found.left_out
    assert len(found.paths) == 5


def test_a_table_stands_for_the_files_that_it_names(here: Path) -> None:
    (here / "list.csv").write_text("file,label,is_night\n0.png,a,1\n2,b,0\ngone.png,a,1\n")
    found = find_inputs(["list.csv"], modality="image", options=InputOptions(image_dir="new"))
    assert list(found.paths) == ["new/0.png", "new/2.png"]
    assert found.left_out == {"gone.png": "not found; named in line 4 of list.csv"}
    (here / "names.txt").write_text("new/0.png\nnew/1.png\n")
    assert list(find_inputs(["names.txt"], modality="image").paths) == ["new/0.png", "new/1.png"]
    absolute = find_inputs([here / "names.txt"], modality="image")
    assert list(absolute.paths) == [str(here / "new" / f"{i}.png") for i in (0, 1)]


def test_labels_of_a_table_are_of_no_concern(here: Path) -> None:
    """Numbers, several labels and an unknown split stop no prediction."""
    (here / "list.csv").write_text("file,label,split,a,b\nnew/0.png,0.5,fold3,1,1\n")
    assert list(find_inputs(["list.csv"], modality="image").paths) == ["new/0.png"]


def test_a_table_among_others_that_names_nothing_is_left_out(here: Path) -> None:
    (here / "other.csv").write_text("a,b\n1,2\n")
    found = find_inputs(["new/0.png", "other.csv"], modality="image")
    assert list(found.paths) == ["new/0.png"]
    assert "other.csv has no column called 'file' or 'id'" in found.left_out["other.csv"]
    with pytest.raises(DataError, match=r"other\.csv has no column called 'file' or 'id'"):
        find_inputs(["other.csv"], modality="image")


def test_texts_in_tables_of_every_form(here: Path) -> None:
    texts = [f"the soup was warm and good, table {i}" for i in range(4)]
    forms = {
        "t.csv": "v1,v2\n" + "".join(f'a,"{text}"\n' for text in texts),
        "t.jsonl": "".join(json.dumps({"v2": text}) + "\n" for text in texts),
        "t.json": json.dumps([{"v2": text} for text in texts]),
        "t.tsv": "".join(f"x{i}\t{text}\n" for i, text in enumerate(["v2", *texts])),
    }
    for name, content in forms.items():
        (here / name).write_text(content)
        found = find_inputs([name], modality="text")
        assert len(found.paths) == 4, name
        assert all(path.startswith(f"{name}#cell=") for path in found.paths)
    before = InputOptions(remembered={"text": "v1"})
    assert next(iter(find_inputs(["t.csv"], modality="text", options=before).paths)) == (
        "t.csv#cell=2,1"
    )
    named = InputOptions(text_column="v2", remembered={"text": "v1"})
    assert next(iter(find_inputs(["t.csv"], modality="text", options=named).paths)) == (
        "t.csv#cell=2,2"
    )


def test_lines_of_fasttext_are_texts_and_a_note_is_one(here: Path) -> None:
    (here / "train.txt").write_text("__label__a warm soup\n__label__b late train\n")
    (here / "note.txt").write_text("warm soup\nlate train\n")
    found = find_inputs(["train.txt", "note.txt"], modality="text")
    assert list(found.paths) == ["train.txt#cell=2,2", "train.txt#cell=3,2", "note.txt"]


def test_a_folder_of_tables_stands_for_their_texts(here: Path) -> None:
    (here / "split").mkdir()
    for name in ("train", "test"):
        (here / "split" / f"{name}.csv").write_text("text,label\nwarm,a\nlate,b\n")
    found = find_inputs(["split"], modality="text")
    assert list(found.paths) == [
        *(f"split/test.csv#cell={row},1" for row in (2, 3)),
        *(f"split/train.csv#cell={row},1" for row in (2, 3)),
    ]
    assert found.left_out == {}


def test_nothing_to_predict_says_what_was_there(here: Path) -> None:
    (here / "only").mkdir()
    (here / "only" / "a.nef").write_bytes(b"x")
    with pytest.raises(
        DataError, match=r"no image found in only, 1 other file \(only/a\.nef: not an image"
    ):
        find_inputs(["only"], modality="image")
    with pytest.raises(DataError, match="there is no file, folder or match for gone"):
        find_inputs(["gone"], modality="image")


def test_folders_and_patterns_are_expanded_in_natural_order_each_file_once(here: Path) -> None:
    for name in ("clean", "messy"):
        Path("photos", name).mkdir(parents=True)
        for number in range(12):
            (here / "photos" / name / f"{number}.jpg").write_bytes(b"as named")

    def paths(*given: str | Path) -> list[str]:
        return list(find_inputs(given, modality="image").paths)

    everything = paths("photos")
    assert everything == paths(Path("photos/clean"), "photos/messy")
    assert len(everything) == 24
    numbers = [int(Path(name).stem) for name in everything[:12]]
    assert numbers == sorted(numbers), "img2 comes before img10"
    assert paths("photos/clean/11.jpg", "photos/clean/*")[0] == "photos/clean/11.jpg"
    with pytest.raises(DataError, match="there is no file, folder or match for nowhere"):
        paths("photos", "nowhere")
    Path("empty/below").mkdir(parents=True)
    with pytest.raises(DataError, match="no image found in empty; expected photos in one"):
        paths("empty")
