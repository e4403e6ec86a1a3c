"""The recipe `wildbench.yaml` bound to a server: checklists reach the judge, its scores make the pairs."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.integration.harness import ROOT, assert_sound, prefmill, rejects, rows, view_of
from tests.integration.server import Ask, Server, fraction

QUESTIONS = ("Does it answer what was asked?", "Is it as long as was asked?", "Is it free of errors?")
SAMPLES = 4


def reply(ask: Ask, index: int) -> str:
    """Answer as a policy, and as a judge that likes some answers better; one checklist in eight is prose."""
    last = ask.body["messages"][-1]["content"]
    if "numbered questions" in last:
        listed = "\n".join(f"{i}. {q}" for i, q in enumerate(QUESTIONS, 1))
        return "Here it depends." if fraction(last) < 0.125 else listed
    if "BEGIN RESPONSE " in last:
        return str(1 + int(10 * fraction(last.rpartition("BEGIN RESPONSE ")[2].partition("\n")[2][:60])))
    return f"Answer {fraction(ask.text, ask.body.get('seed'), index):.6f}."


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Server]:
    """Run the recipe on its first sixteen prompts; return the folder and the server (shut)."""
    folder = tmp_path_factory.mktemp("wildbench")
    shutil.copy(ROOT / "recipes/wildbench.yaml", folder / "recipe.yaml")
    (folder / "data").mkdir()
    shutil.copy(ROOT / "recipes/data/quickstart_instructions.jsonl", folder / "data")
    with Server(reply) as server:
        engine = {"kind": "openai", "base_url": server.url, "model": "model"}
        (folder / "engines.yaml").write_text(json.dumps({"model": engine}))
        args = ("--run-dir", "runs/test", "--engines", folder / "engines.yaml", "--limit", 16)
        done = prefmill(folder, "run", folder / "recipe.yaml", *args)
    assert done.returncode in (0, 6), done.stdout + done.stderr
    return folder, server


def test_every_row_is_accounted_for(finished):
    folder, _ = finished
    for stage in view_of(folder).stages.values():
        books = [(r.rows_in + r.fan_out, r.rows_out + r.rows_rejected + r.rows_grouped) for r in stage.records]
        assert books and all(before == after for before, after in books)
    assert_sound(folder)


def test_a_checklist_that_cannot_be_read_loses_its_prompt_with_a_reason(finished):
    folder, _ = finished
    kept, lost = rows(folder, "checklists"), rejects(folder, "checklists")
    assert len(kept) + len(lost) == 16 and kept and all(r["checklist"] == list(QUESTIONS) for r in kept)
    assert {r["code"] for r in lost} <= {"checklist.unparsable"}


def test_the_judge_reads_checklist_and_response_in_one_turn_each_quoted(finished):
    folder, server = finished
    asked = [a.body["messages"] for a in server.seen if "BEGIN RESPONSE " in a.text]
    responses = rows(folder, "responses")
    assert len(responses) == len(rows(folder, "scores")) == 4 * len(rows(folder, "checklists"))
    assert len(asked) == SAMPLES * len(responses)
    assert all(QUESTIONS[0] in m[-1]["content"] and "BEGIN CHECKLIST " in m[-1]["content"] for m in asked)


def test_pairs_hold_the_best_and_the_worst_by_the_judge(finished):
    folder, _ = finished
    scores: dict[str, list[float]] = {}
    for row in rows(folder, "scores"):
        scores.setdefault(row["prompt_id"], []).append(row["judge_score"])
    pairs = rows(folder, "pairs")
    assert pairs
    for pair in pairs:
        of_prompt = scores[pair["prompt_id"]]
        assert (pair["score_chosen"], pair["score_rejected"]) == (max(of_prompt), min(of_prompt))
    assert "Scores of the judge" in prefmill(folder, "report", "runs/test").stdout
