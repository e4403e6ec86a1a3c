import asyncio
import json
from collections import Counter
from math import comb
from pathlib import Path

import pytest

from pipeline.api import EngineError, GenResult, PrerequisiteError, Sample
from pipeline.testing import ScriptedContext, process_row, process_table, raises_row_error, scripted_engine
from stages.replies.asking import Asking, Unusable, ask
from stages.replies.lists import Item, normalised, parse_list
from stages.synthesis.extract_skills import ExtractSkills, ExtractSkillsConfig
from stages.synthesis.instructions import parse_instruction
from stages.synthesis.plan_skillmix import PlanSkillmix, PlanSkillmixConfig
from stages.synthesis.skill_draws import balanced_types, iid_types, release_sets, unrepeated_sets
from stages.synthesis.synthesize_skillmix import SynthesizeSkillmix, SynthesizeSkillmixConfig

GOLDEN = json.loads((Path(__file__).parents[2] / "golden/vectors/golden_skillmix.json").read_text("utf-8"))
TASK = {"id": "p", "skills": ["weighing", "sequencing"], "query_type": "how_to", "query_type_definition": "Steps."}
TEXT = "Which of my two bread recipes should go into the oven first?"
GOOD = f"### Instruction\n{TEXT}"


def engine_with(*samples):
    """Return an engine that gives one sample after another, the last one for ever."""
    engine, left = scripted_engine(), list(samples)

    async def generate(request):
        engine.generate_calls.append(request)
        sample = left.pop(0) if len(left) > 1 else left[0]
        return GenResult((sample if isinstance(sample, Sample) else Sample(sample, "stop"),))

    engine.generate = generate
    return engine


class TestLists:
    @pytest.mark.parametrize(
        "reply",
        [
            '["one thing", "another"]',
            '```json\n["one thing", "another"]\n```',
            "```\n1. one thing\n2. another\n```",
            'Here is the list:\n["one thing", "another"]',
            'Here you are:\n\n```json\n["one thing", "another"]\n```',
            "1. one thing\n2. another",
            "1) one thing\n\n2) another.",
            "- **one thing**\n- another",
            '* one thing\n* "another"',
            "Topics:\n• one thing\n• another\n",
            '[{"name": "one thing"}, {"name": "another"}]',
        ],
    )
    def test_every_clear_form_of_a_list_is_read(self, reply):
        assert [item.raw for item in parse_list(reply)] == ["one thing", "another"]

    @pytest.mark.parametrize(
        "reply",
        [
            "I would be glad to help.",
            "",
            "[]",
            '["a", 7]',
            '["a"',
            '{"a": 1}',
            "1. one thing\nand some prose",
            'Sure! ["a"] is it.',
            "- \n- x",
            '["日本語"]',
            '[{"definition": "x"}]',
            '[{"name": "a", "definition": 3}]',
            '[{"name": "a", "examples": "x"}]',
            '[{"name": "a", "examples": [1]}]',
            f'["{"x" * 121}"]',
            '["..."]',
            'Look:\n```json\n["a"]\n```\nI hope that this helps.',
            "[" * 100_000,
            '```\n["a"]\n```\nor\n```\n["b"]\n```',
        ],
    )
    def test_everything_else_is_refused(self, reply):
        with pytest.raises(ValueError):
            parse_list(reply)

    def test_definitions_and_examples_are_kept(self):
        reply = json.dumps([{"name": "A", "definition": " D. ", "examples": [" e "]}, {"name": "B", "definition": ""}])
        assert parse_list(reply) == [Item("A", "D.", ("e",)), Item("B")]
        assert parse_list("1. **A**: D.\n2. **B:** E.") == [Item("A", "D."), Item("B", "E.")]

    @pytest.mark.parametrize(
        ("name", "expected"),
        [
            ("Sequencing Steps", "sequencing_steps"),
            ("how-to / why?", "how_to_why"),
            ("Café tricks", "cafe_tricks"),
            ("__a__1", "a_1"),
            ("日本", ""),
        ],
    )
    def test_names_are_normalised(self, name, expected):
        assert normalised(name) == expected


class TestInstructions:
    @pytest.mark.parametrize(
        ("reply", "form"),
        [
            (GOOD, "header"),
            (f"Sure!\n\n## Instruction:\n\n{TEXT}\n", "header"),
            (f"### **Instruction**\n{TEXT}", "header"),
            (f"### Instruction: {TEXT}", "header"),
            (f"**Instruction:** {TEXT}", "bold"),
            (f"**Instruction**\n{TEXT}", "bold"),
            (f"Instruction: {TEXT}", "label"),
            (f"Query:\n{TEXT}", "label"),
            (json.dumps({"instruction": TEXT}), "json"),
            (f"```json\n{json.dumps({'instruction': TEXT})}\n```", "json"),
            (f'### Instruction\n"{TEXT}"', "header"),
            (f"### Instruction\n“{TEXT}”", "header"),
            (f"### Instruction\n{TEXT}\n\n### Response\nThe rye.", "header"),
            (f"### Instruction\n{TEXT}\n\nResponse: the rye.", "header"),
            (f"### Instruction\n{TEXT}\n---\nNote.", "header"),
        ],
    )
    def test_every_clear_form_is_read(self, reply, form):
        found = parse_instruction(reply)
        assert (found.text, found.form) == (TEXT, form)

    def test_the_word_instruction_inside_the_text_is_text(self):
        reply = "### Instruction\nRewrite this for a child.\nInstruction: press the red button twice."
        assert parse_instruction(reply).text == "Rewrite this for a child.\nInstruction: press the red button twice."

    def test_quotes_inside_the_text_stay(self):
        reply = '### Instruction\n"Yes" or "no": should I sell the old car?'
        assert parse_instruction(reply).text == '"Yes" or "no": should I sell the old car?'

    @pytest.mark.parametrize(
        "reply",
        [
            TEXT,
            f"{GOOD}\n{GOOD}",
            "### Instruction\nToo short.",
            "### Instruction",
            '{"instruction": 7}',
            '{"instruct',
            '{"task": "x"}',
            f"Instruction: {TEXT}\nInstruction: {TEXT}",
        ],
    )
    def test_what_is_not_clearly_one_instruction_is_refused(self, reply):
        with pytest.raises(Unusable) as caught:
            parse_instruction(reply)
        assert caught.value.code == "unparsable"

    @pytest.mark.parametrize(
        "reply",
        [
            "I'm sorry, but I can't help with that.",
            "I cannot write this.",
            "As an AI, I have no oven.",
            "### Instruction\nI’m sorry, I am not able to do that.",
        ],
    )
    def test_refusals_are_known(self, reply):
        with pytest.raises(Unusable) as caught:
            parse_instruction(reply)
        assert caught.value.code == "refusal"


class TestAsking:
    def ask(self, *samples, attempts=3):
        engine = engine_with(*samples)
        how = Asking(engine, 0.7, 50, attempts, "skills")
        question = ({"role": "user", "content": "?"},)
        return engine, lambda: asyncio.run(ask(how, question, lambda k: 100 + k, int))

    def test_it_asks_again_with_a_new_seed_until_a_reply_can_be_used(self):
        engine, go = self.ask("no", Sample("4", "length"), "42")
        answer = go()
        assert (answer.parsed, answer.text, answer.attempts) == (42, "42", 3)
        assert [r.seed for r in engine.generate_calls] == [100, 101, 102]

    @pytest.mark.parametrize(
        ("sample", "code"),
        [
            ("no", "skills.unparsable"),
            (" ", "skills.unparsable"),
            ("1\ud800", "skills.unparsable"),
            (Sample("4", "length"), "skills.truncated"),
            (Sample("4", "content_filter"), "skills.refusal"),
        ],
    )
    def test_the_last_attempt_names_the_reject(self, sample, code):
        engine, go = self.ask(sample, attempts=2)
        assert "after 2 attempts" in raises_row_error(code, go).message
        assert len(engine.generate_calls) == 2


class TestExtractSkills:
    def test_asks_for_topics_then_skills_and_query_types(self):
        def reply(request, draw):
            text = request.messages[-1]["content"]
            if "topics inside" in text:
                return '["a topic", "a topic", "b topic", "c topic"]'
            return '["Same skill", "same-skill", "x1"]' if "query types that" not in text else '["how to"]'

        stage = ExtractSkills(ExtractSkillsConfig(topics=3))
        rows = process_row(stage, {"id": "d", "domain": "gardening"}, reply)
        assert [(r["kind"], r["topic"], r["name"], r["raw"]) for r in rows] == [
            ("skill", "a topic", "same_skill", "Same skill"),
            ("skill", "a topic", "x1", "x1"),
            ("query_type", None, "how_to", "how to"),
        ]

    def test_an_error_that_ends_the_run_comes_before_one_that_rejects_the_row(self):
        def reply(request, draw):
            text = request.messages[-1]["content"]
            if "topics inside" in text:
                return '["a", "b"]'
            if "Topic: b" in text:
                raise EngineError("the server is gone")
            return "prose"

        with pytest.raises(EngineError):
            process_row(ExtractSkills(ExtractSkillsConfig()), {"id": "d", "domain": "gardening"}, reply)

    def test_a_list_that_stays_unreadable_rejects_the_domain(self):
        stage, row = ExtractSkills(ExtractSkillsConfig(attempts=2)), {"id": "d", "domain": "gardening"}
        for sample, code in (
            ("prose", "skills.unparsable"),
            (Sample("[", "length"), "skills.truncated"),
            (Sample("[", "content_filter"), "skills.refusal"),
        ):
            engine = engine_with(sample)
            raises_row_error(code, lambda e=engine: process_row(stage, row, engines={"generator": e}))


class TestDraws:
    def test_the_released_sampler_is_repeated(self):
        (expected,) = (v for k, v in GOLDEN.items() if k.startswith("legacy_numpy_seed42"))
        assert [[f"s{i + 1}" for i in s] for s in release_sets(6, 2, 5, 42)] == expected

    @pytest.mark.parametrize("seed", range(5))
    def test_as_many_skills_come_up_as_uniform_draws_give(self, seed):
        sets = unrepeated_sets(1132, 2, 1000, seed)
        share = 1000 * 2 / 1132
        variance = 1132 * 2.718281828**-share * (1 - (1 + share) * 2.718281828**-share)
        assert len({frozenset(s) for s in sets}) == 1000 and all(len(set(s)) == 2 for s in sets)
        expected = GOLDEN["expected_distinct_skills"]["expected"]
        assert abs(len({i for s in sets for i in s}) - expected) < 4 * variance**0.5

    @pytest.mark.parametrize("k", [1, 2, 3])
    def test_all_sets_come_up_once_when_all_are_asked_for(self, k):
        sets = unrepeated_sets(7, k, comb(7, k), 3)
        assert len({frozenset(s) for s in sets}) == comb(7, k)
        assert unrepeated_sets(7, k, 5, 3) == unrepeated_sets(7, k, 5, 3) != unrepeated_sets(7, k, 5, 4)

    @pytest.mark.parametrize("n", [9, 3])
    def test_every_set_is_equally_likely_in_any_order(self, n):
        counts = Counter(s for seed in range(600) for s in unrepeated_sets(5, 2, n, seed))
        expected = 600 * n / 20
        assert len(counts) == 20 and sum((c - expected) ** 2 / expected for c in counts.values()) < 43.8  # 19 df, 0.1 %

    def test_more_sets_than_there_are_is_an_error_with_figures(self):
        with pytest.raises(ValueError, match="11 rows of 2 skills asked for, but 5 distinct skills give only 10"):
            unrepeated_sets(5, 2, 11, 0)

    @pytest.mark.parametrize("n", [1, 15, 16, 1000])
    def test_balanced_types_differ_by_at_most_one(self, n):
        counts = Counter(balanced_types(16, n, 1))
        assert sum(counts.values()) == n and len(counts) == min(n, 16)
        assert set(counts.values()) <= {n // 16, n // 16 + 1}

    def test_iid_types_are_uniform(self):
        reference = GOLDEN["query_type_uniformity"]
        passed = 0
        for seed in range(20):
            counts = Counter(iid_types(16, 1000, seed))
            chi2 = sum((counts[t] - 62.5) ** 2 / 62.5 for t in range(16))
            passed += chi2 < reference["chi2_critical_0.05_df15"]
        assert passed >= 17


def named(kind, *names):
    return [
        {"id": f"{kind[0]}{i}", "kind": kind, "name": n, "definition": None, "examples": []}
        for i, n in enumerate(names)
    ]


class TestPlan:
    def plan(self, rows, **config):
        return process_table(PlanSkillmix(PlanSkillmixConfig(**config)), rows)

    def test_equal_names_count_once_and_rows_cite_their_sources(self):
        rows = named("skill", "a", "b", "a", "c") + named("query_type", "how_to")
        table = self.plan(rows, n=3).table
        assert {frozenset(s) for s in table["skills"].to_pylist()} == {frozenset(p) for p in ("ab", "ac", "bc")}
        sources = {"a": "s0", "b": "s1", "c": "s3"}
        for skills, ids in zip(table["skills"].to_pylist(), table["skill_ids"].to_pylist(), strict=True):
            assert ids == [sources[s] for s in skills]
        assert table["query_type_id"].to_pylist() == ["q0"] * 3 and len(set(table["id"].to_pylist())) == 3

    def test_the_plan_depends_on_the_run_seed(self):
        stage = PlanSkillmix(PlanSkillmixConfig(n=8))
        rows = named("skill", *"abcdefgh") + named("query_type", "x", "y")
        import pyarrow as pa

        table = pa.Table.from_pylist(rows, schema=stage.inputs)
        one, other = (stage.process_table(table, ScriptedContext(stage, run_seed=s)).table for s in (1, 2))
        assert not one.equals(other)

    def test_rows_of_no_kind_or_no_name_are_rejected(self):
        rows = named("skill", "a", "b", "") + named("query_type", "x") + named("other", "z")
        assert [(r.row["id"], r.code) for r in self.plan(rows, n=1).rejects] == [
            ("s2", "plan.bad_row"),
            ("o0", "plan.bad_row"),
        ]

    def test_no_rows_at_all_give_an_empty_plan(self):
        result = self.plan([], n=5)
        assert result.table.schema.equals(PlanSkillmix.outputs) and not result.table.num_rows and not result.rejects

    @pytest.mark.parametrize(
        ("rows", "config", "said"),
        [
            (named("skill", "a") + named("query_type", "x"), {"n": 1}, "at least 2 distinct skills"),
            (named("skill", "a", "b"), {"n": 1}, "left 2 and 0"),
            (named("skill", "a", "b") + named("query_type", "x"), {"n": 2}, "2 rows of 2 skills asked for"),
        ],
    )
    def test_too_little_to_plan_from_is_said_with_figures(self, rows, config, said):
        with pytest.raises(PrerequisiteError, match=said):
            self.plan(rows, **config)

    def test_the_released_sampler_may_repeat_sets(self):
        rows = named("skill", "a", "b") + named("query_type", "x")
        assert self.plan(rows, n=5, sampler="release", query_type_sampling="iid").table.num_rows == 5


class TestSynthesize:
    def run(self, *samples, **config):
        engine = engine_with(*samples)
        stage = SynthesizeSkillmix(SynthesizeSkillmixConfig(**config))
        return lambda: process_row(stage, TASK, engines={"generator": engine})[0], engine.generate_calls

    def test_one_turn(self):
        go, calls = self.run("prose", GOOD, mode="one_turn")
        row = go()
        assert row["instruction"] == TEXT and row["prompt"] == [{"role": "user", "content": TEXT}]
        assert (row["critique"], row["parse_status"], row["attempts"], len(row["turns"])) == (None, "header", 2, 2)
        asked = calls[0].messages[-1]["content"]
        assert "Skills: weighing, sequencing" in asked and "Query type: how to (Steps.)" in asked
        assert calls[0].messages == calls[1].messages and calls[0].seed != calls[1].seed

    def test_critique_and_rewrite_are_turns_of_one_conversation(self):
        go, calls = self.run(GOOD, " Too plain. ", f"### Instruction\nBetter: {TEXT}")
        row = go()
        assert row["instruction"] == f"Better: {TEXT}" and row["critique"] == " Too plain. " and row["attempts"] == 3
        assert [len(c.messages) for c in calls] == [1, 3, 5] and len({c.seed for c in calls}) == 3
        assert [m["role"] for m in row["turns"]] == ["user", "assistant"] * 3
        assert row["turns"][3]["content"] == " Too plain. "

    @pytest.mark.parametrize(
        ("sample", "code"),
        [
            ("prose without a header", "skillmix.unparsable"),
            ("I'm sorry, no.", "skillmix.refusal"),
            (Sample(GOOD, "length"), "skillmix.truncated"),
            (Sample(GOOD, "content_filter"), "skillmix.refusal"),
        ],
    )
    @pytest.mark.parametrize("before", [(), (GOOD, "Too plain.")])
    def test_a_turn_that_stays_unusable_rejects_the_row(self, sample, code, before):
        go, calls = self.run(*before, sample, attempts=2)
        raises_row_error(code, go)
        assert len(calls) == len(before) + 2

    def test_a_copy_of_the_worked_example_is_no_instruction(self):
        _, calls = seen = self.run(GOOD, mode="one_turn")
        seen[0]()
        example = calls[0].messages[0]["content"].split("### Instruction\n")[1].split("\n")[0]
        for copy in (example, f"{example}\n\nQuestion: how to", " ".join(example.split()[5:18])):
            go, calls = self.run(f"### Instruction\n{copy}", GOOD, mode="one_turn")
            assert go()["instruction"] == TEXT and len(calls) == 2

    def test_a_critique_that_is_cut_off_is_asked_for_again(self):
        go, calls = self.run(GOOD, Sample("Too", "length"), "Too plain.", GOOD)
        assert go()["critique"] == "Too plain." and len(calls) == 4
