"""The customised density ratio as a run: router, criteria and exemplar, two scores, the ratio, pairs."""

from __future__ import annotations

import json

import pytest

from pipeline.store.manifest import open_run
from tests.support import changed, pair_recipe, prefmill, requests_made, run, stage, write

QUESTIONS = ("What is 17 + 26?", "Good morning!", "May I mix these cleaners?")
RULES = [
    {"when": r"three domains.*17 \+ 26", "replies": ['{"domain": "reasoning"}']},
    {"when": "three domains.*cleaners", "replies": ["I cannot say."]},
    {"when": "three domains", "replies": ["chat"]},
]


def cdr_recipe():
    value = pair_recipe()
    value["engines"]["router"] = {"kind": "scripted", "model": "router", "rules": RULES}
    value["stages"][1:1] = [
        {"id": "domains", "use": "route_domains", "roles": {"router": "router"}},
        {"id": "conditioned", "use": "condition_prompts"},
    ]
    stage(value, "responses")["from"] = "conditioned"
    for side in ("strong", "weak"):
        stage(value, f"{side}_lp")["with"]["prompt_column"] = "conditioned_prompt"
    stage(value, "reward")["with"] = {"normalize": "per_own_token"}
    stage(value, "pairs")["with"]["prompt_columns"] = {"domain": "string", "exemplar_id": "string"}
    return value


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cdr")
    result = run(write(folder, cdr_recipe(), QUESTIONS), folder / "run")
    assert result.code == 0, result.err
    return folder


def rows(folder, name):
    return [row for table in open_run(folder / "run").stages[name].tables() for row in table.to_pylist()]


def test_each_prompt_is_scored_after_the_criteria_of_its_domain(made):
    scored = {r["prompt"][-1]["content"]: r for r in rows(made, "reward")}
    domains = {question: (r["domain"], r["domain_fallback"]) for question, r in scored.items()}
    assert domains == dict(zip(QUESTIONS, [("reasoning", False), ("chat", False), ("chat", True)], strict=True))
    for row in scored.values():
        assert row["criteria_id"].startswith(f"criteria_{row['domain']}.v1:")
        assert row["conditioned_prompt"][0]["role"] == "system" and row["strong_logprob_prompt"] == "conditioned_prompt"
        assert row["strong_logprob_tokenizer"] == row["weak_logprob_tokenizer"] is not None


def test_candidates_share_their_prompts_exemplar_and_pairs_carry_it(made):
    found = rows(made, "reward")
    assert len(found) == 6 and len({(r["prompt_id"], r["exemplar_id"]) for r in found}) == 3
    known = {(r["prompt_id"], r["exemplar_id"], r["domain"]) for r in found}
    assert {(p["prompt_id"], p["exemplar_id"], p["domain"]) for p in rows(made, "pairs")} <= known


def test_the_report_says_how_often_the_router_named_nothing_and_how_the_reward_follows_length(made):
    shown = json.loads(prefmill("report", made / "run", "--json").out)
    text = json.dumps(shown)
    assert "by fallback" in text and "mean difference per token, nats" in text and "exemplar" in text


def test_the_books_balance_and_a_second_start_asks_nothing(made):
    assert prefmill("verify", made / "run").code == 0
    assert run(made / "recipe.yaml", made / "run").code == 0 and requests_made(made / "run") == 0


def test_an_exemplar_file_counts_by_its_content(made, tmp_path):
    bank = [
        {"id": d, "domain": d, "question": "Why?", "good": "So.", "bad": "No."} for d in ("chat", "reasoning", "safety")
    ]
    value = changed(cdr_recipe(), "stages.conditioned.with", {"exemplar_file": "own.jsonl"})
    recipe = write(tmp_path, value, QUESTIONS)
    own = tmp_path / "own.jsonl"
    own.write_text("".join(json.dumps(e) + "\n" for e in bank))
    assert run(recipe, tmp_path / "run").code == 0
    assert {r["exemplar_id"] for r in rows(tmp_path, "reward")} == {"chat", "reasoning"}
    own.write_text(own.read_text().replace("So.", "Because."))
    result = run(recipe, tmp_path / "run")
    assert result.code == 3 and "stage 'conditioned' changed in files.exemplars (" in result.err
    own.unlink()
    missing = run(recipe, tmp_path / "run")
    assert missing.code == 2 and "own.jsonl' cannot be read" in missing.err
