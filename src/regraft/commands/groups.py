"""Options that belong together: a dataclass in the command, an option a field on the command line.

A leaf module.
"""

from __future__ import annotations

import dataclasses
import functools
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with the fields of every group in its place among the parameters.

    A group is a parameter whose type is a dataclass. What typer reads of a function, its signature
    and its annotations, names the fields; the command is called with the groups made of them.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint
        for name, hint in hints.items()
        if isinstance(hint, type) and dataclasses.is_dataclass(hint)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _parameters_of(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name], kind=_BY_NAME))

    @functools.wraps(command)
    def with_groups(**options: object) -> None:
        made = {name: group(**_taken(options, group)) for name, group in groups.items()}
        command(**options, **made)

    vars(with_groups)["__signature__"] = inspect.Signature(parameters)
    with_groups.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_groups


def _parameters_of(group: type[Any]) -> list[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    return [
        inspect.Parameter(name, _BY_NAME, default=parameter.default, annotation=hints[name])
        for name, parameter in inspect.signature(group).parameters.items()
    ]


def _taken(options: dict[str, object], group: type[Any]) -> dict[str, object]:
    """Those of `options` that are the fields of `group`, removed from them."""
    return {field.name: options.pop(field.name) for field in dataclasses.fields(group)}
