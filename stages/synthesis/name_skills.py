"""Let a model name a cluster of skills from its members; a cluster of one name keeps it.

A step of our own between merging and planning: Didolkar et al. (arXiv:2405.12205) let a model group and name skills,
what Instruct-SkillMix (arXiv:2408.14774) does with clusters was not released. The wording is ours. Two clusters may get
the same name; who plans from names counts it once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
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
from stages.replies.lists import normalised
from stages.synthesis.skill_lists import ITEMS_SCHEMA, parse_names
from stages.synthesis.skill_questions import ATTEMPTS, Format, worked_examples

_KINDS = {"skill": "skill", "query_type": "query type", "persona": "persona"}
_AREA = "skills."


class NameSkillsConfig(StageConfig):
    """Options of `name_skills`."""

    fallback: Literal["medoid", "reject"] = "medoid"
    """What becomes of a cluster for which no reply is a name: it keeps its medoid's, or is rejected."""
    members_shown: int = Field(50, ge=2, le=1000)
    """How many different member names the model sees, the most similar to the medoid first."""
    format: Format = "auto"
    """`json`, `lines`, or JSON where the engine can hold output to a schema."""
    temperature: float = Field(0.0, ge=0)
    max_tokens: int = Field(256, ge=1)
    attempts: int = Field(1, ge=1, le=ATTEMPTS)
    """Requests at most for one cluster; more than one needs a temperature above 0 to differ."""


class NameSkills(RowStage):
    """Replaces `name` by the model's; `medoid` keeps the name before, `named_by` is `model` or `medoid`.

    `raw` keeps the text of the row that stood for the cluster, not the model's.

    Reject codes:
        skills.unnamed: no attempt gave a name, and `fallback` is `reject`.
    """

    name: ClassVar[str] = "name_skills"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = NameSkillsConfig

    inputs = columns(kind=str, name=str, member_names=list[str], member_similarity=list[float])
    outputs = columns(name=str, medoid=str, named_by=str)
    engine_roles: Mapping[str, str] = {"generator": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"generator": (JSON_SCHEMA,)}

    config: NameSkillsConfig

    def __init__(self, config: NameSkillsConfig) -> None:
        """Declare the templates that the format needs."""
        super().__init__(config)
        both = ("name.v1", "name_lines.v1")
        self.prompt_names = both if config.format == "auto" else both[:1] if config.format == "json" else both[1:]

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask for a name if the members have several."""
        members = _members(row, self.config.members_shown)
        if len(members) < 2:
            return [{**row, "medoid": row["name"], "named_by": "medoid"}]
        try:
            name = await self._asked(row, members, ctx)
        except RowError as e:
            if not e.code.startswith(_AREA):  # the engine's own refusals are no reply
                raise
            if self.config.fallback == "reject":
                raise RowError("skills.unnamed", f"{e.message} ({e.code})") from None
            return [{**row, "medoid": row["name"], "named_by": "medoid"}]
        return [{**row, "name": name, "medoid": row["name"], "named_by": "model"}]

    async def _asked(self, row: Row, members: Sequence[str], ctx: StageContext) -> str:
        config, engine = self.config, ctx.engine("generator")
        held = engine.offers(JSON_SCHEMA)
        as_json = config.format == "json" or (config.format == "auto" and held)
        quoted = quote("NAMES", "\n".join(m.replace("_", " ") for m in members), ctx.seed(row["id"]))
        prompt = ctx.prompt("name.v1" if as_json else "name_lines.v1")
        messages = prompt.render(kind=_KINDS.get(row["kind"], "skill"), names=quoted.text)
        schema = ITEMS_SCHEMA if as_json and held else None
        how = Asking(engine, config.temperature, config.max_tokens, config.attempts, "skills", schema)
        copied = set().union(*worked_examples(messages)) - set(members)
        answer = await ask(how, messages, lambda k: ctx.seed(row["id"], k), lambda reply: _name(reply, copied))
        return answer.parsed

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Say who named how many clusters."""
        named: Counter[tuple[str, bool]] = Counter()
        for batch in books.rows(["named_by", "name", "medoid"]):
            for row in batch.to_pylist():
                named[row["named_by"], row["name"] != row["medoid"]] += 1
        return [
            ReportTable(
                "Who named clusters",
                ("named by", "name changed", "clusters"),
                tuple((by, "yes" if changed else "no", n) for (by, changed), n in sorted(named.items())),
                "A cluster of one name is not asked about and counts under medoid.",
            )
        ]


def _name(reply: str, copied: set[str]) -> str:
    name = normalised(parse_names(reply, 1)[0].raw)
    if name in copied:
        raise ValueError("the name is that of a worked example of the prompt")
    return name


def _members(row: Row, most: int) -> list[str]:
    """Return the different names of a cluster, the most similar to its medoid first."""
    near = zip(row["member_names"], row["member_similarity"], strict=True)
    ordered = sorted(enumerate(near), key=lambda m: (-m[1][1], m[0]))
    return list(dict.fromkeys(name for _, (name, _) in ordered))[:most]
