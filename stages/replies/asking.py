"""Ask a model until its reply can be used, with a new seed each time, up to a set number of attempts.

A reply that was cut off is never parsed. Knows nothing about what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from pipeline.api import BoundEngine, GenRequest, Json, Message, RowError

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
    """A usable reply: its text, what was read out of it, and how many requests it took."""

    text: str
    parsed: Parsed
    attempts: int


class Unusable(ValueError):
    """A reply that cannot be used; `code` is the last part of the reject code."""

    def __init__(self, message: str, code: str = "unparsable") -> None:
        super().__init__(message)
        self.code = code


async def ask(
    how: Asking, messages: tuple[Message, ...], seed: Callable[[int], int], parse: Callable[[str], Parsed]
) -> Answer[Parsed]:
    """Return the first reply that `parse` accepts.

    Args:
        how: engine and options.
        messages: the conversation, ending with a user turn.
        seed: the seed of an attempt, numbered from 0.
        parse: reads a reply; raises `ValueError` (or `Unusable`) if it cannot.

    Raises:
        RowError: `<area>.truncated` if the last attempt was cut off, else what `Unusable` says, else
            `<area>.unparsable`.
    """
    problem = Unusable("no attempt was made")
    for attempt in range(how.attempts):
        result = await how.engine.generate(
            GenRequest(
                messages=messages,
                max_tokens=how.max_tokens,
                temperature=how.temperature,
                top_p=how.top_p,
                seed=seed(attempt),
                json_schema=how.json_schema,
            )
        )
        try:
            return Answer(result.text, _read(result.text, result.finish_reason, how.max_tokens, parse), attempt + 1)
        except Unusable as e:
            problem = e
        except ValueError as e:
            problem = Unusable(str(e))
    raise RowError(f"{how.area}.{problem.code}", f"after {how.attempts} attempts: {problem}")


def _read(text: str, finish_reason: str, max_tokens: int, parse: Callable[[str], Parsed]) -> Parsed:
    if finish_reason == "length":
        raise Unusable(f"the reply was cut off at {max_tokens} tokens", "truncated")
    if finish_reason == "content_filter":
        raise Unusable("the provider's content filter cut the reply", "refusal")
    if not text.strip():
        raise Unusable("the reply is empty")
    if any("\ud800" <= c <= "\udfff" for c in text):
        raise Unusable("the reply holds lone surrogates")
    return parse(text)
