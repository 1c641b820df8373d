"""Texts that are made on the spot, and a run on them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from regraft.commands import app

WORDS = {
    "praise": "lovely delicious friendly warm perfect wonderful fresh kind generous happy",
    "blame": "cold rude stale slow dirty awful bland broken expensive noisy",
}
FILLER = ["the", "meal", "at", "our", "table", "was", "served", "by", "a", "waiter", "in", "town"]


def sentences(label: str, count: int) -> list[str]:
    """Texts of 12 words, three of which tell the class."""
    random = np.random.default_rng(len(label))
    telling = WORDS[label].split()
    return [
        " ".join([*random.choice(FILLER, 9), *random.choice(telling, 3)]) + f" {number}."
        for number in range(count)
    ]


def write_texts(folder: Path) -> None:
    """Fill `folder` with `texts/` and the table `texts.csv` of the same."""
    lines = ["text,label"]
    for label in WORDS:
        (folder / "texts" / label).mkdir(parents=True)
        for number, text in enumerate(sentences(label, 20)):
            (folder / "texts" / label / f"{number:02}.txt").write_text(text, encoding="utf-8")
            lines.append(f'"{text}",{label}')
    (folder / "texts.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def make_text_run(folder: Path, approach: str, *, graphs: Path) -> Path:
    """Fill `folder` with what `write_texts` writes, `run/` and the `cache/` with `graphs`."""
    write_texts(folder)
    (folder / "cache" / "regraft").mkdir(parents=True)
    (folder / "cache" / "regraft" / "graphs").symlink_to(graphs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        patch.chdir(folder)
        assert app.run(["fit", "texts", "--approach", approach, "--out", "run"]) == 0
    return folder
