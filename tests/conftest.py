"""Fixtures that several test folders share: real data, and tiny datasets made on the spot."""

from __future__ import annotations

import contextlib
import os
import shutil
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
from PIL import Image

from regraft.telemetry import opt_out
from tests.commands import CommandLine, Started, copy_photos, make_run
from tests.text_runs import make_text_run

opt_out()  # tests import ONNX Runtime themselves


@pytest.fixture(scope="session")
def test_data() -> Path:
    """The folder of real photos: `REGRAFT_TEST_DATA`, or `../shared/data` beside the project."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("REGRAFT_TEST_DATA", beside))
    if not folder.is_dir():
        pytest.skip(f"no real photos in {folder}; set REGRAFT_TEST_DATA to their folder")
    return folder


class MakeImageFolder(Protocol):
    """Makes a folder of small images below the test's temporary folder."""

    def __call__(
        self,
        counts: Mapping[str, int],
        *,
        name: str = "data",
        suffix: str = ".png",
        size: tuple[int, int] = (12, 8),
    ) -> Path:
        """The folder `name` with `counts[folder]` images `0.png`, `1.png`... in each folder.

        All images differ. Those of folders with the same last name have a hue in common, so
        that there is something to learn. "" stands for the folder itself.
        """


@pytest.fixture
def make_image_folder(tmp_path: Path) -> MakeImageFolder:
    def make(
        counts: Mapping[str, int],
        *,
        name: str = "data",
        suffix: str = ".png",
        size: tuple[int, int] = (12, 8),
    ) -> Path:
        root = tmp_path / name
        root.mkdir(parents=True, exist_ok=True)
        for folder, count in counts.items():
            (root / folder).mkdir(parents=True, exist_ok=True)
            for number in range(count):
                write_image(root / folder / f"{number}{suffix}", size=size)
        return root

    return make


def write_image(path: Path, *, size: tuple[int, int] = (12, 8)) -> Path:
    """An RGB image of noise around a colour that the name of its folder decides."""
    random = np.random.default_rng(zlib.crc32(str(path).encode("utf-8", "surrogateescape")))
    colour = np.random.default_rng(zlib.crc32(path.parent.name.encode())).integers(40, 216, 3)
    width, height = size
    noise = random.integers(-40, 40, (height, width, 3))
    Image.fromarray((colour + noise).astype(np.uint8)).save(path)
    return path


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Every test has a cache of its own, so that none sees what another left."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "regraft"


@contextlib.contextmanager
def shared_folder(tmp_path_factory: pytest.TempPathFactory, name: str) -> Iterator[Path]:
    """A folder of all workers, of which one at a time is inside."""
    from filelock import FileLock

    shared = tmp_path_factory.getbasetemp().parent / f"regraft-{name}"
    shared.mkdir(exist_ok=True)
    with FileLock(shared / "lock"):
        yield shared


def _graphs_of(modality: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    with (
        shared_folder(tmp_path_factory, f"{modality}-graphs") as shared,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("XDG_CACHE_HOME", str(shared))
        from regraft.backbones.backbone import is_available
        from regraft.backbones.built_in import default_backbone
        from regraft.backbones.graphs import embedding_graph

        if is_available(default_backbone(modality)):
            embedding_graph(default_backbone(modality))
    return shared / "regraft" / "graphs"


@pytest.fixture(scope="session")
def shared_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the exported graph of the built-in backbone, made once for all workers."""
    return _graphs_of("image", tmp_path_factory)


@pytest.fixture(scope="session")
def shared_text_graphs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same for the one of texts, whose export takes ten seconds."""
    return _graphs_of("text", tmp_path_factory)


@pytest.fixture(scope="session")
def made_once(
    tmp_path_factory: pytest.TempPathFactory, shared_graphs: Path, test_data: Path
) -> Path:
    """A folder with `photos/`, `more/` of the kind, `run/`, a linear probe, and its `cache/`.

    It is not to be changed.

    A module whose tests change it has one of its own.
    """
    return make_run(
        tmp_path_factory.mktemp("made"), graphs=shared_graphs, rooms=test_data / "rooms"
    )


@pytest.fixture(scope="session")
def texts_once(tmp_path_factory: pytest.TempPathFactory, shared_text_graphs: Path) -> Path:
    """A folder with `texts/`, `texts.csv` and `run/`, words counted; not to be changed."""
    return make_text_run(tmp_path_factory.mktemp("texts"), "tfidf", graphs=shared_text_graphs)


@pytest.fixture
def regraft(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    """The command line in this process, on a terminal of 80 columns."""
    monkeypatch.setenv("COLUMNS", "80")
    return CommandLine(capsys)


@pytest.fixture
def started() -> Iterator[Started]:
    """Starts commands beside the test; none outlives it."""
    commands = Started()
    yield commands
    commands.end()


@pytest.fixture
def graphs(own_cache: Path, shared_graphs: Path) -> Path:
    """The test's own cache, with the graph of the built-in backbone in it."""
    own_cache.mkdir(parents=True, exist_ok=True)
    (own_cache / "graphs").symlink_to(shared_graphs)
    return own_cache


@pytest.fixture
def text_graphs(own_cache: Path, shared_text_graphs: Path) -> Path:
    """The test's own cache, with the graph of the built-in backbone of texts in it."""
    own_cache.mkdir(parents=True, exist_ok=True)
    (own_cache / "graphs").symlink_to(shared_text_graphs)
    return own_cache


@pytest.fixture
def warm_cache(made_once: Path, graphs: Path) -> Path:
    """The test's own cache, with the features of the photos of `made_once` in it."""
    shutil.copytree(made_once / "cache" / "regraft" / "features", graphs / "features")
    return graphs


@pytest.fixture(scope="session")
def few_photos(tmp_path_factory: pytest.TempPathFactory, test_data: Path) -> Path:
    """12 real photos of each of two classes, small; not to be changed."""
    root = tmp_path_factory.mktemp("few")
    for name in ("clean", "messy"):
        copy_photos(test_data / "rooms" / "train" / name, root / name, 12)
    return root


@pytest.fixture
def photo_folder(graphs: Path, few_photos: Path, tmp_path: Path) -> Path:
    """A copy of `few_photos`: train only, no test split."""
    return shutil.copytree(few_photos, tmp_path / "photos")


@pytest.fixture
def hub_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the hub, and no network."""
    from huggingface_hub import constants

    home = tmp_path / "hubs"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(home / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return home
