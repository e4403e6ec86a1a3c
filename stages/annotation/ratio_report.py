"""The report of a density ratio: whether the reward follows the length of responses, and what the guards did.

Reads what is committed; the figures are computed in `length_drift`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api import Json, ReportTable, StageBooks
from stages.annotation.length_drift import LengthDrift, length_drift

_NOTE = (
    "Lengths are tokens of the numerator. The mean difference is the sum of differences over the sum of tokens; pairs "
    "are two responses to one prompt of unequal length and reward."
)
_LENGTH = (
    " This reward follows length: the numerator is surer at most tokens, so the plain sum grows with the response. "
    "Take normalize: per_own_token (or per_byte), or another pair of models."
)
_SHORTNESS = (
    " This reward follows shortness: the denominator is surer at most tokens: the plain sum falls as responses grow. "
    "Take normalize: per_own_token (or per_byte), and see that numerator and denominator are not swapped."
)


def ratio_tables(
    books: StageBooks, numerator: str, denominator: str, reward: str, normalize: str
) -> tuple[ReportTable, ...]:
    """Return a table about length, where rows have prompts and token counts, and one about guards.

    Args:
        books: what is committed.
        numerator: column of log-probabilities; its counts are in `<numerator>_tokens`.
        denominator: column of log-probabilities.
        reward: column of rewards.
        normalize: how the rewards were normalised.
    """
    needed = ["prompt_id", numerator, denominator, f"{numerator}_tokens", reward, f"{reward}_guard"]
    guards: Counter[str] = Counter()
    parts: list[pa.RecordBatch] = []
    for batch in books.rows(needed):
        guards.update(batch.column(f"{reward}_guard").to_pylist())
        if set(needed) <= set(batch.schema.names):
            parts.append(batch.select(needed[:-1]))
    tables = []
    scored = _comparable(pa.Table.from_batches(parts), needed) if parts else None
    if scored is not None:
        tables.append(_length_table(_drift(scored), numerator, denominator, normalize))
    if set(guards) - {"none"}:
        tables.append(_guard_table(guards))
    return tuple(tables)


def _comparable(table: pa.Table, names: Sequence[str]) -> pa.Table | None:
    """Return the rows of which prompt and length are known; `sum` needs neither, so a file may lack them."""
    known = pc.and_(pc.is_valid(table.column(names[0])), pc.fill_null(pc.greater(table.column(names[3]), 0), False))
    kept = table.filter(known)
    return kept if kept.num_rows else None


def _drift(table: pa.Table) -> LengthDrift:
    prompts = table.column(0).combine_chunks().dictionary_encode().indices.to_numpy(zero_copy_only=False)
    above, below, tokens, reward = (table.column(i).cast(pa.float64()).to_numpy() for i in (1, 2, 3, 4))
    return length_drift(prompts.astype(np.int64), reward, above - below, tokens)


def _length_table(drift: LengthDrift, numerator: str, denominator: str, normalize: str) -> ReportTable:
    note = _NOTE
    if normalize == "sum":
        note += _LENGTH if drift.rewards_length else _SHORTNESS if drift.rewards_shortness else ""
    title = f"'{numerator}' over '{denominator}', normalize {normalize}: reward and length"
    return ReportTable(title, ("figure", "value"), tuple(_figures(drift)), note)


def _figures(drift: LengthDrift) -> Iterator[tuple[Json, Json]]:
    for name, value in (
        ("mean difference per token, nats", drift.per_token),
        ("responses with a positive difference, share", drift.positive),
        ("prompts with one longest response", drift.prompts),
        ("of them, the longest scores highest, share", drift.longest_highest),
        ("the same by chance", drift.by_chance),
        ("pairs won by the longer response, share", drift.longer_wins),
        ("rank correlation of reward and length within a prompt, mean", drift.spearman),
    ):
        yield name, round(value, 4) if isinstance(value, float) else value


def _guard_table(guards: Counter[str]) -> ReportTable:
    total = sum(guards.values())
    rows = tuple((name, count, round(count / total, 4)) for name, count in sorted(guards.items()))
    return ReportTable("What set the reward", ("guard", "responses", "share"), rows)
