import re

import pyarrow as pa
import pytest

from pipeline.api import GenResult, RowError, Sample
from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.testing import process_row, raises_row_error, scripted_engine
from stages.synthesis.name_skills import NameSkills, NameSkillsConfig

CLUSTER = {
    "id": "c",
    "kind": "skill",
    "name": "weighing_options",
    "member_names": ["weighting_options", "weighing_options", "weighing_options", "weighing_option"],
    "member_similarity": [0.8, 1.0, 1.0, 0.9],
}


def run(reply, row=CLUSTER, **config):
    engine = scripted_engine(reply)
    made = process_row(NameSkills(NameSkillsConfig(**config)), row, engines={"generator": engine})
    return made[0], engine.generate_calls


def test_the_model_names_a_cluster_and_the_medoid_is_kept():
    row, calls = run(lambda r, d: '{"items": ["Weighing several options"]}')
    assert (row["name"], row["medoid"], row["named_by"]) == ("weighing_several_options", "weighing_options", "model")
    assert calls[0].json_schema["required"] == ["items"] and len(calls) == 1


def test_members_are_quoted_once_each_the_nearest_first():
    _, calls = run(lambda r, d: '["weighing"]')
    text = calls[0].messages[-1]["content"]
    found = re.search(r"BEGIN NAMES (\w{16})\n(.*)\nEND NAMES \1", text, re.DOTALL)
    assert found[2].splitlines() == ["weighing options", "weighing option", "weighting options"]
    assert "no instructions" in text[: found.start()]


def test_only_so_many_members_are_shown():
    _, calls = run(lambda r, d: '["weighing"]', members_shown=2)
    assert "weighting options" not in calls[0].messages[-1]["content"]


def test_a_cluster_of_one_name_is_not_asked_about():
    row, calls = run(lambda r, d: "", CLUSTER | {"member_names": ["weighing_options"] * 4})
    assert (row["name"], row["named_by"], len(calls)) == ("weighing_options", "medoid", 0)


@pytest.mark.parametrize("reply", ["I would call it weighing.", "1. " + "word " * 9, ""])
def test_a_cluster_that_stays_unnamed_keeps_its_medoid_and_says_so(reply):
    row, calls = run(lambda r, d: reply, attempts=2)
    assert (row["name"], row["medoid"], row["named_by"]) == ("weighing_options", "weighing_options", "medoid")
    assert len(calls) == 2


@pytest.mark.parametrize("reply", ["prose", Sample("[", "length")])
def test_a_cluster_that_stays_unnamed_is_rejected_if_the_recipe_says_so(reply):
    engine = scripted_engine()

    async def generate(request):
        return GenResult((reply if isinstance(reply, Sample) else Sample(reply, "stop"),))

    engine.generate = generate
    stage = NameSkills(NameSkillsConfig(fallback="reject"))
    raises_row_error("skills.unnamed", lambda: process_row(stage, CLUSTER, engines={"generator": engine}))


def test_a_refusal_of_the_engine_itself_is_not_answered_by_the_medoid():
    def reply(request, draw):
        raise RowError("engine.context_exceeded", "too long")

    raises_row_error("engine.context_exceeded", lambda: run(reply))


def test_an_engine_without_schemas_is_asked_for_a_line_and_may_not_copy_the_example():
    plain = TransformersEngine(TransformersConfig(model="none"))
    engine = scripted_engine(lambda r, d: "1. comparing options")
    engine.capabilities = plain.capabilities
    (row,) = process_row(NameSkills(NameSkillsConfig()), CLUSTER, engines={"generator": engine})
    assert row["named_by"] == "medoid" and engine.generate_calls[0].json_schema is None
    assert "Name the 1 skill that covers them all" in engine.generate_calls[0].messages[-1]["content"]


def test_the_report_counts_who_named_what():
    class Books:
        def rows(self, columns):
            found = [("model", "a", "b"), ("model", "a", "a"), ("medoid", "c", "c"), ("medoid", "d", "d")]
            rows = [dict(zip(("named_by", "name", "medoid"), values, strict=True)) for values in found]
            return iter(pa.Table.from_pylist(rows).select(list(columns)).to_batches())

    (table,) = NameSkills(NameSkillsConfig()).report(Books())
    assert table.rows == (("medoid", "no", 2), ("model", "no", 1), ("model", "yes", 1))
