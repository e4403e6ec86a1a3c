"""Several requests of one row at once: all of them end before anything is decided."""

import asyncio

import pytest

from pipeline.api import EngineError, RowError
from stages.replies.together import all_of, each_of

REFUSED, OTHER, GONE = RowError("a.refused", "first"), RowError("a.other", "second"), EngineError("gone")


def jobs(done, *outcomes):
    """Return a job for each outcome; the later ones end first."""

    async def job(i, outcome):
        for _ in range(len(outcomes) - i):
            await asyncio.sleep(0)
        done.append(i)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return [job(i, outcome) for i, outcome in enumerate(outcomes)]


def test_answers_come_in_the_order_of_the_questions():
    done = []
    assert asyncio.run(all_of(jobs(done, "a", "b", "c"))) == ["a", "b", "c"]
    assert done == [2, 1, 0] and asyncio.run(all_of([])) == []


@pytest.mark.parametrize(
    ("outcomes", "raised"),
    [(("a", REFUSED, OTHER), REFUSED), ((OTHER, REFUSED), OTHER), ((REFUSED, "a", GONE), GONE)],
)
def test_the_first_in_order_is_told_and_what_ends_the_run_before_it(outcomes, raised):
    done = []
    with pytest.raises(type(raised)) as found:
        asyncio.run(all_of(jobs(done, *outcomes)))
    assert found.value is raised and len(done) == len(outcomes)


def test_each_answer_or_refusal_is_given_back_unless_the_run_ends():
    assert asyncio.run(each_of(jobs([], "a", REFUSED, "c"))) == ["a", REFUSED, "c"]
    done = []
    with pytest.raises(EngineError):
        asyncio.run(each_of(jobs(done, REFUSED, GONE, "c")))
    assert sorted(done) == [0, 1, 2]
