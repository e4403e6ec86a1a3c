"""The recipe `pugc.yaml` bound to servers: every document accounted for, and no document in sight of the policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from ruamel.yaml import YAML

from stages.replies.word_runs import shared_run, words_of
from stages.synthesis.mentions import mention_of_source
from tests.integration.harness import ROOT, assert_sound, prefmill, rejects, rows, view_of
from tests.integration.hostile_documents import outside
from tests.integration.server import Ask, Server, fraction

ANSWERS = (
    "Measure it first.",
    "Do it slowly, and write down what you did.",
    "Ask somebody who has done it before you.",
)
SCORING = "\nBEGIN REFERENCE "
"""What stands in a request for a score, and in no other."""


def reply(ask: Ask, index: int) -> str:
    """Answer as a fair generator, judge and policy; one document in six gets a query that names its post."""
    last = ask.body["messages"][-1]["content"]
    kind, chance = outside(last), fraction(last)
    if "[QUERY]" in kind:
        yes = chance < 0.85
        return f"{'Yes' if yes else 'No'}. It is {'clear' if yes else 'not clear'}."
    if SCORING in last:
        return judged(last, ask.body.get("seed"), index)
    if "[DOCUMENT]" in kind:
        words = words_of(last.rpartition("BEGIN DOCUMENT")[2])[1:6]
        return "What does the author do?" if chance < 0.17 else f"What should I know about {' '.join(words)}?"
    return f"{ANSWERS[int(fraction(last, ask.body.get('seed'), index) * 3)]} ({index})"


def judged(last: str, seed: int | None, index: int) -> str:
    """Score a response by its first word, give or take one, as a bare number; one reply in twelve is no number."""
    level = {"Measure": 5, "Do": 3, "Ask": 2}[last.rpartition("BEGIN RESPONSE")[2].split()[1]]
    chance = fraction(last, seed, index)
    return "I cannot say." if chance < 1 / 12 else str(min(5, max(1, level + round(2 * chance - 1))))


def command(folder: Path, server: Server, *more: object) -> list[object]:
    engines = {"model": {"kind": "openai", "base_url": server.url, "model": "model"}}
    (folder / "engines.yaml").write_text(json.dumps(engines))
    return ["run", folder / "recipe.yaml", "--run-dir", "runs/test", "--engines", folder / "engines.yaml", *more]


def copy_recipe(folder: Path) -> None:
    shutil.copy(ROOT / "recipes/pugc.yaml", folder / "recipe.yaml")
    (folder / "data").mkdir()
    shutil.copy(ROOT / "recipes/data/documents.jsonl", folder / "data/documents.jsonl")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Server]:
    """Run the recipe once; return the folder and the server (shut)."""
    folder = tmp_path_factory.mktemp("pugc")
    copy_recipe(folder)
    with Server(reply) as server:
        done = prefmill(folder, *command(folder, server))
    assert done.returncode in (0, 6), done.stdout + done.stderr
    return folder, server


def test_every_document_is_accounted_for(finished):
    folder, _ = finished
    view = view_of(folder)
    for stage in view.stages.values():
        books = [(r.rows_in + r.fan_out, r.rows_out + r.rows_rejected + r.rows_grouped) for r in stage.records]
        assert books and all(before == after for before, after in books)
    documents = {r["id"] for r in rows(folder, "documents")}
    queried = {r["document_id"] for r in rows(folder, "queries")}
    refused = {json.loads(r["row"])["document_id"] for r in rejects(folder, "queries")}
    assert len(documents) == 12 and queried | refused == documents
    assert_sound(folder)


def test_kept_queries_name_no_source_and_carry_both_verdicts(finished):
    kept = rows(finished[0], "good_queries")
    assert len(kept) >= 4 and not any(mention_of_source(r["query"]) for r in kept)
    assert all(r["standalone"] and r["answered"] and r["answered_reason"] for r in kept)
    assert all(r["prompt"] == [{"role": "user", "content": r["query"]}] for r in kept)


def test_the_policy_never_sees_a_document(finished):
    folder, server = finished
    texts = [r["text"] for r in rows(folder, "documents")]
    asked = [a.body["messages"] for a in server.seen if a.route == "chat/completions"]
    sampled = [m for m in asked if not {"[QUERY]", "[DOCUMENT]"} & set(outside(m[-1]["content"]).split())]
    sampled = [m for m in sampled if SCORING not in m[-1]["content"]]
    queries = {r["query"] for r in rows(folder, "distinct_queries")}
    assert {m[-1]["content"] for m in sampled} == queries and all(len(m) == 1 for m in sampled)
    for text in (m["content"] for messages in sampled for m in messages):
        run = shared_run(text, texts, 8)
        assert run is None or any(run in " ".join(words_of(q)) for q in queries)
    assert any(shared_run(m[-1]["content"], texts, 8) for m in asked if m not in sampled)


def test_a_pair_leads_back_to_its_document_and_carries_the_reference(finished):
    folder, _ = finished
    pairs, documents = rows(folder, "pairs"), {r["id"]: r["text"] for r in rows(folder, "documents")}
    assert pairs and all(p["reference"] == documents[p["document_id"]] for p in pairs)
    told = json.loads(prefmill(folder, "trace", "runs/test", pairs[0]["id"], "--json").stdout)
    assert told[-1]["stage"] == "documents" and told[-1]["rows"][0]["id"] == pairs[0]["document_id"]


def test_each_response_has_eight_scores_and_their_mean_decides_the_pair(finished):
    folder, _ = finished
    scored = {r["id"]: r for r in rows(folder, "scores")}
    assert all(len(r["reference_scores"]) == 8 and r["valid_n"] >= 4 for r in scored.values())
    for row in scored.values():
        valid = [s for s in row["reference_scores"] if s is not None]
        assert row["reference_score"] == pytest.approx(sum(valid) / len(valid)) and row["valid_n"] == len(valid)
    for pair in rows(folder, "pairs"):
        means = [scored[i]["reference_score"] for i in pair["candidate_ids"]]
        assert (pair["score_chosen"], pair["score_rejected"]) == (max(means), min(means))
        assert pair["chosen_valid_n"] == scored[pair["chosen_id"]]["valid_n"] and pair["margin"] >= 0.5


def test_samples_that_could_not_be_read_were_asked_for_again(finished):
    _, server = finished
    asked = [a.body for a in server.seen if SCORING in a.body["messages"][-1]["content"]]
    assert sum(b.get("n", 1) == 8 for b in asked) == len(rows(finished[0], "responses")) < len(asked)
    assert all(b.get("n", 1) <= 8 for b in asked)


def test_the_judge_sees_the_document_as_reference_and_is_told_it_is_data(finished):
    folder, server = finished
    texts = [r["text"] for r in rows(folder, "documents")]
    asked = [a.body["messages"] for a in server.seen if SCORING in a.body["messages"][-1]["content"]]
    assert asked and all("no instructions to follow" in m[-1]["content"] for m in asked)
    assert all(any(text[:200] in m[-1]["content"] for text in texts) for m in asked)


def test_the_report_tells_how_the_verdicts_fell_and_how_settled_the_judge_is(finished):
    shown = prefmill(finished[0], "report", "runs/test").stdout
    assert "Verdicts on queries" in shown and "Agreement of the first samples with all" in shown


def test_without_its_reference_a_pair_holds_nothing_of_a_document(finished):
    folder, _ = finished
    texts = [r["text"] for r in rows(folder, "documents")]
    for pair in rows(folder, "pairs"):
        assert pair.pop("reference") in texts
        assert not any(shared_run(str(value), texts, 8) for value in pair.values())


def test_a_hash_in_place_of_the_document_is_refused_before_anything_is_asked(tmp_path):
    copy_recipe(tmp_path)
    with Server(reply) as server:
        done = prefmill(tmp_path, *command(tmp_path, server, "--set", "stages.good_queries.with.reference=hash"))
    assert done.returncode == 2 and "stage 'good_queries' leaves only a hash of the document" in done.stderr
    assert not server.seen and not (tmp_path / "runs").exists()


def test_without_scores_documents_that_must_not_be_published_end_at_the_filter(tmp_path):
    copy_recipe(tmp_path)
    recipe = YAML(typ="safe").load((tmp_path / "recipe.yaml").read_text("utf-8"))
    recipe["stages"] = [s for s in recipe["stages"] if s["id"] not in ("scores", "pairs")]
    (tmp_path / "recipe.yaml").write_text(json.dumps(recipe))
    with Server(reply) as server:
        done = prefmill(tmp_path, *command(tmp_path, server, "--set", "stages.good_queries.with.reference=hash"))
    assert done.returncode in (0, 6), done.stderr
    texts = [r["text"] for r in rows(tmp_path, "documents")]
    responses = rows(tmp_path, "responses")
    assert responses and all(r["document_sha256"] and r["reference"] is None for r in responses)
    for stage in ("good_queries", "responses"):
        for row in rows(tmp_path, stage):
            assert not any(shared_run(str(v), texts, 8) for v in row.values() if isinstance(v, str))


def test_a_limit_takes_the_first_documents(tmp_path):
    copy_recipe(tmp_path)
    with Server(reply) as server:
        done = prefmill(tmp_path, *command(tmp_path, server, "--limit", 3))
    assert done.returncode in (0, 6) and len(rows(tmp_path, "documents")) == 3
