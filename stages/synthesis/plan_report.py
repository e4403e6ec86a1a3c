"""The tables of `plan_skillmix`: coverage of skills and pairs, and how even query types and personas are.

Reads the committed plan batch by batch; knows the arithmetic of `coverage` and nothing of how a plan is drawn.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import combinations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.api import Json, ReportTable, StageBooks
from stages.synthesis.coverage import chi_square, chi_square_critical, chi_square_p, distinct_pairs, distinct_skills


def coverage_tables(books: StageBooks, k: int, *, repeated: bool, axes: Mapping[str, str]) -> tuple[ReportTable, ...]:
    """Return the two tables.

    Args:
        books: what is committed.
        k: skills of a row.
        repeated: whether the sampler may draw a set twice.
        axes: sampling (`balanced` or `iid`) of each further axis, by column.
    """
    if not books.rows_out:
        return ()
    names = _names(books)
    return _coverage(books, len(names["skill"]), k, repeated), _evenness(books, names, axes)


def _names(books: StageBooks) -> dict[str, set[str]]:
    names: dict[str, set[str]] = {"skill": set(), "query_type": set(), "persona": set()}
    for batch in books.input_rows(["kind", "name"]):
        for kind, name in zip(batch["kind"].to_pylist(), batch["name"].to_pylist(), strict=True):
            if kind in names and name:
                names[kind].add(name)
    return names


def _coverage(books: StageBooks, skills: int, k: int, repeated: bool) -> ReportTable:
    seen, pairs = _seen(books.rows(["skills"]), k)
    rows: list[tuple[Json, ...]] = []
    for what, observed, law in (("skills", seen, distinct_skills), ("pairs", pairs, distinct_pairs)):
        fair = law(skills, k, books.rows_out, repeated=repeated)
        rows.append((what, observed, fair.possible, fair.expected, fair.sd, fair.z(observed)))
    return ReportTable(
        f"Coverage of {books.rows_out:,} rows of {k} skills",
        ("what", "distinct", "there are", "expected", "sd", "z"),
        tuple(rows),
        "Expected: of a fair draw of skill sets, "
        + ("each independent of the others." if repeated else "no set twice.")
        + " z: standard deviations off; empty where chance has no part in the count.",
    )


def _seen(batches: Iterator[pa.RecordBatch], k: int) -> tuple[int, int]:
    """Return how many distinct skills and pairs of skills the plan holds; pairs as numbers, to stay small."""
    number: dict[str, int] = {}
    pairs = [np.empty(0, np.int64)]
    for batch in batches:
        coded = pc.list_flatten(batch["skills"]).dictionary_encode()
        of_code = np.array([number.setdefault(name, len(number)) for name in coded.dictionary.to_pylist()], np.int64)
        members = np.sort(of_code[coded.indices.to_numpy()].reshape(-1, k), axis=1)
        pairs += [(members[:, i] << 32) | members[:, j] for i, j in combinations(range(k), 2)]
    return len(number), len(np.unique(np.concatenate(pairs)))


def _evenness(books: StageBooks, names: Mapping[str, set[str]], axes: Mapping[str, str]) -> ReportTable:
    rows: list[tuple[Json, ...]] = []
    for axis, sampling in axes.items():
        counted: Counter[str] = Counter()
        for batch in books.rows([f"{axis}_id"]):
            counted.update(batch[f"{axis}_id"].to_pylist())
        kinds = len(names[axis])
        counts = np.zeros(kinds, np.int64)
        counts[: len(counted)] = list(counted.values())
        test: tuple[Json, ...] = (None, None, None)
        if kinds > 1 and sampling == "iid":
            test = (kinds - 1, chi_square_critical(kinds - 1), chi_square_p(chi_square(counts), kinds - 1))
        rows.append((axis, sampling, kinds, int(counts.min()), int(counts.max()), chi_square(counts), *test))
    return ReportTable(
        "Evenness of the other axes",
        ("axis", "sampling", "kinds", "fewest", "most", "chi-square", "df", "5 % critical", "p"),
        tuple(rows),
        "Chi-square against equal counts. It tests independent draws only: balanced counts differ by at most one. "
        "p is rough where a kind is expected fewer than 5 times.",
    )
