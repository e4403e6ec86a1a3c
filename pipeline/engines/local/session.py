"""What an open local engine does with batches of requests: prepare, choose together, generate and score.

It joins the text format with the model's passes and speaks in requests and results of `pipeline.types`. All of it
runs in the engine's worker thread. It knows no event loop.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pipeline.engines.local.address import ModelFiles
from pipeline.errors import EngineError, RowError
from pipeline.types import (
    FinishReason,
    GenRequest,
    GenResult,
    Sample,
    ScoreRequest,
    ScoreResult,
)

if TYPE_CHECKING:
    from pipeline.engines.batching import Ticket
    from pipeline.engines.local.decoding import Drawn
    from pipeline.engines.local.formatting import TextFormat
    from pipeline.engines.local.loading import LoadOptions
    from pipeline.engines.local.runtime import LocalModel
    from pipeline.engines.local.scoring import Pair

Ask = GenRequest | ScoreRequest
Reply = GenResult | ScoreResult


@dataclass(frozen=True, slots=True)
class Prepared:
    """A request in token ids.

    Attributes:
        request: as asked.
        prompt: ids of the prompt.
        response: ids of the response to score; empty for a generation.
        rows: samples to draw, or 1.
        slots: rows times positions of keys and values that it needs.
    """

    request: Ask
    prompt: tuple[int, ...]
    response: tuple[int, ...]
    rows: int
    slots: int


@dataclass(slots=True)
class _Progress:
    """Samples of one request that are done."""

    samples: dict[int, Sample] = field(default_factory=dict)


class Session:
    """A loaded model and its text format.

    Args:
        batch_rows: most samples drawn side by side.
        name: what results carry as `model`.
    """

    def __init__(self, batch_rows: int, name: str) -> None:
        """Start without a model."""
        self._batch_rows = batch_rows
        self._name = name
        self._stopping = threading.Event()
        self._model: LocalModel | None = None
        self._text: TextFormat | None = None
        self._ends: frozenset[int] = frozenset()

    def load(
        self,
        files: ModelFiles,
        options: LoadOptions,
        rounding: tuple[int, int] | None,
        *,
        max_context: int | None,
        pass_tokens: int,
        row_slots: int,
    ) -> None:
        """Load the model, round its weights if asked, and check that the passes agree with the plain model.

        Raises:
            PrerequisiteError: something is missing, or `max_context` is more than the model has.
            EngineError: the model cannot be loaded or used.
        """
        from pipeline.engines.local import loading
        from pipeline.engines.local import rounding as rounding_
        from pipeline.engines.local.formatting import TextFormat
        from pipeline.engines.local.runtime import LocalModel, check_paths_agree

        tokenizer, model = loading.load(files, options)
        if rounding is not None:
            rounding_.round_linear_weights(model, *rounding)
        context = _context(model.config, max_context)
        self._model = LocalModel(model, model.device, context, pass_tokens, row_slots, self._stopping)
        self._text = TextFormat(tokenizer)
        self._ends = _end_ids(self._text, model.generation_config)
        check_paths_agree(self._model, self._text.plain_ids("Ten small boats were waiting at the old harbour wall."))

    def stop(self) -> None:
        """Abort a running batch within one layer; called from another thread."""
        self._stopping.set()

    def release(self) -> None:
        """Forget model and tokenizer."""
        self._model = self._text = None

    def prepare(self, request: Ask) -> Prepared:
        """Encode a request and check that it fits.

        Raises:
            RowError: it does not fit the context, or the chat template refuses it.
            EngineError: the model has no chat template.
        """
        model, text = self._parts()
        prompt = text.prompt_ids(request.messages, request.prompt)
        if isinstance(request, ScoreRequest):
            response = text.response_ids(request.response, request.messages is not None, request.include_eos)
            _check_score_fits(len(prompt), len(response), model.context)
            return Prepared(request, prompt, response, 1, len(prompt) + len(response))
        if len(prompt) + request.max_tokens > model.context:
            raise RowError(
                "engine.context_exceeded",
                f"prompt of {len(prompt):,} tokens and max_tokens {request.max_tokens:,} exceed the context of "
                f"{model.context:,}; shorten the prompt or lower max_tokens",
            )
        return Prepared(request, prompt, (), request.n, request.n * (len(prompt) + request.max_tokens))

    def choose(self, waiting: Sequence[Prepared]) -> list[int]:
        """Return which requests go together with the oldest one: same kind, alike lengths, siblings first.

        Args:
            waiting: oldest first.
        """
        oldest = waiting[0]
        same = [i for i, p in enumerate(waiting) if type(p.request) is type(oldest.request)]
        same.sort(
            key=lambda i: (
                abs(len(waiting[i].prompt) - len(oldest.prompt)),
                waiting[i].prompt != oldest.prompt,
                waiting[i].prompt,
                i,
            )
        )
        return _within_limits(waiting, same, self._batch_rows, self._parts()[0].row_slots)

    def run(self, batch: Sequence[Ticket[Ask, Prepared, Reply]]) -> None:
        """Do a batch of one kind; tickets are answered as they finish."""
        import torch

        with torch.inference_mode():
            if isinstance(batch[0].prepared.request, ScoreRequest):
                self._score(batch)
            else:
                self._generate(batch)

    def _parts(self) -> tuple[LocalModel, TextFormat]:
        if self._model is None or self._text is None:
            raise EngineError("the model is not loaded")
        return self._model, self._text

    def _score(self, batch: Sequence[Ticket[Ask, Prepared, Reply]]) -> None:
        from pipeline.engines.local.scoring import score_pairs

        model, _ = self._parts()
        owners: dict[Pair, list[Ticket[Ask, Prepared, Reply]]] = {}
        for ticket in batch:
            owners.setdefault((ticket.prepared.prompt, ticket.prepared.response), []).append(ticket)
        for (prompt, response), total in score_pairs(model, owners):
            for ticket in owners[prompt, response]:
                if math.isfinite(total):
                    ticket.resolve(ScoreResult(total, len(response), len(prompt), self._name))
                else:
                    ticket.fail(_nonfinite(total, len(prompt), len(response)))

    def _generate(self, batch: Sequence[Ticket[Ask, Prepared, Reply]]) -> None:
        from pipeline.engines.local.decoding import RowPlan, draw_samples

        model, text = self._parts()
        owners: list[tuple[Ticket[Ask, Prepared, Reply], _Progress, int]] = []
        plans: list[RowPlan] = []
        for ticket in batch:
            request, progress = ticket.prepared.request, _Progress()
            assert isinstance(request, GenRequest)
            seed = request.seed_to_draw
            for draw in range(request.n):
                owners.append((ticket, progress, draw))
                plans.append(
                    RowPlan(
                        ticket.prepared.prompt,
                        seed,
                        draw,
                        request.max_tokens,
                        request.temperature,
                        request.top_p,
                        request.stop,
                        request.logprobs,
                    )
                )
        for first in range(0, len(plans), self._batch_rows):
            part = plans[first : first + self._batch_rows]
            for drawn in draw_samples(model, part, self._ends, text.decode):
                ticket, progress, draw = owners[first + drawn.row]
                self._note(ticket, progress, draw, drawn)

    def _note(self, ticket: Ticket[Ask, Prepared, Reply], progress: _Progress, draw: int, drawn: Drawn) -> None:
        request = ticket.prepared.request
        assert isinstance(request, GenRequest)
        form = self._parts()[1]
        text = _cut(form.decode(drawn.tokens), request.stop)
        reason: FinishReason = "stop" if drawn.stopped else "length"
        if request.logprobs:
            scorable = form.scores_as(text, drawn.tokens, request.messages is not None)
            progress.samples[draw] = Sample(text, reason, len(drawn.tokens), drawn.logprob, scorable)
        else:
            progress.samples[draw] = Sample(text, reason, len(drawn.tokens))
        if len(progress.samples) == request.n:
            samples = tuple(progress.samples[i] for i in range(request.n))
            ticket.resolve(GenResult(samples, len(ticket.prepared.prompt), self._name))


def _within_limits(waiting: Sequence[Prepared], order: Sequence[int], rows: int, slots: int) -> list[int]:
    """Return the longest start of `order` whose rows and padded slots stay within limits, at least one."""
    chosen: list[int] = []
    row_count = widest = 0
    for i in order:
        each = waiting[i].slots // waiting[i].rows
        row_count, widest = row_count + waiting[i].rows, max(widest, each)
        is_generation = isinstance(waiting[i].request, GenRequest)
        if chosen and is_generation and (row_count > rows or row_count * widest > slots):
            break
        if chosen and not is_generation and row_count > 4 * rows:
            break
        chosen.append(i)
    return chosen


def _nonfinite(total: float, prompt: int, response: int) -> RowError:
    return RowError(
        "score.nonfinite",
        f"the log-probability of {response:,} response tokens after {prompt:,} prompt tokens is {total}; expected a "
        "finite number",
    )


def _check_score_fits(prompt: int, response: int, context: int) -> None:
    if prompt + response > context:
        raise RowError(
            "score.context_exceeded",
            f"prompt of {prompt:,} tokens and response of {response:,} tokens exceed the context of {context:,}; "
            "shorten the prompt or drop the response",
        )


def _context(config: Any, asked: int | None) -> int:
    own = getattr(config, "max_position_embeddings", None) or asked
    if own is None:
        raise EngineError("the model does not say its context length; set max_context")
    return int(own if asked is None else min(asked, own))


def _end_ids(text: TextFormat, generation_config: Any) -> frozenset[int]:
    """Return all ids that end a sample: end of turn, EOS, and what the model's generation settings list."""
    listed = getattr(generation_config, "eos_token_id", None)
    more = listed if isinstance(listed, list | tuple) else [listed]
    return frozenset(int(i) for i in (text.end_of_turn, text.eos, *more) if i is not None)


def _cut(text: str, stop: tuple[str, ...]) -> str:
    at = min((found for found in (text.find(s) for s in stop) if found >= 0), default=len(text))
    return text[:at]
