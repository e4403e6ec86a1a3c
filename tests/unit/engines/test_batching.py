"""Concurrent awaits become batches; failures and stops reach every await."""

from __future__ import annotations

import asyncio
import threading
import time

import pytest

from pipeline.engines.batching import BatchWorker
from pipeline.errors import EngineError, RowError, Stopped


class Doubling:
    """Doubles numbers; refuses negative ones, breaks on zero, and notes the batches it ran."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.worker = BatchWorker("doubling", self.prepare, lambda waiting: range(len(waiting)), self.run)

    def prepare(self, number):
        if number < 0:
            raise RowError("double.negative", f"{number} is below 0")
        return number

    def run(self, batch):
        self.batches.append([t.prepared for t in batch])
        if 0 in self.batches[-1]:
            raise ZeroDivisionError("nothing to double")
        for ticket in batch:
            if ticket.prepared != 1313:
                ticket.resolve(2 * ticket.prepared)

    def ask(self, *numbers):
        async def all_of_them():
            return await asyncio.gather(*[self.worker.ask(n) for n in numbers], return_exceptions=True)

        return asyncio.run(asyncio.wait_for(all_of_them(), 10))


@pytest.fixture
def doubling():
    made = Doubling()
    yield made
    made.worker.stop()
    made.worker.join()


def test_concurrent_awaits_form_one_batch(doubling):
    assert doubling.ask(*range(1, 51)) == [2 * n for n in range(1, 51)]
    assert len(doubling.batches) == 1


def test_a_row_error_fails_its_own_request_only(doubling):
    good, bad = doubling.ask(4, -1)
    assert good == 8
    assert isinstance(bad, RowError) and bad.code == "double.negative"


def test_a_failing_batch_fails_all_its_requests_with_the_reason(doubling):
    for error in doubling.ask(0, 1):
        assert isinstance(error, EngineError)
        assert "nothing to double" in str(error)
    assert doubling.ask(5) == [10]


def test_a_request_without_a_reply_does_not_hang(doubling):
    good, forgotten = doubling.ask(1, 1313)
    assert good == 2
    assert isinstance(forgotten, EngineError)


def test_a_stopped_worker_refuses_requests(doubling):
    doubling.worker.stop()
    doubling.worker.stop()
    assert isinstance(doubling.ask(1)[0], Stopped)


def test_stopping_fails_waiting_requests():
    inside, go = threading.Event(), threading.Event()

    def slow(batch):
        inside.set()
        go.wait(10)

    worker = BatchWorker("slow", lambda n: n, lambda waiting: [0], slow)

    async def stop_while_two_wait():
        tasks = [asyncio.create_task(worker.ask(n)) for n in (1, 2)]
        while not inside.is_set():
            await asyncio.sleep(0.01)
        worker.stop()
        go.set()
        return await asyncio.gather(*tasks, return_exceptions=True)

    results = asyncio.run(asyncio.wait_for(stop_while_two_wait(), 10))
    worker.join()
    assert all(isinstance(r, Stopped) for r in results)


def test_a_cancelled_request_is_not_run():
    batches = []
    worker = BatchWorker("noting", lambda n: n, lambda waiting: range(len(waiting)), lambda b: batches.append(len(b)))

    async def cancel_one():
        task = asyncio.create_task(worker.ask(1))
        await asyncio.sleep(0)
        task.cancel()
        return await asyncio.gather(task, return_exceptions=True)

    assert isinstance(asyncio.run(cancel_one())[0], asyncio.CancelledError)
    time.sleep(0.1)
    worker.stop()
    worker.join()
    assert batches == []
