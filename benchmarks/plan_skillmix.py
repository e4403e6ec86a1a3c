"""Planning 1,000,000 SkillMix rows, against the sampler of the first version in the same run.

The baseline draws with a hash for each number and builds the table from Python rows, as `plan_skillmix` did until
version 1; ours draws in numpy and builds the columns. Both on one core, out of 5,000 skills and 16 query types.

    python -m benchmarks.plan_skillmix                     # about a minute
    python -m benchmarks.plan_skillmix --rows 100000

Goal: under 10 s for 1,000,000 rows.
"""

from __future__ import annotations

import os
import resource
import time
from collections.abc import Callable
from typing import Any

import pyarrow as pa

from benchmarks.harness import median, options
from pipeline.api import derive_seed, lineage_id
from pipeline.testing import ScriptedContext
from stages.synthesis.plan_skillmix import PlanSkillmix, PlanSkillmixConfig

SKILLS, TYPES, SEED = 5_000, 16, 17


def inputs() -> list[dict[str, Any]]:
    """Return named skills and query types, with definitions and examples of common length."""
    kinds = [("skill", i) for i in range(SKILLS)] + [("query_type", i) for i in range(TYPES)]
    return [
        {
            "id": lineage_id(kind, str(i)),
            "kind": kind,
            "name": f"{kind}_{i}",
            "definition": f"What {kind} number {i} means, in a sentence as a model would write it.",
            "examples": [f"An example of {kind} {i}?", f"Another example of {kind} {i}?"],
        }
        for kind, i in kinds
    ]


def ours(rows: list[dict[str, Any]], n: int) -> pa.Table:
    """Plan with the stage as it is."""
    stage = PlanSkillmix(PlanSkillmixConfig(n=n))
    return stage.process_table(pa.Table.from_pylist(rows, stage.inputs), ScriptedContext(stage, run_seed=SEED)).table


def by_hashes(rows: list[dict[str, Any]], n: int) -> pa.Table:
    """Plan as version 1 did."""
    skills, types = rows[:SKILLS], rows[SKILLS:]
    drawn: dict[frozenset[int], tuple[int, ...]] = {}
    draw = 0
    while len(drawn) < n:
        members = _distinct_pair(derive_seed(SEED, "draw", draw))
        drawn.setdefault(frozenset(members), members)
        draw += 1
    dealt = [t for t in range(TYPES) for _ in range(n // TYPES)]
    dealt += list(range(n - len(dealt)))
    order = sorted(range(n), key=lambda i: derive_seed(SEED, "shuffle", i))
    planned = [_row(i, [skills[s] for s in chosen], types[dealt[order[i]]]) for i, chosen in enumerate(drawn.values())]
    first = ("id", "skills", "skill_ids", "query_type", "query_type_definition", "query_type_examples")
    schema = pa.schema([PlanSkillmix.outputs.field(c) for c in (*first, "query_type_id", "k")])
    return pa.Table.from_pylist(planned, schema=schema)


def _distinct_pair(seed: int) -> tuple[int, ...]:
    found: dict[int, None] = {}
    draw = 0
    while len(found) < 2:
        found[derive_seed(seed, draw) % SKILLS] = None
        draw += 1
    return tuple(found)


def _row(position: int, skills: list[dict[str, Any]], query_type: dict[str, Any]) -> dict[str, Any]:
    names = [s["name"] for s in skills]
    return {
        "id": lineage_id("skillmix", str(position), *names),
        "skills": names,
        "skill_ids": [s["id"] for s in skills],
        "query_type": query_type["name"],
        "query_type_definition": query_type["definition"],
        "query_type_examples": query_type["examples"],
        "query_type_id": query_type["id"],
        "k": 2,
    }


def timed(plan: Callable[[list[dict[str, Any]], int], pa.Table], rows: list[dict[str, Any]], n: int) -> float:
    """Return seconds of CPU that a plan takes, and check that it is one."""
    began = time.process_time()
    table = plan(rows, n)
    seconds = time.process_time() - began
    assert table.num_rows == n and len({frozenset(s) for s in table["skills"].slice(0, 1000).to_pylist()}) == 1000
    return seconds


def main() -> None:
    """Measure both by turns."""
    parser = options(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    given = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    pa.set_cpu_count(1)
    rows = inputs()
    mine, theirs = [], []
    for _ in range(given.repeat):
        mine.append(timed(ours, rows, given.rows))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        if not theirs:
            print(f"peak memory after ours: {peak:,.0f} MB")
        theirs.append(timed(by_hashes, rows, given.rows))
        print(f"ours {mine[-1]:.2f} s, by hashes {theirs[-1]:.2f} s of CPU for {given.rows:,} rows")
    mid, base = median(mine), median(theirs)
    print(f"median: ours {mid:.2f} s, by hashes {base:.2f} s, {base / mid:.1f} times as fast")


if __name__ == "__main__":
    main()
