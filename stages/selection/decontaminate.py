"""Drop rows that hold items of benchmarks, found exactly by runs of words.

Rule of Tulu 3 (arXiv:2411.15124) and Olmo 3 (arXiv:2512.13961): runs of 8 words, a row goes when half of a test text
stands in it; or runs of 13 words, as in GPT-3. Question, answer and passage are looked for separately. What counts as a
match is said in `ngram_index`, how files are read in `benchmark_files`. Paraphrases and translations are not found.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

import numpy as np
import pyarrow as pa
from pydantic import Field, model_validator

from pipeline.api import (
    ExecutionOnly,
    Json,
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
from stages.selection.benchmark_files import Benchmark, benchmark_digest, benchmark_texts
from stages.selection.generic_phrases import GENERIC_PHRASES
from stages.selection.ngram_index import Counting, NgramIndex
from stages.selection.row_texts import text_type, texts_of

_NAME = r"^[A-Za-z_][A-Za-z0-9_]*$"
_SIZES = {"8gram": 8, "13gram": 13}
_BLOCK_ROWS = 20_000
_SHOWN = 50


class DecontaminateConfig(StageConfig):
    """Options of `decontaminate`."""

    benchmarks: tuple[Benchmark, ...] = Field(min_length=1)
    """What must not be in the rows: `{name, path, columns: [question, answer]}`, perhaps `id_column`, `split`."""
    column: str = Field("prompt", pattern=_NAME)
    """Where it is looked for: of `prompt` and `messages` all user turns, of any other column its text."""
    profile: Literal["8gram", "13gram"] = "8gram"
    """Runs of 8 or of 13 words."""
    share: float = Field(0.5, gt=0, le=1)
    """Least share of a benchmark's text that must stand in one row."""
    measure: Literal["tokens", "ngrams"] = "tokens"
    """What the share is counted in: words that lie in matching runs, or matching runs."""
    any_ngram: bool = False
    """One matching run is enough, whatever its share: the stricter rule, meant for 13 words."""
    min_words: int = Field(5, ge=1, le=13)
    """A text shorter than a run is looked for in one piece if it has so many words, else only as a row's whole text."""
    max_items: int | None = Field(10, ge=1)
    """A run that stands in more different benchmark texts than this is generic; null counts every run."""
    ignore: tuple[str, ...] = ()
    """Further generic phrases; a run does not count if more than half of its words stand in them."""
    base_folder: Annotated[str, ExecutionOnly()] = ""
    """Filled by the planner with the recipe's folder."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        names = [b.name for b in self.benchmarks]
        twice = sorted({n for n in names if names.count(n) > 1})
        if twice:
            raise ValueError(f"benchmarks named more than once: {', '.join(twice)}; give each a name of its own")
        if self.min_words > _SIZES[self.profile]:
            raise ValueError(f"min_words {self.min_words} is more than the {_SIZES[self.profile]} words of a run")
        if self.any_ngram and "share" in self.model_fields_set and self.share != 0.5:
            raise ValueError("any_ngram takes one run for a match, so 'share' has no meaning beside it; leave one out")
        return self


class Decontaminate(TableStage):
    """Drops each row that holds a text of a benchmark; kept rows stay in order, unchanged.

    A reject carries `benchmark`, `item` (its id, or file and record), `field`, `share` (0 to 1) and `ngram` (the first
    matching run of the item, folded), of the text with the largest share. A row without text holds nothing and is kept.

    Reject codes:
        decontaminate.match: the row holds a text of a benchmark.
    """

    name: ClassVar[str] = "decontaminate"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = DecontaminateConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"
    filters: ClassVar[bool] = True

    config: DecontaminateConfig

    def __init__(self, config: DecontaminateConfig) -> None:
        """Read the column that the config names; files are opened later."""
        super().__init__(config)
        needed: dict[str, Any] = {"id": str, config.column: text_type(config.column)}
        self.inputs = columns(**needed)

    def digest(self) -> Mapping[str, Json]:
        """Return names and hashes of the benchmarks' files, after every item was read once.

        Raises:
            PrerequisiteError: if a file is missing, an item cannot be read, or a column is in no item.
        """
        for benchmark in self.config.benchmarks:
            for _ in benchmark_texts(benchmark, Path(self.config.base_folder)):
                pass
        return {b.name: benchmark_digest(b, Path(self.config.base_folder)) for b in self.config.benchmarks}

    def yields(self) -> Yield:
        """Return at most the rows it is given."""
        return Yield(at_most=True)

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Look for the benchmarks in each row."""
        ids, kept = table.column("id"), np.ones(table.num_rows, dtype=bool)
        rejects = []
        for begin in range(0, table.num_rows, _BLOCK_ROWS):
            for match in self._index.matches(texts_of(table.column(self.config.column).slice(begin, _BLOCK_ROWS))):
                kept[begin + match.row] = False
                found = match.text
                evidence = {
                    "id": ids[begin + match.row].as_py(),
                    "benchmark": found.benchmark,
                    "item": found.item,
                    "field": found.field,
                    "share": match.share,
                    "ngram": match.ngram,
                }
                text = f"{match.share:.0%} of '{found.field}' of item {found.item} of {found.benchmark} stands in it"
                rejects.append(Reject(evidence, "decontaminate.match", text))
        return TableResult(table.filter(pa.array(kept)), rejects)

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return, by benchmark, items found and rows dropped, and the first rows with the run that gave them away."""
        rows: dict[str, int] = {b.name: 0 for b in self.config.benchmarks}
        items: dict[str, set[str]] = {b.name: set() for b in self.config.benchmarks}
        shown: list[tuple[Json, ...]] = []
        for reject in books.rejected():
            row = reject.row
            rows[row["benchmark"]] += 1
            items[row["benchmark"]].add(row["item"])
            if len(shown) < _SHOWN:
                shown.append(tuple(row[n] for n in ("id", "benchmark", "item", "field", "share", "ngram")))
        counted = tuple((name, len(items[name]), count) for name, count in rows.items())
        note = "A row that holds several items is counted for the one of which it holds the largest share."
        tables = [ReportTable("Benchmark items found", ("benchmark", "items", "rows dropped"), counted, note)]
        if shown:
            headings = ("row", "benchmark", "item", "field", "share", "n-gram")
            tables.append(ReportTable(f"Rows dropped (first {_SHOWN})", headings, tuple(shown)))
        return tables

    @cached_property
    def _index(self) -> NgramIndex:
        """The benchmarks, read once in a process."""
        config = self.config
        counting = Counting(
            _SIZES[config.profile],
            config.share,
            config.measure,
            config.any_ngram,
            config.min_words,
            config.max_items,
            (*GENERIC_PHRASES, *config.ignore),
        )
        folder = Path(config.base_folder)
        return NgramIndex((t for b in config.benchmarks for t in benchmark_texts(b, folder)), counting)
