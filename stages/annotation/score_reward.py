"""Ask a reward model for the score of each response.

Source: sequence-classification reward models as listed in methods_annotation.md E2 (Skywork-Reward, HelpSteer's and
UltraFeedback's attribute models; arXiv:2410.18451, 2406.08673). The engine (`classifier`, or `vllm` with a pooling
task) formats the whole conversation with the model's own template and one BOS. This stage says which of the model's
numbers is the reward. It does not know what the numbers mean: rewards of different models, and of different prompts,
are not comparable.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from pipeline.api import (
    CLASSIFY,
    MESSAGES,
    REWARD,
    BoundEngine,
    EngineError,
    Message,
    PoolRequest,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    columns,
    messages_of,
)
from stages.annotation.reward_report import reward_table

_TAKEN = ("id", "prompt_id", "prompt", "response")


class ScoreRewardConfig(StageConfig):
    """Options of `score_reward`."""

    column: str = Field("reward", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the output column; `<column>_heads` and `<column>_model` stand beside it."""
    task: Literal["reward", "classify"] = "reward"
    """`reward` takes the model's raw numbers, `classify` its probabilities; the engine must offer it."""
    format: Literal["chat", "pair"] = "chat"
    """`chat` uses the model's chat template; `pair` gives an encoder the prompt and the response as two texts."""
    label_index: int | None = Field(None, ge=0)
    """Which number is the reward, from 0; for a model that gives several."""
    weights: tuple[float, ...] | None = None
    """Weights of a model's attributes: the reward is the weighted sum of all its numbers."""
    drop_system: bool = False
    """Leave system turns out; some reward models (Skywork-Reward-V2) were trained without any."""

    @model_validator(mode="after")
    def _one_way_to_a_reward(self) -> Self:
        if self.column in _TAKEN:
            raise ValueError(f"column: '{self.column}' would be replaced by the reward; take another name")
        if self.label_index is not None and self.weights is not None:
            raise ValueError("label_index and weights exclude each other; a weight of 1 and zeros picks one number too")
        if self.weights is not None and not (self.weights and all(map(math.isfinite, self.weights))):
            raise ValueError("weights must hold one finite number for each of the model's attributes")
        return self


class ScoreReward(RowStage):
    """Adds the reward, all numbers that it was made of, and the model's name.

    `<column>_heads` (the model's numbers in its own order) is enough to compute the reward anew with other weights.

    Reject codes:
        reward.nonfinite: the model gave NaN or an infinity, or its numbers are too large for a sum.
        reward.no_response: the response is null.
        reward.empty_prompt: without its system turns the prompt has no turn left.
    """

    name: ClassVar[str] = "score_reward"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ScoreRewardConfig

    inputs = columns(prompt=MESSAGES, response=str)

    config: ScoreRewardConfig

    def __init__(self, config: ScoreRewardConfig) -> None:
        """Name the output columns after `config.column`; bind the capability of the task."""
        super().__init__(config)
        at = config.column
        added: dict[str, Any] = {at: float, f"{at}_heads": list[float], f"{at}_model": str}
        self.outputs = columns(**added)
        self.engine_roles: Mapping[str, str] = {"reward_model": REWARD if config.task == "reward" else CLASSIFY}

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Score one response."""
        engine, at = ctx.engine("reward_model"), self.config.column
        if row["response"] is None:
            raise RowError("reward.no_response", "the response is null")
        heads = await self._heads(engine, self._turns(row), row["response"])
        if not all(math.isfinite(v) for v in heads):
            raise RowError("reward.nonfinite", f"'{engine.model}' gave {list(heads)[:4]}; expected finite numbers")
        reward = reward_of(heads, self.config.label_index, self.config.weights)
        if not math.isfinite(reward):
            raise RowError("reward.nonfinite", f"the weighted sum of {list(heads)[:4]} is no finite number")
        return [{**row, at: reward, f"{at}_heads": list(heads), f"{at}_model": engine.model}]

    def _turns(self, row: Row) -> tuple[Message, ...]:
        messages = messages_of(row["prompt"])
        if self.config.drop_system:
            messages = tuple(m for m in messages if m["role"] != "system")
        if not messages:
            raise RowError("reward.empty_prompt", "the prompt has system turns only, and drop_system leaves them out")
        return messages

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Tell how rewards spread, over all and within a prompt."""
        return [reward_table(books.rows(("prompt", self.config.column)))]

    async def _heads(self, engine: BoundEngine, prompt: tuple[Message, ...], response: str) -> tuple[float, ...]:
        answer: Message = {"role": "assistant", "content": response}
        if self.config.format == "chat":
            request = PoolRequest(self.config.task, messages=(*prompt, answer))
        else:
            request = PoolRequest(self.config.task, text=as_text(prompt), text_pair=response)
        try:
            return (await engine.pool(request)).values
        except RowError as e:
            if e.code != "pool.nonfinite":
                raise
            raise RowError("reward.nonfinite", e.message) from e


def reward_of(heads: Sequence[float], label_index: int | None, weights: Sequence[float] | None) -> float:
    """Return the one number that is the reward.

    Args:
        heads: the model's numbers; at least one.
        label_index: which of them; None for the only one, or with weights.
        weights: one for each number; None for no weighted sum.

    Raises:
        EngineError: the options do not fit what the model gives, which no other row would change.

    NaN if the weighted sum is too large for a number.
    """
    if weights is not None:
        if len(weights) != len(heads):
            raise EngineError(f"weights has {len(weights)} numbers, but the reward model gives {len(heads)}")
        try:
            return math.fsum(w * v for w, v in zip(weights, heads, strict=True))
        except (OverflowError, ValueError):  # an infinity on the way, or one less another
            return math.nan
    if label_index is None and len(heads) != 1:
        raise EngineError(f"the reward model gives {len(heads)} numbers; say by label_index or weights what to take")
    at = label_index or 0
    if at >= len(heads):
        raise EngineError(f"label_index is {at}, but the reward model gives {len(heads)} numbers, counted from 0")
    return heads[at]


def as_text(messages: Sequence[Message]) -> str:
    """Return a prompt as one text for an encoder without a chat template: turns as they are, a blank line between."""
    return "\n\n".join(m["content"] for m in messages)
