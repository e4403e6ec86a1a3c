"""Reads the columns of candidates as the pair rules want them, and says which rows cannot be candidates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from pipeline.api import PrerequisiteError
from stages.selection.pair_options import LengthLimit, LengthLimits, SelectPairsConfig
from stages.selection.pairing import BoolArray, FloatArray, IntArray, group_rows, in_order
from stages.selection.partners import Partners
from stages.selection.rules import Candidates


@dataclass(frozen=True, slots=True)
class Loaded:
    """The candidates of a table, and which rows are none, by row of the table."""

    candidates: Candidates
    incomplete: BoolArray
    nonfinite: BoolArray


def load_candidates(table: pa.Table, config: SelectPairsConfig) -> Loaded:
    """Group the rows that can be candidates by prompt, and read what the rule needs of them.

    Raises:
        PrerequisiteError: if a column `may_be_chosen` does not hold true or false.
    """
    prompt_ids, texts = one_array(table.column("prompt_id")), one_array(table.column("response"))
    scores = np.full(table.num_rows, np.nan) if config.score is None else _numbers(table, config.score)
    complete = pc.and_(prompt_ids.is_valid(), texts.is_valid()).to_numpy(zero_copy_only=False)
    finite = np.isfinite(scores) if config.score else np.ones(table.num_rows, dtype=bool)
    rows = np.flatnonzero(complete & finite)
    picked = prompt_ids if len(rows) == table.num_rows else prompt_ids.take(pa.array(rows))
    groups = group_rows(picked, rows)
    at = groups.rows
    scores = scores[at]
    levels, places = _on_ladder(table, config, at, scores) if config.ladder else (scores, scores)
    candidates = Candidates(
        groups,
        scores,
        levels,
        places,
        _truncated(table)[at],
        _barred(table)[at],
        texts,
        prompt_ids,
        _numbers(table, config.tie_break_by)[at] if config.tie_break_by else None,
        _partners(table, config, at),
    )
    return Loaded(candidates, ~complete, complete & ~finite)


def one_array(column: pa.ChunkedArray) -> pa.Array:
    """Return a column as one array, copied only if it has several chunks; a shard holds less than 2 GiB of text."""
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _numbers(table: pa.Table, name: str) -> FloatArray:
    numbers: FloatArray = table.column(name).cast(pa.float64()).to_numpy()
    return numbers


def _on_ladder(
    table: pa.Table, config: SelectPairsConfig, at: IntArray, scores: FloatArray
) -> tuple[FloatArray, FloatArray]:
    """Return the rung of each candidate, higher is stronger, and a place that orders by rung, then by score."""
    rungs = pc.index_in(table.column(config.source_column), pa.array(config.ladder, pa.string()))
    levels: FloatArray = -rungs.cast(pa.float64()).to_numpy()[at]
    return levels, in_order(np.nan_to_num(levels, nan=-float(len(config.ladder))), np.nan_to_num(scores))


def _truncated(table: pa.Table) -> BoolArray:
    if "finish_reason" not in table.schema.names:
        return np.zeros(table.num_rows, dtype=bool)
    hits: BoolArray = pc.fill_null(pc.equal(table.column("finish_reason"), "length"), False).to_numpy()
    return hits


def _barred(table: pa.Table) -> BoolArray:
    if "may_be_chosen" not in table.schema.names:
        return np.zeros(table.num_rows, dtype=bool)
    allowed = table.column("may_be_chosen")
    if not pa.types.is_boolean(allowed.type):
        raise PrerequisiteError(f"column 'may_be_chosen' holds {allowed.type}; expected true or false. Rename it")
    barred: BoolArray = pc.invert(pc.fill_null(allowed, False)).to_numpy()
    return barred


def _partners(table: pa.Table, config: SelectPairsConfig, at: IntArray) -> Partners | None:
    if config.length is None and config.policy_mix == "any":
        return None
    lengths, difference, ratio = None, np.empty(0), np.empty(0)
    if config.length is not None:
        lengths, difference, ratio = _lengths(table, config.length, at)
    return Partners(config.policy_mix, _on_policy(table, config)[at], lengths, difference, ratio)


def _on_policy(table: pa.Table, config: SelectPairsConfig) -> NDArray[np.int8]:
    if config.policy_mix == "any":
        return np.zeros(table.num_rows, dtype=np.int8)
    known: NDArray[np.int8] = pc.fill_null(table.column(config.on_policy_column).cast(pa.int8()), -1).to_numpy()
    return known


def _lengths(table: pa.Table, limits: LengthLimits, at: IntArray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return lengths, and the greatest difference and ratio by candidate, infinite where there is no limit."""
    counted = table.column(limits.column) if limits.column else pc.utf8_length(table.column("response"))
    lengths: FloatArray = counted.cast(pa.float64()).to_numpy()[at]
    kinds: list[LengthLimit] = [limits, *limits.domains.values()]
    which = np.zeros(len(at), dtype=np.int64)
    if limits.domain_column:
        found = pc.index_in(table.column(limits.domain_column), pa.array(list(limits.domains), pa.string()))
        which = pc.add(pc.fill_null(found, -1), 1).to_numpy()[at].astype(np.int64)
    difference, ratio = (
        np.array([np.inf if value is None else value for value in values], dtype=np.float64)[which]
        for values in ([k.max_difference for k in kinds], [k.max_ratio for k in kinds])
    )
    return lengths, difference, ratio
