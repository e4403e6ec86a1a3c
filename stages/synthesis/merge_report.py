"""Tell what `merge_skills` merged: counts for each kind, and the largest clusters with their members.

Reads the books of the stage and nothing else.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.api import ReportTable, StageBooks

_CLUSTERS_SHOWN, _NAMES_SHOWN = 20, 10


def merge_report(books: StageBooks) -> list[ReportTable]:
    """Return two tables; a cluster is shown if it holds several different names."""
    counts: dict[str, list[int]] = {}
    largest: list[tuple[int, str, str, Sequence[str]]] = []
    for batch in books.rows(["kind", "name", "cluster_size", "member_names"]):
        for row in batch.to_pylist():
            names = list(dict.fromkeys(row["member_names"]))
            merged = counts.setdefault(row["kind"], [0, 0, 0, 0])
            merged[:] = np.add(merged, (row["cluster_size"], len(names), 1, len(names) > 1)).tolist()
            if len(names) > 1:
                largest.append((-len(names), row["kind"], row["name"], names[:_NAMES_SHOWN]))
        largest = sorted(largest)[:_CLUSTERS_SHOWN]
    return [
        ReportTable(
            "What was merged",
            ("kind", "rows", "distinct names", "clusters", "clusters of several names"),
            tuple((kind, *numbers) for kind, numbers in sorted(counts.items())),
            "Rows less distinct names are exact duplicates, distinct names less clusters are near ones.",
        ),
        ReportTable(
            "Clusters with the most different names",
            ("kind", "name", "names", f"members (the first {_NAMES_SHOWN})"),
            tuple((kind, name, -size, ", ".join(names)) for size, kind, name, names in largest),
        ),
    ]
