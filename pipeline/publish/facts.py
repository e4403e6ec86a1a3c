"""What a data card says about how the rows were made: read from manifests, never written by hand.

Everything is a plain JSON value, fit for a sandboxed template.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Literal

from pipeline.store.manifest import StageView
from pipeline.types import Json

_SKILLMIX = {"extract_skills", "plan_skillmix", "synthesize_skillmix"}
_CONDITIONING = "condition_prompts"
Relation = Literal["rounded", "same", "different", "unknown"]


def stage_facts(stage: StageView) -> dict[str, Json]:
    """Return what one stage is, its options in effect, and its books."""
    document = stage.document
    source = {k: document[k] for k in ("source", "limit") if document.get(k) is not None}
    return {
        "id": stage.id,
        "stage": document["stage"],
        "version": document["version"],
        "package": document.get("package"),
        "upstream": stage.upstream,
        "options": _json_line(document["config"]),
        "source": _json_line(source) if source else None,
        "fingerprint": stage.fingerprint.digest,
        "shards": len(stage.records),
        "rows_in": stage.rows_in,
        "rows_out": stage.rows_out,
        "rejected": stage.rejects_by_code.total(),
        "codes": [{"code": c, "count": n} for c, n in sorted(stage.rejects_by_code.items())],
    }


def _json_line(value: Json) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


def engine_facts(chain: Sequence[StageView]) -> list[dict[str, Json]]:
    """Return one entry for each role of each stage: which model stood behind it."""
    out: list[dict[str, Json]] = []
    for stage in chain:
        for role, identity in sorted(stage.document["engines"].items()):
            rounding = identity.get("round_weights")
            out.append(
                {
                    "stage": stage.id,
                    "role": role,
                    "kind": identity["kind"],
                    "model": identity["model"],
                    "revision": identity.get("revision"),
                    "dtype": identity.get("dtype"),
                    "rounding": f"{rounding['bits']} bits in groups of {rounding['group']}" if rounding else None,
                    "scripted": identity["kind"] == "scripted",
                }
            )
    return out


def density_facts(chain: Sequence[StageView]) -> list[dict[str, Json]]:
    """Return one entry for each density ratio: its normalisation, and how the two models and their prompts relate."""
    out: list[dict[str, Json]] = []
    for at, stage in enumerate(chain):
        if stage.document["stage"] != "density_ratio":
            continue
        config = stage.document["config"]
        above, below = (_scored_at(chain[:at], config[side]) for side in ("numerator", "denominator"))
        strong, weak = (
            None if place is None else chain[place].document["engines"]["scorer"] for place in (above, below)
        )
        out.append(
            {
                "stage": stage.id,
                "normalize": config["normalize"],
                "numerator": config["numerator"],
                "denominator": config["denominator"],
                "relation": _relation(strong, weak),
                "bits": _rounding(weak).get("bits"),
                "group": _rounding(weak).get("group"),
                **_prompt_facts(chain, above, below),
            }
        )
    return out


def _scored_at(before: Sequence[StageView], column: str) -> int | None:
    """Return the place of the stage that filled a log-probability column; the last one counts."""
    for at in reversed(range(len(before))):
        document = before[at].document
        if document["stage"] == "score_logprobs" and document["config"]["column"] == column:
            return at
    return None


def _prompt_facts(chain: Sequence[StageView], above: int | None, below: int | None) -> dict[str, Json]:
    """Return the columns that stood in front of the response on each side, and whether they held other prompts.

    One name can stand for two prompts: `condition_prompts` may have made the column anew between the two passes.
    """
    columns = [None if at is None else _prompt_column(chain[at]) for at in (above, below)]
    differ = columns[0] != columns[1]
    if above is not None and below is not None and not differ and columns[0] != "prompt":
        between = chain[min(above, below) + 1 : max(above, below)]
        differ = any(stage.document["stage"] == _CONDITIONING for stage in between)
    return {"numerator_prompt": columns[0], "denominator_prompt": columns[1], "prompts_differ": differ}


def _prompt_column(scoring: StageView) -> str:
    return str(scoring.document["config"].get("prompt_column", "prompt"))


def _relation(strong: Mapping[str, Json] | None, weak: Mapping[str, Json] | None) -> Relation:
    if strong is None or weak is None:
        return "unknown"
    if strong == weak:
        return "same"
    plain_copy = {**weak, "round_weights": None} == {**strong, "round_weights": None}
    return "rounded" if plain_copy and _rounding(weak) and not _rounding(strong) else "different"


def _rounding(identity: Mapping[str, Json] | None) -> Mapping[str, Json]:
    return (identity or {}).get("round_weights") or {}


def template_facts(chain: Sequence[StageView]) -> list[dict[str, Json]]:
    """Return the prompt templates of all stages with their digests."""
    return [
        {"stage": stage.id, "name": name, "digest": digest}
        for stage in chain
        for name, digest in sorted(stage.document["prompts"].items())
    ]


def methods_used(chain: Sequence[StageView]) -> dict[str, bool]:
    """Return which published methods the stages follow."""
    stages = {s.document["stage"] for s in chain}
    return {"cdr": "density_ratio" in stages, "skillmix": bool(stages & _SKILLMIX)}
