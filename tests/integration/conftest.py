"""Ends what a failed test left running."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.integration.harness import STARTED


@pytest.fixture(autouse=True)
def no_process_outlives_its_test() -> Iterator[None]:
    yield
    while STARTED:
        process = STARTED.pop()
        if process.returncode is None:
            process.kill()
            process.communicate()
