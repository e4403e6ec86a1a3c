"""Let a model name skills and query types: of a domain, or of the rows of an existing data set.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 1, in both variants: by asking the model alone (topics, then skills
for each topic, and query types), and from a seed data set (the skills that each instruction and response need). The
paper's prompts were not published; ours are in `prompts/extract_skills`, and the rounds are ours. Near-equal skills
are merged by `merge_skills`, not here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Factor,
    Reject,
    ReportTable,
    Row,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
)
from stages.synthesis.row_skills import row_skills
from stages.synthesis.skill_questions import ATTEMPTS, Format, ListQuestions, template_names
from stages.synthesis.skill_rounds import Bounds, DomainSearch
from stages.synthesis.skills_report import data_report, domains_report

_OF_ROUTE = {
    "domains": ("topics", "skills_per_topic", "query_types", "target_skills", "max_rounds", "min_new"),
    "data": ("response_column", "skills_per_row"),
}


class ExtractSkillsConfig(StageConfig):
    """Options of `extract_skills`."""

    route: Literal["domains", "data"] = "domains"
    """`domains` asks the model alone, `data` names what existing prompts and responses need."""
    topics: int = Field(5, ge=1, le=1000)
    """Route `domains`: topics asked for per round."""
    skills_per_topic: int = Field(5, ge=1)
    query_types: int = Field(5, ge=1)
    """Route `domains`: query types asked for per domain, in its first round."""
    target_skills: int | None = Field(None, ge=1)
    """Route `domains`: stop after the round in which a domain has that many skills; what the round gave is kept."""
    max_rounds: int = Field(1, ge=1)
    min_new: int = Field(1, ge=0)
    """Route `domains`: a round that brings fewer new skills is the last; 0 never stops for that."""
    response_column: str = Field("response", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Route `data`: the column that holds the answer to `prompt`."""
    skills_per_row: int = Field(3, ge=1, le=100)
    format: Format = "auto"
    """`json`, `lines` (a numbered list, for small models), or JSON where the engine can hold output to a schema."""
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(2048, ge=1)
    attempts: int = Field(3, ge=1, le=ATTEMPTS)
    """Requests at most for one list, each with its own seed."""

    @model_validator(mode="after")
    def _options_of_the_route(self) -> Self:
        other = "data" if self.route == "domains" else "domains"
        given = [f for f in _OF_ROUTE[other] if getattr(self, f) != type(self).model_fields[f].default]
        if given:
            raise ValueError(f"{', '.join(given)} belongs to route '{other}'; leave it out, or set route: {other}")
        return self

    @model_validator(mode="after")
    def _target_can_be_reached(self) -> Self:
        most = self.topics * self.skills_per_topic * self.max_rounds
        if self.target_skills is not None and self.target_skills > most:
            raise ValueError(
                f"target_skills {self.target_skills:,} cannot be reached: {self.max_rounds} rounds of {self.topics} "
                f"topics with {self.skills_per_topic} skills give at most {most:,}; raise max_rounds"
            )
        return self


class ExtractSkills(RowStage):
    """Makes rows of kind `skill` and `query_type`; equal names within a domain, or within a row, are kept once.

    Route `domains`: `round` says when a name was found, `ended_by` how its domain ended: `target`, `rounds`, `dry`, or
    `unreadable` if no list of skills of a round could be read. Route `data`: `skills` holds all skill names of the row,
    null if they could not be read; `round` and `ended_by` are null.

    Reject codes (one list; the whole domain if it is the first list of topics):
        skills.unparsable: no attempt gave a list that can be read.
        skills.truncated: the last attempt was cut off at `max_tokens`.
        skills.refusal: the last attempt was stopped by a content filter.
        skills.empty_row: the prompt or the response is null or empty (the whole row).
    """

    name: ClassVar[str] = "extract_skills"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = ExtractSkillsConfig
    fan_out: ClassVar[bool] = True

    outputs = columns(
        kind=str,
        topic=str,
        name=str,
        raw=str,
        definition=str,
        examples=list[str],
        skills=list[str],
        round=int,
        ended_by=str,
    )
    engine_roles: Mapping[str, str] = {"generator": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"generator": (JSON_SCHEMA,)}

    config: ExtractSkillsConfig

    def __init__(self, config: ExtractSkillsConfig) -> None:
        """Read the columns and the templates of the route."""
        super().__init__(config)
        if config.route == "domains":
            self.inputs = columns(domain=str)
            self.prompt_names = template_names(("topics", "skills", "query_types"), config.format)
        else:
            response: dict[str, Any] = {config.response_column: str}
            self.inputs = columns(prompt=MESSAGES, **response)
            self.prompt_names = template_names(("row_skills", "row_query_type"), config.format)

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return a number known from the rows: rounds, topics and lists."""
        return {"generator": (Factor("lists"),)}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Search a domain in rounds, or label one row of data."""
        config = self.config
        questions = ListQuestions(ctx, row["id"], config.format, config.temperature, config.max_tokens, config.attempts)
        if config.route == "data":
            response = row[config.response_column]
            return await row_skills(row, response, config.skills_per_row, questions, ctx.seed(row["id"]))
        bounds = Bounds(
            config.topics,
            config.skills_per_topic,
            config.query_types,
            config.target_skills,
            config.max_rounds,
            config.min_new,
        )
        return await DomainSearch(row, bounds, questions).rows()

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say how domains ended, or what rows gave."""
        return data_report(books) if self.config.route == "data" else domains_report(books)
