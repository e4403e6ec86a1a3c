"""Counts what vLLM's engine does at each step: tokens read, tokens made, proposals accepted.

A statistics logger of vLLM, whose interface may move; what a version no longer tells stays 0 and harms nothing but the
report. The counts are also the sign of life that the other side watches.
"""

from __future__ import annotations

from typing import Any


class Counters:
    """Sums over the life of one engine; one object counts for all data-parallel parts."""

    def __init__(self) -> None:
        """Start at zero."""
        self.steps = 0
        self.prompt_tokens = 0
        self.cached_tokens = 0
        self.generated_tokens = 0
        self.finished = 0
        self.drafts = 0
        self.draft_tokens = 0
        self.accepted_tokens = 0

    def __call__(self, vllm_config: Any, engine_index: int = 0) -> Counters:
        """Be the factory of itself, as vLLM asks for one logger for each part of the engine."""
        return self

    def record(self, scheduler_stats: Any, iteration_stats: Any, *more: Any, **named: Any) -> None:
        """Add one step."""
        self.steps += 1
        if iteration_stats is not None:
            self.prompt_tokens += getattr(iteration_stats, "num_prompt_tokens", 0)
            self.generated_tokens += getattr(iteration_stats, "num_generation_tokens", 0)
            self.finished += len(getattr(iteration_stats, "finished_requests", ()))
        prefix = getattr(scheduler_stats, "prefix_cache_stats", None)
        if prefix is not None:
            self.cached_tokens += getattr(prefix, "hits", 0)
        drafts = getattr(scheduler_stats, "spec_decoding_stats", None)
        if drafts is not None:
            self.drafts += drafts.num_drafts
            self.draft_tokens += drafts.num_draft_tokens
            self.accepted_tokens += drafts.num_accepted_tokens

    def log_engine_initialized(self) -> None:
        """Say nothing."""

    def log(self) -> None:
        """Say nothing."""

    def record_sleep_state(self, *state: Any) -> None:
        """Take no note."""

    def as_json(self) -> dict[str, int]:
        """Return the sums."""
        return dict(vars(self))
