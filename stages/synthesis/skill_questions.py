"""Ask a model for a list of topics, skills or query types, in the form that the engine can hold to.

An engine that holds output to a schema is asked for JSON, any other for a numbered list, with worked examples as
turns before it: short enough for a model of 135M parameters. Knows the templates and nothing of rounds or rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from pipeline.api import JSON_SCHEMA, Json, Message, StageContext
from stages.replies.asking import Asking, ask
from stages.replies.lists import Item, normalised, parse_list
from stages.synthesis.skill_lists import ITEMS_SCHEMA, described_schema, parse_names

Subject = Literal["topics", "skills", "query_types", "row_skills", "row_query_type"]
Format = Literal["auto", "json", "lines"]

ATTEMPTS = 1000
"""Most attempts for one list; each list draws its seeds from a range of that many."""
_VERSION: Mapping[Subject, int] = {"topics": 2, "skills": 2, "query_types": 2, "row_skills": 1, "row_query_type": 1}
_SCHEMA: Mapping[Subject, Mapping[str, Json]] = {
    "topics": ITEMS_SCHEMA,
    "skills": described_schema("definition"),
    "query_types": described_schema("definition", "examples"),
    "row_skills": described_schema("definition"),
    "row_query_type": described_schema("definition"),
}


def template_names(subjects: Sequence[Subject], form: Format) -> tuple[str, ...]:
    """Return the templates that are needed to ask for these lists."""
    json_names = [f"{s}.v{_VERSION[s]}" for s in subjects if form != "lines"]
    return (*json_names, *(f"{s}_lines.v1" for s in subjects if form != "json"))


@dataclass(frozen=True, slots=True)
class ListQuestions:
    """Asks the role `generator` for lists on behalf of one row."""

    ctx: StageContext
    row_id: str
    form: Format
    temperature: float
    max_tokens: int
    attempts: int

    async def ask_for(self, subject: Subject, number: int, most: int, **variables: Any) -> list[Item]:
        """Return at most `most` entries with different names.

        Args:
            subject: what the list holds.
            number: the list's number within the row, from 0; its seeds depend on it.
            most: how many entries to keep.
            variables: the template's inputs.

        Raises:
            RowError: `skills.unparsable`, `skills.truncated` or `skills.refusal` if no attempt was usable.
        """
        engine = self.ctx.engine("generator")
        held = engine.offers(JSON_SCHEMA)
        as_json = self.form == "json" or (self.form == "auto" and held)
        name = f"{subject}.v{_VERSION[subject]}" if as_json else f"{subject}_lines.v1"
        messages = self.ctx.prompt(name).render(**variables)
        schema = _SCHEMA[subject] if as_json and held else None
        how = Asking(engine, self.temperature, self.max_tokens, self.attempts, "skills", schema)
        shown = worked_examples(messages)
        answer = await ask(
            how,
            messages,
            lambda k: self.ctx.seed(self.row_id, number * ATTEMPTS + k),
            lambda reply: _own_names(parse_names(reply, most), shown),
        )
        return answer.parsed


def worked_examples(messages: Sequence[Message]) -> list[set[str]]:
    """Return the names in each reply that a template shows as an example."""
    replies = [parse_list(m["content"]) for m in messages if m["role"] == "assistant"]
    return [{normalised(item.raw) for item in items} for items in replies]


def _own_names(items: list[Item], shown: list[set[str]]) -> list[Item]:
    """Refuse a list that only repeats a worked example; a single name may well be the right one."""
    names = {normalised(item.raw) for item in items}
    if len(names) > 1 and any(names <= example for example in shown):
        raise ValueError("the list repeats a worked example of the prompt")
    return items
