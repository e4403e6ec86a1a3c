"""Density ratios of real models: swapped they change sign, of one model with itself they are exactly 0."""

from __future__ import annotations

import pytest

from pipeline.testing import ScriptedContext, process_table
from stages.annotation.condition_prompts import ConditionPrompts, ConditionPromptsConfig
from stages.annotation.density_ratio import DensityRatio, DensityRatioConfig
from stages.annotation.score_logprobs import ScoreLogprobs, ScoreLogprobsConfig

QUESTION = [{"role": "user", "content": "Name a river in Austria."}]
ROWS = [
    {"id": f"r{i}", "prompt_id": "p", "prompt": QUESTION, "response": text}
    for i, text in enumerate(["The Danube.", "Austria has many rivers, such as the Inn and the Drava.", "No.", ""])
]


def scored(local, rows, column, **config):
    """Score rows with an open engine, in its own loop."""
    stage = ScoreLogprobs(ScoreLogprobsConfig(column=column, **config))
    context = ScriptedContext(stage, {"scorer": local.engine})
    return [local.run(stage.process_row(row, context))[0] for row in rows]


def ratio(rows, **config):
    return process_table(DensityRatio(DensityRatioConfig(**config)), rows).table.column("reward").to_pylist()


@pytest.fixture(scope="module")
def pairs(local, open_local):
    """Rows with the figures of the model and of its copy rounded to three bits."""
    weak = open_local(round_weights={"bits": 3, "group": 32})
    return scored(weak, scored(local, ROWS, "strong_logprob"), "weak_logprob")


@pytest.mark.parametrize("normalize", ["sum", "per_own_token", "per_strong_token"])
def test_swapping_strong_and_weak_negates_every_reward_exactly(pairs, normalize):
    swapped = ratio(pairs, normalize=normalize, numerator="weak_logprob", denominator="strong_logprob")
    assert [-r for r in swapped] == ratio(pairs, normalize=normalize) and all(swapped)


def test_a_model_over_itself_gives_exactly_nothing(local):
    rows = scored(local, scored(local, ROWS, "strong_logprob"), "weak_logprob")
    for normalize in ("sum", "per_own_token", "per_strong_token"):
        assert ratio(rows, normalize=normalize) == [0.0] * len(ROWS)


def test_a_rounded_copy_shares_the_tokenizer_and_the_counts(pairs):
    for row in pairs:
        assert row["strong_logprob_tokenizer"] == row["weak_logprob_tokenizer"] is not None
        assert row["strong_logprob_tokens"] == row["weak_logprob_tokens"]


def test_criteria_in_front_of_one_side_change_that_side_only(local):
    stage = ConditionPrompts(ConditionPromptsConfig(domain="chat"))
    context = ScriptedContext(stage, {})
    rows = [local.run(stage.process_row(row, context))[0] for row in ROWS]
    both = scored(local, scored(local, rows, "weak_logprob"), "strong_logprob", prompt_column="conditioned_prompt")
    assert all(ratio(both)) and len({row["exemplar_id"] for row in both}) == 1
    assert [r["weak_logprob"] for r in both] == [r["strong_logprob"] for r in scored(local, ROWS, "strong_logprob")]
