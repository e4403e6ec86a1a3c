"""Pair selection over 1,000,000 prompts with 4 responses of 1 kB, against Polars in the same run.

Ours goes through the runner, with ids, margins, books, checksums and durable commits; Polars' lazy scan to sink moves
the bare columns.

    python -m benchmarks.select_pairs                      # about 4 minutes and 6 GB of disk
    python -m benchmarks.select_pairs --rows 100000

Goals: at least half of Polars' prompts per second, under 1 GB of memory. The texts chosen must be the same.
"""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from typing import ClassVar

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.harness import ROOT, median, options, run
from pipeline.api import MESSAGES, Json, Source, StageConfig, columns, digest_of
from pipeline.plan.fingerprint import Fingerprint
from pipeline.plan.plan import Plan, PlannedStage, output_schema
from pipeline.plan.recipe import Recipe
from pipeline.run.control import Progress, StopFlag
from pipeline.run.runner import run_plan
from pipeline.store.lazy_pandas import defer_pandas
from pipeline.store.manifest import StageView
from pipeline.store.run_store import PlanRecord, RunStore

PROMPTS_A_SHARD = 2_000
CANDIDATES = 4


class BenchConfig(StageConfig):
    """Where the generated files lie."""

    folder: str


class BenchCandidates(Source):
    """Turns the generated list columns into one row for each candidate."""

    name: ClassVar[str] = "bench_candidates"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = BenchConfig
    outputs = columns(prompt_id=str, prompt=MESSAGES, response=str, finish_reason=str, reward=float)

    def partitions(self) -> Sequence[str]:
        """Return the generated files."""
        return sorted(str(p) for p in Path(self.config.folder).glob("part-*.parquet"))  # type: ignore[attr-defined]

    def digest(self) -> Mapping[str, Json]:
        """Return nothing of interest: the benchmark makes its input itself."""
        return {"files": len(self.partitions())}

    def read(self, partition: str) -> Iterator[pa.RecordBatch]:
        """Yield candidates."""
        schema = pa.schema([pa.field("id", pa.string()), *self.outputs])
        for batch in pq.ParquetFile(partition).iter_batches(PROMPTS_A_SHARD):
            yield pa.RecordBatch.from_arrays(_candidates(batch), schema=schema)


def _candidates(batch: pa.RecordBatch) -> list[pa.Array]:
    n = batch.num_rows
    names = [str(i) for i in batch.column("prompt_id").to_pylist()]
    repeat = pa.array([i for i in range(n) for _ in range(CANDIDATES)])
    offsets = pa.array(range(n + 1), pa.int32())
    turns = pa.StructArray.from_arrays([pa.array(["user"] * n), batch.column("prompt")], ["role", "content"])
    prompts = pa.ListArray.from_arrays(offsets, turns).cast(MESSAGES)
    return [
        pa.array([f"{name}-{k}" for name in names for k in range(CANDIDATES)]),
        pa.array(names).take(repeat),
        prompts.take(repeat),
        batch.column("responses").flatten(),
        pa.array(["stop"] * (n * CANDIDATES)),
        batch.column("scores").flatten().cast(pa.float64()),
    ]


def build(folder: Path) -> tuple[Plan, dict[str, Fingerprint], RunStore, PlanRecord]:
    """Return a two-stage plan by hand: the benchmark's source is registered nowhere."""
    from stages.selection.select_pairs import SelectPairs

    source = BenchCandidates(BenchConfig(folder=str(folder / "pq")))
    select = SelectPairs(SelectPairs.config_type())
    first = output_schema(source, pa.schema([]))
    second = output_schema(select, first)
    stages = {
        "candidates": PlannedStage("candidates", source, None, {}, {}, pa.schema([]), first, 1.0),
        "pairs": PlannedStage("pairs", select, "candidates", {}, {}, first, second, 1.0),
    }
    specs = [{"id": "candidates", "use": "bench_candidates"}, {"id": "pairs", "use": "select_pairs"}]
    recipe = Recipe.model_validate({"recipe": 1, "name": "bench", "seed": 1, "stages": specs})
    plan = Plan(recipe, stages, {}, (("candidates",), ("pairs",)))
    prints = {i: Fingerprint(digest_of([i]), {"from": s.upstream, "outputs": []}) for i, s in stages.items()}
    run_facts = {"name": "bench", "shards": {"rows": PROMPTS_A_SHARD * CANDIDATES, "bytes": 64_000_000}}
    store = RunStore(folder / "run")
    return plan, prints, store, PlanRecord(1, run_facts, prints)


def run_stage(folder: Path, only_source: bool) -> None:
    """Run the source alone (not measured) or what is left (measured)."""
    defer_pandas()
    plan, prints, store, record = build(folder)
    if only_source:
        source = plan.stages["candidates"]
        plan = Plan(plan.recipe, {"candidates": source}, {}, (("candidates",),))
        prints = {"candidates": prints["candidates"]}

    async def main() -> None:
        await run_plan(plan, prints, store, record, Progress(), StopFlag())

    asyncio.run(main())


def digest(tables: Iterator[pa.Table]) -> tuple[int, str]:
    """Return rows and an order-free digest over (prompt id, chosen, rejected)."""
    rows = total = 0
    for table in tables:
        rows += table.num_rows
        values = (table[c].to_pylist() for c in ("prompt_id", "chosen", "rejected"))
        for parts in zip(*values, strict=True):
            text = "\0".join(str(p) for p in parts)
            total ^= int(blake2b(text.encode(), digest_size=8).hexdigest(), 16)
    return rows, f"{total:016x}"


def main() -> None:
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--child", help="used by the command itself")
    given = parser.parse_args()
    if given.child:
        run_stage(Path(given.child), only_source=not (Path(given.child) / "ready").exists())
        return
    os.environ["PYTHONPATH"] = str(ROOT)
    with tempfile.TemporaryDirectory() as name:
        folder, script = Path(name), str(given.bench / "data_path.py")
        subprocess.run([sys.executable, script, "gen", str(folder / "pq"), "--rows", str(given.rows)], check=True)
        child = [sys.executable, "-m", "benchmarks.select_pairs", "--child", name]
        subprocess.run(child, check=True)
        (folder / "ready").touch()
        ours, theirs = [], []
        for _ in range(given.repeat):
            subprocess.run(["rm", "-rf", str(folder / "run" / "stages" / "pairs")], check=True)
            ours.append(run(child, folder))
            theirs.append(run([sys.executable, script, "run", str(folder / "pq"), "polars"], folder))
        if any(m.code for m in ours + theirs):
            sys.exit((folder / "log.txt").read_text()[-2000:])
        report(folder, given.rows, ours, theirs)


def report(folder: Path, rows: int, ours: list, theirs: list) -> None:
    """Print medians, the ratio, and whether both chose the same texts."""
    for who, runs in (("prefmill", ours), ("polars", theirs)):
        print(
            f"{who:9s} {rows / median([m.wall_s for m in runs]):9,.0f} prompts/s   wall "
            f"{median([m.wall_s for m in runs]):6.2f} s   CPU {median([m.cpu_s for m in runs]):6.2f} s   peak RSS "
            f"{median([m.peak_rss_mb for m in runs]):5.0f} MB"
        )
    ratio = median([t.wall_s / o.wall_s for o, t in zip(ours, theirs, strict=True)])
    _, prints, store, _ = build(folder)
    mine = digest(StageView("pairs", prints["pairs"], store.stage("pairs", prints["pairs"])).tables())
    files = sorted((folder / "pq" / "out_polars").glob("*.parquet"))
    other = digest(pa.Table.from_batches([b]) for f in files for b in pq.ParquetFile(f).iter_batches(20_000))
    print(
        f"ratio ours / polars, prompts per second: {ratio:.2f}; same texts chosen: {mine == other} {json.dumps(mine)}"
    )


if __name__ == "__main__":
    main()
