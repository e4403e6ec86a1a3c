"""Name the skills that an existing response shows, and the query type of its prompt.

Paper: Instruct-SkillMix, arXiv:2408.14774, the variant that depends on a seed data set; the paper's prompts were not
published. The texts are a stranger's: they are quoted, and nothing in them is followed. Merges nothing across rows.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.api import Message, Reject, Row, RowError, quote
from stages.replies.lists import normalised
from stages.replies.together import each_of
from stages.synthesis.skill_questions import ListQuestions
from stages.synthesis.skill_rounds import skill_row

_SPEAKERS = {"user": "User", "assistant": "Assistant", "system": "System"}


async def row_skills(
    row: Row, response: str | None, most: int, questions: ListQuestions, seed: int
) -> Sequence[Row | Reject]:
    """Return a row for each skill and for the query type, and a reject for each of the two lists that was refused.

    Args:
        row: with `prompt`, a list of messages.
        response: the answer to it.
        most: how many skills to ask for.
        questions: asks the model.
        seed: of the row, for the quotation.

    Raises:
        RowError: `skills.empty_row` if there is nothing to read.
    """
    prompt = _conversation(row["prompt"] or ())
    if not prompt or not (response or "").strip():
        raise RowError("skills.empty_row", "the prompt or the response is null or white space")
    conversation = quote("CONVERSATION", f"{prompt}\n\nAssistant: {response}", seed).text
    question = quote("QUESTION", prompt, seed).text
    skills, types = await each_of(
        [
            questions.ask_for("row_skills", 0, most, conversation=conversation, n=most),
            questions.ask_for("row_query_type", 1, 1, question=question),
        ]
    )
    names = None if isinstance(skills, RowError) else [normalised(item.raw) for item in skills]
    out: list[Row | Reject] = []
    for kind, items in (("skill", skills), ("query_type", types)):
        if isinstance(items, RowError):
            out.append(Reject({**row, "kind": kind, "skills": names}, items.code, items.message))
        else:
            out += [skill_row(row, kind, item, skills=names) for item in items]
    return out


def _conversation(messages: Sequence[Message]) -> str:
    """Return the turns of a prompt as plain text, each after the name of its speaker."""
    turns = [(m["role"], m["content"]) for m in messages if m["content"].strip()]
    return "\n\n".join(f"{_SPEAKERS.get(role, role)}: {content}" for role, content in turns)
