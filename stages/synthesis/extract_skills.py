"""Let a model name the skills and query types of a domain.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 1 of the variant without seed data: topics, then skills for each
topic, and query types. The paper's prompts were not published; ours are in `prompts/extract_skills`. Merging
near-equal skills across domains is not done here; `plan_skillmix` merges equal names.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from pipeline.api import CHAT, Message, Reject, Row, RowError, RowStage, StageConfig, StageContext, columns
from stages.replies.asking import Asking, ask
from stages.replies.lists import Item, normalised, parse_list

_DRAWS_PER_QUESTION = 1000
_TOPICS, _QUERY_TYPES, _FIRST_SKILLS = 0, 1, 2


class ExtractSkillsConfig(StageConfig):
    """Options of `extract_skills`."""

    topics: int = Field(5, ge=1, le=1000)
    """Topics asked for per domain."""
    skills_per_topic: int = Field(5, ge=1)
    query_types: int = Field(5, ge=1)
    """Query types asked for per domain."""
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(2048, ge=1)
    attempts: int = Field(3, ge=1, le=_DRAWS_PER_QUESTION)
    """Requests at most for one list, each with its own seed."""


class ExtractSkills(RowStage):
    """Makes rows of kind `skill` and `query_type` from each domain; equal names within a domain are kept once.

    Reject codes (the whole domain):
        skills.unparsable: no attempt gave a list that can be read.
        skills.truncated: the last attempt was cut off at `max_tokens`.
        skills.refusal: the last attempt was stopped by a content filter.
    """

    name: ClassVar[str] = "extract_skills"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ExtractSkillsConfig
    fan_out: ClassVar[bool] = True

    inputs = columns(domain=str)
    outputs = columns(kind=str, topic=str, name=str, raw=str, definition=str, examples=list[str])
    engine_roles: Mapping[str, str] = {"generator": CHAT}
    prompt_names: Sequence[str] = ("topics.v1", "skills.v1", "query_types.v1")

    config: ExtractSkillsConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for topics, then for the skills of all topics and the query types at once."""
        config, domain = self.config, row["domain"]
        topics = await self._list(
            ctx, row, _TOPICS, config.topics, ctx.prompt("topics.v1").render(domain=domain, n=config.topics)
        )
        names = list(dict.fromkeys(t.raw for t in topics))
        skills_prompt = ctx.prompt("skills.v1")
        asked = [
            self._list(
                ctx,
                row,
                _QUERY_TYPES,
                config.query_types,
                ctx.prompt("query_types.v1").render(domain=domain, n=config.query_types),
            )
        ]
        asked += [
            self._list(
                ctx,
                row,
                _FIRST_SKILLS + i,
                config.skills_per_topic,
                skills_prompt.render(domain=domain, topic=topic, n=config.skills_per_topic),
            )
            for i, topic in enumerate(names)
        ]
        query_types, *skills = _all_or_first_error(await asyncio.gather(*asked, return_exceptions=True))
        found = [_row(row, "skill", topic, item) for topic, items in zip(names, skills, strict=True) for item in items]
        found += [_row(row, "query_type", None, item) for item in query_types]
        first: dict[tuple[str, str], Row] = {}
        for made in found:
            first.setdefault((made["kind"], made["name"]), made)
        return list(first.values())

    async def _list(
        self, ctx: StageContext, row: Row, question: int, n: int, messages: tuple[Message, ...]
    ) -> list[Item]:
        config = self.config
        how = Asking(ctx.engine("generator"), config.temperature, config.max_tokens, config.attempts, "skills")
        answer = await ask(how, messages, lambda k: ctx.seed(row["id"], question * _DRAWS_PER_QUESTION + k), parse_list)
        return answer.parsed[:n]


def _all_or_first_error(results: list[list[Item] | BaseException]) -> list[list[Item]]:
    """Return the lists; else raise what ends the run before what rejects the row, so that a resume decides alike."""
    errors = [r for r in results if isinstance(r, BaseException)]
    for error in sorted(errors, key=lambda e: isinstance(e, RowError)):
        raise error
    return [r for r in results if not isinstance(r, BaseException)]


def _row(row: Row, kind: str, topic: str | None, item: Item) -> Row:
    return {
        **row,
        "kind": kind,
        "topic": topic,
        "name": normalised(item.raw),
        "raw": item.raw,
        "definition": item.definition,
        "examples": list(item.examples),
    }
