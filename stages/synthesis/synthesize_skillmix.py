"""Write one instruction that needs the planned skills and is of the planned query type, by choice with its response.

Paper: Instruct-SkillMix, arXiv:2408.14774, stage 2, in one conversation: generate, and by choice criticise and
rewrite. Every turn is a request of its own, so an interrupted run pays for none twice. Unlike the released script it
asks for a rewrite within the length only where the engine says that a reply was cut off. It does not know how skills
were found, nor whether two instructions are alike.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import pyarrow as pa
from pydantic import Field

from pipeline.api import (
    CHAT,
    JSON_SCHEMA,
    MESSAGES,
    Factor,
    Json,
    Message,
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
from stages.replies.asking import Answer, Asking, Parsed, Unusable, ask
from stages.replies.word_runs import shared_run
from stages.synthesis.instructions import Instruction, parse_instruction, parse_pair
from stages.synthesis.skill_task import task_text
from stages.synthesis.synthesis_report import COPIED_WORDS, synthesis_tables

_DRAWS_PER_TURN = 1000
_PLAIN = ("generate.v2", "critique.v2", "rewrite.v2")
_PAIR = ("generate_pair.v1", "critique_pair.v1", "rewrite_pair.v1")


class SynthesizeSkillmixConfig(StageConfig):
    """Options of `synthesize_skillmix`."""

    mode: Literal["one_turn", "critique_rewrite"] = "critique_rewrite"
    response: bool = False
    """Write the response too, in the same conversation (supervised data); there is no such column otherwise."""
    format: Literal["auto", "json", "sections"] = "auto"
    """Form of the reply. `auto`: JSON held to a schema where the engine can, else sections under headers."""
    max_words: int = Field(300, ge=20)
    """Word limit named when a reply was cut off at `max_tokens` and a shorter one is asked for."""
    temperature: float = Field(0.7, ge=0)
    max_tokens: int = Field(1024, ge=1)
    attempts: int = Field(3, ge=1, le=_DRAWS_PER_TURN)
    """Replies at most for one turn, each with its own seed; a shorter one asked for after a cut is not counted."""


class SynthesizeSkillmix(RowStage):
    """Adds the instruction, as text and as the prompt, the whole conversation, and how the instruction was found.

    `parse_status` is `header`, `bold`, `label` or `json`; `attempts` counts all requests of the row, `length_rewrites`
    those of them that asked for a shorter reply. A reject carries `failed_turn`: generate, critique or rewrite. Used
    where the row has them: `skill_definitions`, `query_type_examples`, `persona`.

    Reject codes:
        skillmix.unparsable: no attempt of a turn gave a reply with one instruction of some length.
        skillmix.refusal: the last attempt was a refusal, or was stopped by a content filter.
        skillmix.truncated: the last attempt was cut off at `max_tokens`, and so was the shorter one asked for.
        skillmix.copied: the last attempt repeats a run of 12 words of the prompt, such as its worked example.
    """

    name: ClassVar[str] = "synthesize_skillmix"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = SynthesizeSkillmixConfig

    inputs = columns(skills=list[str], query_type=str, query_type_definition=str)
    outputs = columns(
        prompt=MESSAGES,
        instruction=str,
        turns=MESSAGES,
        critique=str,
        parse_status=str,
        attempts=int,
        length_rewrites=int,
    )
    engine_roles: Mapping[str, str] = {"generator": CHAT}
    optional_capabilities: Mapping[str, Sequence[str]] = {"generator": (JSON_SCHEMA,)}
    prompt_names: Sequence[str] = (*_PLAIN, "shorten.v1")

    config: SynthesizeSkillmixConfig

    def __init__(self, config: SynthesizeSkillmixConfig) -> None:
        """Take the templates of instruction and response where both are written."""
        super().__init__(config)
        self._templates = _PAIR if config.response else _PLAIN
        if config.response:
            self.outputs = pa.schema([*self.outputs, *columns(response=str)])
        self.prompt_names = (*self._templates, "shorten.v1")

    def calls(self) -> Mapping[str, Sequence[Factor]]:
        """Return a request for each turn: generate, critique, rewrite, or the first alone."""
        return {"generator": (Factor("turns", 3 if self.config.mode == "critique_rewrite" else 1),)}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Run the conversation."""
        talk = _Talk(self.config, row, ctx)
        try:
            final, critique = await self._converse(talk, row, ctx)
        except RowError as e:
            return [Reject({**row, "failed_turn": talk.turn}, e.code, e.message)]
        return [
            {
                **row,
                "prompt": [{"role": "user", "content": final.text}],
                "instruction": final.text,
                **({"response": final.response} if self.config.response else {}),
                "turns": list(talk.messages),
                "critique": critique,
                "parse_status": final.form,
                "attempts": talk.requests,
                "length_rewrites": talk.length_rewrites,
            }
        ]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Return rejects by turn, requests and length rewrites, and how much instructions repeat one another."""
        return synthesis_tables(books, criticised=self.config.mode == "critique_rewrite")

    async def _converse(self, talk: _Talk, row: Row, ctx: StageContext) -> tuple[Instruction, str | None]:
        pair = self.config.response
        generate, critique, rewrite = (ctx.prompt(name) for name in self._templates)
        task = quote("TASK", task_text(row), ctx.seed(row["id"]))
        asked = generate.render(task=task.text, json=talk.as_json)
        parse = _parser(asked, parse_pair if pair else parse_instruction)
        final = await talk.ask("generate", asked, parse, _schema(pair))
        if self.config.mode == "one_turn":
            return final.parsed, None
        found = await talk.ask("critique", critique.render(), str.strip)
        final = await talk.ask("rewrite", rewrite.render(task=task.text, json=talk.as_json), parse, _schema(pair))
        return final.parsed, found.text


class _Talk:
    """The conversation of one row as it grows.

    Attributes:
        turn: name of the turn that is being asked, for a reject.
        messages: turns so far, each with the reply that was used.
        requests: how many were made for turns that ended well.
        length_rewrites: how many of them asked for a shorter reply.
        as_json: whether replies are JSON.
    """

    def __init__(self, config: SynthesizeSkillmixConfig, row: Row, ctx: StageContext) -> None:
        engine = ctx.engine("generator")
        self._how = Asking(engine, config.temperature, config.max_tokens, config.attempts, "skillmix")
        self._held = engine.offers(JSON_SCHEMA) and config.format != "sections"
        self._shorten = ctx.prompt("shorten.v1").render(words=config.max_words)
        self._seed, self._row_id = ctx.seed, row["id"]
        self._turns = 0
        self.turn = "generate"
        self.messages: tuple[Message, ...] = ()
        self.requests = self.length_rewrites = 0
        self.as_json = self._held or config.format == "json"

    async def ask(
        self,
        turn: str,
        question: tuple[Message, ...],
        parse: Callable[[str], Parsed],
        schema: Mapping[str, Json] | None = None,
    ) -> Answer[Parsed]:
        """Ask, and keep the turn and the first reply that can be used."""
        self.turn, first_draw = turn, self._turns * _DRAWS_PER_TURN
        how = replace(self._how, json_schema=schema) if self._held else self._how
        answer = await ask(
            how, self.messages + question, lambda k: self._seed(self._row_id, first_draw + k), parse, self._shorten
        )
        self.messages = (*answer.messages, {"role": "assistant", "content": answer.text})
        self._turns += 1
        self.requests += answer.attempts
        self.length_rewrites += answer.length_rewrites
        return answer


def _schema(pair: bool) -> Mapping[str, Json]:
    fields = ["instruction", "response"] if pair else ["instruction"]
    properties = {name: {"type": "string"} for name in fields}
    return {"type": "object", "properties": properties, "required": fields, "additionalProperties": False}


def _parser(template: tuple[Message, ...], parse: Callable[[str], Instruction]) -> Callable[[str], Instruction]:
    """Return the parser that also refuses what was copied from the prompt, such as its worked example."""

    def parse_own(reply: str) -> Instruction:
        found = parse(reply)
        texts = (found.text, found.response or "")
        if any(shared_run(t, [m["content"] for m in template], COPIED_WORDS) for t in texts):
            raise Unusable(f"it shares {COPIED_WORDS} words in a row with the prompt", "copied")
        return found

    return parse_own
