"""A small run made through the real store: prompts, responses, two scorers, density ratio, pairs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from pipeline.canonical import digest_of
from pipeline.plan.fingerprint import Fingerprint
from pipeline.run.books import rejects_table
from pipeline.schema import MESSAGES, columns, schema_json
from pipeline.store.commits import CommitRecord
from pipeline.store.manifest import RunView, open_run
from pipeline.store.run_store import RunStore
from pipeline.types import Reject

SHARDS = 3
PROMPTS = 12
MODEL = {"kind": "transformers", "model": "package:tiny/model.gguf", "revision": "abc", "dtype": "bfloat16"}
STRONG = {**MODEL, "round_weights": None}
WEAK = {**MODEL, "round_weights": {"bits": 3, "group": 32}}
PROMPT_COLUMNS = columns(id=str, prompt=MESSAGES)
RESPONSE_COLUMNS = columns(
    id=str, parent_id=str, prompt=MESSAGES, prompt_id=str, response=str, finish_reason=str, strong=float, weak=float
)
REWARD_COLUMNS = pa.schema([*RESPONSE_COLUMNS, pa.field("reward", pa.float64())])
PAIR_COLUMNS = columns(
    id=str,
    prompt_id=str,
    prompt=MESSAGES,
    chosen=str,
    rejected=str,
    chosen_id=str,
    rejected_id=str,
    score_chosen=float,
    score_rejected=float,
    margin=float,
    tied=int,
    candidates=int,
    candidate_ids=list[str],
    rule=str,
)
DATASET = {
    "pretty_name": None,
    "license": None,
    "language": ["en"],
    "description": None,
    "notes": [],
    "tags": [],
    "test_fraction": 0.3,
}


def user(text: str) -> list[dict[str, str]]:
    return [{"role": "user", "content": text}]


def response_row(prompt: int, draw: int) -> dict[str, Any]:
    return {
        "id": f"r{prompt}-{draw}",
        "parent_id": f"p{prompt}",
        "prompt": user(f"Question {prompt}?"),
        "prompt_id": f"p{prompt}",
        "response": f"Answer {draw}" + " and more" * draw,
        "finish_reason": "stop",
        "strong": -1.0,
        "weak": -1.0 - draw,
        "reward": float(draw),
    }


def pair_row(number: int, /, **changes: Any) -> dict[str, Any]:
    low, high = response_row(number, 0), response_row(number, 1)
    row = {
        "id": f"pair{number}",
        "prompt_id": f"p{number}",
        "prompt": low["prompt"],
        "chosen": high["response"],
        "rejected": low["response"],
        "chosen_id": high["id"],
        "rejected_id": low["id"],
        "score_chosen": 1.0,
        "score_rejected": 0.0,
        "margin": 1.0,
        "tied": 1,
        "candidates": 2,
        "candidate_ids": [low["id"], high["id"]],
        "rule": "best_worst",
    }
    return {**row, **changes}


def document(name: str, stage: str, upstream: str | None, schema: pa.Schema, **changes: Any) -> dict[str, Any]:
    """The keys of `pipeline.plan.fingerprint`."""
    base = {
        "fingerprint_version": 1,
        "id": name,
        "stage": stage,
        "version": 1,
        "package": None,
        "config": {},
        "prompts": {},
        "engines": {},
        "inputs": [],
        "outputs": schema_json(schema),
        "lineage": ["id"],
        "barrier": False,
        "accounting": "rows",
        "seed": 17,
        "from": upstream,
        "upstream": None,
    }
    return {**base, **changes}


class RunBuilder:
    """Collects stages with their shards, then writes the run folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.documents: dict[str, dict[str, Any]] = {}
        self.shards: dict[str, tuple[pa.Schema, list[list[dict[str, Any]]], list[list[Reject]]]] = {}
        self.run = {
            "name": "demo",
            "seed": 17,
            "recipe": "recipe: 1\nname: demo\n",
            "dataset": dict(DATASET),
            "shards": {"rows": 4, "bytes": 1000},
            "packages": {"prefmill": "0.1.0"},
            "python": "3.11.0",
        }

    def add(
        self,
        name: str,
        stage: str,
        schema: pa.Schema,
        shards: list[list[dict[str, Any]]],
        rejects: list[list[Reject]] | None = None,
        **changes: Any,
    ) -> None:
        upstream = changes.pop("upstream_stage", next(reversed(self.documents), None))
        self.documents[name] = document(name, stage, upstream, schema, **changes)
        self.shards[name] = (schema, shards, rejects or [[] for _ in shards])

    def replace_pairs(self, rows: list[dict[str, Any]]) -> None:
        schema, _, _ = self.shards["pairs"]
        self.shards["pairs"] = (schema, [rows], [[]])

    def write(self, unfinished: tuple[str, ...] = ()) -> RunView:
        store = RunStore(self.folder)
        prints = {name: Fingerprint(digest_of(d), d) for name, d in self.documents.items()}
        store.prepare()
        store.record_plan(self.run, prints)
        for name, (schema, shards, rejects) in self.shards.items():
            stage = store.stage(name, prints[name])
            stage.prepare()
            for number, (rows, lost) in enumerate(zip(shards, rejects, strict=True)):
                table = pa.Table.from_pylist(rows, schema=schema)
                data, rejected = stage.write(number, table, rejects_table(name, [(r.row["id"], r) for r in lost]))
                codes = {r.code: sum(o.code == r.code for o in lost) for r in lost}
                stage.commit_shard(
                    CommitRecord(
                        number,
                        0,
                        prints[name].digest,
                        "empty",
                        len(rows) + len(lost),
                        len(rows),
                        len(lost),
                        0,
                        0,
                        data,
                        rejected,
                        codes,
                    )
                )
            if name not in unfinished:
                stage.seal(len(shards))
        return open_run(self.folder)


def _cut(rows: list[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    size = -(-len(rows) // SHARDS)
    return [rows[i * size : (i + 1) * size] for i in range(SHARDS)]


@pytest.fixture
def builder(tmp_path: Path) -> RunBuilder:
    """A whole run, not written yet; a test may change it first."""
    out = RunBuilder(tmp_path / "run")
    prompts = [{"id": f"p{p}", "prompt": user(f"Question {p}?")} for p in range(PROMPTS)]
    responses = [response_row(p, d) for p in range(PROMPTS) for d in range(2)]
    out.add("prompts", "load_prompts", PROMPT_COLUMNS, _cut(prompts), source={"files": {"q.jsonl": "ab"}}, limit=None)
    out.add(
        "responses",
        "sample_responses",
        RESPONSE_COLUMNS,
        _cut(responses),
        config={"n": 2},
        prompts={"a.v1": "d1"},
        engines={"policy": STRONG},
    )
    for column, engine in (("strong", STRONG), ("weak", WEAK)):
        out.add(
            f"{column}_lp",
            "score_logprobs",
            RESPONSE_COLUMNS,
            _cut(responses),
            config={"column": column},
            engines={"scorer": engine},
        )
    out.add(
        "reward",
        "density_ratio",
        REWARD_COLUMNS,
        _cut(responses),
        config={"numerator": "strong", "denominator": "weak", "normalize": "per_own_token"},
    )
    lost = Reject(response_row(0, 0), "pairs.tie", "tied")
    out.add("pairs", "select_pairs", PAIR_COLUMNS, _cut([pair_row(p) for p in range(PROMPTS)]), [[lost], [], []])
    return out


@pytest.fixture
def view(builder: RunBuilder) -> RunView:
    """The whole run, finished."""
    return builder.write()


@pytest.fixture
def pair() -> Callable[..., Mapping[str, Any]]:
    """Make a pair row with some values changed."""
    return pair_row
