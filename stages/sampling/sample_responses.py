"""Sample several responses to each prompt from the policy.

On-policy sampling as in SimPO's data recipe and CDR (arXiv:2411.02481, B4 of the method notes). The stage does not
know how responses will be scored; it keeps the policy's own log-probability where the engine gives it, and marks the
rows where a scorer that is the same engine may take it as its own (`policy_scored_by`, else null).
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import ClassVar

from pydantic import Field

from pipeline.api import (
    CHAT,
    MESSAGES,
    BoundEngine,
    Factor,
    GenRequest,
    Message,
    Reject,
    Row,
    RowError,
    RowStage,
    Sample,
    StageConfig,
    StageContext,
    Yield,
    columns,
    messages_of,
)
from stages.sampling.policy_score import mark


class SampleResponsesConfig(StageConfig):
    """Options of `sample_responses`."""

    n: int = Field(4, ge=1, le=1024)
    temperature: float = Field(0.8, ge=0)
    top_p: float = Field(1.0, gt=0, le=1)
    max_tokens: int = Field(1024, ge=1)
    stop: tuple[str, ...] = ()
    system: str | None = Field(None, min_length=1)
    """System text put in front of a prompt that has none, for sampling only: the column `prompt` stays as it is."""
    logprobs: bool = True
    """Ask for the policy's own log-probability of each response."""


class SampleResponses(RowStage):
    """Makes one row per draw, in order of draw.

    Reject codes (each for one draw, but the last):
        responses.empty: the response is empty or white space.
        responses.filtered: the provider's content filter cut the response.
        responses.bad_text: the response holds lone surrogates, which no UTF-8 file can.
        responses.nonfinite: the policy's log-probability is NaN or infinite.
        responses.missing: the engine returned another number of samples than asked (the whole row).
    """

    name: ClassVar[str] = "sample_responses"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = SampleResponsesConfig
    fan_out: ClassVar[bool] = True

    inputs = columns(prompt=MESSAGES)
    outputs = columns(
        prompt_id=str,
        draw=int,
        response=str,
        finish_reason=str,
        response_tokens=int,
        prompt_tokens=int,
        policy_logprob=float,
        policy_scored_by=str,
        policy_model=str,
        sample_seed=int,
    )
    engine_roles: Mapping[str, str] = {"policy": CHAT}

    config: SampleResponsesConfig

    def yields(self) -> Yield:
        """Return `n` rows for one."""
        return Yield((Factor("n", self.config.n),))

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Sample `n` responses with one request."""
        config, engine, seed = self.config, ctx.engine("policy"), ctx.seed(row["id"])
        prompt = messages_of(row["prompt"])
        request = GenRequest(
            messages=with_system(prompt, config.system),
            n=config.n,
            max_tokens=config.max_tokens,
            temperature=config.temperature,
            top_p=config.top_p,
            seed=seed,
            stop=config.stop,
            logprobs=config.logprobs,
        )
        result = await engine.generate(request)
        if len(result.samples) != config.n:
            raise RowError(
                "responses.missing", f"'{engine.model}' returned {len(result.samples)} samples, expected {config.n}"
            )
        shared = {
            **row,
            "prompt_id": row["id"],
            "prompt_tokens": result.prompt_tokens,
            "policy_model": engine.model,
            "sample_seed": seed,
        }
        by = engine if request.messages == prompt else None
        return [_child(shared, draw, sample, _mark(by, prompt, sample)) for draw, sample in enumerate(result.samples)]


def with_system(messages: tuple[Message, ...], system: str | None) -> tuple[Message, ...]:
    """Put a system turn in front of a conversation that has none."""
    if system is None or any(m["role"] == "system" for m in messages):
        return messages
    return ({"role": "system", "content": system}, *messages)


_SURROGATE = re.compile("[\ud800-\udfff]")


def problem_of(sample: Sample) -> tuple[str, str] | None:
    """Return the reject code and message of a sample that must not become a row, else None."""
    if sample.finish_reason == "content_filter":
        return "responses.filtered", "finish_reason is 'content_filter'; expected 'stop' or 'length'"
    if _SURROGATE.search(sample.text):
        return "responses.bad_text", "the response holds lone surrogates; shown here as U+FFFD"
    if not sample.text.strip():
        return "responses.empty", f"the response has no text (finish_reason '{sample.finish_reason}')"
    if sample.logprob is not None and not math.isfinite(sample.logprob):
        return "responses.nonfinite", f"the policy's log-probability is {sample.logprob}; expected a finite number"
    return None


def _mark(engine: BoundEngine | None, prompt: tuple[Message, ...], sample: Sample) -> str | None:
    """Return the mark for a scorer; None if it would compute another figure, or if the policy saw another prompt."""
    if engine is None or not sample.scorable or sample.logprob is None:
        return None
    return mark(engine, prompt, sample.text)


def _child(shared: Row, draw: int, sample: Sample, scored_by: str | None) -> Row | Reject:
    problem = problem_of(sample)
    finite = sample.logprob is not None and math.isfinite(sample.logprob)
    row = {
        **shared,
        "draw": draw,
        "response": _replace_surrogates(sample.text),
        "finish_reason": sample.finish_reason,
        "response_tokens": sample.tokens,
        "policy_logprob": sample.logprob if finite else None,
        "policy_scored_by": scored_by,
    }
    return Reject(row, *problem) if problem else row


def _replace_surrogates(text: str) -> str:
    return _SURROGATE.sub("\ufffd", text)
