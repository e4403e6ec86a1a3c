"""Put criteria and an exemplar of a prompt's domain in front of it, for the model that scores responses to it.

Paper: CDR / Dr.SoW, arXiv:2411.02481 (the customised part): a system text by domain, and one exemplar with a good and a
bad answer in front of the last user turn, drawn once for each prompt and shared by its candidates. Wording and bank are
ours. The policy does not see what is made here, nothing is asked of a model, and no reply to it is read as a verdict:
the conditioned prompt only stands before a given response, so the user's text is put in as it is, unquoted.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Annotated, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    MESSAGES,
    ExecutionOnly,
    Json,
    Message,
    PrerequisiteError,
    Prompt,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
    messages_of,
    shipped_banks,
)
from stages.annotation.domains import DOMAINS, Domain
from stages.annotation.exemplars import Exemplar, read_exemplars

BANK = "condition_prompts/exemplars.v1"
_CRITERIA: Mapping[Domain, str] = {domain: f"criteria_{domain}.v1" for domain in DOMAINS}
_EXEMPLAR = "exemplar.v1"


class ConditionPromptsConfig(StageConfig):
    """Options of `condition_prompts`; own criteria stand in the recipe's `prompts:` under `criteria_<domain>.v1`."""

    domain: Domain | None = None
    """One domain for all rows; None takes the column `domain` that `route_domains` makes."""
    criteria: bool = True
    """Put the criteria of the domain in front."""
    criteria_in: Literal["system", "user"] = "system"
    """`user` puts them into the last user turn, for chat templates without a system role. Either way a system message
    that is there is replaced."""
    exemplars: Literal["none", "one"] = "one"
    exemplar_file: str | None = Field(None, min_length=1)
    """Own bank (JSON Lines: id, domain, question, good, bad, explanation); a relative path is taken from the recipe's
    folder."""
    plain_domains: tuple[Domain, ...] = ()
    """Domains whose prompts stay as they are; the authors' demo leaves chat so."""
    base_folder: Annotated[str, ExecutionOnly()] = ""
    """Filled by the planner with the recipe's folder."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if not self.criteria and self.exemplars == "none":
            raise ValueError("criteria: false with exemplars: none changes no prompt; turn one on, or drop the stage")
        if self.exemplar_file is not None and self.exemplars == "none":
            raise ValueError("exemplar_file names a bank that exemplars: none leaves unused; set exemplars: one")
        if not self.conditioned_domains:
            raise ValueError("plain_domains leaves no domain to condition; take one out, or drop the stage")
        return self

    @property
    def conditioned_domains(self) -> tuple[Domain, ...]:
        """Return the domains whose prompts change."""
        return tuple(d for d in DOMAINS if d not in self.plain_domains and self.domain in (None, d))


class ConditionPrompts(RowStage):
    """Adds `conditioned_prompt`, `criteria_id` and `exemplar_id`; takes rows of prompts or of responses.

    `criteria_id` is the template's name with the first digits of its digest, `exemplar_id` the exemplar's id in the
    bank; null where there is none. Rows with one `prompt_id` get one exemplar.

    Reject codes:
        condition.domain: the row's domain is null or none of chat, reasoning, safety.
        condition.no_user_turn: the prompt does not end with a user turn.
    """

    name: ClassVar[str] = "condition_prompts"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ConditionPromptsConfig

    outputs = columns(conditioned_prompt=MESSAGES, criteria_id=str, exemplar_id=str)
    prompt_names: Sequence[str] = (*_CRITERIA.values(), _EXEMPLAR)

    config: ConditionPromptsConfig

    def __init__(self, config: ConditionPromptsConfig) -> None:
        """Read the column `domain` only where the recipe names no domain."""
        super().__init__(config)
        self.inputs = columns(prompt=MESSAGES) if config.domain else columns(prompt=MESSAGES, domain=str)

    def digest(self) -> Mapping[str, Json]:
        """Return the hash of the bank in use.

        Raises:
            PrerequisiteError: if it cannot be read, is malformed, or lacks a domain.
        """
        if self.config.exemplars == "none":
            return {}
        self._banks  # noqa: B018  read it now, so that a mistake in it ends the run before it starts
        return {"exemplars": hashlib.sha256(self._bank_text[1].encode("utf-8", "surrogatepass")).hexdigest()}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Condition one prompt."""
        domain, messages = self._domain(row), messages_of(row["prompt"])
        if messages[-1]["role"] != "user":
            raise RowError("condition.no_user_turn", f"the last turn has role '{messages[-1]['role']}'")
        criteria_id = exemplar_id = None
        if domain in self.config.conditioned_domains:
            if self.config.exemplars == "one":
                exemplar = self._drawn(domain, row.get("prompt_id") or row["id"], ctx)
                messages, exemplar_id = _with_exemplar(messages, exemplar, ctx.prompt(_EXEMPLAR)), exemplar.id
            if self.config.criteria:
                template = ctx.prompt(_CRITERIA[domain])
                messages = _with_criteria(messages, _text(template.render()), self.config.criteria_in)
                criteria_id = f"{template.header.name}.v{template.header.version}:{template.digest[:8]}"
        return [
            {
                **row,
                "conditioned_prompt": [dict(m) for m in messages],
                "criteria_id": criteria_id,
                "exemplar_id": exemplar_id,
            }
        ]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return how often each criteria and each exemplar was used."""
        used: Counter[tuple[str, str]] = Counter()
        for batch in books.rows(["criteria_id", "exemplar_id"]):
            both = zip(*(batch.column(n).to_pylist() for n in ("criteria_id", "exemplar_id")), strict=True)
            used.update((criteria or "-", exemplar or "-") for criteria, exemplar in both)
        rows = tuple((*what, count) for what, count in sorted(used.items()))
        return (ReportTable("Customisation", ("criteria", "exemplar", "rows"), rows),)

    def _domain(self, row: Row) -> Domain:
        if self.config.domain is not None:
            return self.config.domain
        for domain in DOMAINS:
            if row["domain"] == domain:
                return domain
        raise RowError("condition.domain", f"domain is {row['domain']!r}; expected one of {', '.join(DOMAINS)}")

    def _drawn(self, domain: Domain, prompt_id: str, ctx: StageContext) -> Exemplar:
        bank = self._banks[domain]
        return bank[ctx.seed(prompt_id) % len(bank)]

    @cached_property
    def _banks(self) -> Mapping[Domain, Sequence[Exemplar]]:
        where, text = self._bank_text
        return read_exemplars(text, where, self.config.conditioned_domains)

    @cached_property
    def _bank_text(self) -> tuple[str, str]:
        """Return what messages call the bank, and its text."""
        if self.config.exemplar_file is None:
            return f"bank '{BANK}'", shipped_banks()[BANK]
        path = Path(self.config.base_folder) / self.config.exemplar_file
        try:
            return f"exemplar_file '{path}'", path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as e:
            raise PrerequisiteError(f"exemplar_file '{path}' cannot be read as UTF-8 text: {e}") from None


def _with_exemplar(messages: tuple[Message, ...], exemplar: Exemplar, template: Prompt) -> tuple[Message, ...]:
    """Put an exemplar in front of the last user turn, and the cue behind it, within that turn."""
    parts = exemplar.model_dump(include={"question", "good", "bad", "explanation"})
    shown = _text(template.render(**parts, message=messages[-1]["content"]))
    return (*messages[:-1], {"role": "user", "content": shown})


def _text(turns: tuple[Message, ...]) -> str:
    """Return what a template says, whatever turns a recipe's own one puts it in."""
    return "\n\n".join(turn["content"] for turn in turns)


def _with_criteria(messages: tuple[Message, ...], text: str, place: Literal["system", "user"]) -> tuple[Message, ...]:
    """Put criteria where a system message is or would be, or in front of the last user turn's text."""
    rest = tuple(m for m in messages if m["role"] != "system")
    if place == "system":
        return ({"role": "system", "content": text}, *rest)
    return (*rest[:-1], {"role": "user", "content": f"{text}\n\n{rest[-1]['content']}"})
