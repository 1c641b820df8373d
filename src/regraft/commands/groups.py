"""Options that belong together: a dataclass in the command, an option a field on the command line.

A leaf module.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from dataclasses import field, fields, is_dataclass
from typing import Annotated, Any, get_type_hints

import typer

_BY_NAME = inspect.Parameter.KEYWORD_ONLY


def option(help: str, metavar: str | None = None, default: object = None, **details: Any) -> Any:  # noqa: A002
    """A field of a group that is an option of its name; `details` are those of `typer.Option`."""
    details |= {"metavar": metavar, "help": help}
    return field(default=default, metadata={"option": details})


def argument(metavar: str, help: str, **default: Any) -> Any:  # noqa: A002
    """A field of a group that is an argument, required unless it has a `default`."""
    return field(**default, metadata={"argument": {"metavar": metavar, "help": help}})


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """The same command with the fields of every group in its place among the parameters.

    A group is a parameter whose type is a dataclass. What typer reads of a function, its signature
    and its annotations, names the fields; the command is called with the groups made of them.
    """
    hints = get_type_hints(command, include_extras=True)
    groups: dict[str, type[Any]] = {
        name: hint for name, hint in hints.items() if isinstance(hint, type) and is_dataclass(hint)
    }
    parameters: list[inspect.Parameter] = []
    for name, parameter in inspect.signature(command).parameters.items():
        if name in groups:
            parameters += _parameters_of(groups[name])
        else:
            parameters.append(parameter.replace(annotation=hints[name]))

    @functools.wraps(command)
    def with_groups(**options: object) -> None:
        for name, group in groups.items():
            options[name] = group(
                **{field.name: options.pop(field.name) for field in fields(group)}
            )
        command(**options)

    vars(with_groups)["__signature__"] = inspect.Signature(parameters)
    with_groups.__annotations__ = {each.name: each.annotation for each in parameters}
    return with_groups


def _parameters_of(group: Any) -> Iterator[inspect.Parameter]:
    hints = get_type_hints(group, include_extras=True)
    defaults = inspect.signature(group).parameters
    for each in fields(group):
        annotation = hints[each.name]
        if "argument" in each.metadata:
            annotation = Annotated[annotation, typer.Argument(**each.metadata["argument"])]
        elif "option" in each.metadata:
            name = "--" + each.name.replace("_", "-")  # so that a flag has no --no-...
            annotation = Annotated[annotation, typer.Option(name, **each.metadata["option"])]
        default = defaults[each.name].default
        yield inspect.Parameter(each.name, _BY_NAME, default=default, annotation=annotation)
