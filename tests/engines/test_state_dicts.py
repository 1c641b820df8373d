"""State dicts read without PyTorch: the same numbers, and no code of theirs is run."""

from __future__ import annotations

import collections
import contextlib
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from regraft.backbones.backbone import is_available, weights_path
from regraft.backbones.built_in import list_backbones
from regraft.engines.state_dicts import read_state_dict
from regraft.errors import BackboneError


def saved(state: Any) -> bytes:
    """As PyTorch saved until its version 1.6."""
    file = io.BytesIO()
    torch.save(state, file, _use_new_zipfile_serialization=False)
    return file.getvalue()


STATE = collections.OrderedDict(
    {
        "conv.weight": torch.arange(24.0).reshape(2, 3, 2, 2),
        "transposed": torch.arange(6.0).reshape(2, 3).t(),
        "empty": torch.zeros(0, 3),
        "num_batches_tracked": torch.tensor(7),
    }
)
WHOLE = saved(STATE)


def read(data: bytes, folder: Path) -> dict[str, Any]:
    path = folder / "weights.pth"
    path.write_bytes(data)
    return read_state_dict(path)


@pytest.mark.parametrize("backbone", list_backbones()[:3], ids=lambda b: b.name)
def test_the_weights_of_built_in_backbones_are_read_as_pytorch_reads_them(backbone: Any) -> None:
    if not is_available(backbone):
        pytest.skip(f"{backbone.name} is not installed")
    path = weights_path(backbone)
    found, expected = read_state_dict(path), torch.load(path, weights_only=True)
    assert list(found) == list(expected)
    for name, tensor in expected.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)


def test_numbers_in_another_order_and_single_ones_are_read(tmp_path: Path) -> None:
    found = read(WHOLE, tmp_path)
    assert list(found) == list(STATE)
    for name, tensor in STATE.items():
        np.testing.assert_array_equal(found[name], tensor.numpy(), strict=True)


class Runs:
    """Runs a command where it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("echo run",)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "expected a state dict"),
        (b"PK\x03\x04", "expected a state dict"),  # a zip, as PyTorch saves today
        (pickle.dumps({"a": 1}, protocol=2), "it does not begin as one"),
        (saved({"weight": STATE["transposed"], "more": Runs()}), "posix system|nt system"),
        (saved({"weight": Runs()}), "posix system|nt system"),
        (saved({"weight": 3}), "it holds more than tensors"),
        (saved({"a": torch.arange(9.0)[:3]}), "other numbers than it should"),
        (saved({"a": torch.zeros(3).expand(2, 3)}), "other numbers than it should"),
        (saved({"half": torch.zeros(2, dtype=torch.float16)}), "HalfStorage"),
        (saved([torch.zeros(2)]), "items"),
        (WHOLE[:-1], "it ends before its last number"),
        (WHOLE + b"\0", "something follows its last numbers"),
    ],
)
def test_what_is_no_state_dict_is_refused_in_a_line(
    data: bytes, said: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BackboneError, match=rf"weights\.pth cannot be read.*({said})") as caught:
        read(data, tmp_path)
    assert "\n" not in str(caught.value)
    assert capfd.readouterr().out == ""  # nothing was run


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match="No such file"):
        read_state_dict(tmp_path / "weights.pth")


@given(
    place=st.integers(0, len(WHOLE) - 1),
    put=st.binary(max_size=12),
    removed=st.integers(0, 12),
)
def test_damage_is_told_or_changes_numbers_alone(
    place: int, put: bytes, removed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    damaged = WHOLE[:place] + put + WHOLE[place + removed :]
    with contextlib.suppress(BackboneError):
        found = read(damaged, tmp_path_factory.getbasetemp())
        assert all(isinstance(array, np.ndarray) for array in found.values())


@given(noise=st.binary(max_size=60))
def test_noise_behind_the_beginning_is_told(
    noise: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    begin = WHOLE[: WHOLE.index(b"conv.weight")]
    with pytest.raises(BackboneError):
        read(begin + noise, tmp_path_factory.getbasetemp())
