"""The three kinds of stage and the declaration they share.

A stage declares what it reads, adds and needs; it is handed a context and nothing else: no paths, no clock, no
global randomness, no environment. Given the same row, config, prompts, seeds and engine replies it returns the
same rows. Which rows go where, retries, resume and files are the runner's business.
"""

from __future__ import annotations

import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, Protocol

import pyarrow as pa

from pipeline.prompts import Prompt
from pipeline.types import (
    GenRequest,
    GenResult,
    Json,
    PoolRequest,
    PoolResult,
    Reject,
    Row,
    ScoreRequest,
    ScoreResult,
    StageConfig,
)


class BoundEngine(Protocol):
    """An engine as a stage sees it: finished requests are journaled and answered from the journal on resume."""

    async def generate(self, request: GenRequest) -> GenResult:
        """Sample; raises `RowError` when this request can never succeed."""

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Score a continuation; raises `RowError` when this request can never succeed."""

    async def pool(self, request: PoolRequest) -> PoolResult:
        """Turn a text into a vector; raises `RowError` when this request can never succeed."""

    @property
    def identity_digest(self) -> str:
        """Return the digest of all that changes the engine's replies; equal digests mean equal engines."""

    @property
    def tokenizer_digest(self) -> str | None:
        """Return the digest of the engine's vocabulary; None if it is not known."""

    def offers(self, capability: str) -> bool:
        """Return whether the engine has a capability that the stage named under `optional_capabilities`."""

    @property
    def model(self) -> str:
        """Return the model's name and revision as rows record it."""


class StageContext(Protocol):
    """All that a stage is given besides its rows."""

    @property
    def log(self) -> logging.Logger:
        """Return the stage's logger."""

    def engine(self, role: str) -> BoundEngine:
        """Return the engine that the recipe binds to a declared role."""

    def prompt(self, name: str) -> Prompt:
        """Return a declared prompt template."""

    def seed(self, row_id: str, draw: int = 0) -> int:
        """Return the 63-bit seed of (run seed, stage, row, draw)."""


@dataclass(frozen=True, slots=True)
class ReportTable:
    """One table of a stage's report; a cell is text, a number or None."""

    title: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Json, ...], ...]
    note: str | None = None
    """What a reader must know to read it right: how an expectation was computed, what is not counted."""


@dataclass(frozen=True, slots=True)
class Factor:
    """One factor of a count, as `prefmill plan` shows it: `prompts x n x K`.

    A factor without a value is known only from the rows; where an earlier stage states a factor of the same name (the
    `n` of `sample_responses`), the plan takes that one's value. `base` names another factor to look for, and `of` says
    what follows from its value.
    """

    name: str
    value: float | None = None
    base: str | None = None
    of: Callable[[float], float] | None = None


@dataclass(frozen=True, slots=True)
class Yield:
    """How many rows a stage makes, as far as its options tell.

    Attributes:
        factors: their product is the number of rows made of one input row; empty for one.
        total: how many rows the whole stage makes, whatever it is given; takes the place of everything before it.
        per_prompt: the rows of a prompt become one row: what the last fan-out multiplied is undone.
        at_most: rows may be fewer for reasons other than rejects (no pair for a prompt, duplicates, a filter).
    """

    factors: tuple[Factor, ...] = ()
    total: Factor | None = None
    per_prompt: bool = False
    at_most: bool = False


@dataclass(frozen=True, slots=True)
class Maker:
    """Which stage of a recipe makes a column that another one reads.

    Attributes:
        stage_id: its id in the recipe.
        stage: its registry name.
        options: its options, defaults filled.
        tokenizers: by role, the digest of its engine's vocabulary; None where that is not known.
    """

    stage_id: str
    stage: str
    options: Mapping[str, Json]
    tokenizers: Mapping[str, str | None]


class StageBooks(Protocol):
    """What is committed of a stage, for its report."""

    @property
    def rows_in(self) -> int:
        """Return how many rows it was given."""

    @property
    def rows_out(self) -> int:
        """Return how many rows it gave."""

    @property
    def rejects(self) -> Mapping[str, int]:
        """Return the number of rejects by code."""

    def rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the stage's rows with the given columns, in order."""

    def input_rows(self, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
        """Yield the rows it was given with the given columns, in order; none for a source."""

    def rejected(self) -> Iterator[Reject]:
        """Yield its rejects, each with the row as the stage refused it."""


class Stage(ABC):
    """What every stage declares.

    Attributes:
        name: registry name; equals the entry-point key, the module and the prompt folder.
        version: raise it when outputs for equal inputs may change.
        config_type: pydantic model of the recipe's `with:`.
        inputs: columns that must be present, with types; a class attribute, or set in `__init__` from config.
        outputs: columns added or replaced.
        engine_roles: role to the capability that its engine must offer.
        prompt_names: templates used, `<name>.v<N>`, each a file `prompts/<stage>/<name>.v<N>.md`.
        prompt_folder: where a third party keeps its templates; None for the ones shipped with prefmill.
        lineage: columns of an output row that hold ids of the rows it was made from.
        filters: True if setting rows aside is its purpose: no share of rejects is too high unless the recipe says so on
            the stage itself.
        optional_capabilities: what it asks of an engine only where that engine offers it (`BoundEngine.offers`), by
            role; the fingerprint keeps which of them were offered.
        copies_prompt: True if the engine's replies repeat long parts of its prompts, as a rewriting does; an engine
            may then propose tokens from the prompt.
    """

    name: ClassVar[str]
    version: ClassVar[int]
    config_type: ClassVar[type[StageConfig]]
    prompt_folder: ClassVar[Path | None] = None
    lineage: ClassVar[tuple[str, ...]] = ("id",)
    copies_prompt: ClassVar[bool] = False
    filters: ClassVar[bool] = False

    inputs: pa.Schema = pa.schema([])
    outputs: pa.Schema = pa.schema([])
    engine_roles: Mapping[str, str] = {}
    prompt_names: Sequence[str] = ()
    optional_capabilities: Mapping[str, Sequence[str]] = {}

    def __init__(self, config: StageConfig) -> None:
        """Keep the config; a stage whose columns depend on it sets `inputs` and `outputs` here."""
        self.config = config

    def digest(self) -> Mapping[str, Json]:
        """Return what identifies the content of files it reads besides its rows; empty if it reads none.

        Raises:
            PrerequisiteError: if such a file is not there or cannot be read.
        """
        return {}

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return, by role, the factors whose product is the number of requests for one input row.

        An empty sequence is one request. Requests that ask again after a reply that could not be used are not counted.
        A stage that makes another number of requests than one for each role says so here.
        """
        return {role: () for role in self.engine_roles}

    def yields(self) -> Yield:
        """Return how many rows one input row becomes; one unless a stage says otherwise.

        A stage that fans out names its factor here; a table stage that regroups rows says `per_prompt` or `at_most`.
        """
        return Yield(at_most=self.filters)

    def check_makers(self, makers: Mapping[str, Maker]) -> None:  # noqa: B027  most stages take columns as they come
        """Refuse columns that do not fit together because of how they were made; called before any model is loaded.

        Args:
            makers: by name, the nearest stage upstream that makes each of the columns in `inputs`.

        Raises:
            ValueError: in one sentence, with what to do.
        """

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return tables about what it did, computed from what is committed; none unless a stage has something to say.

        Called for a run in any state. It must not depend on anything but the books and the config.
        """
        return ()


class Source(Stage):
    """Brings rows into a run. Its rows need no `id`: one is made from name and content unless given."""

    lineage: ClassVar[tuple[str, ...]] = ()

    @property
    def needs_network(self) -> bool:
        """Return whether reading its rows asks another machine; then they are not counted for a plan."""
        return False

    @abstractmethod
    def partitions(self) -> Sequence[str]:
        """Return stable names of independent parts, in order."""

    @abstractmethod
    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield batches with the declared outputs, and rejects for records that cannot be used.

        A column `id` (string) in a batch is kept; else the runner makes ids from the content.
        """

    @abstractmethod
    def digest(self) -> Mapping[str, Json]:
        """Return what identifies the input's content (file hashes, data set revision), for the fingerprint.

        Raises:
            PrerequisiteError: if the input is not there.
        """


class RowStage(Stage):
    """Takes one row at a time, asynchronously; the usual kind for a stage that asks an engine.

    Attributes:
        fan_out: True if one row may become several. The runner then gives each child a new `id`
            (hash of parent id, stage and position), and `parent_id`, and stage outputs may not set them.
    """

    fan_out: ClassVar[bool] = False

    def yields(self) -> Yield:
        """Return one row for one; a stage that fans out and does not say more makes a number known from the rows."""
        return Yield((Factor(f"rows of {self.name}"),) if self.fan_out else (), at_most=self.filters)

    @abstractmethod
    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Return the row's successors, at least one; `RowError` rejects the whole row, a `Reject` one child."""


@dataclass(frozen=True, slots=True)
class TableResult:
    """What a table stage returns: rows kept, and rejects of input rows."""

    table: pa.Table
    rejects: Sequence[Reject] = ()


class TableStage(Stage):
    """Takes a whole Arrow table, synchronously; for arithmetic and selection.

    Attributes:
        scope: `shard` (one call a shard) or `dataset` (one call over all rows, a barrier).
        accounting: how rows in relate to rows out, checked by the runner on ids:
            `rows`: each input id is kept once or rejected;
            `groups`: each input id is named once in a list column of `lineage` of the output, or rejected;
            `derived`: the output is a new table that cites its sources; rejects are still counted.
        max_rows: for scope `dataset`, the most input rows it is built for; more is an error before it starts.
    """

    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"
    max_rows: ClassVar[int] = 1_000_000

    def yields(self) -> Yield:
        """Return one row for one, or fewer where the stage sets rows aside or regroups them."""
        return Yield(at_most=self.filters or self.accounting != "rows")

    @abstractmethod
    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Return the table with the declared outputs, rows in a stable order."""


AnyStage = Source | RowStage | TableStage


def keeps_columns(stage: Stage) -> bool:
    """Return whether input columns pass through: all kinds but sources and regrouping table stages."""
    if isinstance(stage, TableStage):
        return stage.accounting == "rows"
    return not isinstance(stage, Source)
