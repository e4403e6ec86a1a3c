"""The arithmetic of pair building on flat arrays: which candidates belong together, which is best, which is worst.

Candidates of one prompt lie side by side ("grouped order"); a group is given by where it starts. All functions
work on whole arrays; none knows about columns, rules of ties or seeds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Scalar = TypeVar("Scalar", bound=np.generic)

_WINDOW = 32
_KEY = 8
_SPACE = b" \t\n\r\x0b\x0c"


@dataclass(frozen=True, slots=True)
class Groups:
    """Candidates of the same prompt together.

    Attributes:
        rows: row numbers of the table in grouped order; within a prompt in table order.
        starts: where in `rows` each prompt begins; prompts in order of first appearance.
        counts: number of candidates of each prompt, at least 1.
    """

    rows: IntArray
    starts: IntArray
    counts: IntArray

    def spread(self, per_prompt: NDArray[Scalar]) -> NDArray[Scalar]:
        """Repeat one value per prompt for each of its candidates."""
        return np.repeat(per_prompt, self.counts)


def group_rows(prompt_ids: pa.Array, rows: IntArray) -> Groups:
    """Group rows by prompt; runs that are split by other prompts are brought together by a stable sort.

    Args:
        prompt_ids: one id per entry of `rows`, no nulls.
        rows: row numbers, ascending.
    """
    if not len(rows):
        return Groups(rows, rows[:0], rows[:0])
    changed = pc.not_equal(prompt_ids[1:], prompt_ids[:-1]).to_numpy(zero_copy_only=False)
    starts = np.concatenate(([0], np.flatnonzero(changed) + 1))
    if pc.count_distinct(prompt_ids.take(pa.array(starts))).as_py() < len(starts):
        codes = prompt_ids.dictionary_encode().indices.to_numpy()
        order = np.argsort(codes, kind="stable")
        rows, codes = rows[order], codes[order]
        starts = np.concatenate(([0], np.flatnonzero(codes[1:] != codes[:-1]) + 1))
    return Groups(rows, starts, np.diff(np.append(starts, len(rows))))


@dataclass(frozen=True, slots=True)
class Extreme:
    """The best (or worst) candidate of each prompt.

    Attributes:
        value: its score; -inf (or +inf) where no candidate may be taken.
        hits: in grouped order, which candidates have that score and may be taken.
        first: position in grouped order of the first of them; meaningless where there is none.
        tied: how many there are.
    """

    value: FloatArray
    hits: BoolArray
    first: IntArray
    tied: IntArray


def best(scores: FloatArray, allowed: BoolArray, groups: Groups) -> Extreme:
    """Return the highest-scored allowed candidate of each prompt; scores are finite, in grouped order."""
    value = np.maximum.reduceat(np.where(allowed, scores, -np.inf), groups.starts)
    hits = allowed & (scores == groups.spread(value))
    return Extreme(value, hits, _first(hits, groups), np.add.reduceat(hits, groups.starts, dtype=np.int64))


def worst(scores: FloatArray, allowed: BoolArray, groups: Groups) -> Extreme:
    """Return the lowest-scored allowed candidate of each prompt."""
    lowest = best(-scores, allowed, groups)
    return Extreme(-lowest.value, lowest.hits, lowest.first, lowest.tied)


def low_target(scores: FloatArray, groups: Groups, deviations: float = 2.0) -> FloatArray:
    """Return mean minus `deviations` population standard deviations of each prompt's scores (arXiv:2502.16825)."""
    mean = np.add.reduceat(scores, groups.starts) / groups.counts
    off = scores - groups.spread(mean)
    target: FloatArray = mean - deviations * np.sqrt(np.add.reduceat(off**2, groups.starts) / groups.counts)
    return target


def in_order(*keys: FloatArray) -> FloatArray:
    """Return one number per entry that orders them by the first key, equals of it by the second, and so on."""
    if not len(keys[0]):
        return keys[0]
    order = np.lexsort(keys[::-1])
    steps = np.zeros(len(order), dtype=bool)
    for key in keys:
        steps[1:] |= key[order][1:] != key[order][:-1]
    places = np.empty(len(order))
    places[order] = np.cumsum(steps)
    return places


def nth(hits: BoolArray, draws: IntArray, groups: Groups) -> IntArray:
    """Return the position of the `draws[i]`-th hit of prompt i; meaningless where a prompt has no such hit."""
    counts = np.add.reduceat(hits, groups.starts, dtype=np.int64)
    positions = np.append(np.flatnonzero(hits), 0)
    at = np.cumsum(counts) - counts + draws
    found: IntArray = positions[np.minimum(at, len(positions) - 1)]
    return found


def ordered_pairs(
    scores: FloatArray, chosen_ok: BoolArray, rejected_ok: BoolArray, min_margin: float
) -> list[tuple[int, int]]:
    """List all (chosen, rejected) of one prompt with a positive margin of at least `min_margin`, widest first.

    Equal margins keep the order of chosen, then of rejected.
    """
    margin = scores[:, None] - scores[None, :]
    fits = (margin > 0) & (margin >= min_margin) & chosen_ok[:, None] & rejected_ok[None, :]
    chosen, rejected = np.nonzero(fits)
    order = np.argsort(-margin[chosen, rejected], kind="stable")
    return [(int(chosen[i]), int(rejected[i])) for i in order]


def _first(hits: BoolArray, groups: Groups) -> IntArray:
    at: IntArray = np.minimum.reduceat(np.where(hits, np.arange(len(hits)), len(hits) - 1), groups.starts)
    return at


def same_text(one: bytes, other: bytes) -> bool:
    """Return whether two UTF-8 texts are equal when runs of ASCII white space count as one and ends are trimmed."""
    if one == other or one.translate(None, _SPACE) != other.translate(None, _SPACE):
        return one == other
    return one.split() == other.split()


def same_texts(ones: pa.Array, others: pa.Array) -> BoolArray:
    """Compare texts pairwise as `same_text` does; only pairs with equal beginnings and ends are read in full."""
    same = _same_keys(ones, others, from_end=False)
    at = np.flatnonzero(same)
    if len(at):
        picked = pa.array(at)
        ones, others = ones.take(picked), others.take(picked)
        same[at] = _same_keys(ones, others, from_end=True)
        for i, one, other in zip(at, ones.cast(pa.binary()), others.cast(pa.binary()), strict=True):
            same[i] = same[i] and same_text(one.as_py(), other.as_py())
    return same


def _same_keys(ones: pa.Array, others: pa.Array, from_end: bool) -> BoolArray:
    """Return where the first (last) bytes that are not white space agree, or where there are too few to tell."""
    (key, full), (other_key, other_full) = _keys(ones, from_end), _keys(others, from_end)
    same: BoolArray = (key == other_key) | ~(full & other_full)
    return same


def _keys(texts: pa.Array, from_end: bool) -> tuple[NDArray[np.uint64], BoolArray]:
    """Pack the first (last) 8 bytes that are no white space, looked for in 32 bytes; False where there are fewer."""
    data, offsets = _bytes_of(texts)
    begin, end = offsets[:-1, None], offsets[1:, None]
    steps = np.arange(_WINDOW)
    at = end - 1 - steps if from_end else begin + steps
    inside = (at >= begin) & (at < end)
    window = data[np.where(inside, at, 0)]
    solid = inside & (window != 32) & ((window < 9) | (window > 13))
    rank = np.cumsum(solid, axis=1, dtype=np.int8)
    full = rank[:, -1] >= _KEY
    keys = np.zeros(len(texts), dtype=np.uint64)
    keys[full] = window[solid & (rank <= _KEY) & full[:, None]].view(np.uint64)
    return keys, full


def _bytes_of(texts: pa.Array) -> tuple[NDArray[np.uint8], IntArray]:
    _, offsets, data = texts.buffers()
    bounds = np.frombuffer(offsets, dtype=np.int32)[texts.offset : texts.offset + len(texts) + 1].astype(np.int64)
    raw = np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(1, dtype=np.uint8)
    return raw, bounds
