"""Merge skills, query types and personas that say the same: equal names, then names that are nearly equal.

The procedure is ours: the lists released with Instruct-SkillMix (arXiv:2408.14774) show the removal of exact duplicates
at most, and how its variant from data clusters skills was not released. Near means character n-grams or the cosine of
embeddings, clusters have a leader and do not chain, and a cluster's row lists its members, so that it can be undone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.api import (
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    columns,
    lineage_id,
)
from stages.replies.lists import normalised
from stages.synthesis.leader_clusters import Cluster, Similarity, clusters
from stages.synthesis.merge_report import merge_report
from stages.synthesis.name_similarity import NameSimilarity
from stages.synthesis.vector_similarity import VectorSimilarity

_EMBEDDING = pa.list_(pa.float32())
_BLOCK = 10_000
_MADE = ("id", "name", "cluster_size", "member_ids", "member_names", "member_similarity")


class MergeSkillsConfig(StageConfig):
    """Options of `merge_skills`."""

    similarity: Literal["ngrams", "embedding"] = "ngrams"
    """`ngrams` compares the letters of names, `embedding` the column `embedding` that `embed_texts` adds."""
    threshold: float = Field(0.75, gt=0, le=1)
    """Least Jaccard index of n-grams, or cosine, at which two names are one; equal names always are.
    The default joins spellings and most plurals and keeps `trading_strategies` and `teaching_strategies` apart; a
    cosine needs a threshold of its own, such as 0.9."""
    ngram: int = Field(3, ge=2, le=5)
    """Characters of an n-gram."""

    @model_validator(mode="after")
    def _ngram_is_used(self) -> Self:
        if self.similarity == "embedding" and self.ngram != type(self).model_fields["ngram"].default:
            raise ValueError("ngram belongs to similarity 'ngrams'; leave it out, or set similarity: ngrams")
        return self


class MergeSkills(TableStage):
    """Makes one row for each cluster of names of a kind, named by its medoid.

    `cluster_size` counts rows, equal names included; `member_ids`, `member_names` and `member_similarity` (to the
    medoid) have an entry for each of them. `raw`, `topic`, `definition` and `examples` are those of one row with the
    medoid's name: the first that has a definition, else the first. Clusters stand in the order of their leaders: by
    kind, then the most frequent name first. With `embedding` a name that comes several times has its first vector.

    Reject codes:
        skills.bad_row: the kind is null or empty, or the name has no letter or digit.
        skills.bad_embedding: the embedding is missing, all zero, not finite, or of another length than the first.
    """

    name: ClassVar[str] = "merge_skills"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = MergeSkillsConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "groups"
    lineage: ClassVar[tuple[str, ...]] = ("member_ids",)
    max_rows: ClassVar[int] = 1_000_000

    outputs = columns(
        id=str,
        kind=str,
        name=str,
        raw=str,
        topic=str,
        definition=str,
        examples=list[str],
        cluster_size=int,
        member_ids=list[str],
        member_names=list[str],
        member_similarity=list[float],
    )

    config: MergeSkillsConfig

    def __init__(self, config: MergeSkillsConfig) -> None:
        """Read embeddings only if they are compared."""
        super().__init__(config)
        vectors: dict[str, Any] = {"embedding": _EMBEDDING} if config.similarity == "embedding" else {}
        self.inputs = columns(
            id=str, kind=str, name=str, raw=str, topic=str, definition=str, examples=list[str], **vectors
        )

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Group rows by kind and name, then names by similarity."""
        ids = table.column("id").to_pylist()
        kinds, names = table.column("kind").to_pylist(), [normalised(n or "") for n in table.column("name").to_pylist()]
        vectors, refused = self._vectors(table)
        rejects: list[Reject] = []
        rows: dict[str, dict[str, list[int]]] = {}
        for i, (kind, name) in enumerate(zip(kinds, names, strict=True)):
            if not kind or not name:
                rejects.append(Reject({"id": ids[i]}, "skills.bad_row", "the kind is empty, or the name has no letter"))
            elif i in refused:
                rejects.append(Reject({"id": ids[i]}, "skills.bad_embedding", refused[i]))
            else:
                rows.setdefault(kind, {}).setdefault(name, []).append(i)
        found = [c for kind in sorted(rows) for c in self._clusters(rows[kind], vectors)]
        return TableResult(_table(table, self.outputs, ids, kinds, found), rejects)

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how many rows and names became how many clusters, and show the largest."""
        return merge_report(books)

    def _clusters(self, rows: dict[str, list[int]], vectors: np.ndarray[Any, Any] | None) -> list[_NameCluster]:
        names = sorted(rows, key=lambda n: (-len(rows[n]), n))
        counts = [len(rows[n]) for n in names]
        similarity: Similarity
        if vectors is None:
            similarity = NameSimilarity(names, self.config.ngram)
        else:
            similarity = VectorSimilarity(vectors[[rows[n][0] for n in names]])
        found = clusters(similarity, counts, names, self.config.threshold)
        return [_NameCluster(c, names, [rows[names[m]] for m in c.members.tolist()]) for c in found]

    def _vectors(self, table: pa.Table) -> tuple[np.ndarray[Any, Any] | None, dict[int, str]]:
        """Return embeddings as rows, zero where there is none to use, and what is wrong with those."""
        if self.config.similarity != "embedding":
            return None, {}
        column, refused = table.column("embedding"), {}
        width = next((len(v) for v in (x.as_py() for x in column) if v), 0)
        vectors = np.zeros((table.num_rows, width), np.float32)
        for start in range(0, table.num_rows, _BLOCK):
            for i, value in enumerate(column.slice(start, _BLOCK).to_pylist(), start):
                problem = _problem(value, width)
                if problem:
                    refused[i] = problem
                else:
                    vectors[i] = value
        return vectors, refused


@dataclass(frozen=True, slots=True)
class _NameCluster:
    """A cluster of names and, for each member, the input rows that have its name."""

    cluster: Cluster
    names: Sequence[str]
    rows: Sequence[list[int]]


def _problem(vector: Sequence[float | None] | None, width: int) -> str | None:
    if not vector or None in vector:
        return "the row has no embedding, or one with nulls"
    if len(vector) != width:
        return f"the embedding has {len(vector)} values, the first row's has {width}"
    values = np.asarray(vector, np.float32)
    return None if np.isfinite(values).all() and values.any() else "the embedding is all zero or not finite"


def _table(table: pa.Table, schema: pa.Schema, ids: list[str], kinds: list[str], found: list[_NameCluster]) -> pa.Table:
    """Write one row for each cluster; texts are taken from the row that stands for it."""
    defined = table.column("definition").is_valid().to_pylist()
    chosen, made = [], []
    for c in found:
        of_medoid = c.rows[int(np.flatnonzero(c.cluster.members == c.cluster.medoid)[0])]
        chosen.append(next((i for i in of_medoid if defined[i]), of_medoid[0]))
        made.append(_members(c, ids))
    texts = table.select(["raw", "topic", "definition", "examples"]).take(pa.array(chosen, pa.int64()))
    columns_made = {name: [m[name] for m in made] for name in _MADE} | {"kind": [kinds[i] for i in chosen]}
    arrays = [
        texts.column(f.name).combine_chunks()
        if f.name in texts.column_names
        else pa.array(columns_made[f.name], f.type)
        for f in schema
    ]
    return pa.Table.from_arrays(arrays, schema=schema)


def _members(c: _NameCluster, ids: list[str]) -> dict[str, Any]:
    at = [(n, i) for n, rows in enumerate(c.rows) for i in rows]
    member_ids = [ids[i] for _, i in at]
    names = [c.names[m] for m in c.cluster.members.tolist()]
    similarity = [round(float(s), 6) for s in c.cluster.similarity]
    return {
        "id": lineage_id("skill", *member_ids),
        "name": c.names[c.cluster.medoid],
        "cluster_size": len(at),
        "member_ids": member_ids,
        "member_names": [names[n] for n, _ in at],
        "member_similarity": [similarity[n] for n, _ in at],
    }
