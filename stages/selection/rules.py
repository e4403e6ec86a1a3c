"""The rules by which pairs are drawn from grouped candidates, and why a prompt yields none.

Knows arrays and seeds; knows no table columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.selection.pairing import (
    BoolArray,
    Extreme,
    FloatArray,
    Groups,
    IntArray,
    best,
    nth,
    ordered_pairs,
    same_text,
    same_texts,
    worst,
)

OK = ""
Seed = Callable[[str, int], int]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates in grouped order, but `texts` and `prompt_ids` by row of the table."""

    groups: Groups
    scores: FloatArray
    truncated: BoolArray
    barred: BoolArray
    """Which ones an earlier stage found unfit to be chosen."""
    texts: pa.Array
    prompt_ids: pa.Array

    def text(self, at: int) -> bytes:
        """Return the response of a candidate by its position in grouped order."""
        raw: bytes = self.texts[int(self.groups.rows[at])].as_buffer().to_pybytes()
        return raw

    def prompt_id(self, prompt: int) -> str:
        """Return the id of a prompt by its number."""
        out: str = self.prompt_ids[int(self.groups.rows[self.groups.starts[prompt]])].as_py()
        return out

    def span(self, prompt: int) -> tuple[int, int]:
        """Return where in grouped order a prompt's candidates begin and end."""
        start = int(self.groups.starts[prompt])
        return start, start + int(self.groups.counts[prompt])


@dataclass(frozen=True, slots=True)
class Options:
    """What the rules need of the stage's config."""

    rule: Literal["best_worst", "best_random", "margin"]
    min_margin: float
    max_pairs_per_prompt: int
    ties: Literal["drop", "first", "random"]
    min_candidates: int
    allow_truncated_chosen: bool
    drop_truncated: bool


@dataclass(frozen=True, slots=True)
class Choice:
    """The pairs, ordered by prompt, and the reject code of each prompt without one.

    Attributes:
        prompt: number of the prompt of each pair.
        chosen: position in grouped order of the chosen candidate of each pair.
        rejected: the same of the rejected one.
        codes: per prompt, `OK` or a reject code.
        best: per prompt, the best score among candidates that may be chosen.
        tied: per prompt, how many candidates share it.
    """

    prompt: IntArray
    chosen: IntArray
    rejected: IntArray
    codes: NDArray[np.str_]
    best: FloatArray
    tied: IntArray


def best_against_one(candidates: Candidates, options: Options, seed: Seed) -> Choice:
    """Pair the best candidate with the worst, or with a random one that scores lower."""
    groups, scores = candidates.groups, candidates.scores
    chosen_ok, rejected_ok = _allowed(candidates, options)
    top = best(scores, chosen_ok, groups)
    lower = rejected_ok & (scores < groups.spread(top.value))
    bottom = worst(scores, lower, groups)
    codes = _codes(candidates, options, top, bottom)
    chosen = _break_ties(candidates, options, top, codes, seed, 0)
    if options.rule == "best_random":
        rejected = _draw(candidates, lower, np.add.reduceat(lower, groups.starts, dtype=np.int64), codes, seed, 1)
    else:
        rejected = _break_ties(candidates, options, bottom, codes, seed, 1)
    _avoid_same_text(candidates, lower, chosen, rejected, codes, seed if options.rule == "best_random" else None)
    fits = codes == OK
    margin = scores[chosen[fits]] - scores[rejected[fits]]
    codes[np.flatnonzero(fits)[margin < options.min_margin]] = "pairs.margin"
    prompt = np.flatnonzero(codes == OK)
    return Choice(prompt, chosen[prompt], rejected[prompt], codes, top.value, top.tied)


def by_margin(candidates: Candidates, options: Options, _seed: Seed) -> Choice:
    """Keep the pairs with the widest margins, at most `max_pairs_per_prompt` for each prompt."""
    groups, scores = candidates.groups, candidates.scores
    chosen_ok, rejected_ok = _allowed(candidates, options)
    top = best(scores, chosen_ok, groups)
    codes = _codes(candidates, options, top, _lowest(candidates, options, top))
    found: list[tuple[int, int, int]] = []
    for prompt in np.flatnonzero(codes == OK):
        start, end = candidates.span(prompt)
        pairs = ordered_pairs(scores[start:end], chosen_ok[start:end], rejected_ok[start:end], options.min_margin)
        kept = _distinct_texts(candidates, [(start + c, start + r) for c, r in pairs], options.max_pairs_per_prompt)
        found += [(prompt, c, r) for c, r in kept]
        if not kept:
            codes[prompt] = "pairs.identical" if pairs else "pairs.margin"
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Choice(table[:, 0], table[:, 1], table[:, 2], codes, top.value, top.tied)


def _allowed(candidates: Candidates, options: Options) -> tuple[BoolArray, BoolArray]:
    """Return which candidates may be chosen, and which may be rejected."""
    chosen_ok, rejected_ok = _whole_enough(candidates, options)
    return chosen_ok & ~candidates.barred, rejected_ok


def _whole_enough(candidates: Candidates, options: Options) -> tuple[BoolArray, BoolArray]:
    anyone = np.ones(len(candidates.scores), dtype=bool)
    complete = ~candidates.truncated
    return anyone if options.allow_truncated_chosen else complete, complete if options.drop_truncated else anyone


def _lowest(candidates: Candidates, options: Options, top: Extreme) -> Extreme:
    """Return the worst candidate of each prompt that may be rejected and scores lower than the best."""
    groups, scores = candidates.groups, candidates.scores
    _, rejected_ok = _whole_enough(candidates, options)
    return worst(scores, rejected_ok & (scores < groups.spread(top.value)), groups)


def _codes(candidates: Candidates, options: Options, top: Extreme, bottom: Extreme) -> NDArray[np.str_]:
    """Return why a prompt yields no pair as far as scores tell, the first reason that holds."""
    groups, scores = candidates.groups, candidates.scores
    everyone = np.ones(len(scores), dtype=bool)
    equal = best(scores, everyone, groups).value == worst(scores, everyone, groups).value
    codes = np.full(len(groups.counts), OK, dtype="<U19")
    if options.ties == "drop" and options.rule != "margin":
        codes[top.tied > 1] = "pairs.tie"
    pairless = ~np.isfinite(bottom.value)
    codes[pairless] = "pairs.all_truncated"
    if candidates.barred.any():
        codes[pairless & _barring_tells(candidates, options, top)] = "pairs.all_filtered"
    codes[equal & np.isfinite(top.value)] = "pairs.tie"
    codes[groups.counts < options.min_candidates] = "pairs.too_few"
    return codes


def _barring_tells(candidates: Candidates, options: Options, top: Extreme) -> BoolArray:
    """Return which prompts would have a pair, or at least one candidate that may be chosen, if none were barred."""
    chosen_ok, _ = _whole_enough(candidates, options)
    freed = best(candidates.scores, chosen_ok, candidates.groups)
    paired = np.isfinite(_lowest(candidates, options, freed).value)
    tells: BoolArray = paired | (np.isfinite(freed.value) & ~np.isfinite(top.value))
    return tells


def _break_ties(
    candidates: Candidates, options: Options, extreme: Extreme, codes: NDArray[np.str_], seed: Seed, draw: int
) -> IntArray:
    if options.ties != "random":
        return extreme.first
    return _draw(candidates, extreme.hits, extreme.tied, codes, seed, draw)


def _draw(
    candidates: Candidates, hits: BoolArray, counts: IntArray, codes: NDArray[np.str_], seed: Seed, draw: int
) -> IntArray:
    """Draw one hit of each prompt; the seed comes from the prompt's id alone, so shards do not matter."""
    draws = np.zeros(len(counts), dtype=np.int64)
    for prompt in np.flatnonzero((codes == OK) & (counts > 1)):
        draws[prompt] = seed(candidates.prompt_id(prompt), draw) % int(counts[prompt])
    return nth(hits, draws, candidates.groups)


def _avoid_same_text(
    candidates: Candidates,
    lower: BoolArray,
    chosen: IntArray,
    rejected: IntArray,
    codes: NDArray[np.str_],
    seed: Seed | None,
) -> None:
    """Put the next candidate in place of a rejected one with the chosen one's text; changes arrays in place."""
    prompts = np.flatnonzero(codes == OK)
    rows = candidates.groups.rows
    same = same_texts(*(candidates.texts.take(pa.array(rows[at[prompts]])) for at in (chosen, rejected)))
    for prompt in prompts[same]:
        start, end = candidates.span(prompt)
        pool = [
            at
            for at in range(start, end)
            if lower[at] and not same_text(candidates.text(int(chosen[prompt])), candidates.text(at))
        ]
        if not pool:
            codes[prompt] = "pairs.identical"
        elif seed is None:
            rejected[prompt] = min(pool, key=lambda at: (candidates.scores[at], at))
        else:
            rejected[prompt] = pool[seed(candidates.prompt_id(prompt), 2) % len(pool)]


def _distinct_texts(candidates: Candidates, pairs: list[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    kept: list[tuple[Any, Any]] = []
    for chosen, rejected in pairs:
        if len(kept) == limit:
            break
        if not same_text(candidates.text(chosen), candidates.text(rejected)):
            kept.append((chosen, rejected))
    return kept
