"""Tables about a pairwise judge, for `report`: its outcomes, and how often the order decided. Reads columns only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from pipeline.api import ReportTable, StageBooks
from stages.judging.outcomes import OUTCOMES, winner

_COLUMNS = ("outcome", "outcome_length_ruled", "outcome_forward", "outcome_backward", "consistent", "judge_empty")


def verdict_tables(books: StageBooks, prefix: str = "") -> Sequence[ReportTable]:
    """Return the outcomes, before and after the length rule, and what the two orders said of the same pair.

    Args:
        books: of a stage that judged pairs.
        prefix: of the names of its columns.
    """
    batches = books.rows([prefix + name for name in _COLUMNS])
    rows = [{n: row[prefix + n] for n in _COLUMNS} for batch in batches for row in batch.to_pylist()]
    plain, ruled = Counter(r["outcome"] for r in rows), Counter(r["outcome_length_ruled"] for r in rows)
    outcomes = tuple((o, plain[o], ruled[o]) for o in OUTCOMES)
    asked = [r for r in rows if not r["judge_empty"]]
    first = sum((winner(r["outcome_forward"]), winner(r["outcome_backward"])) == ("a", "b") for r in asked)
    second = sum((winner(r["outcome_forward"]), winner(r["outcome_backward"])) == ("b", "a") for r in asked)
    same = sum(r["consistent"] for r in asked)
    orders = (
        ("the same winner, or both ties", same),
        ("twice the response shown first", first),
        ("twice the response shown second", second),
        ("a winner in one order, a tie in the other", len(asked) - same - first - second),
    )
    note = "Pairs with a text that is empty were decided without the judge and are not counted."
    return (
        ReportTable("Outcomes of pairs", ("outcome", "pairs", "after the length rule"), outcomes),
        ReportTable("What the two orders said", ("verdicts", "pairs"), orders, note),
    )
