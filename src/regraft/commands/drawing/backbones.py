"""Tables of pretrained networks, and how to use one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from regraft.commands.drawing.lines import escaped, print_columns, show_next


def show_backbones(
    out: Console, prose: Console, rows: Sequence[Mapping[str, Any]], extras: Sequence[str]
) -> None:
    """The built-in backbones as a table on `out`, and on `prose` what to do next.

    `extras` are those of regraft that would install what is missing.
    """
    cells = [
        (
            escaped(row["name"]),
            escaped(row["pretrained_on"]),
            _input(row["input_size"]),
            f"{row['parameters'] / 1e6:.1f} M",
            escaped(row["licence"]),
            f"{row['images_per_second']:,.0f}" if row["images_per_second"] else "?",
            "yes" if row["available_offline"] else "no",
        )
        for row in rows
    ]
    header = ("name", "trained on", "input", "size", "licence", "per s", "here")
    print_columns(out, header, cells, right={"input", "size", "per s"})
    prose.print()
    if any(row["available_offline"] and not row["images_per_second"] for row in rows):
        prose.print("[dim]?: not measured on this machine yet[/dim]")
        show_next(prose, "regraft backbones --measure")
    elif extras:
        show_next(prose, f'pip install "regraft[{",".join(extras)}]"')
    else:
        _show_use_of_first(prose, rows)


def show_hub(out: Console, prose: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Weights that a hub publishes as a table, and how to use the first of them."""
    cells = [
        (escaped(row["name"]), _input(row["input_size"]), escaped(row["licence"])) for row in rows
    ]
    print_columns(out, ("name", "input", "licence"), cells, right={"input"})
    _show_use_of_first(prose, rows)


def _show_use_of_first(prose: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    show_next(prose, f"regraft fit my_photos/ --backbone {rows[0]['name']}")


def _input(size: Sequence[int]) -> str:
    """ "224 px" of a picture (3, h, w), "256 tokens" of a text (t,)."""
    return f"{size[1]} px" if len(size) > 1 else f"{size[0]} tokens"
