"""The recipe `refine.yaml` bound to servers: chains of turns, pairs of both tasks, and a kill within a chain."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.integration.harness import ROOT, assert_sound, committed, prefmill, rows, start, view_of
from tests.integration.server import Ask, Server, fraction, wait_until

PROMPTS, ROUNDS = 12, 3
WORDS = ["stones", "and", "sand"] * 5


def version(ask: Ask) -> int:
    """Return which turn of a chain a request asks for: 1 for a draft."""
    if len(ask.body["messages"]) == 1:
        return 1
    return int(re.search(r"Version (\d)", ask.body["messages"][-2]["content"])[1]) + 1


def reply(ask: Ask, index: int) -> str:
    """Answer as a model that refines: each turn says which it is; some are announced, some name the model."""
    number = fraction(ask.body["messages"][0]["content"], ask.body.get("seed"))
    text = f"Version {version(ask)}: {' '.join(WORDS[: 4 + int(12 * number)])} ({number:.4f})."
    if version(ask) == 2 and number < 0.3:
        return f"Sure, here is the improved answer:\n\n{text}"
    return f"{text} As an AI language model, I hope that helps." if version(ask) == 3 and number > 0.7 else text


def command(server: Server) -> list[object]:
    sets = [f"engines.{e}.base_url={server.url}" for e in ("policy", "strong", "weak")]
    binding = ["--engines", "engines.yaml", *(x for s in sets for x in ("--set", s))]
    return ["run", "recipes/refine.yaml", "--run-dir", "runs/test", "--limit", PROMPTS, *binding]


def copy_recipe(folder: Path) -> None:
    (folder / "recipes/data").mkdir(parents=True)
    for name in ("refine.yaml", "data/quickstart_instructions.jsonl"):
        shutil.copy(ROOT / "recipes" / name, folder / "recipes" / name)
    engines = (ROOT / "recipes/engines/server.yaml").read_text("utf-8")
    (folder / "engines.yaml").write_text(re.sub(r"(?m)^generator:.*\n", "", engines), "utf-8")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Server]:
    """Run the recipe once; return the folder and the server (shut)."""
    folder = tmp_path_factory.mktemp("refine")
    copy_recipe(folder)
    with Server(reply) as server:
        done = prefmill(folder, *command(server))
    assert done.returncode in (0, 6), done.stdout + done.stderr
    return folder, server


def test_every_turn_of_every_chain_is_accounted_for(finished):
    turns = rows(finished[0], "turns")
    assert Counter(t["turn"] for t in turns) == dict.fromkeys(range(1, ROUNDS + 2), PROMPTS)
    assert all(f"Version {t['turn']}:" in t["response"] for t in turns)
    for stage in view_of(finished[0]).stages.values():
        books = [(r.rows_in + r.fan_out, r.rows_out + r.rows_rejected + r.rows_grouped) for r in stage.records]
        assert books and all(before == after for before, after in books)
    assert_sound(finished[0])


def test_what_is_barred_is_never_chosen(finished):
    barred = {r["id"]: r["filter_reasons"] for r in rows(finished[0], "filtered") if not r["may_be_chosen"]}
    pairs = rows(finished[0], "pairs")
    assert barred and set(map(tuple, barred.values())) == {("identity",)}
    assert len(pairs) >= PROMPTS // 2 and not barred.keys() & {p["chosen_id"] for p in pairs}


def test_the_export_holds_both_tasks_of_each_pair_in_one_split(finished):
    folder, _ = finished
    done = prefmill(folder, "export", "runs/test", "--to", "out")
    assert done.returncode == 0, done.stderr
    where: dict[str, set[str]] = {}
    exported = []
    for path in sorted((folder / "out").glob("data/*.parquet")):
        for row in pq.read_table(path).to_pylist():
            where.setdefault(row["prompt_id"], set()).add(path.name.partition("-")[0])
            exported.append(row)
    assert Counter(r["task"] for r in exported) == dict.fromkeys(
        ("direct", "refine"), len(rows(folder, "pairs"))
    ) and all(len(splits) == 1 for splits in where.values())
    for row in (r for r in exported if r["task"] == "refine"):
        assert [m["role"] for m in row["prompt"]] == ["user", "assistant", "user"]
        assert row["prompt"][1]["content"] == row["rejected"][0]["content"]
        assert row["prompt"][2]["content"] == row["transition"]
        assert row["draft_chosen"] == (row["chosen_turn"] == 1)


def test_stages_report_their_figures(finished):
    told = prefmill(finished[0], "report", "runs/test").stdout
    assert "Refinements by turn" in told and "identity" in told and "Rows by task" in told


def test_a_kill_within_the_chains_pays_no_turn_twice(finished, tmp_path):
    copy_recipe(tmp_path)
    drafts_and_second_turns = 2 * PROMPTS
    chat = Server(reply, latency=lambda ask: 60.0 if not ask.scores and version(ask) == 3 else 0.0)
    with chat as server:
        process = start(tmp_path, *command(server))
        wait_until(lambda: server.in_flight == PROMPTS and len(server.answered) == drafts_and_second_turns)
        process.kill()
        process.communicate()
        server.settle()
        server.latency = 0.0
        done = prefmill(tmp_path, *command(server))
    assert done.returncode in (0, 6), done.stderr
    assert set(server.answered.values()) == {1} and server.answered.keys() == finished[1].answered.keys()
    assert Counter(server.received.values())[2] == PROMPTS
    assert committed(tmp_path) == committed(finished[0])
