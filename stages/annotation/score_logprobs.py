"""Ask a model for the log-probability of each response given its prompt.

Paper: CDR / Dr.SoW, arXiv:2411.02481 (the scoring half of the density ratio; run once per model). Each model formats
and tokenises its own prompt; only the text of the response is shared. This stage does not know which model is
strong or weak, nor what the figure is used for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import ClassVar, Literal

from pydantic import Field

from pipeline.api import (
    MESSAGES,
    SCORE_TOKENS,
    Reject,
    Row,
    RowError,
    RowStage,
    ScoreRequest,
    StageConfig,
    StageContext,
    columns,
    messages_of,
)


class ScoreLogprobsConfig(StageConfig):
    """Options of `score_logprobs`."""

    column: str = Field("logprob", pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Name of the output column; `<column>_tokens` and `<column>_model` stand beside it."""
    include_eos: bool = True
    """Also score the model's end-of-turn token, as the paper's code does."""
    conditioning: Literal["none"] = "none"
    """What is put in front of the prompt; the paper's criteria and exemplars are not built yet."""


class ScoreLogprobs(RowStage):
    """Adds the sum of token log-probabilities (nats), the number of tokens it runs over, and the model's name.

    Reject codes:
        score.nonfinite: the engine returned NaN or an infinity.
    """

    name: ClassVar[str] = "score_logprobs"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = ScoreLogprobsConfig

    inputs = columns(prompt=MESSAGES, response=str)
    engine_roles: Mapping[str, str] = {"scorer": SCORE_TOKENS}

    config: ScoreLogprobsConfig

    def __init__(self, config: ScoreLogprobsConfig) -> None:
        """Name the output columns after `config.column`."""
        super().__init__(config)
        at = config.column
        self.outputs = columns(**{at: float, f"{at}_tokens": int, f"{at}_model": str})

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Score one response."""
        engine, at = ctx.engine("scorer"), self.config.column
        request = ScoreRequest(
            response=row["response"], messages=messages_of(row["prompt"]), include_eos=self.config.include_eos
        )
        result = await engine.score_tokens(request)
        if not math.isfinite(result.logprob):
            raise RowError(
                "score.nonfinite",
                f"'{engine.model}' returned {result.logprob} for the sum of "
                f"{result.tokens} token log-probabilities; expected a finite number",
            )
        return [{**row, at: result.logprob, f"{at}_tokens": result.tokens, f"{at}_model": engine.model}]
