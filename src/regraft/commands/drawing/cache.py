"""Where the caches are and how much they hold."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console

from regraft.commands.drawing.lines import escaped, print_columns, print_line, show_next
from regraft.storage.cache import CacheUse


def show_cache(
    out: Console, prose: Console, folder: str, uses: Sequence[CacheUse], *, limit_bytes: int
) -> None:
    """The parts of the cache as a table on `out`, and on `prose` their limit."""
    print_line(out, escaped(folder))
    cells = [(use.kind, f"{use.files:,}", f"{use.bytes / 1e6:,.1f} MB", use.detail) for use in uses]
    print_columns(out, ("cache", "files", "size", ""), cells, right={"files", "size"})
    prose.print()
    limit = f"{limit_bytes / 1024**3:.1f} GiB"
    prose.print(f"[dim]limited to {limit} but for graphs (REGRAFT_CACHE_GB)[/dim]")
    show_next(prose, "regraft cache clear --features")
