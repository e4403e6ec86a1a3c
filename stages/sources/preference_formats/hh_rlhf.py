r"""HH-RLHF: `chosen` and `rejected` are whole dialogues as text, turns begun by "\n\nHuman:" and "\n\nAssistant:".

Source: Bai et al., "Training a helpful and harmless assistant", arXiv:2204.05862; the columns are those of the data set
`Anthropic/hh-rlhf` (unpack its .jsonl.gz files first). The last turn, the assistant's, is the response; the dialogue
before it is the prompt. White space around a turn belongs to the format. A text that itself holds such a line cannot be
told from a turn: the format has no escape.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from pipeline.api import Message, RowError
from stages.sources.preference_formats.comparison import BETTER, WORSE, Comparison, Prompt, response_of
from stages.sources.records import prompt_messages

REQUIRED = ("chosen", "rejected")
OPTIONAL = ()

_TURN = re.compile(r"\n\n(Human|Assistant):")


def read(record: Mapping[str, Any]) -> Comparison:
    """Return the comparison of one record.

    Raises:
        RowError: with a `source.*` or `preferences.*` code.
    """
    chosen, rejected = dialogue(record.get("chosen"), "chosen"), dialogue(record.get("rejected"), "rejected")
    return Comparison(
        own_id=None,
        prompts=(chosen[0], rejected[0]),
        responses=(chosen[1], rejected[1]),
        labels=(BETTER, WORSE),
        order_tells=True,
    )


def dialogue(value: Any, column: str) -> tuple[Prompt, str]:
    """Cut a dialogue into the messages before the assistant's last turn, and that turn.

    Raises:
        RowError: `preferences.bad_response`, `source.bad_messages`, `source.empty_prompt` or `source.bad_text`.
    """
    before, *turns = _TURN.split(response_of(value, column))
    if before.strip() or len(turns) < 4 or turns[-2] != "Assistant":
        raise RowError(
            "source.bad_messages",
            f"'{column}' is no dialogue that begins with a turn of Human and ends with one of Assistant",
        )
    messages: list[Message] = [
        {"role": "user" if who == "Human" else "assistant", "content": text.strip()}
        for who, text in zip(turns[::2], turns[1::2], strict=True)
    ]
    return prompt_messages(messages[:-1]), messages[-1]["content"]
