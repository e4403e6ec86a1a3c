"""Let a model say why the preferred one of two responses may have been preferred.

Paper: AutoRule, arXiv:2506.15651, first of its three extraction stages (code HuoDx/AutoRule, `reasoner.py`). The
visible explanation and the reasoning trace are kept apart, since the paper extracts rules from the trace while its
released code passes on the explanation; `extract_rules` chooses. Ours are the wording, and the order of the responses:
the release always shows the winner first for UltraFeedback, here the place is drawn. The stage does not ask whether the
label is right.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import ClassVar

from pydantic import Field

from pipeline.api import CHAT, MESSAGES, Reject, Row, RowError, RowStage, StageConfig, StageContext, columns
from stages.replies.asking import Asking, Unusable, ask
from stages.replies.transcripts import show_conversation, show_text
from stages.rules.reasoning import split_reasoning

_ORDER, _QUOTING = 1 << 30, 1 << 31
"""Draws of the order and of the quotations, apart from those of the attempts."""


class InterpretPreferencesConfig(StageConfig):
    """Options of `interpret_preferences`."""

    short: bool = False
    """Ask for three short sentences, after a worked example: for small models. Capable ones explain better without."""
    max_prompt_characters: int = Field(24_000, ge=100)
    """A longer prompt is shown without its oldest turns, and flagged `pair_cut`."""
    max_response_characters: int = Field(16_000, ge=100)
    """A longer response is cut after a paragraph or sentence, and flagged `pair_cut`."""
    temperature: float = Field(0.6, ge=0)
    """The paper's."""
    max_tokens: int = Field(8192, ge=1)
    """Room for the reasoning too; the paper gives 32,768."""
    attempts: int = Field(2, ge=1, le=1000)
    """Requests at most for one pair, each with its own seed."""


class InterpretPreferences(RowStage):
    """Adds `explanation`, `reasoning` (null if the model shows none), `shown_first` and `pair_cut`.

    `shown_first` is `a` or `b`: the response that the model saw as A. Whether the preferred one is shown first is drawn
    by the row's id, so that exchanging a and b together with the label gives the same request.

    Reject codes:
        rules.no_preference: the label is neither `a` nor `b`, or both responses are the same text.
        rules.empty_row: the prompt or a response is null or white space.
        rules.unparsable: the last reply had no explanation, only that of an example, or reasoning that does not end.
        rules.truncated: the last reply was cut off at `max_tokens`.
        rules.refusal: the last reply was stopped by a content filter.
    """

    name: ClassVar[str] = "interpret_preferences"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = InterpretPreferencesConfig

    inputs = columns(prompt=MESSAGES, response_a=str, response_b=str, label=str)
    outputs = columns(explanation=str, reasoning=str, shown_first=str, pair_cut=bool)
    engine_roles: Mapping[str, str] = {"reasoner": CHAT}

    config: InterpretPreferencesConfig

    def __init__(self, config: InterpretPreferencesConfig) -> None:
        """Declare the template that is used."""
        super().__init__(config)
        self.prompt_names = ("why_short.v1",) if config.short else ("why.v1",)

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Ask about one pair."""
        _check(row)
        preferred = str(row["label"])
        first = preferred if ctx.seed(row["id"], _ORDER) % 2 else "ab".replace(preferred, "")
        second = "b" if first == "a" else "a"
        seed, most = ctx.seed(row["id"], _QUOTING), self.config.max_response_characters
        conversation = show_conversation(row["prompt"], seed, self.config.max_prompt_characters)
        shown_a = show_text("A", row[f"response_{first}"], seed, most)
        shown_b = show_text("B", row[f"response_{second}"], seed, most)
        messages = ctx.prompt(self.prompt_names[0]).render(
            conversation=conversation.text,
            response_a=shown_a.text,
            response_b=shown_b.text,
            preferred="A" if first == preferred else "B",
        )
        config = self.config
        how = Asking(ctx.engine("reasoner"), config.temperature, config.max_tokens, config.attempts, "rules")
        examples = {" ".join(m["content"].split()) for m in messages if m["role"] == "assistant"}
        answer = await ask(how, messages, lambda k: ctx.seed(row["id"], k), lambda reply: _explained(reply, examples))
        reasoning, explanation = answer.parsed
        cut = conversation.cut or shown_a.cut or shown_b.cut
        said = {"explanation": explanation, "reasoning": reasoning}
        return [{**row, **said, "shown_first": first, "pair_cut": cut}]


def _check(row: Row) -> None:
    if row["label"] not in ("a", "b"):
        raise RowError("rules.no_preference", f"the label is {row['label']!r}; expected 'a' or 'b'")
    texts = [row["response_a"], row["response_b"]]
    if not row["prompt"] or not all((t or "").strip() for t in texts):
        raise RowError("rules.empty_row", "the prompt or a response is null or white space")
    if texts[0] == texts[1]:
        raise RowError("rules.no_preference", "both responses are the same text")


def _explained(reply: str, examples: Set[str]) -> tuple[str | None, str]:
    reasoning, explanation = split_reasoning(reply)
    if not explanation:
        raise Unusable("the reply has no explanation after its reasoning")
    if " ".join(explanation.split()) in examples:
        raise Unusable("the reply repeats the worked example of the prompt")
    return reasoning, explanation
