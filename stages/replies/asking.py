"""Ask a model until its reply can be used, with a new seed each time, up to a set number of attempts.

A reply that was cut off is never parsed; where the caller gives a turn for it, the model is asked for a shorter one in
the same conversation first. Knows nothing about what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.api import BoundEngine, GenRequest, GenResult, Json, Message, RowError

Parsed = TypeVar("Parsed")


@dataclass(frozen=True, slots=True)
class Asking:
    """How to ask: the engine, the options shared by all turns, and the first part of the reject codes.

    With temperature 0 another seed gives the same reply, so one attempt is enough. `json_schema` holds the reply to a
    schema; only for an engine that offers it.
    """

    engine: BoundEngine
    temperature: float
    max_tokens: int
    attempts: int
    area: str
    json_schema: Mapping[str, Json] | None = None
    top_p: float = 1.0


@dataclass(frozen=True, slots=True)
class Answer(Generic[Parsed]):
    """A usable reply: its text, what was read out of it, and how it came about.

    Attributes:
        text: the reply.
        parsed: what was read out of it.
        attempts: how many requests it took, those for a shorter reply included.
        length_rewrites: how many of them asked for a shorter reply.
        messages: the conversation that it answers, the reply itself not included.
    """

    text: str
    parsed: Parsed
    attempts: int
    length_rewrites: int = 0
    messages: tuple[Message, ...] = ()


class Unusable(ValueError):
    """A reply that cannot be used; `code` is the last part of the reject code."""

    def __init__(self, message: str, code: str = "unparsable") -> None:
        super().__init__(message)
        self.code = code


async def ask(
    how: Asking,
    messages: tuple[Message, ...],
    seed: Callable[[int], int],
    parse: Callable[[str], Parsed],
    shorten: tuple[Message, ...] = (),
) -> Answer[Parsed]:
    """Return the first reply that `parse` accepts.

    Args:
        how: engine and options.
        messages: the conversation, ending with a user turn.
        seed: the seed of an attempt, numbered from 0.
        parse: reads a reply; raises `ValueError` (or `Unusable`) if it cannot.
        shorten: user turn that asks for a shorter reply; sent, once an attempt, after a reply that was cut off.

    Raises:
        RowError: `<area>.truncated` if the last attempt was cut off, else what `Unusable` says, else
            `<area>.unparsable`.
    """
    problem, rewrites = Unusable("no attempt was made"), 0
    for attempt in range(how.attempts):
        asked = messages
        result = await _request(how, asked, seed(attempt))
        if shorten and result.finish_reason == "length" and not _lone_surrogates(result.text):
            rewrites += 1
            asked = (*messages, {"role": "assistant", "content": result.text}, *shorten)
            result = await _request(how, asked, seed(attempt))
        try:
            parsed = _read(result.text, result.finish_reason, how.max_tokens, parse)
            return Answer(result.text, parsed, attempt + 1 + rewrites, rewrites, asked)
        except Unusable as e:
            problem = e
        except ValueError as e:
            problem = Unusable(str(e))
    raise RowError(f"{how.area}.{problem.code}", f"after {how.attempts} attempts: {problem}")


async def _request(how: Asking, messages: tuple[Message, ...], seed: int) -> GenResult:
    return await how.engine.generate(
        GenRequest(
            messages=messages,
            max_tokens=how.max_tokens,
            temperature=how.temperature,
            top_p=how.top_p,
            seed=seed,
            json_schema=how.json_schema,
        )
    )


def _read(text: str, finish_reason: str, max_tokens: int, parse: Callable[[str], Parsed]) -> Parsed:
    if finish_reason == "length":
        raise Unusable(f"the reply was cut off at {max_tokens} tokens", "truncated")
    if finish_reason == "content_filter":
        raise Unusable("the provider's content filter cut the reply", "refusal")
    if not text.strip():
        raise Unusable("the reply is empty")
    if _lone_surrogates(text):
        raise Unusable("the reply holds lone surrogates")
    return parse(text)


def _lone_surrogates(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)
