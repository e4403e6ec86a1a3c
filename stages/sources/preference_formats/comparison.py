"""What one record of a labelled file says, whatever its format: responses to one prompt, and which of them are better.

Knows no file format and no row; the formats beside it make comparisons, `rows` turns them into rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from pipeline.api import Json, Message, RowError, content_id
from stages.sources.records import prompt_messages, record_id, refuse_surrogates

Prompt = tuple[Message, ...]

BETTER, WORSE, EVEN = 1.0, 0.0, 0.5


@dataclass(frozen=True, slots=True)
class Comparison:
    """Responses with labels, in the file's order.

    Attributes:
        own_id: the id that the record gives, None if it gives none.
        prompts: the conversation that each response answers; equal ones, but for later turns of dialogues that went
            different ways.
        responses: the texts.
        labels: one for each response, higher is better: 1 and 0 where the file names a winner, 0.5 for both sides of a
            tie, None where it says nothing.
        subset: the part of a benchmark it belongs to; None if the record does not say.
        order_tells: the place in the file says which response is better, so a judge may not see them in this order.
        voter: who compared, where several people compared the same responses.
    """

    own_id: str | None
    prompts: tuple[Prompt, ...]
    responses: tuple[str, ...]
    labels: tuple[float | None, ...]
    subset: str | None = None
    order_tells: bool = False
    voter: str | None = None

    @property
    def id(self) -> str:
        """Return the record's own id, else one of its content: the same record has the same id in every file."""
        return self.own_id if self.own_id is not None else content_id("load_preferences", _plain(asdict(self)))


def _plain(value: Any) -> Json:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def prompt_of(record: Mapping[str, Any], column: str) -> Prompt:
    """Return a record's prompt, text or messages, as messages that end with a user turn.

    Raises:
        RowError: `source.empty_prompt`, `source.bad_messages` or `source.bad_text`.
    """
    return prompt_messages(record.get(column))


def response_of(value: Any, what: str) -> str:
    """Return a response's text, which may be empty.

    Raises:
        RowError: `preferences.bad_response` or `source.bad_text`.
    """
    if not isinstance(value, str):
        raise RowError("preferences.bad_response", f"'{what}' holds {type(value).__name__}; expected text")
    refuse_surrogates(value, what)
    return value


def text_or_none(record: Mapping[str, Any], column: str) -> str | None:
    """Return a column's text, None where it is absent or empty.

    Raises:
        RowError: `source.bad_record` if it holds something else, `source.bad_text`.
    """
    value = record.get(column)
    if value is None or value == "":
        return None
    if not isinstance(value, str):
        raise RowError("source.bad_record", f"'{column}' holds {type(value).__name__}; expected text")
    refuse_surrogates(value, column)
    return value


def joined_id(*parts: Any) -> str | None:
    """Return an id made of several parts of a record, None if the last of them is absent.

    Raises:
        RowError: `source.bad_id` or `source.bad_text`.
    """
    if parts[-1] is None:
        return None
    record_id(parts[-1])
    return record_id("-".join(str(part) for part in parts if part is not None))


def bad_label(column: str, value: Any, expected: str) -> RowError:
    """Build the error for a label that the format does not know."""
    return RowError("preferences.bad_label", f"'{column}' holds {str(value)[:60]!r}; expected {expected}")
