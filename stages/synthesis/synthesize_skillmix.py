"""Write one instruction that needs the planned skills and is of the planned query type.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 2, in one conversation: generate, and by choice criticise and
rewrite. Every turn is a request of its own, so an interrupted run pays for none twice. Responses are not made here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import CHAT, MESSAGES, Message, Reject, Row, RowStage, StageConfig, StageContext, columns
from stages.replies.asking import Answer, Asking, Parsed, Unusable, ask
from stages.synthesis.instructions import Instruction, parse_instruction, shares_words

_DRAWS_PER_TURN = 1000
_COPIED_WORDS = 12


class SynthesizeSkillmixConfig(StageConfig):
    """Options of `synthesize_skillmix`."""

    mode: Literal["one_turn", "critique_rewrite"] = "critique_rewrite"
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(1024, ge=1)
    attempts: int = Field(3, ge=1, le=_DRAWS_PER_TURN)
    """Requests at most for one turn, each with its own seed."""


class SynthesizeSkillmix(RowStage):
    """Adds the instruction, as text and as the prompt, the whole conversation, and how the instruction was found.

    `parse_status` is `header`, `bold`, `label` or `json`; `attempts` counts all requests of the row.

    Reject codes:
        skillmix.unparsable: no attempt of a turn gave a reply with one instruction of some length.
        skillmix.refusal: the last attempt was a refusal, or was stopped by a content filter.
        skillmix.truncated: the last attempt was cut off at `max_tokens`.
    """

    name: ClassVar[str] = "synthesize_skillmix"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = SynthesizeSkillmixConfig

    inputs = columns(skills=list[str], query_type=str, query_type_definition=str)
    outputs = columns(prompt=MESSAGES, instruction=str, turns=MESSAGES, critique=str, parse_status=str, attempts=int)
    engine_roles: Mapping[str, str] = {"generator": CHAT}
    prompt_names: Sequence[str] = ("generate.v1", "critique.v1", "rewrite.v1")

    config: SynthesizeSkillmixConfig

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Run the conversation."""
        talk = _Talk(self.config, row, ctx)
        task = {"skills": row["skills"], "query_type": row["query_type"]}
        generate = ctx.prompt("generate.v1").render(**task, query_type_definition=row["query_type_definition"])
        parse = _parser(generate)
        final = await talk.turn(generate, parse)
        critique = None
        if self.config.mode == "critique_rewrite":
            critique = (await talk.turn(ctx.prompt("critique.v1").render(**task), str.strip)).text
            final = await talk.turn(ctx.prompt("rewrite.v1").render(**task), parse)
        return [
            {
                **row,
                **_found(final.parsed),
                "turns": list(talk.messages),
                "critique": critique,
                "attempts": talk.attempts,
            }
        ]


class _Talk:
    """The conversation of one row as it grows."""

    def __init__(self, config: SynthesizeSkillmixConfig, row: Row, ctx: StageContext) -> None:
        self._how = Asking(ctx.engine("generator"), config.temperature, config.max_tokens, config.attempts, "skillmix")
        self._seed, self._row_id = ctx.seed, row["id"]
        self._turns = 0
        self.messages: tuple[Message, ...] = ()
        self.attempts = 0

    async def turn(self, question: tuple[Message, ...], parse: Callable[[str], Parsed]) -> Answer[Parsed]:
        """Ask, and keep the turn and the first reply that can be used."""
        first_draw = self._turns * _DRAWS_PER_TURN
        asked = self.messages + question
        answer = await ask(self._how, asked, lambda attempt: self._seed(self._row_id, first_draw + attempt), parse)
        self.messages = (*asked, {"role": "assistant", "content": answer.text})
        self._turns += 1
        self.attempts += answer.attempts
        return answer


def _parser(template: tuple[Message, ...]) -> Callable[[str], Instruction]:
    """Return the parser that also refuses an instruction copied from the template's worked example."""

    def parse(reply: str) -> Instruction:
        found = parse_instruction(reply)
        if any(shares_words(found.text, m["content"], _COPIED_WORDS) for m in template):
            raise Unusable(f"the instruction shares {_COPIED_WORDS} words in a row with the prompt template")
        return found

    return parse


def _found(instruction: Instruction) -> Row:
    return {
        "prompt": [{"role": "user", "content": instruction.text}],
        "instruction": instruction.text,
        "parse_status": instruction.form,
    }
