"""Ask a model for the log-probability of each response given its prompt.

Paper: CDR / Dr.SoW, arXiv:2411.02481 (the scoring half of the density ratio; run once per model). Each model formats
and tokenises its own prompt; only the text of the response is shared. This stage does not know which model is
strong or weak, nor what the figure is used for. Where the scorer is the policy itself, the log-probability from
sampling is taken instead of a second pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    MESSAGES,
    SCORE_TOKENS,
    BoundEngine,
    Message,
    Reject,
    Row,
    RowError,
    RowStage,
    ScoreRequest,
    ScoreResult,
    StageConfig,
    StageContext,
    columns,
    messages_of,
)
from stages.sampling.policy_score import policy_score


class ScoreLogprobsConfig(StageConfig):
    """Options of `score_logprobs`."""

    column: str = Field("logprob", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the output column; `<column>_tokens`, `<column>_model` and `<column>_reused` stand beside it."""
    include_eos: bool = True
    """Also score the model's end-of-turn token, as the paper's code does."""
    conditioning: Literal["none"] = "none"
    """What is put in front of the prompt; the paper's criteria and exemplars are not built yet."""
    reuse: bool = True
    """Take the policy's log-probability from sampling where the scorer is the policy and would give the same."""


class ScoreLogprobs(RowStage):
    """Adds the sum of token log-probabilities (nats), the number of tokens it runs over, and the model's name.

    `<column>_reused` is true where the figure is the policy's own from `sample_responses`: same engine, prompt and
    response, end token included. In float32 it equals a second pass to 1e-3; in bfloat16 both carry its rounding.

    Reject codes:
        score.nonfinite: the engine returned NaN or an infinity.
    """

    name: ClassVar[str] = "score_logprobs"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = ScoreLogprobsConfig

    inputs = columns(prompt=MESSAGES, response=str)
    engine_roles: Mapping[str, str] = {"scorer": SCORE_TOKENS}

    config: ScoreLogprobsConfig

    def __init__(self, config: ScoreLogprobsConfig) -> None:
        """Name the output columns after `config.column`."""
        super().__init__(config)
        at = config.column
        self.outputs = columns(**{at: float, f"{at}_tokens": int, f"{at}_model": str, f"{at}_reused": bool})

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Score one response, or take what the policy said of it."""
        engine, at, config = ctx.engine("scorer"), self.config.column, self.config
        messages = messages_of(row["prompt"])
        same_kind = config.reuse and config.include_eos and config.conditioning == "none"
        known = policy_score(row, engine, messages) if same_kind else None
        found = known or await self._ask(engine, row["response"], messages)
        new = {f"{at}_tokens": found.tokens, f"{at}_model": engine.model, f"{at}_reused": known is not None}
        return [{**row, at: found.logprob, **new}]

    async def _ask(self, engine: BoundEngine, response: str, messages: tuple[Message, ...]) -> ScoreResult:
        request = ScoreRequest(response=response, messages=messages, include_eos=self.config.include_eos)
        result = await engine.score_tokens(request)
        if not math.isfinite(result.logprob):
            raise RowError(
                "score.nonfinite",
                f"'{engine.model}' returned {result.logprob} for the sum of "
                f"{result.tokens} token log-probabilities; expected a finite number",
            )
        return result
