"""Drop rows whose text repeats that of another row: exactly, nearly (MinHash), or in meaning (embeddings).

MinHash with bands as in datatrove and Lee et al., arXiv:2107.06499, but every candidate is measured exactly, so that no
row is dropped for a pair below the threshold. Which shingles short prompts are cut into is said in `shingles`. Row
groups, scores and meaning are not its business.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal, Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, model_validator

from pipeline.api import (
    Reject,
    ReportTable,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    Yield,
    columns,
)
from stages.selection.duplicate_report import duplicate_tables
from stages.selection.minhash import BandKeys, choose_bands
from stages.selection.near_duplicates import Duplicate, HashedSets, keep_first, meetings_of
from stages.selection.near_vectors import near_vectors, unit_vectors
from stages.selection.row_texts import text_type, texts_of
from stages.selection.shingles import Counts, ShingleHasher, Shingling, jaccard, shingle_set
from stages.selection.words import fold

_BLOCK_ROWS = 20_000
_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_DEFAULT_SIZE: dict[str, int] = {"word": 2, "character": 5}


class DeduplicateConfig(StageConfig):
    """Options of `deduplicate`."""

    column: str = Field("prompt", pattern=_NAME)
    """What is compared: of `prompt` and `messages` all user turns, of any other column its text."""
    method: Literal["exact", "minhash", "embedding"] = "minhash"
    """`exact`: equal but for case, Unicode width and white space. `minhash`: exact or near. `embedding`: by vectors."""
    threshold: float = Field(0.85, gt=0, le=1)
    """Least similarity of a duplicate: Jaccard of shingles for `minhash`, cosine for `embedding`."""
    shingle: Literal["word", "character"] = "word"
    shingle_size: int | None = Field(None, ge=1, le=100)
    """Words or characters of a shingle; by default 2 words or 5 characters. See `stages/selection/shingles.py`."""
    permutations: int = Field(128, ge=16, le=1024)
    """Values of a signature; the bands follow from it and from the threshold."""
    embedding: str = Field("embedding", pattern=_NAME)
    """Column of vectors, made by `embed_texts`."""
    keep: Literal["first", "longest", "best"] = "first"
    """Which of several alike to keep: the first row, the one with the longest text, the one with the best `score`."""
    score: str | None = Field(None, pattern=_NAME)
    """For `keep: best`: a column of numbers; more is better, null and NaN are worst."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.keep == "best") != (self.score is not None):
            raise ValueError("'keep: best' and 'score' go together; give both, or neither")
        if self.method == "minhash" and choose_bands(self.threshold, self.permutations)[1] == 1:
            raise ValueError(
                f"threshold {self.threshold} needs more permutations than {self.permutations}: raise one of them"
            )
        return self


class Deduplicate(TableStage):
    """Keeps one of each group of rows that are alike; kept rows stay in order, unchanged.

    A row is dropped only for its similarity to a row that is kept. A reject carries `duplicate_of` (id of the kept row)
    and `similarity` (0 to 1; of `exact` 1). Memory beside the table: `minhash` about 8 bytes for each shingle and band
    of a row (0.4 GB for a million short prompts), `embedding` the vectors.

    Reject codes:
        deduplicate.exact: the text equals a kept row's but for case, width and white space.
        deduplicate.near: it is at least `threshold` similar to a kept row.
        deduplicate.no_text: the text is null or empty, or the conversation has no user turn.
        deduplicate.no_vector: the vector is null, zero, not finite, or of another length than the first.
    """

    name: ClassVar[str] = "deduplicate"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = DeduplicateConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "dataset"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"
    max_rows: ClassVar[int] = 20_000_000
    filters: ClassVar[bool] = True

    config: DeduplicateConfig

    def __init__(self, config: DeduplicateConfig) -> None:
        """Read the columns that the config names."""
        super().__init__(config)
        needed: dict[str, Any] = {"id": str, config.column: text_type(config.column)}
        if config.score is not None:
            needed[config.score] = float
        if config.method == "embedding":
            needed[config.embedding] = pa.list_(pa.float32())
        self.inputs = columns(**needed)

    def yields(self) -> Yield:
        """Return at most the rows it is given."""
        return Yield(at_most=True)

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Find the rows that repeat another and set them aside."""
        ids, folded = table.column("id").combine_chunks(), _folded(table.column(self.config.column))
        if self.config.method == "embedding":
            vectors = _vectors(table.column(self.config.embedding))
            usable = np.asarray(vectors.any(axis=1))
            order = self._preferred(table, folded, usable)
            found = {d.row: d for d in _by_vectors(vectors, order, self.config.threshold)}
            unusable = ("deduplicate.no_vector", f"column '{self.config.embedding}' holds no usable vector")
        else:
            usable = pc.fill_null(pc.not_equal(folded, ""), False).to_numpy(zero_copy_only=False)
            found = self._by_text(folded, self._preferred(table, folded, usable))
            unusable = ("deduplicate.no_text", f"column '{self.config.column}' holds no text")
        kept = usable.copy()
        kept[list(found)] = False
        return TableResult(table.filter(pa.array(kept)), _rejects(ids, folded, usable, found, unusable))

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how many rows were dropped for what, and the largest groups with the text that was kept."""
        return duplicate_tables(books, self.config.column)

    def _preferred(self, table: pa.Table, folded: pa.Array, usable: npt.NDArray[np.bool_]) -> Counts:
        """Return the usable rows in the order in which they are kept, earlier rows first among equals."""
        rows: Counts = np.flatnonzero(usable)
        if self.config.keep == "first":
            return rows
        if self.config.keep == "longest":
            worth = pc.fill_null(pc.utf8_length(folded), 0).to_numpy().astype(np.float64)
        else:
            worth = np.nan_to_num(
                table.column(self.config.score).to_numpy(), nan=-np.inf, posinf=np.inf, neginf=-np.inf
            )
        return rows[np.argsort(-worth[rows], kind="stable")]

    def _by_text(self, folded: pa.Array, order: Counts) -> dict[int, Duplicate]:
        found = {d.row: d for d in _equal(folded, order)}
        if self.config.method == "exact":
            return found
        repeats = np.fromiter(found, np.int64, len(found))
        near = {d.row: d for d in self._near(folded, order[~np.isin(order, repeats)])}
        for row, equal in list(found.items()):  # the row that it equals may itself be a near duplicate
            if equal.of in near:
                found[row] = Duplicate(row, near[equal.of].of, near[equal.of].similarity)
        return found | near

    def _near(self, folded: pa.Array, order: Counts) -> Iterator[Duplicate]:
        """Yield near duplicates among rows of distinct texts, given in order of preference."""
        how = Shingling(self.config.shingle, self.config.shingle_size or _DEFAULT_SIZE[self.config.shingle])
        hasher = ShingleHasher(how)
        band_keys = BandKeys(*choose_bands(self.config.threshold, self.config.permutations))
        blocks = []
        for begin in range(0, len(order), _BLOCK_ROWS):
            texts = folded.take(pa.array(order[begin : begin + _BLOCK_ROWS])).to_pylist()
            hashes, counts = hasher(texts)
            blocks.append((hashes, counts, band_keys(hashes, counts)))
        if not blocks:
            return
        hashes, counts, keys = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
        del blocks
        sets = HashedSets(hashes, counts)
        meetings = meetings_of(keys, sets, self.config.threshold)
        del keys

        def true_similarity(one: int, other: int) -> float:
            first, second = (shingle_set(folded[int(order[i])].as_py(), how) for i in (one, other))
            return jaccard(first, second)

        ranks: Counts = np.arange(len(order))
        for d in keep_first(ranks, meetings, sets.jaccard, self.config.threshold, true_similarity):
            yield Duplicate(int(order[d.row]), int(order[d.of]), d.similarity)


def _folded(column: pa.ChunkedArray) -> pa.Array:
    """Return the folded texts as one Arrow array: much smaller than as Python values."""
    parts = [
        pa.array([None if t is None else fold(t) for t in texts_of(column.slice(i, _BLOCK_ROWS))], pa.large_string())
        for i in range(0, len(column), _BLOCK_ROWS)
    ]
    return pa.concat_arrays(parts) if parts else pa.array([], pa.large_string())


def _equal(folded: pa.Array, order: Counts) -> Iterator[Duplicate]:
    """Yield the rows whose folded text equals that of a row before them in the order."""
    codes = folded.take(pa.array(order)).dictionary_encode().indices.to_numpy()
    first = np.empty(int(codes.max(initial=-1)) + 1, np.int64)
    first[codes[::-1]] = order[::-1]  # of several rows with one text the last one written stays: the first
    for row, of in zip(order.tolist(), first[codes].tolist(), strict=True):
        if row != of:
            yield Duplicate(row, of, 1.0)


def _vectors(column: pa.ChunkedArray) -> npt.NDArray[np.float32]:
    """Return vectors of length 1, one a row; 0 where a row's vector cannot be used."""
    lengths = pc.fill_null(pc.list_value_length(column), 0).to_numpy()
    size = int(lengths[np.flatnonzero(lengths)[0]]) if lengths.any() else 1
    fits = lengths == size
    values = column.filter(pa.array(fits)).combine_chunks().flatten().to_numpy(zero_copy_only=False)
    out = np.zeros((len(column), size), np.float32)
    out[fits] = unit_vectors(values.reshape(-1, size))
    return out


def _by_vectors(vectors: npt.NDArray[np.float32], order: Counts, threshold: float) -> Iterator[Duplicate]:
    for d in near_vectors(vectors[order], threshold):
        yield Duplicate(int(order[d.row]), int(order[d.of]), d.similarity)


def _rejects(
    ids: pa.Array,
    folded: pa.Array,
    usable: npt.NDArray[np.bool_],
    found: dict[int, Duplicate],
    unusable: tuple[str, str],
) -> list[Reject]:
    out = []
    for row in sorted({*found, *np.flatnonzero(~usable).tolist()}):
        evidence: dict[str, Any] = {"id": ids[row].as_py()}
        if row not in found:
            out.append(Reject(evidence, *unusable))
            continue
        d = found[row]
        evidence |= {"duplicate_of": ids[d.of].as_py(), "similarity": d.similarity}
        equal = folded[row].is_valid and folded[row] == folded[d.of]
        code = "deduplicate.exact" if equal else "deduplicate.near"
        text = "the same text as" if equal else f"similarity {d.similarity:.3f} to"
        out.append(Reject(evidence, code, f"{text} row {evidence['duplicate_of']}"))
    return out
