"""Near duplicates among texts: edited, cut and forwarded copies found, texts of one form not."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from regraft.inspection.issues.copies import Copy
from regraft.inspection.issues.neighbours import Neighbours, find_neighbours
from regraft.inspection.issues.text_copies import ALIKE, find_text_copies
from regraft.kinds.texts.attributes import SIGNATURE_HASHES, shingle_signature

STARTS = "b c d f g h k l m n p r s t v w".split()  # noqa: SIM905
ENDS = ("ar", "eel", "ine", "oat", "ump", "ist", "oney", "ale")
WORDS = [start + end for start in STARTS for end in ENDS]


def prose(seed: int, words: int = 120) -> str:
    random = np.random.default_rng(seed)
    return " ".join(random.choice(WORDS, words))


def signatures_of(texts: list[str]) -> NDArray[np.uint64]:
    return np.stack([shingle_signature(text) for text in texts])


def apart(n: int, seed: int = 0) -> Neighbours:
    """Neighbours by features that say nothing, as where an encoder reads the beginning only."""
    features = np.random.default_rng(seed).normal(size=(n, 64)).astype(np.float32)
    return find_neighbours(features, min(30, max(1, n - 1)))


def edited(text: str, share: float, seed: int) -> str:
    """A text with some of its words exchanged."""
    random = np.random.default_rng(seed)
    words = text.split()
    for at in random.permutation(len(words))[: round(share * len(words))]:
        words[at] = "changed"
    return " ".join(words)


def pairs(found: list[Copy]) -> set[tuple[int, int]]:
    return {(copy.first, copy.second) for copy in found}


def test_edited_copies_are_found_and_nothing_else() -> None:
    texts = [prose(i) for i in range(60)]
    texts += [edited(texts[i], 0.03, i) for i in range(20)]
    texts += [texts[20 + i].upper().replace(" ", "\n") for i in range(10)]
    texts += ["dear all " + texts[30 + i] + " best wishes" for i in range(10)]
    texts += [" ".join(texts[40 + i].split()[:108]) for i in range(10)]  # a tenth cut away
    found = find_text_copies(apart(len(texts)), signatures_of(texts))
    assert pairs(found) == {(i, 60 + i) for i in range(50)}
    assert all(ALIKE <= copy.alike <= 1 and not copy.mirrored for copy in found)


def test_neighbours_need_no_equal_band() -> None:
    texts = [prose(i) for i in range(40)]
    signatures = signatures_of([*texts, texts[7]])
    signatures[40, ::4] += np.uint64(1)  # one number of each band differs
    features = np.random.default_rng(1).normal(size=(41, 64)).astype(np.float32)
    features[40] = features[7] + 0.01
    (copy,) = find_text_copies(find_neighbours(features, 30), signatures)
    assert (copy.first, copy.second, copy.alike) == (7, 40, 0.75)
    assert find_text_copies(None, signatures) == []


def test_without_neighbours_signatures_alone_tell_copies() -> None:
    texts = [prose(i) for i in range(30)]
    texts.append(texts[4] + " and more")
    assert pairs(find_text_copies(None, signatures_of(texts))) == {(4, 30)}


def test_texts_of_one_form_are_no_copies_of_each_other() -> None:
    form = prose(0, 100)
    letters = [f"dear {WORDS[i]} {form} {prose(100 + i, 12)}" for i in range(40)]
    others = [prose(200 + i) for i in range(40)]
    texts = [*letters, *others]
    features = np.random.default_rng(0).normal(size=(80, 64)).astype(np.float32)
    features[:40] = features[0] + 0.05 * features[:40]  # an encoder finds them alike too
    near = find_neighbours(features, 30)
    assert pairs(find_text_copies(near, signatures_of(texts))) == set()
    with_copy = [*texts, letters[3].replace("dear", "hello")]
    near = find_neighbours(np.vstack([features, features[3:4] + 0.01]), 30)
    assert pairs(find_text_copies(near, signatures_of(with_copy))) == {(3, 80)}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_texts(n: int) -> None:
    signatures = np.zeros((n, SIGNATURE_HASHES), dtype=np.uint64)
    for i in range(n):
        signatures[i] = shingle_signature("the same text of a few words")
    near = find_neighbours(np.ones((n, 4), dtype=np.float32), max(1, n - 1))
    assert pairs(find_text_copies(near, signatures)) == ({(0, 1)} if n == 2 else set())


def test_texts_that_could_not_be_read_are_copies_of_nothing() -> None:
    signatures = np.zeros((6, SIGNATURE_HASHES), dtype=np.uint64)
    assert find_text_copies(apart(6), signatures) == []


def mails() -> list[str]:
    root = Path(os.environ.get("REGRAFT_MAILS", ""))
    root = root / "data" if (root / "data").is_dir() else root
    if not (root / "easy-ham-1").is_dir():
        pytest.skip("the e-mails are not there; name their folder in REGRAFT_MAILS")
    files = sorted((root / "easy-ham-1").glob("*.txt"))[:1_500]
    return [file.read_text(encoding="latin-1") for file in files]


@pytest.mark.slow
def test_planted_copies_among_e_mails_are_found() -> None:
    """Bodies with 2 % of the words changed, a line before and after them, or a tenth cut away."""
    bodies = [text.partition("\n\n")[2] for text in mails()]
    kept = [body for body in dict.fromkeys(bodies) if len(body.split()) >= 50]
    random = np.random.default_rng(0)
    planted, texts = [], list(kept)
    for number, i in enumerate(random.permutation(len(kept))[:90]):
        words = kept[i].split()
        made = (
            edited(kept[i], 0.02, number),
            f"you should read this\n{kept[i]}\nregards, me",
            " ".join(words[: round(0.9 * len(words))]),
        )[number % 3]
        planted.append((int(i), len(texts)))
        texts.append(made)
    found = pairs(find_text_copies(apart(len(texts)), signatures_of(texts)))
    assert len(found & set(planted)) >= 0.9 * len(planted)
