"""Search a domain for skills in rounds, each knowing what was found before, until there are enough or no more come.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 1 without seed data (topics, skills for each topic, query types). The
paper asks once; the rounds are ours. Knows how a domain's search goes on and ends, not how a list is asked for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from pipeline.api import Reject, Row, RowError
from stages.replies.lists import Item, normalised
from stages.replies.together import each_of
from stages.synthesis.skill_questions import ListQuestions

Ending = Literal["target", "rounds", "dry", "unreadable"]

KNOWN_SHOWN = 100
"""How many of the names found last a prompt shows."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much to ask for in a round, and when to stop."""

    topics: int
    skills_per_topic: int
    query_types: int
    target_skills: int | None
    max_rounds: int
    min_new: int


@dataclass(slots=True)
class DomainSearch:
    """The search of one domain: what is known so far."""

    row: Row
    bounds: Bounds
    questions: ListQuestions
    topics: dict[str, str] = field(default_factory=dict)
    skills: dict[str, Row] = field(default_factory=dict)
    query_types: dict[str, Row] = field(default_factory=dict)
    rejects: list[Reject] = field(default_factory=list)

    async def rows(self) -> Sequence[Row | Reject]:
        """Search, and return skills, query types, then a reject for each list that could not be read.

        Raises:
            RowError: if the first list of topics could not be read.
        """
        ending: Ending = "rounds"
        for number in range(1, self.bounds.max_rounds + 1):
            before = len(self.skills)
            readable = await self._round(number)
            if self.bounds.target_skills is not None and len(self.skills) >= self.bounds.target_skills:
                ending = "target"
                break
            if len(self.skills) - before < self.bounds.min_new:
                ending = "dry" if readable else "unreadable"
                break
        found = [*self.skills.values(), *self.query_types.values()]
        return [*({**row, "ended_by": ending} for row in found), *self.rejects]

    async def _round(self, number: int) -> bool:
        """Ask for topics, then for the skills of each at once; return whether any list of skills could be read."""
        bounds, domain = self.bounds, self.row["domain"]
        first = (number - 1) * (bounds.topics + 2)
        topics = await self._topics(number, first)
        known = [name.replace("_", " ") for name in list(self.skills)[-KNOWN_SHOWN:]]
        asked = [
            self.questions.ask_for(
                "skills", first + 2 + i, bounds.skills_per_topic, domain=domain, topic=topic, known=known,
                n=bounds.skills_per_topic,
            )
            for i, topic in enumerate(topics)
        ]  # fmt: skip
        if number == 1:
            n = bounds.query_types
            asked.append(self.questions.ask_for("query_types", first + 1, n, domain=domain, n=n))
        lists = await each_of(asked)
        for topic, items in zip(topics, lists, strict=False):
            self._keep(self.skills, "skill", topic, number, items)
        if number == 1:
            self._keep(self.query_types, "query_type", None, number, lists[-1])
        return any(not isinstance(items, RowError) for items in lists[: len(topics)])

    async def _topics(self, number: int, question: int) -> list[str]:
        """Return new topics; in a later round that brings none, the first ones once more."""
        n = self.bounds.topics
        known = list(self.topics.values())
        asked = self.questions.ask_for(
            "topics", question, n, domain=self.row["domain"], n=n, known=known[-KNOWN_SHOWN:]
        )
        try:
            items = await asked
        except RowError as e:
            if number == 1:
                raise
            self.rejects.append(self._refused("topic", None, number, e))
            items = []
        new = {normalised(i.raw): i.raw for i in items if normalised(i.raw) not in self.topics}
        self.topics |= new
        return list(new.values()) or known[:n]

    def _keep(
        self, into: dict[str, Row], kind: str, topic: str | None, number: int, items: list[Item] | RowError
    ) -> None:
        if isinstance(items, RowError):
            self.rejects.append(self._refused(kind, topic, number, items))
            return
        for item in items:
            into.setdefault(normalised(item.raw), skill_row(self.row, kind, item, topic=topic, number=number))

    def _refused(self, kind: str, topic: str | None, number: int, error: RowError) -> Reject:
        return Reject({**self.row, "kind": kind, "topic": topic, "round": number}, error.code, error.message)


def skill_row(
    row: Row, kind: str, item: Item, *, topic: str | None = None, number: int | None = None,
    skills: list[str] | None = None,
) -> Row:  # fmt: skip
    """Return the row of one skill or query type below the row it was found for."""
    return {
        **row,
        "kind": kind,
        "topic": topic,
        "name": normalised(item.raw),
        "raw": item.raw,
        "definition": item.definition,
        "examples": list(item.examples),
        "skills": skills,
        "round": number,
        "ended_by": None,
    }
