"""The contract checks that plug-in authors run: good stages pass, each broken rule is named."""

from __future__ import annotations

from typing import ClassVar

import pyarrow as pa
import pytest

from pipeline.api import (
    CHAT,
    GenRequest,
    Reject,
    RowError,
    RowStage,
    Source,
    StageConfig,
    TableResult,
    TableStage,
    columns,
)
from pipeline.testing import ScriptedContext, check_stage, process_row, process_table, raises_row_error, scripted_engine

ROW = {"id": "a", "text": "hello"}


class Options(StageConfig):
    """Options."""


class Shout(RowStage):
    """Adds the text in capitals."""

    name, version, config_type = "shout", 1, Options
    inputs, outputs = columns(text=str), columns(loud=str)

    async def process_row(self, row, ctx):
        return [{**row, "loud": row["text"].upper()}]


class Ask(Shout):
    """Asks an engine."""

    engine_roles: ClassVar = {"judge": CHAT}

    async def process_row(self, row, ctx):
        reply = await ctx.engine("judge").generate(GenRequest(prompt=row["text"], seed=ctx.seed(row["id"])))
        return [{**row, "loud": reply.text}]


class Keep(TableStage):
    """Keeps rows with text."""

    name, version, config_type = "keep", 1, Options
    inputs = columns(text=str)

    def process_table(self, table, ctx):
        kept = [r for r in table.to_pylist() if r["text"]]
        lost = [Reject(r, "keep.empty", "no text") for r in table.to_pylist() if not r["text"]]
        return TableResult(pa.Table.from_pylist(kept, schema=table.schema), lost)


class Three(Source):
    """Gives three rows."""

    name, version, config_type = "three", 1, Options
    outputs = columns(text=str)

    def partitions(self):
        return ["one"]

    def read(self, partition):
        yield pa.RecordBatch.from_pydict({"text": ["a", "b", "c"]}, schema=self.outputs)
        yield Reject({"text": None}, "source.bad", "no text")

    def digest(self):
        return {"rows": 3}


@pytest.mark.parametrize(("stage", "sample"), [(Shout, ROW), (Ask, ROW), (Keep, [ROW]), (Keep, ROW), (Three, [])])
def test_a_good_stage_passes(stage, sample):
    check_stage(stage(Options()), sample)


def test_an_engine_can_be_scripted_by_a_function_or_given():
    assert process_row(Ask(Options()), ROW, lambda request, draw: f"{request.prompt}!")[0]["loud"] == "hello!"
    engine = scripted_engine(default="always")
    assert process_row(Ask(Options()), ROW, engines={"judge": engine})[0]["loud"] == "always"
    assert len(engine.generate_calls) == 1


def test_a_table_stage_gets_typed_columns():
    result = process_table(Keep(Options()), [ROW, {"id": "b", "text": ""}])
    assert result.table.num_rows == 1 and [r.code for r in result.rejects] == ["keep.empty"]


def row_stage(process, **attributes):
    async def run(self, row, ctx):
        return process(row)

    return type("Odd", (Shout,), {"__doc__": "Odd.", "process_row": run, **attributes})(Options())


def ends_differently():
    count = iter(range(9))
    return lambda row: [{**row, "loud": str(next(count))}]


def loud(row):
    return {**row, "loud": "X"}


@pytest.mark.parametrize(
    ("stage", "rule"),
    [
        (row_stage(lambda row: []), "at least one row"),
        (row_stage(ends_differently()), "must give equal rows"),
        (row_stage(lambda row: [loud(row), loud(row)]), "2 rows from one, but fan_out is False"),
        (row_stage(lambda row: [Reject(row, "a.b", "c")]), "must not be rejected"),
        (row_stage(lambda row: [{**loud(row), "text": "changed"}]), "'text'] were changed"),
        (row_stage(lambda row: [row]), "declared outputs ['loud'] are missing"),
        (row_stage(lambda row: [loud(row)], name="Shout"), "lower_snake_case"),
        (row_stage(lambda row: [loud(row)], version=0), "integer from 1"),
        (row_stage(lambda row: [loud(row)], __doc__=None), "needs a docstring"),
        (row_stage(lambda row: [loud(row)], engine_roles={"a": "sing"}), "unknown capability"),
        (row_stage(lambda row: [loud(row)], config_type=type("Other", (StageConfig,), {})), "config must be a Other"),
    ],
)
def test_each_broken_rule_of_a_row_stage_is_named(stage, rule):
    with pytest.raises(AssertionError) as caught:
        check_stage(stage, ROW)
    assert rule in str(caught.value)


def test_a_value_of_another_type_than_declared_is_refused():
    with pytest.raises((pa.ArrowInvalid, pa.ArrowTypeError)):
        check_stage(row_stage(lambda row: [{**row, "loud": 3}]), ROW)


def test_a_row_stage_is_checked_with_one_row():
    with pytest.raises(AssertionError, match="one sample row"):
        check_stage(Shout(Options()), [ROW])


def test_a_table_stage_that_rejects_everything_or_forgets_a_column_is_refused():
    with pytest.raises(AssertionError, match="must not all be rejected"):
        check_stage(Keep(Options()), [{"id": "a", "text": ""}])
    short = type("Short", (Keep,), {"__doc__": "Short.", "outputs": columns(more=str)})
    with pytest.raises(AssertionError, match="declared outputs are missing"):
        check_stage(short(Options()), [ROW])


def test_a_source_without_stable_partitions_or_digest_is_refused():
    twice = type("Twice", (Three,), {"__doc__": "Twice.", "partitions": lambda self: ["a", "a"]})
    with pytest.raises(AssertionError, match="stable and unique"):
        check_stage(twice(Options()), [])
    silent = type("Silent", (Three,), {"__doc__": "Silent.", "digest": lambda self: {}})
    with pytest.raises(AssertionError, match="what identifies its content"):
        check_stage(silent(Options()), [])


def test_the_context_gives_templates_seeds_and_a_logger():
    from stages.synthesis.synthesize_skillmix import SynthesizeSkillmix, SynthesizeSkillmixConfig

    context = ScriptedContext(SynthesizeSkillmix(SynthesizeSkillmixConfig()), run_seed=3)
    assert context.prompt("generate.v2").header.name == "generate"
    assert context.seed("a", 1) == context.seed("a", 1) != context.seed("a")
    assert context.log.name == "prefmill.synthesize_skillmix"


def reject(code):
    raise RowError(code, "why")


def test_a_row_error_is_caught_by_its_code():
    assert raises_row_error("a.b", lambda: reject("a.b")).message == "why"
    with pytest.raises(AssertionError, match="code 'a.c', expected 'a.b'"):
        raises_row_error("a.b", lambda: reject("a.c"))
    with pytest.raises(AssertionError, match="expected a RowError with code 'a.b'"):
        raises_row_error("a.b", lambda: None)
