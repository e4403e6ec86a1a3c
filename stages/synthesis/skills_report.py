"""Tell what `extract_skills` found: how each domain ended, or what the rows of a data set need.

Reads the books of the stage and nothing else.
"""

from __future__ import annotations

from collections import Counter

import pyarrow.compute as pc

from pipeline.api import ReportTable, StageBooks

_DOMAINS_SHOWN = 50
_NAMES_SHOWN = 20


def domains_report(books: StageBooks) -> list[ReportTable]:
    """Return how many domains ended in which way, and each domain's rounds and skills."""
    skills: Counter[str] = Counter()
    types: Counter[str] = Counter()
    rounds: dict[str, int] = {}
    endings: dict[str, str] = {}
    for batch in books.rows(["domain", "kind", "round", "ended_by"]):
        for row in batch.to_pylist():
            domain = row["domain"]
            (skills if row["kind"] == "skill" else types)[domain] += 1
            rounds[domain] = max(rounds.get(domain, 0), row["round"])
            endings[domain] = row["ended_by"]
    by_ending: dict[str, list[str]] = {}
    for domain, ending in endings.items():
        by_ending.setdefault(ending, []).append(domain)
    summary = [
        (ending, len(names), max(rounds[d] for d in names), sum(skills[d] for d in names))
        for ending, names in sorted(by_ending.items())
    ]
    if books.rows_in > len(endings):
        summary.append(("no row came out", books.rows_in - len(endings), 0, 0))
    each = [(d, rounds[d], skills[d], types[d], endings[d]) for d in list(endings)[:_DOMAINS_SHOWN]]
    return [
        ReportTable(
            "How domains ended",
            ("ended by", "domains", "most rounds that gave rows", "skills"),
            tuple(summary),
            "target: enough skills; rounds: max_rounds was reached; dry: a round brought fewer than min_new new ones; "
            "unreadable: no list of skills of a round could be read. Rejects count lists, not domains.",
        ),
        ReportTable(
            f"Domains (the first {_DOMAINS_SHOWN})" if len(endings) > _DOMAINS_SHOWN else "Domains",
            ("domain", "rounds that gave rows", "skills", "query types", "ended by"),
            tuple(each),
        ),
    ]


def data_report(books: StageBooks) -> list[ReportTable]:
    """Return how many rows gave skills and query types, and the most frequent names."""
    names: dict[str, Counter[str]] = {"skill": Counter(), "query_type": Counter()}
    parents: dict[str, set[str]] = {"skill": set(), "query_type": set()}
    for batch in books.rows(["parent_id", "kind", "name"]):
        for kind, counted in names.items():
            of_kind = batch.filter(pc.equal(batch.column("kind"), kind))
            counted.update(of_kind.column("name").to_pylist())
            parents[kind].update(of_kind.column("parent_id").to_pylist())
    summary = [
        (kind, len(parents[kind]), books.rows_in - len(parents[kind]), counted.total(), len(counted))
        for kind, counted in names.items()
    ]
    most = [
        (kind, name, n)
        for kind, counted in names.items()
        for name, n in sorted(counted.items(), key=lambda item: (-item[1], item[0]))[:_NAMES_SHOWN]
    ]
    return [
        ReportTable(
            "Skills and query types of rows",
            ("kind", "rows with some", "rows without", "named", "distinct names"),
            tuple(summary),
        ),
        ReportTable(
            f"Most frequent names (at most {_NAMES_SHOWN} of each kind)", ("kind", "name", "rows"), tuple(most)
        ),
    ]
