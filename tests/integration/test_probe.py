"""`prefmill plan --probe`: what a run will cost, measured on a few rows that the run then does not pay again."""

import json
import random
import re

import pytest

from tests.support import changed, files, pair_recipe, prefmill, requests_made, run, short_recipe, write

ROWS, PROBED = 300, 60


def questions():
    """Prompts of very unlike lengths."""
    draws = random.Random(5)
    return tuple(" ".join([f"Question {i}:", *["word"] * draws.randrange(1, 60)]) for i in range(ROWS))


def recipe(folder):
    return write(folder, changed(pair_recipe(), "limits.shard_rows", 50), questions())


def projected(out):
    """Requests, tokens read and made of each stage as the probe projects them."""
    table = out.split("projected from")[1].splitlines()[2:]
    cells = [re.sub(r"[,+]", "", line).split() for line in table if line.strip()]
    return {c[0]: [float(x) for x in c[2:]] for c in cells}


@pytest.fixture(scope="module")
def probed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("probed")
    path = recipe(folder)
    planned = prefmill("plan", path, "--run-dir", folder / "run", "--probe", PROBED)
    made = run(path, folder / "run")
    return folder, planned, made, requests_made(folder / "run")


def test_the_projection_is_within_15_percent_of_what_the_run_then_costs(probed):
    folder, planned, _, _ = probed
    assert planned.code == 0, planned.err
    found = projected(planned.out)
    for stage in prefmill("status", folder / "run", "--json").json["stages"]:
        if stage["usage"]:
            spent = [stage["usage"][k] for k in ("requests", "prompt_tokens", "new_tokens")]
            for told, real in zip(found[stage["stage"]], spent, strict=True):
                assert abs(told - real) <= 0.15 * real, (stage["stage"], told, real)


def test_requests_without_tokens_are_exact_before_anything_is_asked(probed):
    _, planned, _, _ = probed
    table = planned.out.split("requests, without rejects")[1].split("projected")[0]
    assert f"responses  policy=policy       {ROWS}  prompts\n" in table
    assert table.count(f"{2 * ROWS}  prompts x n\n") == 2


def test_the_run_takes_the_answers_of_the_probe_and_pays_only_the_rest(probed):
    folder, planned, _, made = probed
    assert f"projected from {PROBED} rows of each source" in planned.out
    stages = prefmill("status", folder / "run", "--json").json["stages"]
    assert sum(s["usage"]["requests"] for s in stages if s["usage"]) == made + 5 * PROBED


def test_a_probed_run_gives_the_same_bytes_as_one_that_was_not(probed, tmp_path):
    folder, _, _, _ = probed
    run(recipe(tmp_path), tmp_path / "run")
    plain = {k: v for k, v in files(tmp_path / "run").items() if "/data/" in k}
    both = {k: v for k, v in files(folder / "run").items() if "/data/" in k and k.startswith("stages/")}
    assert sorted(plain.values()) == sorted(both.values())


def test_a_second_probe_asks_only_for_rows_that_the_first_did_not(tmp_path):
    path = write(tmp_path, short_recipe(), questions()[:40])
    arguments = ("plan", path, "--run-dir", tmp_path / "run", "--probe")
    assert prefmill(*arguments, 10).code == prefmill(*arguments, 10).code == 0
    assert prefmill(*arguments, 25).code == 0
    assert requests_made(tmp_path / "run/probe") == 15


def test_a_probe_of_more_rows_than_there_are_is_the_whole_run(tmp_path):
    path = write(tmp_path, short_recipe())
    result = prefmill("plan", path, "--run-dir", tmp_path / "run", "--probe", 99)
    assert projected(result.out)["responses"][0] == 3
    assert run(path, tmp_path / "run").code == 0 and requests_made(tmp_path / "run") == 0


def test_a_refusal_in_a_probe_is_asked_again_by_the_run(tmp_path):
    path = write(tmp_path, short_recipe(context_chars=25))
    result = prefmill("plan", path, "--run-dir", tmp_path / "run", "--probe", 3)
    assert result.code == 0, result.err
    assert run(path, tmp_path / "run").code == 6 and requests_made(tmp_path / "run") == 1


def test_a_recipe_that_asks_no_engine_has_nothing_to_probe(tmp_path):
    value = short_recipe()
    value["stages"], value["engines"] = value["stages"][:1], {}
    result = prefmill("plan", write(tmp_path, value), "--run-dir", tmp_path / "run", "--probe", 3)
    assert result.code == 2 and "asks no engine" in result.err


def test_a_plan_without_a_probe_asks_nothing_and_writes_nothing(tmp_path):
    path = write(tmp_path, short_recipe())
    assert "3 rows" in prefmill("plan", path, "--run-dir", tmp_path / "run").out
    assert not (tmp_path / "run").exists()
    json.loads(prefmill("schema").out)
