"""Groups of options: fields on the command line, one value in the command."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import typer

from regraft.commands.groups import argument, grouped, option


@dataclass(frozen=True, slots=True)
class Place:
    """A group with an argument, an option, a flag and a shared type."""

    name: str = argument("NAME", "Of the place.")
    floor_number: int = option("Of the building.", "N", 2, min=0)
    locked: bool = option("Whether it is.", default=False)
    keys: Annotated[int | None, typer.Option(help="How many there are.")] = None


class Caller:
    """Runs a command that takes a group between two other options."""

    def __init__(self) -> None:
        self.given: list[tuple[int, Place, str]] = []
        self._app = typer.Typer()
        self._app.command()(grouped(self._command))

    def _command(self, *, before: int = 0, place: Place, after: str = "") -> None:
        self.given.append((before, place, after))

    def __call__(self, *words: str) -> tuple[int, Place, str]:
        """What the command was given."""
        self._app(list(words), standalone_mode=False)
        return self.given.pop()

    def names(self) -> list[str]:
        """Options and arguments in the order of help."""
        command: Any = typer.main.get_command(self._app)
        return [parameter.opts[0] for parameter in command.params if parameter.name != "help"]


def test_fields_are_options_in_the_place_of_their_group() -> None:
    names = Caller().names()
    assert names[:6] == ["--before", "name", "--floor-number", "--locked", "--keys", "--after"]


def test_a_command_gets_its_group_made_of_options() -> None:
    call = Caller()
    assert call("attic") == (0, Place("attic", 2, False, None), "")
    words = ("--floor-number", "5", "attic", "--locked", "--before", "1", "--keys", "3")
    assert call(*words) == (1, Place("attic", 5, True, 3), "")


@pytest.mark.parametrize("words", [(), ("attic", "--floor-number", "-1"), ("attic", "--no-locked")])
def test_what_a_field_does_not_take_is_wrong_usage(words: tuple[str, ...]) -> None:
    with pytest.raises(typer.TyperException):
        Caller()(*words)
