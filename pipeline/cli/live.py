"""The live view of a run on a terminal: one line for each stage, drawn by rich."""

from __future__ import annotations

from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from pipeline.run.control import Progress
from pipeline.run.report import Rates, duration


class LiveDisplay:
    """Redraws the table of stages; used as a context manager and called with the counters."""

    def __init__(self, clock: Callable[[], float], console: Console | None = None) -> None:
        """Take the clock for rates."""
        self._rates = Rates(clock)
        self._live = Live(console=console or Console(stderr=True), auto_refresh=False)

    def __enter__(self) -> LiveDisplay:
        """Begin drawing."""
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, e: BaseException | None, tb: TracebackType | None) -> None:
        """End drawing; the last state stays on the screen."""
        self._live.stop()

    def __call__(self, progress: Progress) -> None:
        """Draw the counters."""
        table = Table(box=None, pad_edge=False)
        for heading in ("stage", "", "rows", "rows/s", "left", "rejects"):
            table.add_column(heading, justify="left" if heading in ("stage", "") else "right")
        for p in progress.stages.values():
            rate = self._rates.of(p)
            running = rate > 0 and not p.finished and bool(p.total)
            left = duration(((p.total or 0) - p.done) / rate) if running else ""
            bar = ProgressBar(
                total=p.total or max(p.done, 1), completed=p.done if p.total or p.finished else 0, width=24
            )
            rows = f"{p.done:,}/{p.total:,}" if p.total else f"{p.done:,}"
            table.add_row(
                p.stage_id, bar, rows, f"{rate:,.1f}" if rate else "", left, f"{p.rejected:,}" if p.rejected else ""
            )
        self._live.update(table, refresh=True)
