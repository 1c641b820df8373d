"""A state dict as PyTorch once saved it in, its arrays out, without PyTorch and without unpickling.

Such a file is a row of pickles (a magic number, a version, the machine, the names and shapes of the
tensors, the keys of their numbers) and the numbers themselves. A pickle is a program; here only the
few operations are carried out that a state dict consists of, and what it calls is made of plain
values. Source: `torch.serialization._legacy_save`.
"""

from __future__ import annotations

import io
import math
import pickletools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

from regraft.errors import BackboneError

_MAGIC = 0x1950A86A20F9469CFC6C
_VERSION = 1001
_DTYPES = {"torch FloatStorage": "<f4", "torch LongStorage": "<i8"}
_DICT, _TENSOR = "collections OrderedDict", "torch._utils _rebuild_tensor_v2"
_PLAIN = {"BININT", "BININT1", "BININT2", "LONG1", "BINUNICODE"}
_CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
_PUTS, _GETS = ("BINPUT", "LONG_BINPUT"), ("BINGET", "LONG_BINGET")
_MARK = object()


@dataclass(frozen=True, slots=True)
class _Global:
    """What a pickle would import: its name, and nothing else."""

    name: str


@dataclass(frozen=True, slots=True)
class _Storage:
    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class _Tensor:
    """All numbers of a storage; `strides` are steps between them, along each axis."""

    storage: _Storage
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    def of(self, numbers: NDArray[Any]) -> NDArray[Any]:
        strides = [step * numbers.itemsize for step in self.strides]
        return np.ascontiguousarray(as_strided(numbers, self.shape, strides)).reshape(self.shape)


def read_state_dict(path: Path) -> dict[str, NDArray[Any]]:
    """The tensors of a file, float32 or int64, by name and in its order.

    Raises:
        BackboneError: the file cannot be read, is damaged, of another form, or holds anything
            beside tensors.
    """
    try:
        file = io.BytesIO(path.read_bytes())
    except OSError as error:
        raise BackboneError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return _state_of(file)
    # What damaged numbers, names and operations lead to.
    except (ValueError, TypeError, LookupError, AttributeError, OverflowError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(
            f"{path.name} cannot be read as weights ({reason}); expected a state dict of PyTorch, "
            "fetched as a whole"
        ) from error


def _state_of(file: io.BytesIO) -> dict[str, NDArray[Any]]:
    if _unpacked(file) != _MAGIC or _unpacked(file) != _VERSION:
        _refuse("it does not begin as one")
    if _unpacked(file).get("little_endian") is not True:
        _refuse("its bytes are in another order")
    state, keys = _unpacked(file), _unpacked(file)
    tensors = {name: _checked(tensor) for name, tensor in state.items()}
    storages = {tensor.storage.key: tensor.storage for tensor in tensors.values()}
    if not all(isinstance(key, str) for key in keys) or sorted(storages) != sorted(keys):
        _refuse("it names other numbers than it holds")
    arrays = {key: _numbers(file, storages[key]) for key in keys}
    if file.read(1):
        _refuse("something follows its last numbers")
    return {name: tensor.of(arrays[tensor.storage.key]) for name, tensor in tensors.items()}


def _checked(tensor: Any) -> _Tensor:
    return tensor if isinstance(tensor, _Tensor) else _refuse("it holds more than tensors")


def _numbers(file: io.BytesIO, storage: _Storage) -> NDArray[Any]:
    """The numbers of one storage, behind their count."""
    dtype = np.dtype(storage.dtype)
    count, data = file.read(8), file.read(storage.count * dtype.itemsize)
    if count != storage.count.to_bytes(8, "little") or len(data) < storage.count * dtype.itemsize:
        _refuse("it ends before its last number")
    return np.frombuffer(data, dtype)


def _refuse(reason: str) -> NoReturn:
    raise ValueError(reason)


# ---- The operations of a pickle -----------------------------------------------------------


def _unpacked(file: io.BytesIO) -> Any:
    """What one pickle says; the file is left where it ends."""
    stack: list[Any] = []
    memo: dict[int, Any] = {}
    while (operation := _KNOWN.get(file.read(1).decode("latin-1"))) is not None:
        name = operation.name
        if name == "GLOBAL":  # pickletools would undo escapes in it, and warn of unknown ones
            called = b" ".join(file.readline().rstrip() for _ in range(2))
            stack.append(_Global(called.decode()))
            continue
        argument: Any = None if operation.arg is None else operation.arg.reader(file)
        if name == "STOP":
            (value,) = stack
            return value
        if name in _PLAIN:
            stack.append(argument)
        elif name in _CONSTANTS:
            stack.append(_CONSTANTS[name])
        elif name in _PUTS:
            memo[argument] = stack[-1]
        elif name in _GETS:
            stack.append(memo[argument])
        elif name in _OPERATIONS:
            _OPERATIONS[name](stack)
    return _refuse("it does what no state dict does")


def _since_mark(stack: list[Any]) -> list[Any]:
    """What was put on the stack since the last mark, which go off it."""
    place = max(i for i, value in enumerate(stack) if value is _MARK)
    values = stack[place + 1 :]
    del stack[place:]
    return values


def _take(stack: list[Any], count: int) -> tuple[Any, ...]:
    return tuple(reversed([stack.pop() for _ in range(count)]))


def _set_items(stack: list[Any], items: list[Any]) -> None:
    if not isinstance(stack[-1], dict) or not all(isinstance(name, str) for name in items[::2]):
        _refuse("it gives names to parts of something else than a dictionary")
    stack[-1].update(zip(items[::2], items[1::2], strict=True))


def _append(stack: list[Any], values: list[Any]) -> None:
    if not isinstance(stack[-1], list):
        _refuse("it adds to something else than a list")
    stack[-1].extend(values)


def _storage(stack: list[Any]) -> None:
    kind, of, key, _device, count, view = stack.pop()
    if kind != "storage" or view is not None or not isinstance(key, str) or not _is_count(count):
        _refuse("it refers to something else than numbers")
    stack.append(_Storage(key, _DTYPES[of.name], count))


def _call(stack: list[Any]) -> None:
    """An empty dictionary, or a tensor that is all of its numbers in some order."""
    function, arguments = _take(stack, 2)
    if not isinstance(function, _Global) or function.name not in (_DICT, _TENSOR):
        _refuse(f"it calls {getattr(function, 'name', 'a value')}, which would run code")
    if function.name == _DICT:
        () = arguments
        stack.append({})
        return
    storage, offset, shape, strides, _requires_grad, _hooks = arguments
    if not isinstance(storage, _Storage) or not all(map(_is_count, (offset, *shape, *strides))):
        _refuse("a tensor has no numbers")
    steps = zip(shape, strides, strict=True)
    last = sum((length - 1) * step for length, step in steps)  # no step leads out of the numbers
    if offset or math.prod(shape) != storage.count or last >= max(1, storage.count):
        _refuse("a tensor has other numbers than it should")
    stack.append(_Tensor(storage, shape, strides))


def _is_count(value: Any) -> bool:
    return type(value) is int and value >= 0


def _build(stack: list[Any]) -> None:
    """The state of a dictionary: remarks of PyTorch, which are left."""
    owner, _ = _take(stack, 2)
    if not isinstance(owner, dict):
        _refuse("it changes something else than a dictionary")
    stack.append(owner)


_OPERATIONS: dict[str, Callable[[list[Any]], None]] = {
    "MARK": lambda stack: stack.append(_MARK),
    "EMPTY_TUPLE": lambda stack: stack.append(()),
    "EMPTY_LIST": lambda stack: stack.append([]),
    "EMPTY_DICT": lambda stack: stack.append({}),
    "TUPLE": lambda stack: stack.append(tuple(_since_mark(stack))),
    "TUPLE1": lambda stack: stack.append(_take(stack, 1)),
    "TUPLE2": lambda stack: stack.append(_take(stack, 2)),
    "SETITEM": lambda stack: _set_items(stack, list(_take(stack, 2))),
    "SETITEMS": lambda stack: _set_items(stack, _since_mark(stack)),
    "APPEND": lambda stack: _append(stack, list(_take(stack, 1))),
    "APPENDS": lambda stack: _append(stack, _since_mark(stack)),
    "BINPERSID": _storage,
    "REDUCE": _call,
    "BUILD": _build,
}
"""What an operation does with the values before it."""
_KNOWN = {
    operation.code: operation
    for operation in pickletools.opcodes
    if operation.name
    in {"PROTO", "STOP", "GLOBAL", *_PLAIN, *_CONSTANTS, *_PUTS, *_GETS, *_OPERATIONS}
}
