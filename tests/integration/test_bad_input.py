"""Bad input and bad answers, end to end: a reject with a code or an error before the run, never a silent loss."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.integration.harness import (
    SOURCE,
    assert_sound,
    prefmill,
    rejects,
    rows,
    served_recipe,
    status,
    view_of,
    write_jsonl,
    write_recipe,
)
from tests.integration.server import Ask, Fault, Server, echo_reply, error

ANY = {"max_reject_rate": 1.0}
GOOD = {"prompt": "Name a river."}


def load(folder: Path, records: list[Any], **options: Any):
    """Run a recipe of one source over records and return the process and the stage's books."""
    write_jsonl(folder / "prompts.jsonl", records)
    source = {**SOURCE, "with": {**SOURCE["with"], **options}}
    write_recipe(folder, [source], limits=ANY)
    return prefmill(folder, "run", "recipe.yaml")


def books(folder: Path) -> dict[str, dict[str, Any]]:
    """Return the stages' books after asserting that they add up, stage by stage and from stage to stage."""
    stages = status(folder)
    view = view_of(folder)
    for name, stage in stages.items():
        records = view.stages[name].records
        fan_out, grouped = sum(r.fan_out for r in records), sum(r.rows_grouped for r in records)
        assert stage["rows_in"] + fan_out == stage["rows_out"] + sum(stage["rejects"].values()) + grouped
        upstream = view.stages[name].upstream
        assert upstream is None or stage["rows_in"] == stages[upstream]["rows_out"]
    assert_sound(folder)
    return stages


# ------------------------------------------------------------------ refused before anything runs


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (None, "is not there"),
        ("", "has no rows"),
        ("\n\n  \n", "has no rows"),
        ('{"text": "a"}\n', "has no column 'prompt'"),
        ('{"prompt": 3}\n', "holds int; expected text or lists of messages"),
    ],
    ids=["no file", "empty file", "blank lines", "no column", "wrong type"],
)
def test_an_input_that_cannot_be_used_at_all_is_refused_with_exit_2_and_no_run_folder(tmp_path, content, words):
    if content is not None:
        (tmp_path / "prompts.jsonl").write_text(content)
    write_recipe(tmp_path, [SOURCE])
    done = prefmill(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 2 and words in done.stderr and "Traceback" not in done.stderr
    assert not (tmp_path / "runs").exists()


def test_a_parquet_file_without_the_column_or_with_another_type_is_refused(tmp_path):
    source = {**SOURCE, "with": {"path": "in.parquet"}}
    write_recipe(tmp_path, [source])
    for table, words in (
        ({"text": ["a"]}, "no column 'prompt'"),
        ({"prompt": [1]}, "int64"),
        ({"prompt": pa.array([], pa.string())}, "no rows"),
    ):
        pq.write_table(pa.table(table), tmp_path / "in.parquet")
        done = prefmill(tmp_path, "run", "recipe.yaml")
        assert done.returncode == 2 and words in done.stderr, done.stderr


def test_a_stage_whose_column_is_missing_upstream_is_refused_in_the_plan(tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", [GOOD])
    write_recipe(tmp_path, [SOURCE, {"id": "reward", "use": "density_ratio"}])
    done = prefmill(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 2 and "needs column 'strong_logprob' as double" in done.stderr


def test_an_input_that_changed_since_the_first_start_is_refused(tmp_path):
    assert load(tmp_path, [GOOD]).returncode == 0
    again = load(tmp_path, [GOOD, {"prompt": "Name a hill."}])
    assert again.returncode == 3 and "'prompts' changed in source.files" in again.stderr


# ------------------------------------------------------------------ rejected row by row, with a code


BAD_RECORDS = [
    ({"prompt": ""}, "source.empty_prompt"),
    ({"prompt": None}, "source.empty_prompt"),
    ({"text": "no prompt"}, "source.empty_prompt"),
    ({"prompt": 3.5}, "source.bad_messages"),
    ({"prompt": [{"role": "user"}]}, "source.bad_messages"),
    ({"prompt": [{"role": "wizard", "content": "x"}]}, "source.bad_messages"),
    ({"prompt": "lone \ud83d surrogate"}, "source.bad_text"),
    ({"prompt": "x", "topic": "\udc00"}, "source.bad_text"),
    ({"prompt": "x", "topic": 7}, "source.bad_record"),
    ({"prompt": GOOD["prompt"], "topic": None}, "source.duplicate"),
]


def test_every_bad_record_is_a_reject_with_its_code_and_the_good_ones_are_kept(tmp_path):
    (tmp_path / "x").mkdir()
    records = [GOOD, *(r for r, _ in BAD_RECORDS), {"prompt": "NUL \x00 and \u202e"}]
    done = load(tmp_path, records, keep_columns={"topic": "string"})
    assert done.returncode == 6, done.stderr
    stage = books(tmp_path)["prompts"]
    assert (stage["rows_in"], stage["rows_out"]) == (len(records), 2)
    assert sorted(r["code"] for r in rejects(tmp_path, "prompts")) == sorted(code for _, code in BAD_RECORDS)
    assert [r["prompt"][0]["content"] for r in rows(tmp_path, "prompts")] == [GOOD["prompt"], "NUL \x00 and \u202e"]


def test_lines_that_are_no_records_are_rejects_that_keep_the_line(tmp_path):
    lines = [b'{"prompt": "good"}', b"{not json", b"[1, 2]", b'{"prompt": "\xff\xfe"}', b'{"prompt": "x", "y": NaN}']
    (tmp_path / "prompts.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    write_recipe(tmp_path, [SOURCE], limits=ANY)
    assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
    stage = books(tmp_path)["prompts"]
    assert (stage["rows_in"], stage["rows_out"], stage["rejects"]) == (5, 1, {"source.bad_record": 4})
    assert "not json" in prefmill(tmp_path, "rejects", "runs/test").stdout


def test_ids_given_twice_or_unusable_are_rejects(tmp_path):
    ids = ["a", "b", "a", "", None, "x" * 201, {"no": "id"}, 7, "7"]
    done = load(tmp_path, [{"prompt": f"p{i}", "key": key} for i, key in enumerate(ids)], id_column="key")
    assert done.returncode == 6, done.stderr
    stage = books(tmp_path)["prompts"]
    assert stage["rejects"] == {"source.bad_id": 4, "source.duplicate": 2}
    assert [r["id"] for r in rows(tmp_path, "prompts")] == ["a", "b", "7"]


def test_duplicates_across_shards_are_found(tmp_path):
    records = [{"prompt": f"p{i % 40}"} for i in range(100)]
    write_jsonl(tmp_path / "prompts.jsonl", records)
    write_recipe(tmp_path, [SOURCE], limits={**ANY, "shard_rows": 7})
    assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
    assert books(tmp_path)["prompts"]["rejects"] == {"source.duplicate": 60}


def test_an_input_of_only_bad_records_ends_with_the_reject_rate_and_leaves_sound_books(tmp_path):
    write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": ""}] * 5)
    write_recipe(tmp_path, [SOURCE])
    done = prefmill(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 5 and "source.empty_prompt 5" in done.stderr
    assert prefmill(tmp_path, "verify", "runs/test").returncode == 0


def test_a_stage_without_any_input_row_is_finished_and_empty(tmp_path):
    with Server() as server:
        served_recipe(tmp_path, server.url, 1, **ANY)
        write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": ""}] * 3)
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
    assert server.requests == 0 and books(tmp_path)["scores"]["rows_in"] == 0


def test_a_row_of_10_megabytes_goes_through_whole(tmp_path):
    big = "word " * 2_000_000
    with Server(lambda ask, i: str(len(ask.text))) as server:
        served_recipe(tmp_path, server.url, 1, score=False)
        write_jsonl(tmp_path / "prompts.jsonl", [GOOD, {"prompt": big}, GOOD | {"prompt": "Name a hill."}])
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    found = rows(tmp_path, "responses")
    assert found[1]["prompt"][0]["content"] == big and found[1]["response"] == str(len(big)) and len(found) == 3
    books(tmp_path)


# ------------------------------------------------------------------ bad answers


def answers(texts: dict[str, str]):
    """Reply by prompt; the rest as usual."""
    return lambda ask, index: texts.get(ask.text, echo_reply(ask, index))


PROMPTS = [{"prompt": p} for p in ("empty", "blank", "surrogate", "nul", "fine", "long")]
TEXTS = {"empty": "", "blank": " \n\t ", "surrogate": "a\ud83db", "nul": "a\x00b", "long": "much too long"}


def test_empty_responses_are_rejects_and_odd_text_is_kept_as_text(tmp_path):
    def full(ask: Ask) -> Fault | None:
        return error(400, "maximum context length is 10 tokens") if "much too long" in ask.text else None

    with Server(answers(TEXTS), fault=full) as server:
        served_recipe(tmp_path, server.url, 1, **ANY)
        write_jsonl(tmp_path / "prompts.jsonl", PROMPTS)
        done = prefmill(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 6, done.stderr
    stages = books(tmp_path)
    assert stages["responses"]["rejects"] == {"responses.empty": 2}
    assert stages["scores"]["rejects"] == {"engine.context_exceeded": 1}
    kept = [r["response"] for r in rows(tmp_path, "scores")]
    assert kept[:2] == ["a\ufffdb", "a\x00b"] and len(kept) == 3


BAD_LOGPROBS = [math.nan, -math.inf, math.inf, None, "-1.0", -9999.0]


def test_a_log_probability_that_is_no_finite_number_rejects_its_row_and_is_never_made_up(tmp_path):
    def logprob(token: str, index: int) -> Any:
        return BAD_LOGPROBS[int(token)] if token.isdigit() and int(token) < len(BAD_LOGPROBS) else -0.5

    with Server(lambda ask, i: f"row {ask.text[9]} says so", logprob=logprob) as server:
        served_recipe(tmp_path, server.url, 10, **ANY)
        write_jsonl(tmp_path / "prompts.jsonl", [{"prompt": f"Question {i}"} for i in range(10)])
        done = prefmill(tmp_path, "run", "recipe.yaml")
    assert done.returncode == 6, done.stderr
    assert books(tmp_path)["scores"]["rejects"] == {"score.nonfinite": len(BAD_LOGPROBS)}
    set_aside = [json.loads(r["row"]) for r in rejects(tmp_path, "scores")]
    assert [r["response"] for r in set_aside] == [f"row {i} says so" for i in range(6)]
    assert not any("logprob" in r for r in set_aside)
    assert all(r["logprob"] == -0.5 * r["logprob_tokens"] for r in rows(tmp_path, "scores"))


def test_a_policy_logprob_that_is_not_finite_rejects_the_response(tmp_path):
    class Broken(Server):
        def _chat(self, ask, index):
            choice = super()._chat(ask, index)
            if ask.text.startswith("Question 2"):
                choice["logprobs"]["content"][0]["logprob"] = math.nan
            return choice

    with Broken() as server:
        served_recipe(tmp_path, server.url, 5, score=False, **ANY)
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
    assert sum(books(tmp_path)["responses"]["rejects"].values()) == 1
    assert all(math.isfinite(r["policy_logprob"]) for r in rows(tmp_path, "responses"))


def test_a_reward_from_a_missing_score_is_a_reject_and_not_a_number(tmp_path):
    records = [{**GOOD, "strong": -1.0, "weak": -2.0}, {"prompt": "a", "strong": None, "weak": -2.0}]
    write_jsonl(tmp_path / "prompts.jsonl", records)
    source = {**SOURCE, "with": {"path": "prompts.jsonl", "keep_columns": {"strong": "float", "weak": "float"}}}
    ratio = {"id": "reward", "use": "density_ratio", "with": {"numerator": "strong", "denominator": "weak"}}
    write_recipe(tmp_path, [source, ratio], limits=ANY)
    assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
    assert [r["reward"] for r in rows(tmp_path, "reward")] == [1.0]
    assert books(tmp_path)["reward"]["rejects"] == {"density.nonfinite": 1}


def choice(finish: str, index: int = 0) -> bytes:
    """Return an answer whose one choice has no content."""
    made = {"index": index, "finish_reason": finish, "message": {"content": None}}
    return json.dumps({"choices": [made]}).encode()


MALFORMED = [b"", b'{"choices": []}', b"\x00\xff", b"[" * 5000, choice("stop"), choice("stop", 5)]


def test_each_malformed_answer_rejects_its_row_with_a_code(tmp_path):
    bodies = [*MALFORMED, choice("content_filter")]

    def broken(ask: Ask) -> Fault | None:
        number = int(ask.text.split()[1].strip(":"))
        return Fault(200, bodies[number]) if number < len(bodies) else None

    with Server(fault=broken) as server:
        served_recipe(tmp_path, server.url, 20, score=False, **ANY)
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
    assert books(tmp_path)["responses"]["rejects"] == {"engine.bad_response": 6, "responses.filtered": 1}
