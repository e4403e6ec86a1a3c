"""What a process that runs stages owes the system around it: signals, an end in time, a garbage collector at rest."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
import threading

from pipeline.run.control import StopFlag

PATIENCE = 4.0
"""Seconds that threads get to end after a stop; with the longest drain of 15 s a stop takes less than 20 s."""


def leave_soon(text: str, code: int) -> None:
    """End the process even if a thread is deep in one long computation, which Python would wait for.

    What that thread would have written does not count before its commit record, so nothing is lost but its work.
    """

    def leave() -> None:
        print(f"error: {text}", file=sys.stderr, flush=True)
        os._exit(code)

    timer = threading.Timer(PATIENCE, leave)
    timer.daemon = True
    timer.start()


def collect_seldom() -> None:
    """Keep the garbage collector off what was imported and planned: it took a tenth of the CPU of a run."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(5_000, 20, 50)


def stop_on_signals(stop: StopFlag, *more: signal.Signals) -> None:
    """SIGINT, SIGTERM and those given stop the run in order; a second SIGINT ends the process at once."""
    loop = asyncio.get_running_loop()

    def on_signal(number: signal.Signals) -> None:
        if stop.is_set and number == signal.SIGINT:
            os._exit(130)
        stop.set(f"stopped by {number.name}: what was finished is kept. Run the same command again to go on from here")

    for number in (signal.SIGINT, signal.SIGTERM, *more):
        loop.add_signal_handler(number, on_signal, number)
