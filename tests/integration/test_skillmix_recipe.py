"""The recipe `skillmix.yaml` bound to servers, from end to end: every row accounted for, pairs at the end."""

from __future__ import annotations

import json
import runpy
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.integration.harness import ROOT, assert_sound, committed, prefmill, start, view_of
from tests.integration.server import Ask, Server, wait_until

SCRIPT = runpy.run_path(str(ROOT / "tests/integration/skillmix_script.py"))
ENGINES = ("generator", "policy", "strong", "weak")


def reply(ask: Ask, index: int) -> str:
    return SCRIPT["reply"](ask.body, ask.text, (ask.body.get("seed") or 0) * 1000 + index)


def command(folder: Path, server: Server) -> list[object]:
    sets = [f"engines.{e}.base_url={server.url}" for e in ENGINES]
    binding = ["--engines", folder / "engines.yaml", *(x for s in sets for x in ("--set", s))]
    return ["run", folder / "recipe.yaml", "--run-dir", "runs/test", *binding]


def copy_recipe(folder: Path) -> None:
    shutil.copy(ROOT / "recipes/skillmix.yaml", folder / "recipe.yaml")
    shutil.copy(ROOT / "recipes/engines/server.yaml", folder / "engines.yaml")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, Server, int]:
    """Run the recipe once; return the folder, the server (shut) and the exit code."""
    folder = tmp_path_factory.mktemp("skillmix")
    copy_recipe(folder)
    with Server(reply) as server:
        done = prefmill(folder, *command(folder, server))
    assert done.returncode in (0, 6), done.stdout + done.stderr
    return folder, server, done.returncode


def test_every_row_of_every_stage_is_accounted_for(finished):
    folder, _, code = finished
    view = view_of(folder)
    assert view.name == "skillmix" and (code == 6) == bool(view.rejected)
    for stage in view.stages.values():
        books = [(r.rows_in + r.fan_out, r.rows_out + r.rows_rejected + r.rows_grouped) for r in stage.records]
        assert books and all(before == after for before, after in books)
        assert stage.upstream is None or stage.rows_in == view.stages[stage.upstream].rows_out
    assert_sound(folder)


def test_pairs_come_out_whose_chosen_response_has_the_higher_reward(finished):
    pairs = [p for t in view_of(finished[0]).stages["pairs"].tables() for p in t.to_pylist()]
    assert len(pairs) >= 10
    assert all(p["margin"] == p["score_chosen"] - p["score_rejected"] > 0 for p in pairs)
    assert all(p["chosen"] != p["rejected"] for p in pairs)


def test_no_request_was_paid_twice(finished):
    assert set(finished[1].received.values()) == {1} and finished[1].statuses.keys() == {200}


def test_a_pair_is_traced_through_every_stage_up_to_its_domain(finished):
    pair = next(iter(view_of(finished[0]).stages["pairs"].tables())).to_pylist()[0]
    told = json.loads(prefmill(finished[0], "trace", "runs/test", pair["id"], "--json").stdout)
    assert [level["stage"] for level in told][:2] == ["pairs", "reward"] and told[-1]["stage"] == "domains"
    assert {r["id"] for r in told[1]["rows"]} == set(pair["candidate_ids"])
    assert {"home cooking", "personal finance", "local history"} >= {r["domain"] for r in told[-1]["rows"]}
    text = prefmill(finished[0], "trace", "runs/test", pair["id"]).stdout
    assert "prompt template" in text and "role scorer" in text


def test_the_finished_run_goes_on_without_a_server(finished):
    folder, server, code = finished
    asked = server.requests
    assert (prefmill(folder, *command(folder, server)).returncode, server.requests) == (code, asked)


def test_the_export_is_a_dataset_with_all_pairs_and_a_card(finished):
    folder, _, _ = finished
    done = prefmill(folder, "export", "runs/test", "--to", "out")
    assert done.returncode == 0, done.stderr
    tables = [pq.read_table(p) for p in sorted((folder / "out").glob("data/*.parquet"))]
    assert sum(t.num_rows for t in tables) == view_of(folder).stages["pairs"].rows_out
    assert {"prompt", "chosen", "rejected"} <= set(tables[0].column_names)
    assert (folder / "out/README.md").read_text().startswith("---\n")


def test_a_killed_run_of_the_recipe_gives_the_same_pairs(finished, tmp_path):
    copy_recipe(tmp_path)
    with Server(reply, latency=0.01) as server:
        for answers in (5, 40, 120):
            process = start(tmp_path, *command(tmp_path, server))
            wait_until(lambda n=answers: len(server.answered) >= n)
            process.kill()
            process.communicate()
        assert prefmill(tmp_path, *command(tmp_path, server)).returncode == finished[2]
    assert committed(tmp_path) == committed(finished[0])
