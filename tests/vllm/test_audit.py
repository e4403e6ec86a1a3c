"""The audit of a density ratio on vLLM and on transformers: the same rewards, so the same verdicts."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store.manifest import open_run
from tests.integration.harness import prefmill

RECIPES = Path(__file__).resolve().parents[2] / "recipes"
FLOAT32 = ("--set", "engines.strong.dtype=float32", "--set", "engines.weak.dtype=float32")
BOTH = {"vllm": ("--engines", RECIPES / "engines/audit-vllm.yaml"), "transformers": FLOAT32}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    place = tmp_path_factory.mktemp("audit")
    for name, options in BOTH.items():
        done = prefmill(place, "audit", RECIPES / "audit/cdr.yaml", "--limit", 24, "--run-dir", name, *options)
        assert done.returncode == 0, done.stderr
    return {n: {r["id"]: r for t in open_run(place / n).stages["ratio"].tables() for r in t.to_pylist()} for n in BOTH}


def test_both_engines_give_the_same_rewards_to_a_thousandth_of_a_nat_per_token(rows):
    assert rows["vllm"].keys() == rows["transformers"].keys() and len(rows["vllm"]) == 24
    for row_id, one in rows["vllm"].items():
        other = rows["transformers"][row_id]
        assert one["strong_logprob_tokens"] == other["strong_logprob_tokens"]
        assert one["ratio"] == pytest.approx(other["ratio"], abs=1e-3)


def test_both_engines_prefer_the_same_response_of_every_pair(rows):
    def best(name):
        found = {}
        for row in rows[name].values():
            found.setdefault(row["prompt_id"], []).append((row["ratio"], row["id"]))
        return {prompt: max(pair)[1] for prompt, pair in found.items()}

    assert best("vllm") == best("transformers")
