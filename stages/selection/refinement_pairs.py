"""Make of each pair a row for direct answers and a row for refinement.

Paper: EVOLVE, arXiv:2502.05605, trains direct answering and refinement together; its loss could not be read, so the
form is ours (4.1 of our training notes): the refinement row asks the same pair after a longer prompt, [prompt, rejected
response, request for an improvement], which any trainer for pairs takes. How much either counts is the trainer's
choice, by the share of the rows of each `task`. Which pair is good is decided before, in `select_pairs`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import ClassVar, Literal

from pipeline.api import (
    MESSAGES,
    Factor,
    Message,
    Reject,
    ReportTable,
    Row,
    RowError,
    RowStage,
    StageBooks,
    StageConfig,
    StageContext,
    Yield,
    columns,
    messages_of,
)

_TASKS = {"both": ("direct", "refine"), "direct": ("direct",), "refine": ("refine",)}


class RefinementPairsConfig(StageConfig):
    """Options of `refinement_pairs`."""

    tasks: Literal["both", "direct", "refine"] = "both"
    """Which rows to make; `direct` needs no `transition`."""


class RefinementPairs(RowStage):
    """Makes one row per task of a pair, with `task`, `prompt` and `draft_chosen`; all else stays, `prompt_id` too.

    The request for an improvement is the pair's `transition`, as `refine_responses` used it; `select_pairs` keeps it
    with `prompt_columns: {transition: string}`, and the turns with `carry: {turn: int}`. `draft_chosen` is true where
    the chosen response is turn 1: no refinement was better, so that the refinement row asks for an answer that no
    refinement gave. Such rows are kept; null where the turn is not known.

    Reject codes (the refinement row alone, but the last):
        refine.no_transition: the pair does not say how an improvement is asked for.
        refine.no_response: chosen or rejected is null or white space (the whole pair).
    """

    name: ClassVar[str] = "refinement_pairs"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = RefinementPairsConfig
    fan_out: ClassVar[bool] = True

    outputs = columns(prompt=MESSAGES, task=str, draft_chosen=bool)

    config: RefinementPairsConfig

    def __init__(self, config: RefinementPairsConfig) -> None:
        """Read the request for an improvement where refinement rows are made."""
        super().__init__(config)
        needed = {} if config.tasks == "direct" else {"transition": str}
        self.inputs = columns(prompt=MESSAGES, chosen=str, rejected=str, **needed)

    def yields(self) -> Yield:
        """Return a row for each kind of task."""
        return Yield((Factor("tasks", len(_TASKS[self.config.tasks])),))

    async def process_row(self, row: Row, ctx: StageContext) -> Sequence[Row | Reject]:
        """Make the rows of one pair."""
        for side in ("chosen", "rejected"):
            if not (row[side] or "").strip():
                raise RowError("refine.no_response", f"'{side}' is null or white space")
        turn = row.get("chosen_turn")
        known = {**row, "draft_chosen": None if turn is None else turn == 1}
        return [_task_row(known, task) for task in _TASKS[self.config.tasks]]

    def report(self, books: StageBooks) -> Sequence[ReportTable]:
        """Count rows by task, and how many hold up the draft."""
        counts: Counter[tuple[str, bool | None]] = Counter()
        for batch in books.rows(["task", "draft_chosen"]):
            counts.update(zip(batch.column(0).to_pylist(), batch.column(1).to_pylist(), strict=True))
        rows = []
        for task in _TASKS[self.config.tasks]:
            total = sum(n for (name, _), n in counts.items() if name == task)
            drafts = counts[task, True]
            rows.append((task, total, drafts, round(drafts / total, 4) if total else None))
        note = "'Draft chosen': the first answer was better than its refinements, as of models not trained to refine."
        return [ReportTable("Rows by task", ("task", "rows", "draft chosen", "share"), tuple(rows), note)]


def _task_row(row: Row, task: str) -> Row | Reject:
    if task == "direct":
        return {**row, "task": task}
    if not (row["transition"] or "").strip():
        return Reject({**row, "task": task}, "refine.no_transition", "'transition' is null or white space")
    return {**row, "task": task, "prompt": list(refinement_prompt(row))}


def refinement_prompt(row: Row) -> tuple[Message, ...]:
    """Return the prompt, the rejected response, and the request for an improvement, as one conversation."""
    return (
        *messages_of(row["prompt"]),
        {"role": "assistant", "content": row["rejected"]},
        {"role": "user", "content": row["transition"]},
    )
