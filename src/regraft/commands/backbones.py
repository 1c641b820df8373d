"""`regraft backbones`."""

from __future__ import annotations

from dataclasses import dataclass

from regraft.commands.groups import option
from regraft.commands.options import Output
from regraft.commands.printing import Format, csv_text, print_result, shown_progress
from regraft.errors import UsageError


@dataclass(frozen=True, slots=True)
class BackbonesOptions:
    """Which networks are listed."""

    measure: bool = option("Time the installed ones on this machine.", default=False)
    search: str | None = option(
        "Names in timm that hold TEXT, or match it; other hubs: torchvision:NAME, hf:OWNER/NAME.",
        "TEXT",
    )
    licence: str | None = option("With --search: only licences with TEXT.", "TEXT")


def backbones(*, output: Output = "text", options: BackbonesOptions) -> None:
    """List pretrained networks: licence, input size, speed.

    Example: regraft backbones --measure
    """
    if options.search is not None or options.licence is not None:
        _print_hub(options.search or "*", options.licence or "", output)
        return
    from regraft.backbones.backbone import is_available
    from regraft.backbones.built_in import list_backbones
    from regraft.commands.drawing.backbones import show_backbones

    listed = list_backbones()
    if options.measure:
        from regraft.features.embedding import measure_speed

        with shown_progress() as progress:
            for backbone in filter(is_available, listed):
                measure_speed(backbone, progress=progress)
    rows = [backbone.to_dict() for backbone in listed]
    missing = dict.fromkeys(b.extra for b in listed if b.extra and not is_available(b))
    print_result(
        output,
        text=lambda out, prose: show_backbones(out, prose, rows, list(missing)),
        csv=lambda: csv_text(rows),
        json=lambda: rows,
    )


def _print_hub(name: str, licence: str, output: Format) -> None:
    from regraft.backbones.sources.timm import search_backbones
    from regraft.commands.drawing.backbones import show_hub

    rows = search_backbones(name, licence=licence)
    if not rows:
        raise UsageError(
            "timm has no weights of such a name and licence; expected a part of the name, such as "
            "resnet"
        )
    print_result(
        output,
        text=lambda out, prose: show_hub(out, prose, rows),
        csv=lambda: csv_text(rows),
        json=lambda: rows,
    )
