"""Drawing tokens: exact distributions, nuclei without sorting, batches that do not matter, rounding."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from pipeline.engines.local import sampling  # noqa: E402
from pipeline.engines.local.rounding import round_groups, round_linear_weights  # noqa: E402
from pipeline.engines.local.runtime import group_prompts  # noqa: E402

pytestmark = pytest.mark.local


def draw(logits, count: int, temperature: float = 1.0, top_p: float = 1.0, seed: int = 1):
    rows = sampling.SamplingRows(torch.full((count,), temperature), torch.full((count,), top_p), True)
    uniform = torch.from_numpy(np.random.default_rng(seed).random((count, sampling.DRAWS, sampling.STEPS)))
    return sampling.sample_tokens(logits.expand(count, -1).contiguous(), rows, uniform)


def test_draws_follow_the_softmax_at_the_temperature():
    logits = torch.tensor([[1.0, 0.0, -1.0, 2.0, -40.0]])
    token, _ = draw(logits, 40_000, temperature=0.7)
    share = torch.bincount(token, minlength=5) / 40_000
    assert share.tolist() == pytest.approx(torch.softmax(logits[0] / 0.7, 0).tolist(), abs=0.01)
    assert share[4] == 0


@pytest.mark.parametrize("top_p", [0.15, 0.6, 0.95])
def test_draws_follow_the_softmax_of_the_nucleus(top_p):
    probability = torch.tensor([0.4, 0.3, 0.15, 0.1, 0.05])
    inside = (probability.cumsum(0) - probability) < top_p
    token, _ = draw(probability.log()[None], 40_000, top_p=top_p)
    share = torch.bincount(token, minlength=5) / 40_000
    expected = probability * inside / probability[inside].sum()
    assert share.tolist() == pytest.approx(expected.tolist(), abs=0.01)


def test_a_large_vocabulary_never_draws_an_impossible_token():
    logits = torch.full((1, 49_153), float("-inf"))
    logits[0, [7, 300, 49_152]] = 0.0
    token, _ = draw(logits, 2_000)
    assert set(token.tolist()) == {7, 300, 49_152}


def test_uniforms_at_both_ends_stay_in_the_vocabulary():
    rows = sampling.SamplingRows(torch.ones(2), torch.ones(2), False)
    uniform = torch.tensor([[[0.0] * 3] * 4, [[1.0 - 2.0**-53] * 3] * 4], dtype=torch.float64)
    token, _ = sampling.sample_tokens(torch.zeros(2, 1000), rows, uniform)
    assert token.tolist() == [0, 999]


def test_rounding_noise_in_the_logits_hardly_ever_changes_a_draw():
    logits = torch.randn(1, 49_152, generator=torch.Generator().manual_seed(0))
    noisy = logits + 3e-5 * torch.randn(1, 49_152, generator=torch.Generator().manual_seed(1))
    assert (draw(logits, 2_000)[0] != draw(noisy, 2_000)[0]).sum() < 10


def test_logprobs_are_unscaled_whatever_the_temperature():
    logits = torch.randn(1, 600, generator=torch.Generator().manual_seed(0))
    token, logprob = draw(logits, 50, temperature=0.3, top_p=0.9)
    assert torch.allclose(logprob, logits.log_softmax(-1)[0, token], atol=1e-5)


def test_temperature_zero_is_the_greatest_logit():
    logits = torch.randn(1, 600, generator=torch.Generator().manual_seed(0))
    assert set(draw(logits, 20, temperature=0.0, top_p=0.5)[0].tolist()) == {int(logits.argmax())}


def test_random_numbers_of_a_sample_do_not_depend_on_its_length():
    assert (sampling.uniforms(5, 1, 10) == sampling.uniforms(5, 1, 99)[:10]).all()
    assert (sampling.uniforms(5, 1, 10) != sampling.uniforms(5, 2, 10)).all()


def test_rounding_keeps_the_ends_of_a_group_and_leaves_few_values():
    weight = torch.randn(6, 70, generator=torch.Generator().manual_seed(0))
    rounded = round_groups(weight, 3, 32)
    assert all(len(rounded[i, :32].unique()) <= 8 for i in range(6))
    assert torch.equal(rounded[:, :32].amax(1), weight[:, :32].amax(1)) or torch.allclose(
        rounded[:, :32].amax(1), weight[:, :32].amax(1), atol=1e-6
    )
    assert (rounded - weight).abs().max() <= (weight.max() - weight.min()) / 14


def test_rounding_leaves_embeddings_norms_and_a_tied_head():
    model = torch.nn.ModuleDict(
        {
            "embed": torch.nn.Embedding(10, 8),
            "norm": torch.nn.LayerNorm(8),
            "up": torch.nn.Linear(8, 8),
            "head": torch.nn.Linear(8, 10, bias=False),
        }
    )
    model["head"].weight = model["embed"].weight
    before = {k: v.clone() for k, v in model.state_dict().items()}
    assert round_linear_weights(model, 2, 4) == 1
    assert [k for k, v in model.state_dict().items() if not torch.equal(v, before[k])] == ["up.weight"]


def test_prompt_groups_hold_every_prompt_within_the_limit():
    prompts = [tuple(range(n)) for n in (5, 900, 30, 31, 7, 400)]
    groups = group_prompts(prompts, 1000)
    assert sorted(p for g in groups for p in g) == sorted(prompts)
    assert all(len(g) == 1 or max(map(len, g)) * len(g) <= 1000 for g in groups)
