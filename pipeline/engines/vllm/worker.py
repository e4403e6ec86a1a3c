"""vLLM's asynchronous engine as the host process uses it: requests of ours in, results of ours out.

Prompts and responses become token ids with the same text format as the embedded engine's, so that the ids, the end
token and hence the scores of both agree (methods_annotation.md B3). It knows no socket and no run. Importing this
module imports vLLM only when `Worker.start` runs.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pipeline.canonical import derive_seed
from pipeline.engines.together import all_or_first_error
from pipeline.engines.vllm.counters import Counters
from pipeline.errors import RowError
from pipeline.types import (
    FinishReason,
    GenRequest,
    GenResult,
    Json,
    PoolRequest,
    PoolResult,
    Sample,
    ScoreRequest,
    ScoreResult,
)

if TYPE_CHECKING:
    from pipeline.engines.local.formatting import TextFormat

Ids = tuple[int, ...]

_SEED_RANGE = 2**63 - 1


class Worker:
    """One started engine.

    Args:
        llm: vLLM's `AsyncLLM`.
        text: encodes and decodes.
        ends: token ids that end a sample.
        name: what results carry as `model`.
        counters: sums of the engine's steps.
    """

    def __init__(self, llm: Any, text: TextFormat, ends: Sequence[int], name: str, counters: Counters) -> None:
        """Take the parts; `start` makes them."""
        from pipeline.engines.vllm.scoring import Scorer

        self._llm, self._text, self._ends, self._name, self._counters = llm, text, list(ends), name, counters
        self._numbers = itertools.count()
        self.context = int(llm.model_config.max_model_len)
        self._scorer = Scorer(self.ask, bool(llm.vllm_config.cache_config.enable_prefix_caching))

    @staticmethod
    async def start(settings: Mapping[str, Json]) -> Worker:
        """Load the model.

        Args:
            settings: `arguments` of vLLM's engine, `name` that results carry, `task`, `score_path`.
        """
        from transformers import AutoTokenizer, GenerationConfig
        from vllm.engine.arg_utils import AsyncEngineArgs
        from vllm.usage.usage_lib import UsageContext
        from vllm.v1.engine.async_llm import AsyncLLM

        from pipeline.engines.local.formatting import TextFormat

        arguments = dict(settings["arguments"])
        if "structured_outputs_config" in arguments:
            arguments["structured_outputs_config"] = _held_output(arguments["structured_outputs_config"])
        where = {"revision": arguments["revision"], "trust_remote_code": False}
        text = TextFormat(AutoTokenizer.from_pretrained(arguments["model"], **where))
        try:
            generation = GenerationConfig.from_pretrained(arguments["model"], revision=arguments["revision"])
        except OSError:  # a model without generation settings
            generation = None
        counters = Counters()
        offline = UsageContext.LLM_CLASS  # its defaults are made for throughput
        llm = AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments), stat_loggers=[counters], usage_context=offline)
        worker = Worker(llm, text, _end_ids(text, generation), settings["name"], counters)
        if settings["task"] == "generate" and settings["score_path"] == "auto":
            await worker._scorer.choose_path(text.plain_ids("Ten small boats were waiting at the old harbour wall."))
        return worker

    def facts(self) -> dict[str, Json]:
        """Return what the other side may want to know of the engine."""
        from vllm import __version__

        return {"vllm": __version__, "context": self.context, "scoring": self._scorer.path}

    def counters(self) -> dict[str, int]:
        """Return the sums of its work so far."""
        return {**self._counters.as_json(), **self._scorer.counts}

    def is_dead(self, error: BaseException) -> bool:
        """Return whether the engine behind can do no more."""
        from vllm.v1.engine.exceptions import EngineDeadError

        return isinstance(error, EngineDeadError) or bool(self._llm.errored)

    def shutdown(self) -> None:
        """End the engine's own processes."""
        self._llm.shutdown()

    async def ask(self, ids: Ids, params: Any, salt: str | None = None) -> Any:
        """Give token ids to the engine and return its one final output.

        Raises:
            RowError: `engine.refused` if the engine finds the request invalid.
        """
        from vllm.exceptions import VLLMClientError

        prompt: dict[str, Any] = {"prompt_token_ids": list(ids)}
        if salt is not None:
            prompt["cache_salt"] = salt
        number, last = str(next(self._numbers)), None
        stream = self._llm.encode if type(params).__name__ == "PoolingParams" else self._llm.generate
        try:
            async for output in stream(prompt, params, number):
                last = output
        except (VLLMClientError, ValueError) as error:
            raise RowError("engine.refused", f"the engine refused the request: {error}") from error
        if last is None:
            raise RowError("engine.failed", "the engine ended the request without an output")
        return last

    async def generate(self, request: GenRequest) -> GenResult:
        """Draw all samples of a request, each as a sequence of its own with a seed of its own.

        Raises:
            RowError: `engine.context_exceeded`, `engine.refused`, `engine.failed`, `engine.template_refused`.
        """
        prompt = self._text.prompt_ids(request.messages, request.prompt)
        if len(prompt) + request.max_tokens > self.context:
            raise RowError(
                "engine.context_exceeded",
                f"prompt of {len(prompt):,} tokens and max_tokens {request.max_tokens:,} exceed the context of "
                f"{self.context:,}; shorten the prompt or lower max_tokens",
            )
        if request.choices:
            from pipeline.engines.vllm.choices import choose

            samples = await choose(request, prompt, self._text, self.ask, self._scorer)
        else:
            seed = request.seed_to_draw
            samples = await all_or_first_error(
                [self._draw(request, prompt, derive_seed(seed, i)) for i in range(request.n)]
            )
        return GenResult(tuple(samples), len(prompt), self._name)

    async def _draw(self, request: GenRequest, prompt: Ids, seed: int) -> Sample:
        output = (await self.ask(prompt, self._sampling(request, seed))).outputs[0]
        ids = list(output.token_ids)
        text = output.text if request.stop else self._text.decode(ids)
        reason = _finish_reason(output)
        if not request.logprobs:
            return Sample(text, reason, len(ids))
        ended = reason == "stop" and not isinstance(output.stop_reason, str)
        scorable = ended and self._text.scores_as(text, tuple(ids), request.messages is not None)
        return Sample(text, reason, len(ids), float(output.cumulative_logprob), scorable)

    def _sampling(self, request: GenRequest, seed: int) -> Any:
        from vllm import SamplingParams
        from vllm.sampling_params import RequestOutputKind, StructuredOutputsParams

        held = None
        if request.json_schema is not None:
            held = StructuredOutputsParams(json=dict(request.json_schema))
        elif request.regex is not None:
            held = StructuredOutputsParams(regex=request.regex)
        return SamplingParams(
            temperature=request.temperature,
            top_p=request.top_p,
            seed=seed % _SEED_RANGE,
            max_tokens=request.max_tokens,
            stop=list(request.stop) or None,
            stop_token_ids=self._ends,
            logprobs=0 if request.logprobs else None,
            flat_logprobs=True,
            detokenize=bool(request.stop),
            structured_outputs=held,
            output_kind=RequestOutputKind.FINAL_ONLY,
        )

    async def score(self, request: ScoreRequest) -> ScoreResult:
        """Sum the log-probabilities of a response's tokens.

        Raises:
            RowError: `score.context_exceeded`, `score.nonfinite`, `engine.template_refused`.
        """
        prompt = self._text.prompt_ids(request.messages, request.prompt)
        response = self._text.response_ids(request.response, request.messages is not None, request.include_eos)
        if len(prompt) + len(response) >= self.context:
            raise RowError(
                "score.context_exceeded",
                f"prompt of {len(prompt):,} tokens and response of {len(response):,} tokens leave no room in the "
                f"context of {self.context:,}; shorten the prompt or drop the response",
            )
        total = await self._scorer.score(prompt, response)
        return ScoreResult(total, len(response), len(prompt), self._name)

    async def pool(self, request: PoolRequest) -> PoolResult:
        """Return the vector of a pooling model: unit-length embedding, class probabilities, or raw reward scores.

        Raises:
            RowError: `engine.context_exceeded`, `engine.refused`, `engine.template_refused`, `pool.nonfinite`.
        """
        from vllm import PoolingParams

        ids = self._text.pooled_ids(request.messages, request.text)
        if len(ids) > self.context:
            raise RowError("engine.context_exceeded", f"text of {len(ids):,} tokens, context {self.context:,}")
        task = "embed" if request.task == "embed" else "classify"
        params = PoolingParams(task=task, use_activation=request.task != "reward")
        values = tuple(float(v) for v in (await self.ask(ids, params)).outputs.data.flatten().tolist())
        if not all(abs(v) < float("inf") for v in values):
            raise RowError("pool.nonfinite", f"the vector of {len(values)} values holds NaN or an infinity")
        return PoolResult(values, len(ids), self._name)


def _finish_reason(output: Any) -> FinishReason:
    if output.finish_reason in ("stop", "length"):
        reason: FinishReason = output.finish_reason
        return reason
    raise RowError("engine.failed", f"the engine ended the sample with reason '{output.finish_reason}'")


def _end_ids(text: TextFormat, generation: Any) -> list[int]:
    """Return all ids that end a sample: end of turn, EOS, and what the model's generation settings list."""
    listed = getattr(generation, "eos_token_id", None)
    more = listed if isinstance(listed, list | tuple) else [listed]
    return sorted({int(i) for i in (text.end_of_turn, text.eos, *more) if i is not None})


def _held_output(options: Mapping[str, Json]) -> Any:
    from vllm.config import StructuredOutputsConfig

    return StructuredOutputsConfig(**options)
