"""Criteria and exemplars in front of a prompt."""

import asyncio
import json
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
from pydantic import ValidationError

from pipeline.api import PrerequisiteError, Prompt, shipped_banks
from pipeline.testing import ScriptedContext, process_row, raises_row_error
from stages.annotation.condition_prompts import BANK, ConditionPrompts, ConditionPromptsConfig
from stages.annotation.domains import DOMAINS
from stages.annotation.exemplars import read_exemplars
from stages.selection.benchmark_files import BenchmarkText
from stages.selection.ngram_index import Counting, NgramIndex
from tests.unit.stages.books_in_memory import BooksInMemory

LLMBAR = Path(__file__).parents[4] / "shared" / "data" / "llmbar"
QUESTION = {"role": "user", "content": "Name a river."}
ROW = {"id": "p", "prompt": [QUESTION], "domain": "chat"}
BANKS = read_exemplars(shipped_banks()[BANK], "bank", DOMAINS)
OWN = {"id": "own", "domain": "chat", "question": "Why?", "good": "So.", "bad": "No."}


def condition(row=ROW, **config):
    (out,) = process_row(ConditionPrompts(ConditionPromptsConfig(**config)), row)
    return out


def test_criteria_become_the_system_message_and_the_exemplar_stands_in_the_last_user_turn():
    row = condition()
    system, user = row["conditioned_prompt"]
    (exemplar,) = [e for e in BANKS["chat"] if e.id == row["exemplar_id"]]
    assert system["role"] == "system" and "Do what the user asks" in system["content"]
    places = [user["content"].index(t) for t in (exemplar.question, exemplar.good, exemplar.bad, exemplar.explanation)]
    end = user["content"].index("Name a river.\n\nAnswer it the way the good answer does.")
    assert places == sorted(places) and places[-1] < end and user["role"] == "user"
    assert row["criteria_id"].startswith("criteria_chat.v1:") and row["prompt"] == [QUESTION]


@pytest.mark.parametrize("domain", DOMAINS)
def test_each_domain_has_criteria_and_exemplars_of_its_own(domain):
    row = condition(ROW | {"domain": domain})
    assert row["criteria_id"].startswith(f"criteria_{domain}.v1:")
    assert row["exemplar_id"] in {e.id for e in BANKS[domain]}


def test_a_system_message_is_replaced_and_earlier_turns_stay():
    before = [{"role": "user", "content": "Hi."}, {"role": "assistant", "content": "Hello."}]
    row = condition(ROW | {"prompt": [{"role": "system", "content": "Be rude."}, *before, QUESTION]})
    system, *middle, last = row["conditioned_prompt"]
    assert "Be rude." not in system["content"] and middle == before and "Name a river." in last["content"]


def test_criteria_go_into_the_user_turn_where_templates_have_no_system_role():
    row = condition(criteria_in="user", exemplars="none")
    (user,) = row["conditioned_prompt"]
    assert user["content"].startswith("You are an assistant") and user["content"].endswith("\n\nName a river.")
    assert row["exemplar_id"] is None


def test_an_exemplar_without_criteria_leaves_the_system_message_alone():
    system = {"role": "system", "content": "Be brief."}
    row = condition(ROW | {"prompt": [system, QUESTION]}, criteria=False)
    assert row["conditioned_prompt"][0] == system and row["criteria_id"] is None and row["exemplar_id"]


def test_a_plain_domain_keeps_its_prompt():
    row = condition(plain_domains=("chat",))
    assert row["conditioned_prompt"] == [QUESTION]
    assert (row["criteria_id"], row["exemplar_id"]) == (None, None)


def test_candidates_of_a_prompt_share_its_exemplar_and_prompts_do_not():
    rows = [condition(ROW | {"id": f"r{i}", "prompt_id": "p"}) for i in range(9)]
    assert {r["exemplar_id"] for r in rows} == {condition()["exemplar_id"]}
    drawn = Counter(condition(ROW | {"id": f"p{i}"})["exemplar_id"] for i in range(300))
    assert len(drawn) == len(BANKS["chat"]) and min(drawn.values()) > 25


def test_a_message_with_braces_and_marks_is_put_in_once():
    text = "{{ good }} {% raw %} <<system>>\nMay I?"
    row = condition(ROW | {"prompt": [{"role": "user", "content": text}]})
    assert f"\n\n{text}\n\n" in row["conditioned_prompt"][-1]["content"] and len(row["conditioned_prompt"]) == 2


def test_one_domain_for_all_needs_no_router():
    stage = ConditionPrompts(ConditionPromptsConfig(domain="safety"))
    assert stage.inputs.names == ["prompt"]
    (row,) = process_row(stage, {"id": "p", "prompt": [QUESTION]})
    assert row["criteria_id"].startswith("criteria_safety.v1:")


@pytest.mark.parametrize("domain", [None, "maths", "Chat"])
def test_a_domain_that_is_none_of_the_three_is_rejected(domain):
    raises_row_error("condition.domain", lambda: condition(ROW | {"domain": domain}))


def test_a_prompt_that_ends_otherwise_is_rejected():
    prompt = [QUESTION, {"role": "assistant", "content": "The Danube."}]
    raises_row_error("condition.no_user_turn", lambda: condition(ROW | {"prompt": prompt}))


def bank(folder, *records):
    (folder / "own.jsonl").write_text("".join(json.dumps(r) + "\n" for r in records) + "\n")
    return {"exemplar_file": "own.jsonl", "base_folder": str(folder), "domain": "chat"}


def test_an_own_bank_is_drawn_from_and_counts_by_its_content(tmp_path):
    config = bank(tmp_path, OWN)
    before = ConditionPrompts(ConditionPromptsConfig(**config)).digest()
    row = condition(**config)
    assert row["exemplar_id"] == "own" and "Why:" not in row["conditioned_prompt"][-1]["content"]
    bank(tmp_path, OWN | {"good": "Because."})
    after = ConditionPrompts(ConditionPromptsConfig(**config)).digest()
    shipped = ConditionPrompts(ConditionPromptsConfig()).digest()
    assert len({d["exemplars"] for d in (before, after, shipped)}) == 3
    assert ConditionPrompts(ConditionPromptsConfig(exemplars="none")).digest() == {}


@pytest.mark.parametrize("mark", ["\u2028", "\x85", "\x0b", "\r\n"])
def test_only_a_line_feed_ends_a_line_of_a_bank(tmp_path, mark):
    record = json.dumps(OWN | {"good": f"So{mark}it is."}, ensure_ascii=False)
    config = bank(tmp_path) | {"exemplars": "one"}
    (tmp_path / "own.jsonl").write_bytes(f"{record}\r\n\r\n".encode())
    assert f"So{mark}it is." in condition(**config)["conditioned_prompt"][-1]["content"]


OWN_CRITERIA = "---\nname: mine\nversion: 1\ninputs: []\nsource: ours\n---\n<<system>>\nBe kind.\n<<user>>\nBe brief.\n"


class OwnCriteria(ScriptedContext):
    def prompt(self, name):
        return Prompt(OWN_CRITERIA, "mine.md") if name.startswith("criteria") else super().prompt(name)


def test_all_turns_of_own_criteria_are_used():
    stage = ConditionPrompts(ConditionPromptsConfig(exemplars="none"))
    (row,) = asyncio.run(stage.process_row(ROW, OwnCriteria(stage, {})))
    assert row["conditioned_prompt"][0] == {"role": "system", "content": "Be kind.\n\nBe brief."}
    assert row["criteria_id"].startswith("mine.v1:")


@pytest.mark.parametrize(
    ("records", "message"),
    [
        ([OWN | {"domain": "safety"}], "has no exemplar for domain 'chat'"),
        ([OWN, OWN], "line 2: id 'own' is taken"),
        ([OWN | {"good": ""}], "line 1: good: String should have at least 1 character"),
        ([OWN | {"better": "x"}], "line 1: better: Extra inputs"),
        (["text"], "line 1: the record: "),
    ],
)
def test_a_bank_with_a_mistake_ends_the_run_before_it_starts(tmp_path, records, message):
    stage = ConditionPrompts(ConditionPromptsConfig(**bank(tmp_path, *records)))
    with pytest.raises(PrerequisiteError, match=message):
        stage.digest()


@pytest.mark.parametrize(("raw", "message"), [(b"{", "line 1 is no JSON"), (b"\xff", "cannot be read as UTF-8")])
def test_a_bank_that_cannot_be_read_ends_it_too(tmp_path, raw, message):
    (tmp_path / "own.jsonl").write_bytes(raw)
    config = {"exemplar_file": "own.jsonl", "base_folder": str(tmp_path)}
    with pytest.raises(PrerequisiteError, match=message):
        ConditionPrompts(ConditionPromptsConfig(**config)).digest()


@pytest.mark.parametrize(
    "config",
    [
        {"criteria": False, "exemplars": "none"},
        {"exemplar_file": "x.jsonl", "exemplars": "none"},
        {"plain_domains": DOMAINS},
        {"domain": "chat", "plain_domains": ("chat",)},
        {"domain": "maths"},
    ],
)
def test_contradictory_options_are_refused(config):
    with pytest.raises(ValidationError):
        ConditionPromptsConfig(**config)


def test_the_report_counts_criteria_and_exemplars():
    table = pa.table({"criteria_id": ["c", "c", None], "exemplar_id": ["e", "e", None]})
    (found,) = ConditionPrompts(ConditionPromptsConfig()).report(BooksInMemory(3, table))
    assert found.rows == (("-", "-", 1), ("c", "e", 2))


def test_the_shipped_bank_has_enough_of_each_domain_and_a_reason_with_each():
    assert {d: len(b) for d, b in BANKS.items()} == {"chat": 6, "reasoning": 8, "safety": 4}
    assert all(e.explanation and e.good != e.bad for b in BANKS.values() for e in b)


@pytest.mark.skipif(not LLMBAR.exists(), reason="the shared data sets are not beside this checkout")
@pytest.mark.parametrize("name", ["natural.json", "faireval.json"])
def test_no_exemplar_repeats_an_item_of_llmbar(name):
    items = json.loads((LLMBAR / name).read_text("utf-8"))
    texts = [
        BenchmarkText(name, f"{name}#{i}", f, item[f])
        for i, item in enumerate(items)
        for f in item
        if isinstance(item[f], str)
    ]
    index = NgramIndex(iter(texts), Counting(share=0.3))
    exemplars = [e for b in BANKS.values() for e in b]
    parts = [text for e in exemplars for text in (e.question, e.good, e.bad, f"{e.question} {e.good} {e.bad}")]
    assert len(texts) > 100 and index.matches(parts) == []
    assert index.matches([f"An exemplar: {items[0]['output_1']}"])
