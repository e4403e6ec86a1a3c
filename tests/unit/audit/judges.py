"""Stages that judge by rules of their own, installed as a plug-in, and labelled files with known answers."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.registry import STAGES
from tests.support import Value, plug_in

CODE = '''
import math
from pipeline.api import CHAT, GenRequest, RowError, RowStage, StageConfig, columns

class ScoreConfig(StageConfig):
    """By which rule: longer, right, even, none or shifted."""
    rule: str

class Scores(RowStage):
    """Scores a response by a rule that needs no model."""
    name, version, config_type = "own_scores", 1, ScoreConfig
    inputs, outputs = columns(response=str), columns(score=float, size=int, words=str, tiny=float)
    async def process_row(self, row, ctx):
        text = row["response"]
        rules = {"longer": len(text), "right": "right" in text, "even": 1, "none": None, "nan": math.nan}
        if self.config.rule == "short" and len(text) > 40:
            raise RowError("own.long", "the response is long")
        value = rules.get(self.config.rule, "right" in text)
        score = value if value is None else float(value)
        return [{**row, "score": score, "size": len(text), "words": text, "tiny": 5e-324}]

class NoOptions(StageConfig):
    """No options."""

class Pairs(RowStage):
    """Asks a judge in both orders which response it prefers, the one shown first (1) or the other (2)."""
    name, version, config_type = "own_pairs", 1, NoOptions
    inputs = columns(response_a=str, response_b=str)
    outputs = columns(preference=float, consistent=bool, flipped=float, signed=float, counted=int, unknown=float)
    engine_roles = {"judge": CHAT}
    async def process_row(self, row, ctx):
        said = []
        for first, second in (("response_a", "response_b"), ("response_b", "response_a")):
            text = row[first] + " or " + row[second]
            result = await ctx.engine("judge").generate(GenRequest(messages=({"role": "user", "content": text},)))
            said.append(result.samples[0].text.startswith("1"))
        forward, backward = said[0], not said[1]
        same, preference = forward == backward, (forward + backward) / 2
        more = {"signed": 2 * preference - 2, "counted": 2, "unknown": math.nan}
        return [{**row, "preference": preference, "consistent": same, "flipped": float(not same), **more}]

class Copies(RowStage):
    """Makes new rows, with ids of their own."""
    name, version, config_type = "own_copies", 1, NoOptions
    inputs, outputs, fan_out = columns(score=float), columns(), True
    async def process_row(self, row, ctx):
        return [dict(row)]

class Silent(Pairs):
    """Reads no verdict at all."""
    name = "own_silent"
    engine_roles = {}
    async def process_row(self, row, ctx):
        return [{**row, **dict.fromkeys(self.outputs.names)}]
'''
CLASSES = {
    "own_scores": "plug_judges:Scores",
    "own_pairs": "plug_judges:Pairs",
    "own_silent": "plug_judges:Silent",
    "own_copies": "plug_judges:Copies",
}


def install(folder: Path) -> None:
    """Write the plug-in into a folder that is on the path."""
    plug_in(folder, "plug_judges", STAGES, CLASSES, CODE)


def labelled(n: int = 8, right_is_longer: int = 4) -> list[Value]:
    """Return pairs in the plain format; of `n`, the first `right_is_longer` have the longer response right."""
    records = []
    for i in range(n):
        right, wrong = f"right {i:02}", f"wrong {i:02}"
        if i < right_is_longer:
            right += " and very long" * (3 + i % 3)
        else:
            wrong += " and very long" * (3 + i % 3)
        sides = {"response_a": right, "response_b": wrong} if i % 2 else {"response_a": wrong, "response_b": right}
        records.append({"id": f"q{i}", "prompt": f"Question {i}?", "label": "a" if i % 2 else "b"} | sides)
        records[-1]["subset"] = "odd" if i % 2 else "even"
    return records


def write_pairs(folder: Path, records: Iterable[Value], name: str = "labelled.jsonl") -> Path:
    """Write records as JSON Lines."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join(json.dumps(r) + "\n" for r in records), "utf-8")
    return path


def write_audit(folder: Path, stages: list[Value], audit: list[Value], records: Iterable[Value], **more: Any) -> Path:
    """Write a recipe with an `audit:` and its labelled file."""
    write_pairs(folder, records)
    value = {"recipe": 1, "name": "measured", "seed": 3, "stages": stages, "audit": audit, **more}
    value.setdefault("limits", {"shard_rows": 4, "max_reject_rate": 1.0})
    path = folder / "recipe.yaml"
    path.write_text(json.dumps(value, indent=1), "utf-8")
    return path


def source(rows: str = "responses", **options: Any) -> Value:
    """Return the stage that reads the labelled file."""
    return {
        "id": rows,
        "use": "load_preferences",
        "with": {"path": "labelled.jsonl", "rows": rows, **options},
    }


def scoring(rule: str, stage_id: str | None = None, from_: str = "responses") -> Value:
    """Return a stage that scores by a rule."""
    return {"id": stage_id or rule, "use": "own_scores", "from": from_, "with": {"rule": rule}}


def by_score(name: str, **more: str) -> Value:
    """Return the `audit:` entry of a scoring stage of that name."""
    return {"name": name, "stage": name, "score": "score", **more}
