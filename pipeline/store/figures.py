"""Figures that engines left in a run folder, added up over all processes that opened them.

Every engine may keep what it likes (`Engine.statistics`); numbers are added, other values listed once. Rates are made
from the sums, never averaged.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.types import Json

_RATES = ("acceptance", "mean_accepted_length")


def added_up(records: Sequence[Mapping[str, Json]]) -> dict[str, Json]:
    """Return the sums of one engine's figures, with acceptance and mean accepted length where tokens were proposed.

    `acceptance` is the share of proposed tokens that the model accepted; `mean_accepted_length` counts the tokens of
    one verification, the model's own included.
    """
    out: dict[str, Json] = {}
    for record in records:
        for name, value in record.items():
            if name in _RATES:
                continue
            if isinstance(value, int | float) and not isinstance(value, bool) and name != "context":
                out[name] = round(out.get(name, 0) + value, 3)
            elif value not in out.setdefault(name, []):
                out[name].append(value)
    if out.get("drafts"):
        out["acceptance"] = round(out["accepted_tokens"] / max(1, out["draft_tokens"]), 4)
        out["mean_accepted_length"] = round(1 + out["accepted_tokens"] / out["drafts"], 4)
    return out


def described(name: str, figures: Mapping[str, Json]) -> str:
    """Return one line about an engine: tokens, rate, faults, speculation; what it did not keep is left out."""
    parts = []
    if figures.get("generated_tokens") is not None:
        parts.append(f"{figures['prompt_tokens']:,} tokens read, {figures['generated_tokens']:,} made")
    if figures.get("busy_s"):
        made = figures.get("generated_tokens", 0) + figures.get("prompt_tokens", 0)
        parts.append(f"{made / figures['busy_s']:,.0f} tokens/s over {figures['busy_s']:,.0f} s")
    if figures.get("deaths"):
        parts.append(f"died {figures['deaths']} times, {figures.get('asked_again', 0)} requests asked again")
    if figures.get("acceptance") is not None:
        length = figures["mean_accepted_length"]
        parts.append(f"proposals accepted {figures['acceptance']:.1%}, mean accepted length {length:.2f}")
    return f"engine {name}: " + ("; ".join(parts) or "no figures kept")
