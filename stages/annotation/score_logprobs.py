"""Ask a model for the log-probability of each response given its prompt.

Paper: CDR / Dr.SoW, arXiv:2411.02481 (the scoring half of the density ratio; run once per model). Each model formats
and tokenises its own prompt; only the text of the response is shared. Which column holds the prompt is an option, so
that criteria and exemplars (`condition_prompts`) can stand in front of one model, the other or both. This stage does
not know which model is strong or weak, nor what the figure is used for. Where the scorer is the policy itself and saw
the same prompt, the log-probability from sampling is taken instead of a second pass.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

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
    """Name of the output column; what is needed to read it right stands beside it (`<column>_tokens` and so on)."""
    prompt_column: str = Field("prompt", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Column of the prompt that the model is given: `conditioned_prompt` puts criteria and exemplar in front."""
    include_eos: bool = True
    """Also score the model's end-of-turn token, as the paper's code does."""
    reuse: bool = True
    """Take the policy's log-probability from sampling where the scorer is the policy and would give the same."""

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.column in (self.prompt_column, "prompt", "response"):
            raise ValueError(f"column '{self.column}' would take the place of a text that is scored; name another")
        return self


class ScoreLogprobs(RowStage):
    """Adds the sum of token log-probabilities (nats) of the response, and what is needed to read it without the model.

    Beside `<column>` stand `<column>_tokens` (how many tokens it runs over), `<column>_model`, `<column>_tokenizer`
    (digest of the vocabulary; null where a server does not tell), `<column>_eos` (the end-of-turn token is among the
    tokens), `<column>_prompt` (name of the column that was in front) and `<column>_reused`: the figure is the policy's
    own from `sample_responses`: same engine, prompt and response, end token included. In float32 it equals a second
    pass to 1e-3; in bfloat16 both carry its rounding.

    Reject codes:
        score.nonfinite: the engine returned NaN or an infinity.
    """

    name: ClassVar[str] = "score_logprobs"
    version: ClassVar[int] = 3
    config_type: ClassVar[type[StageConfig]] = ScoreLogprobsConfig

    engine_roles: Mapping[str, str] = {"scorer": SCORE_TOKENS}

    config: ScoreLogprobsConfig

    def __init__(self, config: ScoreLogprobsConfig) -> None:
        """Name the columns after the options."""
        super().__init__(config)
        self.inputs = columns(**{config.prompt_column: MESSAGES, "response": str})
        kinds: dict[str, Any] = {
            "tokens": int,
            "model": str,
            "tokenizer": str,
            "eos": bool,
            "prompt": str,
            "reused": bool,
        }
        at = config.column
        self.outputs = columns(**{at: float}, **{f"{at}_{what}": kind for what, kind in kinds.items()})

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Score one response, or take what the policy said of it."""
        engine, at, config = ctx.engine("scorer"), self.config.column, self.config
        messages = messages_of(row[config.prompt_column])
        known = policy_score(row, engine, messages) if config.reuse and config.include_eos else None
        found = known or await self._ask(engine, row["response"], messages)
        beside = {
            "tokens": found.tokens,
            "model": engine.model,
            "tokenizer": engine.tokenizer_digest,
            "eos": config.include_eos,
            "prompt": config.prompt_column,
            "reused": known is not None,
        }
        return [{**row, at: found.logprob, **{f"{at}_{what}": value for what, value in beside.items()}}]

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
