"""The three AutoRule recipes in a row on one scripted model: labelled pairs, rules, checked rules, scores, pairs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from pipeline.errors import EXIT_FINISHED_WITH_REJECTS
from tests.integration.harness import FAST, ROOT, prefmill
from tests.integration.server import Ask, Server, fraction

LONG, SHORT = "The response has more than eighty characters.", "The response ends with a question."


def reply(ask: Ask, index: int) -> str:
    """Explain, extract, merge, verify or respond, whichever is asked."""
    if ask.text.startswith("Say why one response"):
        return f"<think>Case {fraction(ask.text):.9f}.</think>It is longer. It is specific."
    if ask.text.startswith("Somebody compared two responses"):
        return json.dumps(
            {"rules": [LONG, f"The response keeps to case {fraction(ask.text):.9f}.", "Response A is it."]}
        )
    if "numbered rules for good responses" in ask.text:
        shown = re.findall(r"^(\d+)\. (.+)$", ask.text, re.MULTILINE)
        long = [int(n) for n, rule in shown if rule == LONG]
        cases = [int(n) for n, rule in shown if "case" in rule]
        short = [int(n) for n, rule in shown if rule == SHORT] + cases[1:]
        merged = [
            {"rule": LONG, "from": long},
            {"rule": SHORT, "from": short},
            {"rule": "Invented rule.", "from": []},
        ]
        return json.dumps({"rules": [m for m in merged if m["from"] or m["rule"].startswith("Invented")]})
    if "The rule: " in ask.text:
        said = re.search(r"BEGIN RESPONSE (\w{16})\n(.*)\nEND RESPONSE \1", ask.text, re.DOTALL)[2]
        rule = re.findall(r"^The rule: (.+)$", ask.text, re.MULTILINE)[-1]
        return "[[N/A]]" if "case" in rule else f"[[{'Yes' if (len(said) > 80) == (rule == LONG) else 'No'}]]"
    return "word " * (5 + 20 * index)


def rows(run: Path, stage: str, to: Path) -> list[dict]:
    """Write the rows of a stage to a file, as a user would, and read them."""
    done = prefmill(to.parent, "rows", run, "--stage", stage, "--to", to)
    assert done.returncode == 0, done.stdout + done.stderr
    return [json.loads(line) for line in to.read_text("utf-8").splitlines()]


@pytest.fixture
def run_recipe(tmp_path):
    with Server(reply) as server:
        engine = {"kind": "openai", "base_url": server.url, "model": "m", "structured_output": True, **FAST}
        (tmp_path / "engines.yaml").write_text(json.dumps(dict.fromkeys(("model", "policy", "verifier"), engine)))

        def run(name, *options):
            engines = {"autorule": ("policy", "verifier")}.get(name, ("model",))
            (tmp_path / "engines.yaml").write_text(json.dumps(dict.fromkeys(engines, engine)))
            folder, recipe = tmp_path / name, ROOT / "recipes" / f"{name}.yaml"
            done = prefmill(tmp_path, "run", recipe, "--engines", "engines.yaml", "--run-dir", folder, *options)
            assert done.returncode in (0, EXIT_FINISHED_WITH_REJECTS), done.stdout + done.stderr
            checked = prefmill(tmp_path, "verify", folder)
            assert checked.returncode == 0 and checked.stdout.startswith("ok:"), checked.stdout + checked.stderr
            return folder

        yield run


def test_labelled_pairs_become_rules_the_rules_are_checked_and_the_kept_ones_score(run_recipe, tmp_path):
    run = run_recipe("autorule_extract")
    merged = rows(run, "merged", tmp_path / "rules.jsonl")
    collected = rows(run, "collected", tmp_path / "collected.jsonl")[0]
    assert merged[0]["rule"] == LONG and merged[0]["support"] == len(collected["pair_ids"])
    kept = {text for row in merged for text in row["merged_from"]}
    assert kept == {r["rule"] for r in collected["rules"]} and len(merged) == 3

    given = ["stages.verdicts.with.verdict_from=reply", f"stages.verdicts.with.rules={tmp_path / 'rules.jsonl'}"]
    loose = [
        "stages.validated.with.min_compared=1",
        "stages.validated.with.min_together=2",
        "stages.validated.with.min_lower_bound=0.0",
        "stages.validated.with.min_agreement=0.4",
    ]
    run = run_recipe("autorule_validate", *(a for s in (*given, *loose) for a in ("--set", s)))
    judged = {r["rule"]: r for r in rows(run, "validated", tmp_path / "kept.jsonl")}
    other = next(r for r in judged if "case" in r)
    assert judged[other]["reason"] == "compared" and judged[other]["applicability"] == 0.0
    assert judged[LONG]["contradicts"] == [judged[SHORT]["rule_id"]] and judged[LONG]["kept"] != judged[SHORT]["kept"]

    given = [f"stages.scores.with.rules={tmp_path / 'kept.jsonl'}", "stages.scores.with.verdict_from=reply"]
    run = run_recipe("autorule", "--limit", 2, *(a for s in given for a in ("--set", s)))
    scored = rows(run, "scores", tmp_path / "scores.jsonl")
    assert len(scored) == 4 and all(len(r["verdicts"]) == 1 for r in scored)
    assert {(r["score_chosen"], r["score_rejected"]) for r in rows(run, "pairs", tmp_path / "pairs.jsonl")} == {
        (1.0, 0.0)
    }
