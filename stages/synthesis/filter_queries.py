"""Keep the queries that stand alone and that their document answers.

Paper: PUGC, arXiv:2506.04463, second step; it asks one model for one keep-or-drop. Here two verdicts are asked for, in
two requests: the judge of whether a query stands alone must not see the document, else everything seems clear to it.
The paper's filter prompt was not published; the templates are ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    CHAT,
    CHOICE,
    JSON_SCHEMA,
    BoundEngine,
    Factor,
    GenRequest,
    Maker,
    Message,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
    quote,
)
from stages.replies.asking import Asking, ask
from stages.synthesis.excerpts import cut_text
from stages.synthesis.mentions import mention_of_source
from stages.synthesis.verdicts import VERDICT_SCHEMA, Verdict, parse_verdict

_DRAWS_PER_VERDICT = 1000
_STANDALONE, _ANSWERED = 0, 1
_NO_VERDICT = ("queries.unparsable", "queries.truncated", "queries.refusal")
_WITHHELD = ("reference", "text", "title", "query_raw")


class FilterQueriesConfig(StageConfig):
    """Options of `filter_queries`."""

    drop: bool = True
    """Reject queries with a verdict of no; `false` keeps them, flagged by the verdict columns."""
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(256, ge=1)
    attempts: int = Field(1, ge=1, le=_DRAWS_PER_VERDICT)
    """Requests at most for one verdict; more than one needs a temperature above 0 to make a difference."""
    max_document_characters: int = Field(12_000, ge=100)
    """A longer text is cut at the end of a paragraph or sentence before it is judged; give the same figure as to
    `queries_from_ugc`, so that the judge sees what the query was made from."""
    format: Literal["auto", "json", "choice", "words"] = "auto"
    """`json`: an object with reason and verdict, held to a schema where the engine can. `choice`: yes or no without a
    reason, by an engine that offers choices. `words`: a sentence that begins with yes or no, asked for with examples.
    `auto`: `json` where a schema can be held, else `choice` where offered, else `words`."""
    reference: Literal["text", "hash"] = "text"
    """`hash`: the document must not be published; `reference`, `text`, `title` and `query_raw` are null from here on,
    and only `document_id` and `document_sha256` travel."""


class FilterQueries(RowStage):
    """Adds two verdicts with the judge's reasons, and rejects queries that fail one of them.

    `standalone` says whether the query is a natural question that needs nothing else to be understood, `answered`
    whether the text holds an answer. Reasons are null where the judge gave none. What it reads of a document is the
    column `reference`; `queries_from_ugc` must have left it there (`reference: text`, its default).

    Reject codes (with both verdicts, where they were asked for, in the row):
        queries.no_text: there is no reference to look for an answer in.
        queries.mentions_source: the query names the text, its author or the request; no verdict is asked for.
        queries.no_verdict: a reply is neither yes nor no, was cut off or refused.
        queries.not_standalone: the query is no natural question that stands alone.
        queries.not_answered: the text holds no answer.
    """

    name: ClassVar[str] = "filter_queries"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = FilterQueriesConfig
    filters: ClassVar[bool] = True

    inputs = columns(query=str, reference=str)
    outputs = columns(standalone=bool, standalone_reason=str, answered=bool, answered_reason=str)
    engine_roles: Mapping[str, str] = {"judge": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"judge": (JSON_SCHEMA, CHOICE)}
    prompt_names: Sequence[str] = ("standalone.v1", "standalone_json.v1", "answered.v1", "answered_json.v1")

    config: FilterQueriesConfig

    def __init__(self, config: FilterQueriesConfig) -> None:
        """Declare the columns that it empties, if it withholds the document."""
        super().__init__(config)
        if config.reference == "hash":
            emptied: dict[str, Any] = dict.fromkeys(_WITHHELD, str)
            self.outputs = columns(**{f.name: f.type for f in type(self).outputs}, **emptied)

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return a request for each of both verdicts."""
        return {"judge": (Factor("verdicts", 2),)}

    def check_makers(self, makers: Mapping[str, Maker]) -> None:
        """Refuse a document that the stage before withholds: no query of it could be judged.

        Raises:
            ValueError: with what to change.
        """
        maker = makers.get("reference")
        if maker is not None and maker.options.get("reference") == "hash":
            raise ValueError(
                f"stage '{maker.stage_id}' leaves only a hash of the document, so there is nothing to look for an "
                "answer in; set reference: text there and reference: hash here"
            )

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Look for mentions, then ask for both verdicts."""
        if mention := mention_of_source(row["query"] or ""):
            message = f"the query says '{mention}'; it must stand without the document"
            return [Reject({**row, **_columns()}, "queries.mentions_source", message)]
        if not (row["reference"] or "").strip():
            raise RowError(
                "queries.no_text",
                "the column 'reference' is empty; with 'reference: hash' on queries_from_ugc set it on filter_queries",
            )
        seed = ctx.seed(row["id"])
        query = quote("QUERY", row["query"] or "", seed).text
        text, _ = cut_text(row["reference"].strip(), self.config.max_document_characters)
        document = quote("DOCUMENT", text, seed).text
        judge = _Judge(self.config, ctx, row["id"])
        standalone = await judge.verdict(_STANDALONE, "standalone", query=query)
        answered = await judge.verdict(_ANSWERED, "answered", query=query, document=document)
        return [self._decided({**row, **_columns(standalone, answered)}, judge.problems)]

    def _decided(self, row: Row, problems: Sequence[str]) -> Row | Reject:
        if problems:
            return Reject(row, "queries.no_verdict", "; ".join(problems))
        if self.config.drop and not row["standalone"]:
            return Reject(row, "queries.not_standalone", row["standalone_reason"] or "the judge gave no reason")
        if self.config.drop and not row["answered"]:
            return Reject(row, "queries.not_answered", row["answered_reason"] or "the judge gave no reason")
        return {**row, **dict.fromkeys(_WITHHELD)} if self.config.reference == "hash" else row

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count the verdicts, of kept and of rejected queries."""
        counts: dict[tuple[bool | None, bool | None], int] = {}
        for batch in books.rows(["standalone", "answered"]):
            for row in batch.to_pylist():
                key = (row["standalone"], row["answered"])
                counts[key] = counts.get(key, 0) + 1
        for reject in books.rejected():
            key = (reject.row.get("standalone"), reject.row.get("answered"))
            counts[key] = counts.get(key, 0) + 1
        shown = {True: "yes", False: "no", None: "none"}
        rows = [(shown[s], shown[a], n) for (s, a), n in sorted(counts.items(), key=lambda c: str(c[0]), reverse=True)]
        note = "Of all queries judged, kept or rejected; 'none' is a verdict that was not asked for or cannot be read."
        return [
            ReportTable("Verdicts on queries", ("stands alone", "answered by its text", "queries"), tuple(rows), note)
        ]


class _Judge:
    """Asks for the verdicts on one query, and collects what kept it from reading one."""

    def __init__(self, config: FilterQueriesConfig, ctx: StageContext, row_id: str) -> None:
        self._config, self._ctx, self._row_id = config, ctx, row_id
        self._engine: BoundEngine = ctx.engine("judge")
        self.problems: list[str] = []

    async def verdict(self, number: int, template: str, **variables: str) -> Verdict | None:
        """Return a verdict, or None if no reply can be read."""
        form = self._form()
        messages = self._ctx.prompt(f"{template}_json.v1" if form == "json" else f"{template}.v1").render(**variables)
        try:
            if form == "choice":
                return await self._chosen(messages, number)
            schema = VERDICT_SCHEMA if form == "json" and self._engine.offers(JSON_SCHEMA) else None
            config = self._config
            how = Asking(self._engine, config.temperature, config.max_tokens, config.attempts, "queries", schema)
            return (await ask(how, messages, lambda k: self._seed(number, k), parse_verdict)).parsed
        except RowError as e:
            if e.code not in _NO_VERDICT:
                raise
            self.problems.append(f"{template}: {e.message}")
            return None

    def _form(self) -> str:
        wanted, engine = self._config.format, self._engine
        if wanted != "auto":
            return wanted
        return "json" if engine.offers(JSON_SCHEMA) else "choice" if engine.offers(CHOICE) else "words"

    async def _chosen(self, messages: tuple[Message, ...], number: int) -> Verdict:
        config = self._config
        request = GenRequest(
            messages=messages,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            seed=self._seed(number, 0),
            choices=("Yes", "No"),
        )
        return Verdict((await self._engine.generate(request)).text == "Yes", None)

    def _seed(self, number: int, attempt: int) -> int:
        return self._ctx.seed(self._row_id, number * _DRAWS_PER_VERDICT + attempt)


def _columns(standalone: Verdict | None = None, answered: Verdict | None = None) -> Row:
    return {
        "standalone": standalone.yes if standalone else None,
        "standalone_reason": standalone.reason if standalone else None,
        "answered": answered.yes if answered else None,
        "answered_reason": answered.reason if answered else None,
    }
