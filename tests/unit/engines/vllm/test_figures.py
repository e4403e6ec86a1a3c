"""Choices normalised and drawn, and the engine's steps counted."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.engines.vllm.choices import choose, drawn, normalised
from pipeline.engines.vllm.counters import Counters
from pipeline.types import GenRequest, Sample

THREE_TO_ONE = (math.log(0.75), math.log(0.25))


def test_choices_share_all_of_the_probability():
    assert normalised([math.log(0.3), math.log(0.1)]) == pytest.approx(THREE_TO_ONE)
    assert normalised([-1000.0, -1000.0]) == pytest.approx([math.log(0.5)] * 2)
    assert normalised([-7.0]) == (0.0,)


@given(st.lists(st.floats(-1e4, 50), min_size=1, max_size=8))
def test_probabilities_of_choices_sum_to_one(raw):
    assert math.fsum(math.exp(v) for v in normalised(raw)) == pytest.approx(1)


@pytest.mark.parametrize(
    ("temperature", "uniform", "at"),
    [
        (1.0, 0.0, 0),
        (1.0, 0.7499, 0),
        (1.0, 0.7501, 1),
        (1.0, 0.9999, 1),
        (0.5, 0.8999, 0),
        (0.5, 0.9001, 1),
        (0.0, 0.9999, 0),
    ],
)
def test_a_choice_is_drawn_at_its_probability_tempered(temperature, uniform, at):
    assert drawn(THREE_TO_ONE, temperature, uniform) == at


def test_rounding_at_the_end_of_the_scale_draws_the_last_choice():
    assert drawn((math.log(0.5), math.log(0.4999)), 1.0, 1.0) == 1


def test_steps_are_summed_over_all_parts_of_the_engine():
    counters = Counters()
    assert counters(object(), 3) is counters
    drafts = SimpleNamespace(num_drafts=2, num_draft_tokens=8, num_accepted_tokens=5)
    scheduler = SimpleNamespace(prefix_cache_stats=SimpleNamespace(hits=16), spec_decoding_stats=drafts)
    iteration = SimpleNamespace(num_prompt_tokens=20, num_generation_tokens=7, finished_requests=["a"])
    counters.record(scheduler, iteration)
    counters.record(scheduler, iteration, 1, engine_idx=0)
    assert counters.as_json() == {
        "steps": 2,
        "prompt_tokens": 40,
        "cached_tokens": 32,
        "generated_tokens": 14,
        "finished": 2,
        "drafts": 4,
        "draft_tokens": 16,
        "accepted_tokens": 10,
    }


def test_what_a_version_does_not_tell_stays_zero():
    counters = Counters()
    counters.record(None, None)
    counters.record(SimpleNamespace(), SimpleNamespace())
    counters.log_engine_initialized()
    counters.log()
    counters.record_sleep_state(1, 2)
    assert {k: v for k, v in counters.as_json().items() if v} == {"steps": 2}


def letters(text: str) -> tuple[int, ...]:
    return tuple(map(ord, text))


def chosen(request: GenRequest) -> list[Sample]:
    """Choose between texts that begin alike, so that whole texts are scored: `yes` three times as probable as `yep`."""
    probabilities = {letters("yes"): 0.06, letters("yep"): 0.02}

    class Scorer:
        async def score(self, prompt, response):
            return math.log(probabilities[response])

    return asyncio.run(choose(request, letters("q"), SimpleNamespace(plain_ids=letters), None, Scorer()))


def test_choices_that_begin_alike_are_drawn_by_their_whole_probability():
    samples = chosen(GenRequest(prompt="q", choices=("yes", "yep"), n=400, seed=5, logprobs=True))
    assert {s.text for s in samples} == {"yes", "yep"}
    assert sum(s.text == "yes" for s in samples) == pytest.approx(300, abs=30)
    assert samples[0].choice_logprobs == pytest.approx(THREE_TO_ONE)
    assert all(s.logprob == s.choice_logprobs[s.text == "yep"] for s in samples)


def test_a_choice_repeats_with_its_seed_and_without_one_too():
    seeded, same, other = (
        [s.text for s in chosen(GenRequest(prompt="q", choices=("yes", "yep"), n=50, seed=seed))] for seed in (1, 1, 2)
    )
    assert seeded == same != other
    unseeded = GenRequest(prompt="q", choices=("yes", "yep"), n=50)
    assert chosen(unseeded) == chosen(unseeded) and chosen(unseeded)[0].logprob is None


def test_a_choice_without_tokens_is_refused():
    with pytest.raises(ValueError, match="a choice has no tokens"):
        chosen(GenRequest(prompt="q", choices=("yes", "")))
