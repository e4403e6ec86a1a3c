"""The rules by which pairs are drawn from grouped candidates, and why a prompt yields none.

Sources: best over worst, SimPO's on-policy recipe; best over random, CDR (arXiv:2411.02481); best over the one nearest
mean minus two deviations, arXiv:2502.16825; model ladder, delta learning (arXiv:2507.06187). Knows arrays and seeds,
but no table columns.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from stages.selection.pair_options import Rule
from stages.selection.pairing import (
    BoolArray,
    Extreme,
    FloatArray,
    Groups,
    IntArray,
    best,
    low_target,
    nth,
    ordered_pairs,
    same_text,
    same_texts,
    worst,
)
from stages.selection.partners import Partners

OK = ""
Seed = Callable[[str, int], int]


@dataclass(frozen=True, slots=True)
class Candidates:
    """Candidates in grouped order, but `texts` and `prompt_ids` by row of the table.

    Attributes:
        scores: higher is better; NaN for all if the rule does without.
        levels: what must differ between chosen and rejected: the score, or the rung of the ladder (NaN if on none).
        places: orders candidates of one prompt; the level first.
        barred: which ones an earlier stage found unfit to be chosen.
        tie_keys: breaks ties of places; None if nothing does.
        partners: limits on pairs; None if there are none.
    """

    groups: Groups
    scores: FloatArray
    levels: FloatArray
    places: FloatArray
    truncated: BoolArray
    barred: BoolArray
    texts: pa.Array
    prompt_ids: pa.Array
    tie_keys: FloatArray | None = None
    partners: Partners | None = None

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

    rule: Rule
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
        best: per prompt, the best level among candidates that may be chosen.
        tied: per prompt, how many candidates share the best place.
    """

    prompt: IntArray
    chosen: IntArray
    rejected: IntArray
    codes: NDArray[np.str_]
    best: FloatArray
    tied: IntArray


def best_against_one(candidates: Candidates, options: Options, seed: Seed) -> Choice:
    """Pair the best candidate with one that lies lower: the worst, a random one, or the one nearest the low target."""
    groups, partners = candidates.groups, candidates.partners
    chosen_ok, rejected_ok = _allowed(candidates, options)
    top, codes = _top(candidates, options, chosen_ok)
    if partners is not None and partners.mix != "any":
        codes[(codes == OK) & ~np.isfinite(top.value)] = "pairs.policy_mix"
    top_hits = _narrowed(candidates, top, highest=True)
    if options.ties == "drop":
        codes[(codes == OK) & (top_hits.tied > 1)] = "pairs.tie"
    chosen = _break_ties(candidates, options, top_hits, codes, seed, 0)
    lower = rejected_ok & (candidates.levels < groups.spread(_level_of(candidates, top)))
    if partners is not None:
        lower = _paired(candidates, partners, chosen, lower, codes)
    costs = _costs(candidates, options)
    if options.rule == "best_random":
        rejected = _draw(candidates, lower, np.add.reduceat(lower, groups.starts, dtype=np.int64), codes, seed, 1)
    else:
        bottom = _narrowed(candidates, worst(costs, lower, groups), highest=False)
        rejected = _break_ties(candidates, options, bottom, codes, seed, 1)
    redraw = seed if options.rule == "best_random" else None
    _avoid_same_text(candidates, lower, costs, chosen, rejected, codes, redraw)
    _check_margins(candidates, options, chosen, rejected, codes)
    prompt = np.flatnonzero(codes == OK)
    return Choice(prompt, chosen[prompt], rejected[prompt], codes, _level_of(candidates, top), top.tied)


def by_margin(candidates: Candidates, options: Options, _seed: Seed) -> Choice:
    """Keep the pairs with the widest margins, at most `max_pairs_per_prompt` for each prompt."""
    scores, partners = candidates.scores, candidates.partners
    chosen_ok, rejected_ok = _allowed(candidates, options)
    top, codes = _top(candidates, options, chosen_ok)
    found: list[tuple[int, int, int]] = []
    for prompt in np.flatnonzero(codes == OK):
        start, end = candidates.span(prompt)
        pairs = ordered_pairs(scores[start:end], chosen_ok[start:end], rejected_ok[start:end], options.min_margin)
        pairs = [(start + c, start + r) for c, r in pairs]
        code = "pairs.identical" if pairs else "pairs.margin"
        if partners is not None and pairs:
            pairs, code = _limited(partners, pairs)
        kept = _distinct_texts(candidates, pairs, options.max_pairs_per_prompt)
        found += [(prompt, c, r) for c, r in kept]
        if not kept:
            codes[prompt] = code
    table = np.array(found, dtype=np.int64).reshape(-1, 3)
    return Choice(table[:, 0], table[:, 1], table[:, 2], codes, top.value, top.tied)


def _limited(partners: Partners, pairs: list[tuple[int, int]]) -> tuple[list[tuple[int, int]], str]:
    """Return the pairs within the limits, and what to say if none of them makes a row."""
    chosen, rejected = np.array(pairs, dtype=np.int64).T
    mixed = partners.mixed(chosen, rejected)
    kept = mixed & partners.alike(chosen, rejected)
    code = "pairs.policy_mix" if not mixed.any() else "pairs.identical" if kept.any() else "pairs.length"
    return [pair for pair, fits in zip(pairs, kept, strict=True) if fits], code


def _allowed(candidates: Candidates, options: Options) -> tuple[BoolArray, BoolArray]:
    """Return which candidates may be chosen, and which may be rejected."""
    chosen_ok, rejected_ok = _whole_enough(candidates, options)
    return chosen_ok & ~candidates.barred, rejected_ok


def _whole_enough(candidates: Candidates, options: Options) -> tuple[BoolArray, BoolArray]:
    anyone = ~np.isnan(candidates.levels)
    complete = anyone & ~candidates.truncated
    return anyone if options.allow_truncated_chosen else complete, complete if options.drop_truncated else anyone


def _top(candidates: Candidates, options: Options, chosen_ok: BoolArray) -> tuple[Extreme, NDArray[np.str_]]:
    """Return the best candidate of each prompt, of those that the mix lets be chosen, and the codes so far."""
    groups, places, partners = candidates.groups, candidates.places, candidates.partners
    top = best(places, chosen_ok, groups)
    codes = _codes(candidates, options, top)
    if partners is not None and partners.mix != "any" and options.rule != "margin":
        top = best(places, chosen_ok & partners.choosable(), groups)
    return top, codes


def _level_of(candidates: Candidates, top: Extreme) -> FloatArray:
    """Return the level of the best candidates; -inf where there is none."""
    if candidates.levels is candidates.places:
        return top.value
    return np.where(np.isfinite(top.value), candidates.levels[top.first], -np.inf)


def _lowest(candidates: Candidates, options: Options, top: Extreme) -> FloatArray:
    """Return the lowest level of each prompt that may be rejected and lies below the best."""
    groups, levels = candidates.groups, candidates.levels
    _, rejected_ok = _whole_enough(candidates, options)
    return worst(levels, rejected_ok & (levels < groups.spread(_level_of(candidates, top))), groups).value


def _codes(candidates: Candidates, options: Options, top: Extreme) -> NDArray[np.str_]:
    """Return why a prompt yields no pair as far as levels tell, the first reason that holds."""
    groups, levels = candidates.groups, candidates.levels
    anyone = ~np.isnan(levels)
    equal = best(levels, anyone, groups).value <= worst(levels, anyone, groups).value
    codes = np.full(len(groups.counts), OK, dtype="<U19")
    pairless = ~np.isfinite(_lowest(candidates, options, top))
    codes[pairless] = "pairs.all_truncated"
    if candidates.barred.any():
        codes[pairless & _barring_tells(candidates, options, top)] = "pairs.all_filtered"
    if options.rule == "model_ladder":
        codes[equal] = "pairs.one_rung"
    else:
        codes[equal & np.isfinite(top.value)] = "pairs.tie"
    codes[groups.counts < options.min_candidates] = "pairs.too_few"
    return codes


def _barring_tells(candidates: Candidates, options: Options, top: Extreme) -> BoolArray:
    """Return which prompts would have a pair, or at least one candidate that may be chosen, if none were barred."""
    chosen_ok, _ = _whole_enough(candidates, options)
    freed = best(candidates.places, chosen_ok, candidates.groups)
    paired = np.isfinite(_lowest(candidates, options, freed))
    tells: BoolArray = paired | (np.isfinite(freed.value) & ~np.isfinite(top.value))
    return tells


def _costs(candidates: Candidates, options: Options) -> FloatArray:
    """Return what is least for the candidate to be rejected."""
    if options.rule != "mu_minus_2sigma":
        return candidates.places
    groups, scores = candidates.groups, candidates.scores
    return np.abs(scores - groups.spread(low_target(scores, groups)))


def _paired(
    candidates: Candidates, partners: Partners, chosen: IntArray, lower: BoolArray, codes: NDArray[np.str_]
) -> BoolArray:
    """Return which lower candidates the limits let stand beside the chosen one; names prompts without any."""
    groups, everyone = candidates.groups, np.arange(len(lower))
    beside = groups.spread(chosen)
    for fits, code in ((partners.mixed, "pairs.policy_mix"), (partners.alike, "pairs.length")):
        lower = lower & fits(beside, everyone)
        codes[(codes == OK) & ~np.logical_or.reduceat(lower, groups.starts)] = code
    return lower


def _narrowed(candidates: Candidates, extreme: Extreme, highest: bool) -> Extreme:
    """Keep of tied candidates those that the tie-breaking score puts first."""
    keys = candidates.tie_keys
    if keys is None:
        return extreme
    known = np.where(np.isnan(keys), -np.inf, keys if highest else -keys)
    return best(known, extreme.hits, candidates.groups)


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
    costs: FloatArray,
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
            rejected[prompt] = min(pool, key=lambda at: (costs[at], at))
        else:
            rejected[prompt] = pool[seed(candidates.prompt_id(prompt), 2) % len(pool)]


def _check_margins(
    candidates: Candidates, options: Options, chosen: IntArray, rejected: IntArray, codes: NDArray[np.str_]
) -> None:
    """Name in `codes` the prompts whose pair is too narrow; without scores none is."""
    prompts = np.flatnonzero(codes == OK)
    margin = candidates.scores[chosen[prompts]] - candidates.scores[rejected[prompts]]
    codes[prompts[(margin < options.min_margin) | (margin <= 0)]] = "pairs.margin"


def _distinct_texts(candidates: Candidates, pairs: list[tuple[int, int]], limit: int) -> list[tuple[int, int]]:
    kept: list[tuple[Any, Any]] = []
    for chosen, rejected in pairs:
        if len(kept) == limit:
            break
        if not same_text(candidates.text(chosen), candidates.text(rejected)):
            kept.append((chosen, rejected))
    return kept
