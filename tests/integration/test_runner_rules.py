"""What the runner holds stages and engines to, with small stages made for it."""

from __future__ import annotations

import asyncio
import json
import sys
import threading
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from pipeline.api import (
    CHAT,
    Engine,
    EngineConfig,
    EngineError,
    GenRequest,
    GenResult,
    Reject,
    RowError,
    RowStage,
    Sample,
    Source,
    StageConfig,
    TableResult,
    TableStage,
    columns,
)
from pipeline.errors import PipelineError, PlanError, RejectRateError, StageBug
from pipeline.run.session import RunRequest, run_recipe
from tests.integration.harness import (
    assert_sound,
    committed,
    environment,
    prefmill,
    register,
    rejects,
    rows,
    served_recipe,
    start,
    status,
    view_of,
    write_recipe,
)
from tests.integration.server import Ask, Server, error, fraction, wait_until

# ------------------------------------------------------------------ stages and engines under test


class NumbersConfig(StageConfig):
    n: int = 10
    twice: int | None = None


class Numbers(Source):
    name, version, config_type = "numbers", 1, NumbersConfig
    outputs = columns(id=str, value=int)

    def partitions(self):
        return ["all"]

    def read(self, partition):
        values = [*range(self.config.n), *([] if self.config.twice is None else [self.config.twice])]
        yield pa.RecordBatch.from_pylist([{"id": f"n{v}", "value": v} for v in values], schema=self.outputs)

    def digest(self):
        return {"n": self.config.n}


def _boom(row):
    raise TypeError("'NoneType' object is not iterable")


def _cannot(row):
    raise RowError("odd.value", f"value {row['value']} is odd")


BREACHES = {
    "nothing": (lambda row: [], "returned 0 rows"),
    "two_rows": (lambda row: [row, row], "returned 2 rows"),
    "undeclared": (lambda row: [{**row, "square": 1, "extra": 1}], "not declared ['extra']"),
    "missing": (lambda row: [row], "columns missing ['square']"),
    "new_id": (lambda row: [{**row, "square": 1, "id": "other"}], "id 'other'"),
    "no_id": (lambda row: [{"value": 1, "square": 1}], "id 'None'"),
    "wrong_type": (lambda row: [{**row, "square": "nine"}], "declared columns cannot hold"),
    "too_large": (lambda row: [{**row, "square": 2**63}], "declared columns cannot hold"),
    "none": (lambda row: None, "expected a list"),
    "one_row": (lambda row: {**row, "square": 1}, "expected a list"),
    "texts": (lambda row: ["nine"], "expected a list"),
    "lazy": (lambda row: (r for r in [{**row, "square": 1}]), "expected a list"),
    "type_error": (_boom, "raised TypeError on row 'n3'"),
    "row_error": (_cannot, None),
    "reject": (lambda row: [Reject(row, "odd.value", "odd")], None),
}


class BreachConfig(StageConfig):
    how: str


class Breach(RowStage):
    name, version, config_type = "breach", 1, BreachConfig
    inputs, outputs = columns(value=int), columns(square=int)

    async def process_row(self, row, ctx):
        return BREACHES[self.config.how][0](row) if row["value"] == 3 else [{**row, "square": row["value"] ** 2}]


class FanBreach(Breach):
    name, fan_out = "fan_breach", True


TABLE_BREACHES = {
    "loses": (lambda t: TableResult(t.slice(1)), "1 not accounted for"),
    "doubles": (lambda t: TableResult(pa.concat_tables([t, t.slice(0, 1)])), "null or not unique"),
    "rejects_too": (lambda t: TableResult(t, [Reject({"id": "n0"}, "a.b", "")]), "1 more than once"),
    "invents": (lambda t: TableResult(pa.concat_tables([t, _row(t, "new")])), "1 unknown"),
    "swaps": (lambda t: TableResult(pa.concat_tables([t.slice(1), _row(t, "new")])), "1 not accounted for"),
    "null_id": (lambda t: TableResult(pa.concat_tables([t.slice(1), _row(t, None)])), "null or not unique"),
    "drops_column": (lambda t: TableResult(t.drop_columns(["square"])), "must return column 'square'"),
    "wrong_type": (lambda t: TableResult(_with(t, pa.array(["x"] * t.num_rows))), "must return column 'square'"),
    "raises": (lambda t: TableResult(t.column("nope")), "raised KeyError"),
    "none": (lambda t: None, "expected a TableResult"),
    "fine": (lambda t: TableResult(t.slice(1), [Reject({"id": "n0"}, "first.row", "first")]), None),
}


def _with(table, values):
    return table.set_column(table.schema.get_field_index("square"), "square", values)


def _row(table, row_id):
    return pa.Table.from_pylist([{**table.slice(0, 1).to_pylist()[0], "id": row_id}], schema=table.schema)


class TableBreach(TableStage):
    name, version, config_type = "table_breach", 1, BreachConfig
    inputs, outputs = columns(id=str, value=int), columns(square=int)

    def process_table(self, table, ctx):
        table = table.append_column("square", pc.multiply(table["value"], table["value"]))
        first = table.num_rows and table["value"][0].as_py() == 0
        return TABLE_BREACHES[self.config.how][0](table) if first else TableResult(table)


class WholeBreach(TableBreach):
    name = "whole_breach"
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    max_rows = 10


class Everything(TableStage):
    """Passes all rows through one table."""

    name, version, config_type = "everything", 1, StageConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"

    def process_table(self, table, ctx):
        return TableResult(table)


class GroupConfig(StageConfig):
    how: Literal["fine", "twice", "lost"] = "fine"


class Groups(TableStage):
    """Groups rows by threes; may cite one twice or forget one."""

    name, version, config_type = "groups", 1, GroupConfig
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "groups"
    lineage = ("members",)
    inputs, outputs = columns(id=str), columns(id=str, members=list[str])

    def process_table(self, table, ctx):
        ids = table["id"].to_pylist()
        ids = {"fine": ids, "twice": [*ids, ids[0]], "lost": ids[1:]}[self.config.how]
        made = [{"id": f"g-{ids[i]}-{i}", "members": ids[i : i + 3]} for i in range(0, len(ids), 3)]
        return TableResult(pa.Table.from_pylist(made, schema=self.outputs))


class AskConfig(StageConfig):
    column: str = "answer"


class AskOnce(RowStage):
    name, version, config_type = "ask_once", 1, AskConfig
    inputs = columns(value=int)
    engine_roles = {"model": CHAT}

    def __init__(self, config):
        super().__init__(config)
        self.outputs = columns(**{config.column: str})

    async def process_row(self, row, ctx):
        request = GenRequest(prompt=f"{self.config.column} {row['value']}", seed=ctx.seed(row["id"]))
        return [{**row, self.config.column: (await ctx.engine("model").generate(request)).text}]


class FakeConfig(EngineConfig):
    model: str = "fake"
    window: int = 1
    broken: bool = False


class Fake(Engine):
    """Counts calls at once and logs its life; a class-level log, cleared by `world`."""

    kind, config_type, resident = "fake", FakeConfig, True
    log: ClassVar[list[str]] = []
    active: ClassVar[int] = 0
    peak: ClassVar[int] = 0

    def capabilities(self):
        return frozenset({CHAT})

    def check(self):
        Fake.log.append(f"check {self.config.model}")

    def identity(self):
        return {"kind": "fake", "model": self.config.model, "revision": None}

    async def open(self):
        Fake.log.append(f"open {self.config.model}")
        self.full = asyncio.Event()
        if self.config.broken:
            raise EngineError("it does not load")

    async def close(self):
        Fake.log.append(f"close {self.config.model}")

    async def generate(self, request):
        Fake.active += 1
        Fake.peak = max(Fake.peak, Fake.active)
        try:
            if Fake.active >= self.config.window:
                self.full.set()
            async with asyncio.timeout(20):
                await self.full.wait()
            await asyncio.sleep(0.02 * fraction(request.prompt))
        finally:
            Fake.active -= 1
        return GenResult((Sample(request.prompt, "stop", 1, None),), 1, "fake")


HERE = {
    c.name: f"{__name__}:{c.__name__}"
    for c in (Numbers, Breach, FanBreach, TableBreach, WholeBreach, Everything, Groups, AskOnce)
}


@pytest.fixture
def world(tmp_path):
    """Register the stages above, for this process and for those it starts; return the folder to run in."""
    path = str(register(tmp_path / "path", HERE, {"fake": f"{__name__}:Fake"}))
    sys.path.insert(0, path)
    Fake.log.clear()
    Fake.active = Fake.peak = 0
    yield tmp_path
    sys.path.remove(path)


SOURCE = {"id": "numbers", "use": "numbers"}


NONE: Mapping[str, Any] = MappingProxyType({})


def run(folder, *stages, engines=NONE, more=NONE, resume="refuse", **limits):
    """Run stages after the source, in this process."""
    source = {**SOURCE, "with": dict(more)}
    path = write_recipe(folder, [source, *stages], engines, limits={"shard_rows": 4, "max_reject_rate": 0.5, **limits})
    request = RunRequest(path, run_dir=folder / "runs/test", resume=resume)
    return run_recipe(request, lambda progress: None)


def ask(stage_id: str, model: str, source: str | None = None) -> dict:
    own = {} if source is None else {"from": source}
    return {"id": stage_id, "use": "ask_once", "roles": {"model": model}, "with": {"column": stage_id}, **own}


def fake(*models: str, **options) -> dict:
    return {m: {"kind": "fake", "model": m, **options} for m in models}


# ------------------------------------------------------------------ stages must keep their word


@pytest.mark.parametrize("how", [k for k, (_, text) in BREACHES.items() if text])
def test_a_row_stage_that_breaks_its_word_is_a_bug_and_never_a_reject(world, how):
    with pytest.raises(StageBug) as bug:
        run(world, {"id": "b", "use": "breach", "with": {"how": how}}, more={"n": 4})
    assert BREACHES[how][1] in str(bug.value) and "stage 'b' (breach)" in str(bug.value)
    assert view_of(world).stages["b"].records == []


@pytest.mark.parametrize("how", ["nothing", "none", "one_row", "texts", "undeclared", "missing", "wrong_type"])
def test_a_stage_with_fan_out_that_breaks_its_word_is_a_bug_too(world, how):
    with pytest.raises(StageBug):
        run(world, {"id": "b", "use": "fan_breach", "with": {"how": how}}, more={"n": 4})


def test_the_command_shows_a_bug_with_its_traceback_and_exits_1(world):
    write_recipe(world, [SOURCE, {"id": "b", "use": "breach", "with": {"how": "type_error"}}])
    done = prefmill(world, "run", "recipe.yaml", env=environment(PYTHONPATH=str(world / "path")))
    assert done.returncode == 1 and "Traceback" in done.stderr and "in _boom" in done.stderr
    assert done.stderr.rstrip().splitlines()[-1].startswith("bug: stage 'b' (breach) raised TypeError on row 'n3'")


@pytest.mark.parametrize("how", ["row_error", "reject"])
def test_a_row_error_or_a_returned_reject_sets_the_row_aside_with_its_code(world, how):
    view = run(world, {"id": "b", "use": "breach", "with": {"how": how}})
    assert view.stages["b"].rejects_by_code == {"odd.value": 1} and view.stages["b"].rows_out == 9
    (reject,) = rejects(world, "b")
    assert (reject["id"], reject["input_id"], '"value": 3' in reject["row"]) == ("n3", "n3", True)


@pytest.mark.parametrize("how", [k for k, (_, text) in TABLE_BREACHES.items() if text])
@pytest.mark.parametrize("use", ["table_breach", "whole_breach"])
def test_a_table_stage_that_loses_doubles_or_invents_a_row_is_a_bug(world, use, how):
    with pytest.raises(StageBug) as bug:
        run(world, {"id": "t", "use": use, "with": {"how": how}}, more={"n": 8})
    assert TABLE_BREACHES[how][1] in str(bug.value)
    assert all(r.shard for r in view_of(world).stages["t"].records)


@pytest.mark.parametrize("use", ["table_breach", "whole_breach"])
def test_a_table_stage_may_reject_rows_by_id(world, use):
    view = run(world, {"id": "t", "use": use, "with": {"how": "fine"}})
    assert view.stages["t"].rejects_by_code == {"first.row": 1} and view.stages["t"].rows_out == 9
    assert '"value": 0' in rejects(world, "t")[0]["row"]
    assert_sound(world)


@pytest.mark.parametrize(("how", "text"), [("twice", "1 more than once"), ("lost", "1 not accounted for")])
def test_a_grouping_stage_must_name_each_row_once(world, how, text):
    with pytest.raises(StageBug, match=text):
        run(world, {"id": "g", "use": "groups", "with": {"how": how}})


def test_a_grouping_stage_balances_its_books(world):
    view = run(world, {"id": "g", "use": "groups"})
    assert [(r.rows_in, r.rows_out, r.rows_grouped, r.fan_out) for r in view.stages["g"].records] == [
        (4, 2, 4, 2),
        (4, 2, 4, 2),
        (2, 1, 2, 1),
    ]
    assert_sound(world)


def test_a_dataset_stage_above_its_max_rows_is_refused_with_both_numbers(world):
    with pytest.raises(PlanError, match=r"given 11 rows.*at most 10"):
        run(world, {"id": "t", "use": "whole_breach", "with": {"how": "fine"}}, more={"n": 11})


def test_a_source_row_with_an_id_that_came_before_is_a_reject(world):
    view = run(world, {"id": "b", "use": "breach", "with": {"how": "row_error"}}, more={"n": 6, "twice": 2})
    assert view.stages["numbers"].rejects_by_code == {"source.duplicate": 1}
    assert (view.stages["numbers"].rows_in, view.stages["numbers"].rows_out) == (7, 6)


# ------------------------------------------------------------------ order, window, engines


def test_rows_that_end_out_of_order_are_stored_by_input_position(world):
    run(world, ask("a", "m"), engines=fake("m"), more={"n": 40}, shard_rows=7, rows_in_flight=32)
    assert [r["value"] for r in rows(world, "a")] == list(range(40))
    assert [r["a"] for r in rows(world, "a")] == [f"a {v}" for v in range(40)]


@pytest.mark.parametrize("shard_rows", [1, 5, 16, 100])
def test_the_window_is_filled_across_shard_borders_and_never_exceeded(world, shard_rows):
    engines = fake("m", window=16)
    run(world, ask("a", "m"), engines=engines, more={"n": 60}, shard_rows=shard_rows, rows_in_flight=16)
    assert Fake.peak == 16 and len(rows(world, "a")) == 60


def test_rows_ahead_bounds_how_many_shards_are_open_at_once(world):
    run(world, ask("a", "m"), engines=fake("m"), more={"n": 40}, shard_rows=2, rows_in_flight=32, rows_ahead=4)
    assert Fake.peak <= 4 + 2 and len(rows(world, "a")) == 40


def test_one_resident_engine_at_a_time_is_open_and_each_is_closed_before_the_next_opens(world):
    run(world, ask("a", "x"), ask("b", "y"), ask("c", "x"), engines=fake("x", "y"))
    life = [e for e in Fake.log if not e.startswith("check")]
    assert life == ["open x", "close x", "open y", "close y", "open x", "close x"]


def test_two_resident_engines_stay_open_side_by_side_where_the_recipe_allows_it(world):
    run(world, ask("a", "x"), ask("b", "y"), engines=fake("x", "y"), resident_engines=2)
    life = [e for e in Fake.log if not e.startswith("check")]
    assert life[:2] == ["open x", "open y"] and sorted(life[2:]) == ["close x", "close y"]


def test_an_engine_of_two_segments_in_a_row_is_loaded_once(world):
    barrier = {"id": "t", "use": "whole_breach", "with": {"how": "fine"}}
    view = run(world, ask("a", "x"), barrier, ask("c", "x"), engines=fake("x"))
    assert view.finished and [e for e in Fake.log if not e.startswith("check")] == ["open x", "close x"]


def test_a_finished_run_opens_and_even_checks_no_engine(world):
    run(world, ask("a", "x"), engines=fake("x"))
    before = committed(world)
    Fake.log.clear()
    run(world, ask("a", "x"), engines=fake("x"))
    assert Fake.log == [] and committed(world) == before


def test_a_run_with_one_stage_left_opens_only_that_stages_engine(world):
    run(world, ask("a", "x"), engines=fake("x"))
    Fake.log.clear()
    run(world, ask("a", "x"), ask("b", "y"), engines=fake("x", "y"))
    assert Fake.log == ["check y", "open y", "close y"]


def test_an_engine_that_does_not_load_ends_the_run_with_its_own_words_and_is_closed(world):
    with pytest.raises(EngineError, match="it does not load") as failure:
        run(world, ask("a", "x"), engines=fake("x", broken=True))
    assert isinstance(failure.value, PipelineError) and failure.value.exit_code == 4
    assert Fake.log == ["check x", "open x", "close x"]


def test_a_bug_in_one_stage_keeps_what_others_committed(world):
    bad = {"id": "b", "use": "breach", "with": {"how": "type_error"}}
    with pytest.raises(StageBug):
        run(world, ask("a", "x"), bad, engines=fake("x"))
    done = len(rows(world, "a"))
    run(world, ask("a", "x"), {**bad, "with": {"how": "row_error"}}, engines=fake("x"), resume="recompute")
    assert done >= 4 and view_of(world).stages["b"].rows_out == 9


def test_two_stages_that_read_one_stage_both_get_all_its_rows(world):
    view = run(world, ask("a", "x"), ask("b", "x", "numbers"), ask("c", "x", "a"), engines=fake("x"))
    assert [view.stages[s].rows_out for s in "abc"] == [10, 10, 10]
    assert "a" in view.stages["c"].columns and "a" not in view.stages["b"].columns
    assert_sound(world)


def test_no_threads_or_tasks_are_left_behind(world):
    before = threading.active_count()
    run(world, ask("a", "x"), engines=fake("x"))
    assert threading.active_count() == before


def test_a_table_stage_above_the_reject_rate_ends_the_run(world):
    with pytest.raises(RejectRateError, match=r"first\.row 1"):
        run(world, {"id": "t", "use": "table_breach", "with": {"how": "fine"}, "max_reject_rate": 0.05})


# ------------------------------------------------------------------ rejects --retry


class Moody:
    """Refuses some prompts while in a bad mood; a different code for every second of them."""

    def __init__(self) -> None:
        self.bad = True

    def __call__(self, ask: Ask):
        number = int(ask.text.split()[1].strip(":")) if ask.text.startswith("Question") else 1
        if not self.bad or number % 10:
            return None
        return error(400, "maximum context length" if number % 20 else "no")


def _requests(server: Server) -> Counter:
    return Counter(a.route for a in server.seen)


def test_a_retry_asks_only_the_rejected_rows_and_what_follows_them(tmp_path):
    mood = Moody()
    with Server(fault=mood) as server:
        served_recipe(tmp_path, server.url, 100, draws=2, shard_rows=25, max_reject_rate=0.2)
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
        before, kept = _requests(server), {r["id"]: r for r in rows(tmp_path, "scores")}
        mood.bad = False
        done = prefmill(tmp_path, "rejects", "runs/test", "--retry")
    assert done.returncode == 0, done.stderr
    assert _requests(server) - before == {"chat/completions": 10, "completions": 20}
    after = {r["id"]: r for r in rows(tmp_path, "scores")}
    assert len(after) == 200 and kept.items() <= after.items()
    assert_sound(tmp_path)


def test_a_retry_gives_the_rows_of_a_run_that_met_no_fault(tmp_path):
    mood = Moody()
    with Server(fault=mood) as server:
        for name in ("retried", "smooth"):
            (tmp_path / name).mkdir()
            served_recipe(tmp_path / name, server.url, 60, shard_rows=25, max_reject_rate=0.2)
        prefmill(tmp_path / "retried", "run", "recipe.yaml")
        mood.bad = False
        assert prefmill(tmp_path / "retried", "rejects", "runs/test", "--retry").returncode == 0
        assert prefmill(tmp_path / "smooth", "run", "recipe.yaml").returncode == 0
    assert committed(tmp_path / "retried") == committed(tmp_path / "smooth")


def test_a_retry_of_one_code_leaves_the_other_rejects_where_they_are(tmp_path):
    mood = Moody()
    with Server(fault=mood) as server:
        served_recipe(tmp_path, server.url, 100, score=False, max_reject_rate=0.2)
        prefmill(tmp_path, "run", "recipe.yaml")
        mood.bad, asked = False, server.requests
        done = prefmill(tmp_path, "rejects", "runs/test", "--retry", "--code", "engine.context_exceeded")
    assert (done.returncode, server.requests - asked) == (6, 5)
    assert status(tmp_path)["responses"]["rejects"] == {"engine.refused": 5}
    assert_sound(tmp_path)


def test_a_retry_that_fails_again_changes_no_books(tmp_path):
    with Server(fault=Moody()) as server:
        served_recipe(tmp_path, server.url, 50, draws=2, max_reject_rate=0.2)
        prefmill(tmp_path, "run", "recipe.yaml")
        before, asked = status(tmp_path), server.requests
        assert prefmill(tmp_path, "rejects", "runs/test", "--retry").returncode == 6
    after = status(tmp_path)
    paid = after["responses"].pop("usage")["requests"] - before["responses"].pop("usage")["requests"]
    assert (after, server.requests - asked, paid) == (before, 5, 5)
    assert_sound(tmp_path)


def test_a_killed_retry_is_finished_by_the_next_and_pays_nothing_twice(tmp_path):
    mood = Moody()
    with Server(fault=mood) as server:
        served_recipe(tmp_path, server.url, 100, score=False, max_reject_rate=0.2, rows_in_flight=2)
        prefmill(tmp_path, "run", "recipe.yaml")
        mood.bad, server.latency = False, lambda ask: 60.0 if ask.text[9] in "56789" else 0.0
        process = start(tmp_path, "rejects", "runs/test", "--retry")
        wait_until(lambda: len(server.answered) == 95 and server.in_flight == 2)
        process.kill()
        process.communicate()
        server.latency = 0.0
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 6
        assert prefmill(tmp_path, "rejects", "runs/test", "--retry").returncode == 0
    assert set(server.answered.values()) == {1} and len(rows(tmp_path, "responses")) == 100
    assert_sound(tmp_path)


def test_a_retry_killed_before_the_next_stage_is_finished_by_a_plain_run(tmp_path):
    mood = Moody()
    with Server(fault=mood) as server:
        served_recipe(tmp_path, server.url, 100, shard_rows=50, max_reject_rate=0.2)
        prefmill(tmp_path, "run", "recipe.yaml")
        mood.bad, server.latency = False, lambda ask: 60.0 if ask.scores else 0.0
        process = start(tmp_path, "rejects", "runs/test", "--retry")
        wait_until(lambda: server.in_flight == 10)
        process.kill()
        process.communicate()
        assert prefmill(tmp_path, "verify", "runs/test").returncode == 8
        server.latency = 0.0
        assert prefmill(tmp_path, "run", "recipe.yaml").returncode == 0
    assert set(server.answered.values()) == {1} and len(rows(tmp_path, "scores")) == 100
    assert_sound(tmp_path)


def test_a_retry_reaches_through_a_dataset_stage_that_then_needs_more_shards(world):
    mood = Moody()
    with Server(fault=mood) as server:
        path = served_recipe(world, server.url, 45, score=False, max_reject_rate=0.5, shard_rows=10)
        recipe = json.loads(path.read_text())
        recipe["stages"].append({"id": "whole", "use": "everything"})
        path.write_text(json.dumps(recipe))
        env = environment(PYTHONPATH=str(world / "path"))
        assert prefmill(world, "run", "recipe.yaml", env=env).returncode == 6
        assert view_of(world).stages["whole"].sealed == 4
        mood.bad = False
        done = prefmill(world, "rejects", "runs/test", "--retry", env=env)
    assert done.returncode == 0, done.stderr
    whole = view_of(world).stages["whole"]
    assert (whole.sealed, whole.rows_in, whole.rows_out) == (5, 45, 45)
    assert_sound(world)
