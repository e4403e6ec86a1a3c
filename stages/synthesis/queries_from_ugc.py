"""Turn a document that somebody wrote into the question of a reader who has never seen it.

Paper: PUGC, arXiv:2506.04463, first step: an instruction for each piece of user-generated content. The paper's prompts
and code were not published; the templates are ours. Whether the text really answers the question is left to
`filter_queries`; responses are sampled later, from the question alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Factor,
    Message,
    Quoted,
    Reject,
    Row,
    RowError,
    RowStage,
    StageConfig,
    StageContext,
    Yield,
    columns,
    quote,
)
from stages.replies.asking import Asking, Unusable, ask
from stages.replies.word_runs import shared_run
from stages.synthesis.excerpts import cut_text
from stages.synthesis.mentions import mention_of_source
from stages.synthesis.query_replies import asks, parse_queries, queries_schema

_TEMPLATES = {"json": "json.v1", "lines": "lines.v1"}
_EXAMPLE_WORDS = 6


class QueriesFromUgcConfig(StageConfig):
    """Options of `queries_from_ugc`."""

    queries_per_document: int = Field(1, ge=1, le=20)
    """Questions asked for, in one request; the model may give fewer."""
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(512, ge=1)
    attempts: int = Field(3, ge=1, le=1000)
    """Requests at most for one document, each with its own seed, until one gives a query that can be kept."""
    max_document_characters: int = Field(12_000, ge=100)
    """Title and text together; a longer document is cut at the end of a paragraph or sentence, and flagged."""
    max_copied_words: int = Field(10, ge=3)
    """A query with a longer run of the document's own words is rejected."""
    format: Literal["auto", "json", "lines"] = "auto"
    """`json` asks for JSON, held to a schema where the engine can; `lines` asks with examples for one question a line,
    which small models manage; `auto` is `json` where the engine can hold replies to a schema, else `lines`."""
    reference: Literal["text", "hash"] = "text"
    """`text`: the document travels on as `reference`. `hash`: it must not be published, so `reference`, `text`, `title`
    and `query_raw` are null from here on and only the document's id and hash travel. `filter_queries` needs the text:
    with that stage leave `text` here and set `reference: hash` there."""


class QueriesFromUgc(RowStage):
    """Makes one row per query; the id of the row it reads is the `document_id`.

    Columns: `prompt` is one user turn with the query alone; `query_raw` is the whole reply; `document_sha256` is of the
    text as UTF-8, without the title; `reference_characters` counts the whole text; `suspicious` counts control tokens
    and forged delimiter lines in what the model is shown of it. Equal queries of one reply are kept once. Other columns
    pass through, also under `reference: hash`: what of them must not be published, do not load.

    Reject codes (the document, or one query of several):
        queries.no_text: the document is empty.
        queries.unparsable: no attempt gave queries that can be read, or the query repeats an example of the template.
        queries.truncated: the last attempt was cut off at `max_tokens`.
        queries.refusal: the last attempt was a refusal, or was stopped by a content filter.
        queries.mentions_source: the query names the text, its author or the request.
        queries.no_question: the query asks nothing.
        queries.copied: the query repeats a long run of words of the document.
    """

    name: ClassVar[str] = "queries_from_ugc"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = QueriesFromUgcConfig
    fan_out: ClassVar[bool] = True

    inputs = columns(text=str)
    outputs = columns(
        prompt=MESSAGES,
        query=str,
        query_raw=str,
        document_id=str,
        document_sha256=str,
        reference=str,
        reference_characters=int,
        document_cut=bool,
        suspicious=int,
        text=str,
        title=str,
    )
    engine_roles: Mapping[str, str] = {"generator": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"generator": (JSON_SCHEMA,)}
    prompt_names: Sequence[str] = tuple(_TEMPLATES.values())

    config: QueriesFromUgcConfig

    def yields(self) -> Yield:
        """Return the queries asked for; a model may give fewer."""
        return Yield((Factor("queries", self.config.queries_per_document),), at_most=True)

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask until a reply holds a query that can be kept; its other queries are rejected one by one."""
        config = self.config
        document = _Document.of(row, config.max_document_characters)
        if not document.text.strip():
            raise RowError("queries.no_text", "the document has no text")
        quoted = quote("DOCUMENT", document.shown, ctx.seed(row["id"]))
        messages, how = self._request(quoted, ctx)
        reader = _Reader(config, document, messages)
        shared = {**row, **self._travelling(row, document), "suspicious": quoted.suspicious}
        try:
            await ask(how, messages, lambda k: ctx.seed(row["id"], k), reader.read)
        except RowError as e:
            if not reader.judged or e.code != f"queries.{reader.judged[0].code}":
                raise
            return [_reject(shared, reader.reply, judged, f"; {config.attempts} attempts") for judged in reader.judged]
        raw = reader.reply if config.reference == "text" else None
        return [
            _reject(shared, reader.reply, judged)
            if judged.code
            else {
                **shared,
                "prompt": [{"role": "user", "content": judged.query}],
                "query": judged.query,
                "query_raw": raw,
            }
            for judged in reader.judged
        ]

    def _request(self, quoted: Quoted, ctx: StageContext) -> tuple[tuple[Message, ...], Asking]:
        config, engine = self.config, ctx.engine("generator")
        enforced = config.format != "lines" and engine.offers(JSON_SCHEMA)
        form = "lines" if config.format == "lines" or (config.format == "auto" and not enforced) else "json"
        messages = ctx.prompt(_TEMPLATES[form]).render(document=quoted.text, n=config.queries_per_document)
        schema = queries_schema(config.queries_per_document) if enforced else None
        how = Asking(engine, config.temperature, config.max_tokens, config.attempts, "queries", schema)
        return messages, how

    def _travelling(self, row: Row, document: _Document) -> Row:
        kept = self.config.reference == "text"
        return {
            "document_id": row["id"],
            "document_sha256": document.sha256,
            "reference": document.text if kept else None,
            "reference_characters": len(document.text),
            "document_cut": document.cut,
            "text": document.text if kept else None,
            "title": row.get("title") if kept else None,
        }


@dataclass(frozen=True, slots=True)
class _Document:
    """A document as the model is shown it: title, empty line, text, cut to what fits."""

    text: str
    shown: str
    cut: bool

    @staticmethod
    def of(row: Row, limit: int) -> _Document:
        text = row["text"] or ""
        whole = f"{row['title']}\n\n{text}" if row.get("title") else text
        return _Document(text, *cut_text(whole.strip(), limit))

    @property
    def sha256(self) -> str:
        return hashlib.sha256(self.text.encode("utf-8", "surrogatepass")).hexdigest()


@dataclass(frozen=True, slots=True)
class _Judged:
    """A query of a reply, and why it cannot be kept; `code` is empty if it can."""

    query: str
    code: str = ""
    message: str = ""


class _Reader:
    """Reads replies and remembers the last one that could be read, for the rejects."""

    def __init__(self, config: QueriesFromUgcConfig, document: _Document, template: tuple[Message, ...]) -> None:
        self._config, self._document = config, document
        self._examples = [m["content"] for m in template[:-1]]
        self.reply = ""
        self.judged: list[_Judged] = []

    def read(self, reply: str) -> None:
        """Read a reply; refuse it if none of its queries can be kept, so that the model is asked again."""
        self.judged = []
        queries = parse_queries(reply, self._config.queries_per_document)
        self.reply, self.judged = reply, [self._judge(query) for query in queries]
        if all(judged.code for judged in self.judged):
            raise Unusable(self.judged[0].message, self.judged[0].code)

    def _judge(self, query: str) -> _Judged:
        if not asks(query):
            return _Judged(query, "no_question", "the query asks nothing")
        if mention := mention_of_source(query):
            return _Judged(query, "mentions_source", f"the query says '{mention}'; it must stand without the document")
        if run := shared_run(query, [self._document.shown], self._config.max_copied_words + 1):
            return _Judged(query, "copied", f"the query repeats the document: '{run}'")
        if shared_run(query, self._examples, _EXAMPLE_WORDS):
            return _Judged(query, "unparsable", "the query repeats an example of the prompt template")
        return _Judged(query)


def _reject(shared: Row, reply: str, judged: _Judged, after: str = "") -> Reject:
    row = {**shared, "query": judged.query, "query_raw": reply}
    return Reject(row, f"queries.{judged.code}", judged.message + after)
