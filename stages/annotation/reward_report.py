"""The spread of rewards, and of those of one prompt: a reward model that tells its responses apart shows here."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from pipeline.api import Json, ReportTable, digest_of


def reward_table(batches: Iterable[pa.RecordBatch]) -> ReportTable:
    """Return one line of figures over all rewards.

    Args:
        batches: rows whose two columns are the prompt's messages and the reward.
    """
    by_prompt: dict[str, list[float]] = defaultdict(list)
    for batch in batches:
        for prompt, reward in zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True):
            by_prompt[digest_of(prompt)].append(reward)
    rewards = np.array([r for group in by_prompt.values() for r in group], dtype=np.float64)
    headings = ("responses", "mean", "standard deviation", "least", "median", "most", "deviation within a prompt")
    lines: tuple[tuple[Json, ...], ...] = ()
    if rewards.size:
        several = [np.std(group) ** 2 for group in by_prompt.values() if len(group) > 1]
        within = float(np.sqrt(np.mean(several))) if several else None
        spread = (rewards.mean(), rewards.std(), rewards.min(), np.median(rewards), rewards.max())
        rounded = [round(float(v), 4) for v in spread]
        lines = ((int(rewards.size), *rounded, None if within is None else round(within, 4)),)
    note = "Deviations are of the population. Within a prompt: root of the mean variance, over prompts with several."
    return ReportTable("Rewards", headings, lines, note)
