import pyarrow as pa
import pytest

from pipeline.api import Reject
from pipeline.testing import process_row, raises_row_error
from stages.selection.refinement_pairs import RefinementPairs, RefinementPairsConfig
from tests.unit.stages.books_in_memory import BooksInMemory

PROMPT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Name a river."}]
PAIR = {
    "id": "x",
    "prompt_id": "p",
    "prompt": PROMPT,
    "chosen": "The Elbe, 1,094 km.",
    "rejected": "The Elbe.",
    "margin": 0.5,
    "chosen_turn": 2,
    "transition": "Improve it.",
}


def run(pair=PAIR, **config):
    return process_row(RefinementPairs(RefinementPairsConfig(**config)), pair)


def test_a_pair_becomes_a_direct_row_and_a_refinement_row():
    direct, refine = run()
    longer = [*PROMPT, {"role": "assistant", "content": "The Elbe."}, {"role": "user", "content": "Improve it."}]
    assert direct == {**PAIR, "task": "direct", "draft_chosen": False}
    assert refine == {**PAIR, "task": "refine", "draft_chosen": False, "prompt": longer}


@pytest.mark.parametrize(("turn", "flag"), [(1, True), (3, False), (None, None)])
def test_a_pair_whose_draft_was_best_is_flagged_and_kept(turn, flag):
    assert [r["draft_chosen"] for r in run({**PAIR, "chosen_turn": turn})] == [flag, flag]


def test_a_pair_that_does_not_know_its_turns_has_no_flag():
    assert [r["draft_chosen"] for r in run({k: v for k, v in PAIR.items() if k != "chosen_turn"})] == [None, None]


@pytest.mark.parametrize("task", ["direct", "refine"])
def test_only_the_tasks_named_are_made(task):
    assert [r["task"] for r in run(tasks=task)] == [task]


def test_direct_rows_need_no_transition():
    assert "transition" not in RefinementPairs(RefinementPairsConfig(tasks="direct")).inputs.names
    assert "transition" in RefinementPairs(RefinementPairsConfig()).inputs.names


@pytest.mark.parametrize("transition", [None, " "])
def test_without_a_transition_the_refinement_row_alone_is_set_aside(transition):
    direct, refine = run({**PAIR, "transition": transition})
    assert direct["task"] == "direct" and isinstance(refine, Reject)
    assert (refine.code, refine.row["task"]) == ("refine.no_transition", "refine")


@pytest.mark.parametrize("side", ["chosen", "rejected"])
def test_a_pair_without_text_is_rejected(side):
    raises_row_error("refine.no_response", lambda: run({**PAIR, side: " "}))


def test_rows_are_counted_by_task():
    rows = [r for turn in (1, 2, 3, None) for r in run({**PAIR, "chosen_turn": turn})]
    stage = RefinementPairs(RefinementPairsConfig())
    (table,) = stage.report(BooksInMemory(4, pa.Table.from_pylist(rows, schema=stage.outputs)))
    assert table.rows == (("direct", 4, 1, 0.25), ("refine", 4, 1, 0.25))


def test_no_rows_have_no_share():
    stage = RefinementPairs(RefinementPairsConfig(tasks="refine"))
    assert stage.report(BooksInMemory(0, stage.outputs.empty_table()))[0].rows == (("refine", 0, 0, None),)
