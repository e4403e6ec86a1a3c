"""MT-Bench human judgments: two whole conversations, the turn that was judged, and who won.

Source: Zheng et al., "Judging LLM-as-a-judge with MT-Bench and Chatbot Arena", arXiv:2306.05685; the columns are those
of the data set `lmsys/mt_bench_human_judgments`. The response is the answer of the judged turn; what stands before
it is its prompt, so at the second turn the two responses answer different conversations. Several people may have judged
the same two answers: each vote is a record of its own. The subset is the turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.api import RowError
from stages.sources.preference_formats.comparison import (
    BETTER,
    EVEN,
    WORSE,
    Comparison,
    Prompt,
    bad_label,
    joined_id,
    response_of,
    text_or_none,
)
from stages.sources.records import prompt_messages

REQUIRED = ("question_id", "model_a", "model_b", "winner", "conversation_a", "conversation_b", "turn")
OPTIONAL = ("judge",)

_WINNERS: Mapping[str, tuple[float, float]] = {
    "model_a": (BETTER, WORSE),
    "model_b": (WORSE, BETTER),
    "tie": (EVEN, EVEN),
    "tie (inconsistent)": (EVEN, EVEN),
}


def read(record: Mapping[str, Any]) -> Comparison:
    """Return the comparison of one vote.

    Raises:
        RowError: with a `source.*` or `preferences.*` code.
    """
    turn, winner = record.get("turn"), record.get("winner")
    if type(turn) is not int or turn not in (1, 2):
        raise RowError("source.bad_record", f"'turn' holds {str(turn)[:60]!r}; expected 1 or 2")
    if not isinstance(winner, str) or winner not in _WINNERS:
        raise bad_label("winner", winner, ", ".join(_WINNERS))
    sides = [_side(record.get(column), turn, column) for column in ("conversation_a", "conversation_b")]
    judge = text_or_none(record, "judge")
    parts = [record.get("question_id"), record.get("model_a"), record.get("model_b"), turn]
    return Comparison(
        own_id=joined_id(judge, *parts) if judge else None,
        prompts=(sides[0][0], sides[1][0]),
        responses=(sides[0][1], sides[1][1]),
        labels=_WINNERS[winner],
        subset=f"turn {turn}",
        voter=judge,
    )


def _side(conversation: Any, turn: int, column: str) -> tuple[Prompt, str]:
    last = 2 * turn - 1
    if not isinstance(conversation, list) or len(conversation) <= last:
        raise RowError("source.bad_messages", f"'{column}' is no list of at least {last + 1} messages")
    answer = conversation[last]
    if not isinstance(answer, Mapping) or answer.get("role") != "assistant":
        raise RowError("source.bad_messages", f"message {last} of '{column}' is no answer of an assistant")
    return prompt_messages(conversation[:last]), response_of(answer.get("content"), column)
