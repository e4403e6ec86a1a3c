"""Contract tests for stages, ours and a third party's, and the scripted context they run in.

from pipeline.testing import check_stage
check_stage(MyFilter(MyFilterConfig()), {"id": "a", "response": "text"})
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.canonical import derive_seed
from pipeline.engines.base import Engine
from pipeline.engines.scripted import ReplyFunction, ScriptedConfig, ScriptedEngine
from pipeline.errors import RowError
from pipeline.prompts import Prompt, load_prompt
from pipeline.schema import merge, missing_or_unlike
from pipeline.stage import AnyStage, RowStage, Source, Stage, TableResult, TableStage
from pipeline.types import Reject, Row

CAPABILITIES = frozenset({"chat", "score_tokens", "json_schema", "regex", "choice", "embed", "classify", "reward"})


def scripted_engine(reply: ReplyFunction | None = None, **config: Any) -> ScriptedEngine:
    """Return an engine that answers `reply(request, draw)`, or by its rules."""
    return ScriptedEngine(ScriptedConfig(**config), reply)


class ScriptedContext:
    """A stage's context without a runner: engines given by role, real prompt templates, real seeds."""

    def __init__(self, stage: Stage, engines: Mapping[str, Engine] | None = None, run_seed: int = 0) -> None:
        """Bind each declared role to the engine given, or to a scripted one."""
        self._stage, self._run_seed = stage, run_seed
        self._engines = {role: (engines or {}).get(role) or scripted_engine() for role in stage.engine_roles}
        self._prompts = {n: load_prompt(stage.name, n, stage.prompt_folder) for n in stage.prompt_names}
        self.log = logging.getLogger(f"prefmill.{stage.name}")

    def engine(self, role: str) -> Engine:
        """Return the engine of a declared role."""
        return self._engines[role]

    def prompt(self, name: str) -> Prompt:
        """Return a declared prompt template."""
        return self._prompts[name]

    def seed(self, row_id: str, draw: int = 0) -> int:
        """Return the seed as the runner derives it."""
        return derive_seed(self._run_seed, self._stage.name, row_id, draw)


def process_row(
    stage: RowStage, row: Row, reply: ReplyFunction | None = None, engines: Mapping[str, Engine] | None = None
) -> list[Row | Reject]:
    """Run one row through a row stage; `reply` scripts every role that `engines` does not name."""
    bound = {role: scripted_engine(reply) for role in stage.engine_roles} | dict(engines or {})
    return list(asyncio.run(stage.process_row(row, ScriptedContext(stage, bound))))


def process_table(stage: TableStage, rows: Sequence[Row], schema: pa.Schema | None = None) -> TableResult:
    """Run rows through a table stage, typed by its declared inputs (and `schema` for further columns)."""
    full = merge(schema or pa.schema([pa.field("id", pa.string())]), stage.inputs)
    return stage.process_table(pa.Table.from_pylist(list(rows), schema=full), ScriptedContext(stage))


def check_stage(
    stage: AnyStage, sample: Row | Sequence[Row], reply: ReplyFunction | None = None, schema: pa.Schema | None = None
) -> None:
    """Run the contract checks that every stage must pass.

    Args:
        stage: the stage, built with a config.
        sample: one good input row (row stage), rows (table stage), or an empty list (source).
        reply: scripts the engine.
        schema: columns of the sample beyond the declared inputs.

    Raises:
        AssertionError: naming the first rule that does not hold.
    """
    _check_declaration(stage)
    if isinstance(stage, RowStage):
        assert isinstance(sample, dict), "a row stage is checked with one sample row"
        _check_row_stage(stage, sample, reply)
    elif isinstance(stage, TableStage):
        rows = [sample] if isinstance(sample, dict) else list(sample)
        _check_table_stage(stage, rows, schema)
    else:
        _check_source(stage)


def _check_declaration(stage: AnyStage) -> None:
    kind = type(stage)
    assert kind.name.isidentifier() and kind.name.islower(), f"name '{kind.name}' must be lower_snake_case"
    assert isinstance(kind.version, int) and kind.version >= 1, "version must be an integer from 1"
    assert isinstance(stage.config, kind.config_type), f"config must be a {kind.config_type.__name__}"
    assert set(stage.engine_roles.values()) <= CAPABILITIES, f"unknown capability in {dict(stage.engine_roles)}"
    assert kind.__doc__, "the stage needs a docstring"
    for name in stage.prompt_names:
        load_prompt(stage.name, name, stage.prompt_folder)
    _check_config_fields(stage)


def _check_config_fields(stage: AnyStage) -> None:
    fields = stage.config.fingerprint_fields()
    again = type(stage.config).model_validate(stage.config.model_dump()).fingerprint_fields()
    assert fields == again, "config must read back equal from its own dump"


def _check_row_stage(stage: RowStage, sample: Row, reply: ReplyFunction | None) -> None:
    before = dict(sample)
    first = process_row(stage, dict(sample), reply)
    assert first, "a row stage must return at least one row; to drop a row raise RowError"
    assert first == process_row(stage, dict(sample), reply), "equal inputs, seeds and replies must give equal rows"
    assert stage.fan_out or len(first) == 1, f"{len(first)} rows from one, but fan_out is False"
    kept = [r for r in first if not isinstance(r, Reject)]
    assert kept, "the sample row must not be rejected"
    for row in kept:
        changed = {k for k, v in before.items() if row.get(k) != v} - set(stage.outputs.names)
        assert not changed, f"input columns {sorted(changed)} were changed but are not declared as outputs"
        absent = set(stage.outputs.names) - set(row)
        assert not absent, f"declared outputs {sorted(absent)} are missing"
        pa.Table.from_pylist([{n: row[n] for n in stage.outputs.names}], schema=stage.outputs)


def _check_table_stage(stage: TableStage, rows: list[Row], schema: pa.Schema | None) -> None:
    first, second = process_table(stage, rows, schema), process_table(stage, rows, schema)
    assert first.table.equals(second.table), "equal tables must give equal tables"
    assert not missing_or_unlike(stage.outputs, first.table.schema), "declared outputs are missing or of another type"
    assert first.table.num_rows, "the sample rows must not all be rejected"


def _check_source(stage: Source) -> None:
    parts = list(stage.partitions())
    assert parts == list(stage.partitions()) and len(set(parts)) == len(parts), "partitions must be stable and unique"
    for part in parts:
        first, second = list(stage.read(part)), list(stage.read(part))
        assert first == second, f"partition '{part}' must read the same twice"
        for batch in first:
            if isinstance(batch, pa.RecordBatch):
                assert not missing_or_unlike(stage.outputs, batch.schema), "declared outputs are missing"
    assert stage.digest(), "a source must say what identifies its content"


def raises_row_error(code: str, action: Callable[[], Any]) -> RowError:
    """Assert that an action rejects its row with a code, and return the error."""
    try:
        action()
    except RowError as e:
        assert e.code == code, f"code '{e.code}', expected '{code}'"
        return e
    raise AssertionError(f"expected a RowError with code '{code}'")
