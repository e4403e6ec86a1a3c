"""What all judges here share: their options, how they are shown what they judge, how they are asked.

A judge is asked greedily, as WildBench does (arXiv:2406.04770); a reply that cannot be read is asked for again with
another seed and with temperature, since a greedy model would repeat itself. Knows no judge's question and no verdict.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import pyarrow as pa
from pydantic import Field

from pipeline.api import (
    JSON_SCHEMA,
    GenRequest,
    Json,
    Message,
    Row,
    RowError,
    Sample,
    StageConfig,
    StageContext,
    quote,
)
from stages.replies.asking import Answer, Asking, ask
from stages.replies.transcripts import Shown, show_conversation, show_text

Parsed = TypeVar("Parsed")
ATTEMPTS = 1000
"""Most attempts at one verdict, and so the distance between the draws of two verdicts of a row."""
COLUMN = r"^[A-Za-z_][A-Za-z0-9_]*$"
_QUOTING = 1 << 40
"""Draw of the quotations' seed, apart from those of the attempts."""


class JudgeConfig(StageConfig):
    """Options that every judge has."""

    temperature: float = Field(0.0, ge=0)
    """Of the first attempt at a verdict; 0 is greedy."""
    retry_temperature: float = Field(0.7, ge=0)
    """Of further attempts at least; with 0 a greedy judge would only repeat the reply that could not be read."""
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    attempts: int = Field(3, ge=1, le=ATTEMPTS)
    """Requests at most for one verdict, each with its own seed; then the row is rejected."""
    max_prompt_characters: int | None = Field(24_000, ge=100)
    """A longer conversation is shown without its oldest turns, and flagged `conversation_cut`; null shows all."""


class ResponseJudgeConfig(JudgeConfig):
    """Options of judges that read responses."""

    max_response_characters: int | None = Field(16_000, ge=100)
    """A longer response is shown without its end, and flagged; null shows all."""


class ColumnedJudgeConfig(ResponseJudgeConfig):
    """Options of judges of which several may stand one after the other."""

    prefix: str = Field("", pattern=r"^([a-z_][a-z0-9_]*)?$")
    """Stands before the name of every column that the stage makes (`second_` gives `second_preference`), so that a
    second judge of the kind leaves the columns of the first."""

    def named(self, made: Mapping[str, Any]) -> Row:
        """Return what the stage made, under the names that its columns have."""
        return {self.prefix + name: value for name, value in made.items()}

    def outputs(self, plain: pa.Schema) -> pa.Schema:
        """Return the columns of the stage, under these names."""
        return pa.schema([field.with_name(self.prefix + field.name) for field in plain])


@dataclass(frozen=True, slots=True)
class Judge:
    """Asks the engine of the role `judge` about one row.

    Attributes:
        config: options of the stage.
        ctx: context of the stage.
        row: what is asked about; seeds of replies come from its id, those of quotations from its prompt's id, so that
            all responses to a prompt are shown behind the same conversation, which an engine may then read once.
        area: first part of the reject codes.
    """

    config: JudgeConfig
    ctx: StageContext
    row: Row
    area: str = "judge"

    async def verdict(
        self,
        messages: tuple[Message, ...],
        parse: Callable[[str], Parsed],
        draw: int = 0,
        json_schema: Mapping[str, Json] | None = None,
    ) -> Answer[Parsed]:
        """Return the first reply that can be read.

        Args:
            messages: the request.
            parse: reads a reply; raises `ValueError` or `Unusable` if it cannot.
            draw: tells the verdicts of a row apart, from 0 on; each has seeds of its own.
            json_schema: asked of the engine if it offers to keep to one.

        Raises:
            RowError: `<area>.unparsable`, `<area>.truncated` or `<area>.refusal` after the last attempt.
        """
        held = json_schema if self.ctx.engine("judge").offers(JSON_SCHEMA) else None
        problem = RowError(f"{self.area}.unparsable", "no attempt was made")
        for attempt in range(self.config.attempts):
            try:
                answer = await self._attempt(messages, parse, draw, attempt, held)
                return replace(answer, attempts=attempt + 1)
            except RowError as e:
                if not e.code.startswith(f"{self.area}."):
                    raise
                problem = e
        told = problem.message.removeprefix("after 1 attempts: ")
        raise RowError(problem.code, f"after {self.config.attempts} attempts: {told}")

    async def _attempt(
        self,
        messages: tuple[Message, ...],
        parse: Callable[[str], Parsed],
        draw: int,
        attempt: int,
        held: Mapping[str, Json] | None,
    ) -> Answer[Parsed]:
        config, engine = self.config, self.ctx.engine("judge")
        temperature = max(config.temperature, config.retry_temperature) if attempt else config.temperature
        how = Asking(engine, temperature, config.max_tokens, 1, self.area, held, config.top_p)
        return await ask(how, messages, lambda _: self.ctx.seed(self.row["id"], draw * ATTEMPTS + attempt), parse)

    async def choice(
        self, messages: tuple[Message, ...], choices: Sequence[str], draw: int = 0, probabilities: bool = False
    ) -> Sample:
        """Return the choice of an engine that offers to hold its output to one of a few texts; it needs no reading.

        Args:
            messages: the request.
            choices: the texts.
            draw: as for `verdict`.
            probabilities: whether the log-probability of each choice must be there.

        Raises:
            RowError: `<area>.no_probabilities` if it is not.
        """
        request = GenRequest(
            messages=messages,
            max_tokens=self.config.max_tokens,
            temperature=self.config.temperature,
            top_p=self.config.top_p,
            seed=self.ctx.seed(self.row["id"], draw * ATTEMPTS),
            choices=tuple(choices),
        )
        sample = (await self.ctx.engine("judge").generate(request)).samples[0]
        if probabilities and sample.choice_logprobs is None:
            raise RowError(f"{self.area}.no_probabilities", "the engine gave no log-probabilities of the choices")
        return sample

    @property
    def quoting(self) -> int:
        """Return the seed of quotations, the same for all that is asked about a prompt."""
        return self.ctx.seed(self.row.get("prompt_id") or self.row["id"], _QUOTING)

    @property
    def model(self) -> str:
        """Return the judge's name and revision, as rows record it."""
        return self.ctx.engine("judge").model

    def conversation(self) -> Shown:
        """Return the prompt of the row, turn by turn.

        Raises:
            RowError: `<area>.no_prompt` if there is none.
        """
        if not self.row["prompt"]:
            raise RowError(f"{self.area}.no_prompt", "the column 'prompt' is null or holds no turn")
        return show_conversation(self.row["prompt"], self.quoting, self.config.max_prompt_characters)

    def response(self, label: str, text: str, most: int | None) -> Shown:
        """Return a response, quoted under a label in capitals."""
        return show_text(label, text, self.quoting, most)

    def checklist(self, items: Sequence[str]) -> str:
        """Return questions as quoted lines: a model wrote them, so they are data too."""
        return quote("CHECKLIST", "\n".join(f"- {item}" for item in items), self.quoting).text


def text_in(row: Row, column: str, area: str = "judge") -> str:
    """Return a text to be judged; it may be empty.

    Raises:
        RowError: `<area>.no_response` if it is null: no response is not an empty one.
    """
    text = row[column]
    if text is None:
        raise RowError(f"{area}.no_response", f"the column '{column}' is null")
    return str(text)


def checklist_in(row: Row, column: str | None) -> list[str]:
    """Return the questions of a row; none if no column is named.

    Raises:
        RowError: `judge.no_checklist` if the column is null or empty: judged without it, a row could not be compared.
    """
    if column is None:
        return []
    if not row[column]:
        raise RowError("judge.no_checklist", f"the column '{column}' is null or empty; leave such rows out, or drop it")
    return list(row[column])
