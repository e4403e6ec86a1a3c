"""Figures of self-refinement chains, turn by turn: what EVOLVE's failure looks like, and whether it happened.

The figures are those of our training notes (4.1): win rate over the turn before, share of unchanged answers, change of
length, refusals, and how often the draft was best after all, which arXiv:2502.05605 reports of models that were not
trained to refine. Reads rows in the order in which a chain's turns stand together; holds one chain at a time.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from pipeline.api import Json, ReportTable

CHAIN_COLUMNS = (
    "chain_id",
    "turn",
    "parent_turn",
    "response",
    "finish_reason",
    "identical",
    "refuses",
    "refusal_flip",
    "score",
    "kept",
)
_Z = 1.959964
"""Standard normal quantile of a two-sided interval of 95 %."""


@dataclass(slots=True)
class _Round:
    """Sums over the refinements of one turn."""

    rows: int = 0
    identical: int = 0
    longer: int = 0
    to_refusal: int = 0
    to_answer: int = 0
    cut: int = 0
    kept: int = 0
    compared: int = 0
    wins: int = 0


def chain_tables(batches: Iterable[pa.RecordBatch], scored: bool) -> list[ReportTable]:
    """Return one table by turn and, where answers were scored, one by chain.

    Args:
        batches: rows with `CHAIN_COLUMNS`.
        scored: whether `score` is set.
    """
    rounds: dict[int, _Round] = defaultdict(_Round)
    chains = draft_best = 0
    for chain in _chains(batches):
        chains += 1
        for turn in chain.values():
            if turn["parent_turn"] is not None:
                _count(rounds[turn["turn"]], turn, chain)
        draft_best += scored and chain[1]["score"] >= max(turn["score"] for turn in chain.values())
    tables = [_by_turn(rounds, scored)]
    if scored:
        rows: tuple[tuple[Json, ...], ...] = ((chains, draft_best, _share(draft_best, chains)),)
        note = "The draft is best where no refinement scores higher. Refinements set aside are not counted."
        tables.append(ReportTable("Chains whose draft was best", ("chains", "draft best", "share"), rows, note))
    return tables


def wilson(successes: int, n: int) -> tuple[float, float] | None:
    """Return the 95 % Wilson interval of a share (Wilson 1927, without correction), each end in [0, 1]; None of none.

    Args:
        successes: from 0 to `n`.
        n: number of trials.
    """
    if not n:
        return None
    share, weight = successes / n, _Z * _Z / n
    middle = (share + weight / 2) / (1 + weight)
    half = _Z * math.sqrt(share * (1 - share) / n + weight / (4 * n)) / (1 + weight)
    return max(0.0, middle - half), min(1.0, middle + half)


def _chains(batches: Iterable[pa.RecordBatch]) -> Iterator[dict[int, dict[str, Any]]]:
    """Yield the turns of each chain by number."""
    chain: dict[int, dict[str, Any]] = {}
    chain_id = None
    for batch in batches:
        for row in batch.to_pylist():
            if chain and row["chain_id"] != chain_id:
                yield chain
                chain = {}
            chain_id, chain[row["turn"]] = row["chain_id"], row
    if chain:
        yield chain


def _count(found: _Round, turn: dict[str, Any], chain: dict[int, dict[str, Any]]) -> None:
    found.rows += 1
    found.identical += turn["identical"]
    found.longer += len(turn["response"]) - len(chain[turn["parent_turn"]]["response"])
    found.to_refusal += turn["refusal_flip"] and turn["refuses"]
    found.to_answer += turn["refusal_flip"] and not turn["refuses"]
    found.cut += turn["finish_reason"] == "length"
    found.kept += turn["kept"]
    before = chain[turn["turn"] - 1]["score"]
    if before is not None:
        found.compared += 1
        found.wins += turn["score"] > before


def _by_turn(rounds: dict[int, _Round], scored: bool) -> ReportTable:
    headings = ("turn", "refinements", "identical", "change of length", "now refuse", "now answer", "cut off")
    wins = ("better than the turn before", "from", "to", "best so far") if scored else ()
    rows = tuple((n, *_plain(r), *(_wins(r) if scored else ())) for n, r in sorted(rounds.items()))
    note = "Shares of the refinements of a turn; change of length is the mean in characters against the answer refined."
    more = " 'From' and 'to' are the 95 % Wilson interval." if scored else ""
    return ReportTable("Refinements by turn", headings + wins, rows, note + more)


def _plain(r: _Round) -> Sequence[Json]:
    shares = (_share(n, r.rows) for n in (r.to_refusal, r.to_answer, r.cut))
    return (r.rows, _share(r.identical, r.rows), round(r.longer / r.rows, 1), *shares)


def _wins(r: _Round) -> Sequence[Json]:
    low, high = wilson(r.wins, r.compared) or (None, None)
    ends = (None if end is None else round(end, 4) for end in (low, high))
    return (_share(r.wins, r.compared), *ends, _share(r.kept, r.rows))


def _share(n: int, of: int) -> float | None:
    return round(n / of, 4) if of else None
