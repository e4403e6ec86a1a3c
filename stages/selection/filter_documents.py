"""Keep the documents that are worth asking about: length, language, not boilerplate; mask or refuse personal data.

Paper: PUGC, arXiv:2506.04463, needs documents of users; its own cleaning is not published, so these filters are ours.
How each is computed is in `boilerplate`, `language` and `personal_data`. The stage does not know near duplicates
(stage `deduplicate`), toxicity, truth or quality (stage `score_documents`), and it does not find names or street
addresses: what it lets through is not anonymous.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, Self

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from pipeline.api import (
    Reject,
    ReportTable,
    RowError,
    StageBooks,
    StageConfig,
    StageContext,
    TableResult,
    TableStage,
    columns,
    quote,
)
from stages.selection.boilerplate import Boilerplate, measure
from stages.selection.language import LANGUAGES, Language, identify
from stages.selection.personal_data import KINDS, Found, Kind, find, mask
from stages.selection.phone_numbers import REGIONS

_CODES = ("too_short", "too_long", "boilerplate", "language", "personal_data", "empty")


class FilterDocumentsConfig(StageConfig):
    """Options of `filter_documents`. Bounds count the text without white space at its ends; None is no bound."""

    min_characters: int | None = Field(100, ge=1)
    max_characters: int | None = Field(100_000, ge=1)
    min_words: int | None = Field(None, ge=1)
    """Words are what white space parts; not meant for languages that are written without it."""
    max_words: int | None = Field(None, ge=1)
    languages: tuple[str, ...] | None = Field(None, min_length=1)
    """Languages that are kept (ISO 639-1 codes such as `en`); None keeps all."""
    min_language_probability: float = Field(0.5, ge=0, le=1)
    """Least normalised probability of the language; used with `languages` only."""
    unknown_language: Literal["keep", "drop"] = "keep"
    """Whether a text whose few letters do not tell its language is kept (with null) or refused; used with `languages`
    only."""
    max_boilerplate_share: float = Field(0.5, ge=0, le=1)
    """Most characters on lines of links, navigation, notices, markup or repetition; 1 allows all."""
    max_link_share: float = Field(0.6, ge=0, le=1)
    """Most characters in links."""
    min_letter_share: float = Field(0.5, ge=0, le=1)
    """Fewest letters among the characters outside links."""
    personal_data: Literal["mask", "drop", "flag"] = "mask"
    """`mask` writes [EMAIL] and the like in their place, `drop` refuses the document, `flag` only counts."""
    personal_data_kinds: tuple[Kind, ...] = KINDS
    """Kinds that are looked for; empty looks for none."""
    region: str = "US"
    """Country of phone numbers without country code."""

    @model_validator(mode="after")
    def _bounds_in_order(self) -> Self:
        for low, high, unit in (
            (self.min_characters, self.max_characters, "characters"),
            (self.min_words, self.max_words, "words"),
        ):
            if low is not None and high is not None and low > high:
                raise ValueError(f"min_{unit} {low} is above max_{unit} {high}; nothing would be kept")
        return self

    @field_validator("languages")
    @classmethod
    def _known_languages(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        unknown = sorted(set(value or ()) - LANGUAGES)
        if unknown:
            raise ValueError(f"languages {', '.join(unknown)} are not known; known are {', '.join(sorted(LANGUAGES))}")
        return value

    @field_validator("region")
    @classmethod
    def _known_region(cls, value: str) -> str:
        if value not in REGIONS:
            raise ValueError(f"region '{value}' is not known; give the two capital letters of a country, such as US")
        return value


class FilterDocuments(TableStage):
    """Filters documents one by one and masks personal data; the first filter that refuses names the reject.

    A column `title`, if there is one, is searched and masked as the text is; the other filters look at the text only.
    Added: `language` (replaces a stated one; null if there is too little text to tell) and `language_probability` (0 to
    1), `personal_data` (the kind of each find, in order, title first), `masked` (how many were masked), `suspicious`
    (control tokens of chat templates and forged quotation lines in the text as it came; only counted).

    Reject codes:
        documents.empty: the text is null.
        documents.too_short: the text has fewer characters or words than the least.
        documents.too_long: the text has more characters or words than the most.
        documents.boilerplate: a placeholder of a deleted post, mostly links, menus, notices or markup, or few letters.
        documents.language: the language is not in the list or too unsure; or it cannot be told and
            `unknown_language` is `drop`.
        documents.personal_data: personal data was found and `personal_data` is `drop`.
    """

    name: ClassVar[str] = "filter_documents"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = FilterDocumentsConfig
    scope: ClassVar[Literal["shard", "dataset"]] = "shard"
    accounting: ClassVar[Literal["rows", "groups", "derived"]] = "rows"
    filters: ClassVar[bool] = True

    inputs = columns(id=str, text=str)
    outputs = columns(
        text=str, language=str, language_probability=float, personal_data=list[str], masked=int, suspicious=int
    )

    config: FilterDocumentsConfig

    def process_table(self, table: pa.Table, ctx: StageContext) -> TableResult:
        """Judge each document; kept ones stay in their order."""
        has_title = "title" in table.schema.names and pa.types.is_string(table.schema.field("title").type)
        titles = table.column("title").to_pylist() if has_title else [None] * table.num_rows
        ids, texts = table.column("id").to_pylist(), table.column("text").to_pylist()
        kept: list[int] = []
        made: list[dict[str, Any]] = []
        rejects: list[Reject] = []
        for i, (row_id, title, text) in enumerate(zip(ids, titles, texts, strict=True)):
            row = self._judged(row_id, title, text)
            if isinstance(row, Reject):
                rejects.append(row)
            else:
                kept.append(i)
                made.append(row)
        new = pa.schema([*self.outputs, *([pa.field("title", pa.string())] if has_title else [])])
        out = table.take(pa.array(kept, pa.int64()))
        for field in new:
            values = pa.array([row[field.name] for row in made], field.type)
            at = out.schema.get_field_index(field.name)
            out = out.append_column(field, values) if at < 0 else out.set_column(at, field, values)
        return TableResult(out, rejects)

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how many documents each filter set aside, and how much personal data of each kind was found."""
        refused = tuple((code, books.rejects.get(f"documents.{code}", 0)) for code in _CODES)
        return (
            ReportTable(
                "Documents by filter",
                ("filter", "documents", "share"),
                tuple((code, n, _share(n, books.rows_in)) for code, n in (("kept", books.rows_out), *refused)),
                "The first filter that refuses a document counts it.",
            ),
            self._personal_data_table(books),
        )

    def _judged(self, row_id: str, title: str | None, text: str | None) -> dict[str, Any] | Reject:
        evidence: dict[str, Any] = {"id": row_id}
        try:
            language, title_found, found = self._checked(title, text, evidence)
        except RowError as e:
            return Reject(evidence, e.code, e.message)
        assert text is not None
        masking = self.config.personal_data == "mask"
        return {
            "title": mask(title, title_found) if masking and title is not None else title,
            "text": mask(text, found) if masking else text,
            "language": language.code if language else None,
            "language_probability": language.probability if language else None,
            "personal_data": [f.kind for f in (*title_found, *found)],
            "masked": len(title_found) + len(found) if masking else 0,
            "suspicious": quote("DOCUMENT", text, 0).suspicious,
        }

    def _checked(
        self, title: str | None, text: str | None, evidence: dict[str, Any]
    ) -> tuple[Language | None, list[Found], list[Found]]:
        """Apply the filters in order; what each saw is put into `evidence`."""
        if text is None:
            raise RowError("documents.empty", "the text is null")
        config = self.config
        _check_length(text, config, evidence)
        _check_boilerplate(measure(text), config, evidence)
        language = identify(text)
        _check_language(language, config, evidence)
        title_found = find(title or "", config.region, config.personal_data_kinds)
        found = find(text, config.region, config.personal_data_kinds)
        if config.personal_data == "drop" and (title_found or found):
            evidence["personal_data"] = [f.kind for f in (*title_found, *found)]
            raise RowError("documents.personal_data", f"found {_counted(evidence['personal_data'])}")
        return language, title_found, found

    def _personal_data_table(self, books: StageBooks) -> ReportTable:
        finds: Counter[str] = Counter()
        documents: Counter[str] = Counter()
        lists = [v for batch in books.rows(["personal_data"]) for v in batch.column("personal_data").to_pylist()]
        lists += [r.row["personal_data"] for r in books.rejected() if r.code == "documents.personal_data"]
        for kinds in lists:
            finds.update(kinds or ())
            documents.update(set(kinds or ()))
        return ReportTable(
            "Personal data",
            ("kind", "found", "documents"),
            tuple((kind, finds[kind], documents[kind]) for kind in KINDS if kind in self.config.personal_data_kinds),
            f"Action: {self.config.personal_data}. In documents that another filter refused nothing was looked for. "
            "Names and street addresses are not looked for.",
        )


def _check_length(text: str, config: FilterDocumentsConfig, evidence: dict[str, Any]) -> None:
    stripped = text.strip()
    characters, words = len(stripped), len(stripped.split())
    for size, low, high, unit in (
        (characters, config.min_characters, config.max_characters, "characters"),
        (words, config.min_words, config.max_words, "words"),
    ):
        evidence[unit] = size
        if low is not None and size < low:
            raise RowError("documents.too_short", f"{size} {unit}; the least is {low}")
        if high is not None and size > high:
            raise RowError("documents.too_long", f"{size} {unit}; the most is {high}")


def _check_boilerplate(found: Boilerplate, config: FilterDocumentsConfig, evidence: dict[str, Any]) -> None:
    evidence |= {
        "boilerplate_share": found.line_share,
        "link_share": found.link_share,
        "letter_share": found.letter_share,
    }
    if found.placeholder:
        problem = "the text is a placeholder of a deleted post"
    elif found.link_share > config.max_link_share:
        problem = f"a share of {found.link_share:g} is links; the most is {config.max_link_share:g}"
    elif found.line_share > config.max_boilerplate_share:
        problem = (
            f"a share of {found.line_share:g} stands on lines of links ({found.links}), navigation "
            f"({found.navigation}), notices ({found.notices}), markup ({found.markup}) or repetition "
            f"({found.repeated}); the most is {config.max_boilerplate_share:g}"
        )
    elif found.letter_share < config.min_letter_share:
        problem = f"a share of {found.letter_share:g} is letters; the least is {config.min_letter_share:g}"
    else:
        return
    raise RowError("documents.boilerplate", problem)


def _check_language(found: Language | None, config: FilterDocumentsConfig, evidence: dict[str, Any]) -> None:
    evidence["language"] = found.code if found else None
    evidence["language_probability"] = found.probability if found else None
    if config.languages is None:
        return
    wanted = ", ".join(config.languages)
    if found is None:
        if config.unknown_language == "keep":
            return
        raise RowError("documents.language", f"too few letters to tell the language; wanted {wanted}")
    if found.code not in config.languages:
        raise RowError("documents.language", f"'{found.code}' with {found.probability:.2f}; wanted {wanted}")
    if found.probability < config.min_language_probability:
        least = config.min_language_probability
        raise RowError("documents.language", f"'{found.code}' with {found.probability:.2f}; the least is {least:g}")


def _counted(kinds: Sequence[str]) -> str:
    return ", ".join(f"{n} {kind}" for kind, n in Counter(kinds).items())


def _share(part: int, whole: int) -> float | None:
    return round(part / whole, 4) if whole else None
