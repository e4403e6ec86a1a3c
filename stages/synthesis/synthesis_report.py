"""The tables of `synthesize_skillmix`: rejects by turn, requests, and how much instructions repeat.

Everything is counted from committed rows and rejects. Two instructions count as near-equal when they share 12 words in
a row; that is a lower bound for likeness, and `deduplicate` is the stage that removes what is alike.
"""

from __future__ import annotations

from collections import Counter
from itertools import takewhile
from statistics import median

from pipeline.api import Json, ReportTable, Row, StageBooks
from stages.replies.word_runs import shared_run

COPIED_WORDS = 12
_LEAKED_WORDS = 6
_COMPARED = 20_000


def synthesis_tables(books: StageBooks, *, criticised: bool) -> tuple[ReportTable, ...]:
    """Return the tables of a stage that has rows or rejects, else none.

    Args:
        books: what is committed.
        criticised: whether rows have the turns critique and rewrite.
    """
    if not books.rows_out and not books.rejects:
        return ()
    turns = ("generate", "critique", "rewrite") if criticised else ("generate",)
    sample = _Sample(books.rows_out)
    attempts: list[int] = []
    rewrites: list[int] = []
    for batch in books.rows(["attempts", "length_rewrites", "instruction", "turns"]):
        attempts += batch["attempts"].to_pylist()
        rewrites += batch["length_rewrites"].to_pylist()
        sample.take(batch.select(["instruction", "turns"]).to_pylist())
    tables = [_by_turn(books, turns)]
    if attempts:
        tables += [_requests(attempts, rewrites, len(turns)), sample.table()]
    return tuple(tables)


def _by_turn(books: StageBooks, turns: tuple[str, ...]) -> ReportTable:
    failed: Counter[tuple[str, str]] = Counter()
    for reject in books.rejected():
        failed[str(reject.row.get("failed_turn")), reject.code] += 1
    reached = books.rows_out + sum(failed.values())
    rows: list[tuple[Json, ...]] = []
    for turn in turns:
        here = {code: n for (at, code), n in sorted(failed.items()) if at == turn}
        lost = sum(here.values())
        codes = ", ".join(f"{code} {n:,}" for code, n in here.items())
        rows.append((turn, reached, lost, lost / reached if reached else None, codes))
        reached -= lost
    return ReportTable("Rejects by turn", ("turn", "rows that reached it", "rejects", "share", "codes"), tuple(rows))


def _requests(attempts: list[int], rewrites: list[int], turns: int) -> ReportTable:
    rows: tuple[tuple[Json, ...], ...] = (
        ("requests", sum(attempts)),
        ("requests a row, mean", sum(attempts) / len(attempts)),
        ("requests a row, most", max(attempts)),
        ("rows that needed more than one request a turn", sum(n > turns for n in attempts)),
        ("length rewrites", sum(rewrites)),
        ("rows with a length rewrite", sum(n > 0 for n in rewrites)),
    )
    return ReportTable("Requests", ("what", "count"), rows, "Of the rows that came out; rejected rows are not counted.")


class _Sample:
    """Up to `_COMPARED` instructions, evenly spaced, and what is found in them."""

    def __init__(self, rows: int) -> None:
        self._every = max(1, -(-rows // _COMPARED))
        self._at = self._near = self._leaked = 0
        self._runs: set[tuple[str, ...]] = set()
        self._words: list[int] = []
        self._first: Row | None = None

    def take(self, rows: list[Row]) -> None:
        """Look at the next rows in order."""
        for row in rows:
            if self._at % self._every == 0:
                self._look(row)
            self._at += 1

    def _look(self, row: Row) -> None:
        words = tuple(row["instruction"].split())
        runs = {words[i : i + COPIED_WORDS] for i in range(len(words) - COPIED_WORDS + 1)} or {words}
        self._near += bool(runs & self._runs)
        self._runs |= runs
        self._words.append(len(words))
        if self._first is None:
            self._first = row
            return
        examples = _examples(self._first["turns"], row["turns"])
        compared = [self._first, row] if len(self._words) == 2 else [row]
        self._leaked += sum(shared_run(r["instruction"], examples, _LEAKED_WORDS) is not None for r in compared)

    def table(self) -> ReportTable:
        """Return what was found."""
        rows: tuple[tuple[Json, ...], ...] = (
            ("looked at", len(self._words)),
            (f"share {COPIED_WORDS} words in a row with an earlier one", self._near),
            (f"share {_LEAKED_WORDS} words in a row with a worked example", self._leaked),
            ("words, median", median(self._words)),
        )
        note = f"Of plans of more than {_COMPARED:,} rows an evenly spaced part is looked at."
        return ReportTable("Instructions", ("what", "count"), rows, note)


def _examples(one: list[Row], other: list[Row]) -> list[str]:
    """Return the template's worked examples: replies at the head of two conversations that are alike in both."""
    alike = takewhile(lambda turns: turns[0] == turns[1], zip(one, other, strict=False))
    return [turn["content"] for turn, _ in alike if turn["role"] == "assistant"]
