"""`regraft cache show` and `regraft cache clear`."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from regraft.commands.groups import option
from regraft.commands.options import Output
from regraft.commands.printing import csv_text, print_result, say, say_next


def show(*, output: Output = "text") -> None:
    """Where the caches are and how much they hold.

    Example: regraft cache show --format json
    """
    from regraft.commands.drawing.cache import show_cache
    from regraft.storage.cache import cache_use, limit_bytes
    from regraft.storage.files import cache_dir

    folder, uses = str(cache_dir()), cache_use()
    rows = [asdict(use) for use in uses]
    print_result(
        output,
        text=lambda out, prose: show_cache(out, prose, folder, uses, limit_bytes=limit_bytes()),
        csv=lambda: csv_text(rows),
        json=lambda: {"folder": folder, "limit_bytes": limit_bytes(), "parts": rows},
    )


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of the cache."""

    features: bool = option("Only features of images.", default=False)
    graphs: bool = option("Only exported networks.", default=False)
    measures: bool = option("Only facts on photos.", default=False)
    activations: bool = option("Only inputs of the stages that are trained.", default=False)


def clear(*, parts: Parts) -> None:
    """Delete what is cached; it is computed again when needed.

    Example: regraft cache clear --features
    """
    from regraft.storage.cache import KINDS, clear_cache

    asked_for = [kind for kind, is_asked_for in asdict(parts).items() if is_asked_for]
    freed_bytes = clear_cache(asked_for or KINDS)
    say(f"freed {freed_bytes / 1e6:,.1f} MB")
    say_next("cache", "show")
