"""A ratio of two models with different tokenizers, whole: one BOS each, sums that compare, means that are refused."""

from __future__ import annotations

import math

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

from pipeline.store.manifest import open_run  # noqa: E402
from tests.support import changed, pair_recipe, prefmill, run, stage, write  # noqa: E402
from tests.unit.engines.tiny_models import SMALL, byte_tokenizer, save, seeded  # noqa: E402

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL = ["<s>", "<|im_start|>", "<|im_end|>"]


def llama(folder, words):
    """Write a causal model whose tokenizer is of Llama's kind: it adds a BOS to any text, and so does its template."""
    from transformers import LlamaConfig, LlamaForCausalLM

    names = {"bos_token": "<s>", "eos_token": "<|im_end|>"}
    tokenizer = byte_tokenizer(SPECIAL, ordinary=words, around=("<s>", ""), **names)
    tokenizer.chat_template = TEMPLATE
    assert tokenizer("<s>a").input_ids[:2] == [0, 0]
    settings = {"vocab_size": len(tokenizer), "max_position_embeddings": 512, "bos_token_id": 0, "eos_token_id": 2}
    save(folder, seeded(LlamaForCausalLM(LlamaConfig(**SMALL, **settings, dtype="float32"))), tokenizer)
    return {"kind": "transformers", "model": str(folder), "dtype": "float32", "device": "cpu"}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tokenizers")
    value = pair_recipe()
    value["engines"]["policy"]["rules"] = [{"when": ".", "replies": ["The Inn and the Drau.", "Flüsse, and no more."]}]
    value["engines"]["strong"] = llama(folder / "strong", [])
    value["engines"]["weak"] = llama(folder / "weak", ["and", "more"])
    bytewise = {"id": "bytes", "use": "density_ratio", "with": {"normalize": "per_byte", "column": "per_byte"}}
    value["stages"].insert(-1, bytewise)
    stage(value, "pairs")["from"] = "bytes"
    recipe = write(folder, value)
    result = run(recipe, folder / "run")
    assert result.code == 0, result.err
    rows = [r for table in open_run(folder / "run").stages["bytes"].tables() for r in table.to_pylist()]
    return folder, value, rows


def by_hand(folder, row):
    """Return sum and number of log-probabilities of a response and its end token after a prompt with one BOS."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    turns = "".join(f"<|im_start|>{m['role']}\n{m['content']}<|im_end|>" for m in row["prompt"])
    before, after = (
        tokenizer(text, add_special_tokens=False).input_ids
        for text in (f"{turns}<|im_start|>assistant\n", f"{row['response']}<|im_end|>")
    )
    ids = torch.tensor([[0, *before, *after]])
    with torch.no_grad():
        logprobs = model(ids).logits.log_softmax(-1)[0, :-1].gather(1, ids[0, 1:, None])[-len(after) :]
    return float(logprobs.double().sum()), len(after)


def test_each_model_scores_its_own_tokens_after_one_bos(made):
    folder, _, rows = made
    assert len(rows) == 6 and any(r["strong_logprob_tokens"] != r["weak_logprob_tokens"] for r in rows)
    for row in rows:
        for side in ("strong", "weak"):
            logprob, tokens = by_hand(folder / side, row)
            assert row[f"{side}_logprob"] == pytest.approx(logprob, abs=1e-3)
            assert row[f"{side}_logprob_tokens"] == tokens


def test_sums_and_sums_per_byte_compare_and_the_row_says_that_the_tokenizers_differ(made):
    for row in made[2]:
        difference = row["strong_logprob"] - row["weak_logprob"]
        assert row["reward"] == difference and math.isfinite(difference)
        assert row["per_byte"] == pytest.approx(difference / len(row["response"].encode()))
        assert None not in (digests := {row["strong_logprob_tokenizer"], row["weak_logprob_tokenizer"]})
        assert len(digests) == 2


@pytest.mark.parametrize("options", [{"normalize": "per_own_token"}, {"guard_low_likelihood": True}])
def test_means_per_token_are_refused_before_a_model_is_loaded(made, tmp_path, options):
    recipe = write(tmp_path, changed(made[1], "stages.reward.with", options))
    result = prefmill("run", recipe, "--run-dir", tmp_path / "run")
    assert result.code == 2 and "have different tokenizers" in result.err and not (tmp_path / "run").exists()
