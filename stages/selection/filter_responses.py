"""Find responses that should not be held up as good ones, and keep them from being chosen.

Paper: Olmo 3, arXiv:2512.13961, 4.2.1 and 5.3.1, which filters model identity, date cut-offs, repetition and refusals,
and applies its filters to the chosen side only: a bad response is a good rejected one. What counts as each is ours, in
English but for the language itself; it stands in `refusals`, `self_description`, `repetition` and `language`. Scores
are not looked at, nor whether a response is right.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, ClassVar, Literal, get_args

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from pipeline.api import Reject, ReportTable, StageBooks, StageConfig, StageContext, TableResult, TableStage, columns
from stages.selection.language import LANGUAGES, identify
from stages.selection.refusals import refusal
from stages.selection.repetition import loop
from stages.selection.self_description import date_cutoff, identity
from stages.selection.speech import own_words

Check = Literal["refusal", "identity", "date_cutoff", "repetition", "truncation"]
CHECKS: tuple[Check, ...] = get_args(Check)
Finding = tuple[str, str]
"""A reason and what shows it."""
_SHOWN = 80
_OF_OWN_WORDS: Mapping[str, Callable[[str], str | None]] = {
    "refusal": refusal,
    "identity": identity,
    "date_cutoff": date_cutoff,
}


class FilterResponsesConfig(StageConfig):
    """Options of `filter_responses`."""

    checks: tuple[Check, ...] = CHECKS
    """What to look for; the language is looked at where `languages` says which are wanted."""
    languages: tuple[str, ...] = ()
    """Languages that responses may be in, as ISO 639-1 codes such as `en`; none means any."""
    least_probability: float = Field(0.5, ge=0, le=1)
    """How sure the language must be for a response to count as wrong; shorter texts are less sure."""
    apply: Literal["chosen", "both"] = "chosen"
    """`chosen` marks rows, which may then still be rejected responses; `both` sets them aside."""

    @field_validator("languages")
    @classmethod
    def _are_known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = sorted(set(value) - LANGUAGES)
        if unknown:
            raise ValueError(f"language '{unknown[0]}' is not known; give codes such as 'en', 'de', 'zh'")
        return value

    @model_validator(mode="after")
    def _looks_for_something(self) -> FilterResponsesConfig:
        if not self.checks and not self.languages:
            raise ValueError("nothing to look for: name at least one of 'checks', or 'languages'")
        return self


class FilterResponses(TableStage):
    """Marks responses (`apply: chosen`) or sets them aside (`apply: both`).

    Marked rows get `may_be_chosen`, which `select_pairs` honours, and `filter_reasons`, the names of the checks that
    found something, in a fixed order. Marks of an earlier filter are kept: what it barred stays barred, its reasons
    stand first. Of rejects the code names the first reason, `filter_reasons` all of them.

    Reject codes (but for the first only with `apply: both`):
        filter.no_text: the response is null or white space, whatever `apply` says.
        filter.refusal: it refuses to do what was asked.
        filter.identity: it calls itself a model, or names its maker.
        filter.date_cutoff: it speaks of the end of its knowledge.
        filter.repetition: it is caught in a loop.
        filter.truncation: it was cut off (`finish_reason` is `length`; needs that column).
        filter.language: it is surely in a language that is not wanted.
    """

    name: ClassVar[str] = "filter_responses"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = FilterResponsesConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"
    filters: ClassVar[bool] = True

    inputs = columns(id=str, response=str)

    config: FilterResponsesConfig

    def __init__(self, config: FilterResponsesConfig) -> None:
        """Add columns only where rows are marked."""
        super().__init__(config)
        if config.apply == "chosen":
            self.outputs = columns(may_be_chosen=bool, filter_reasons=list[str])

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Look at each response."""
        responses: list[str | None] = table.column("response").to_pylist()
        cut = _column(table, "finish_reason")
        found = [
            self._findings(text, reason) if text and text.strip() else None
            for text, reason in zip(responses, cut, strict=True)
        ]
        ids: list[str] = table.column("id").to_pylist()
        empty = [
            Reject({"id": i}, "filter.no_text", "the response is null or white space")
            for i, f in zip(ids, found, strict=True)
            if f is None
        ]
        if self.config.apply == "both":
            bad = [_reject(i, f) for i, f in zip(ids, found, strict=True) if f]
            return TableResult(table.filter(pa.array([f == [] for f in found], pa.bool_())), empty + bad)
        kept = table.filter(pa.array([f is not None for f in found], pa.bool_()))
        return TableResult(_marked(kept, [[reason for reason, _ in f] for f in found if f is not None]), empty)

    def _findings(self, text: str, finish_reason: str | None) -> list[Finding]:
        """Return what is wrong with a response, in the order of `CHECKS`, the language last."""
        wanted, own = self.config.checks, own_words(text)
        found: list[tuple[str, str | None]] = [(c, find(own)) for c, find in _OF_OWN_WORDS.items() if c in wanted]
        if "repetition" in wanted:
            found.append(("repetition", loop(text)))
        if "truncation" in wanted and finish_reason == "length":
            found.append(("truncation", "finish_reason is 'length'"))
        if self.config.languages:
            found.append(("language", self._wrong_language(text)))
        return [(check, shown) for check, shown in found if shown is not None]

    def _wrong_language(self, text: str) -> str | None:
        language, config = identify(text), self.config
        if language is None or language.code in config.languages or language.probability < config.least_probability:
            return None
        return f"'{language.code}' with probability {language.probability:.2f}"

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count responses by what was found in them."""
        marks = self.config.apply == "chosen"
        lists = list(_marks(books) if marks else _evidence(books))
        counts = Counter(reason for reasons in lists for reason in reasons)
        total = books.rows_in or 1
        rows = [(reason, n, round(n / total, 4)) for reason, n in counts.most_common()]
        rows.append(("any of them", sum(map(bool, lists)), round(sum(map(bool, lists)) / total, 4)))
        title = "Responses that may not be chosen" if marks else "Responses set aside"
        note = "A response may have several reasons." + (" Those of earlier filters are counted too." if marks else "")
        return [ReportTable(title, ("reason", "responses", "share of all"), tuple(rows), note)]


def _reject(row_id: str, found: list[Finding]) -> Reject:
    text = "; ".join(f"{reason}: {shown[:_SHOWN]}" for reason, shown in found)
    return Reject({"id": row_id, "filter_reasons": [reason for reason, _ in found]}, f"filter.{found[0][0]}", text)


def _marked(table: pa.Table, reasons: list[list[str]]) -> pa.Table:
    """Add the marks, over those of an earlier filter; null there means barred, as it does for `select_pairs`."""
    before = "may_be_chosen" in table.column_names
    allowed = _column(table, "may_be_chosen") if before else [True] * table.num_rows
    earlier = [r or [] for r in _column(table, "filter_reasons")]
    marks = {
        "may_be_chosen": pa.array([bool(a) and not r for a, r in zip(allowed, reasons, strict=True)], pa.bool_()),
        "filter_reasons": pa.array(
            [[*e, *(n for n in r if n not in e)] for e, r in zip(earlier, reasons, strict=True)], pa.list_(pa.string())
        ),
    }
    for name, values in marks.items():
        at = table.schema.get_field_index(name)
        table = table.append_column(name, values) if at < 0 else table.set_column(at, name, values)
    return table


def _column(table: pa.Table, name: str) -> list[Any]:
    """Return a column's values, nulls where there is no such column."""
    values: list[Any] = table.column(name).to_pylist() if name in table.column_names else [None] * table.num_rows
    return values


def _marks(books: StageBooks) -> Iterator[list[str]]:
    for batch in books.rows(["filter_reasons"]):
        yield from batch.column(0).to_pylist()


def _evidence(books: StageBooks) -> Iterator[list[str]]:
    for reject in books.rejected():
        if reject.code != "filter.no_text":
            yield reject.row["filter_reasons"]
