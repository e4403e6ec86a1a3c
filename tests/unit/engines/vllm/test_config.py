"""Options of the engine: which are part of its identity, what they become, and what cannot be said."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipeline.engines.vllm.arguments import engine_arguments, settled_speculation, speculative_arguments
from pipeline.engines.vllm.config import CODE_ARGS, Speculative, VllmConfig
from pipeline.engines.vllm.engine import VllmEngine
from pipeline.types import CHAT, SCORE_TOKENS, EngineUse, ExecutionOnly

COMMIT = "a" * 40

MEANS = {
    "model": "owner/other",
    "revision": "b" * 40,
    "task": "embed",
    "dtype": "float16",
    "quantization": "fp8",
    "kv_cache_dtype": "fp8",
    "round_weights": {"bits": 4, "group": 32},
    "max_context": 4096,
    "eager": True,
    "speculative": {"method": "ngram"},
    "engine_args": {"seed": 3},
}
MEANS_NOTHING = {
    "tensor_parallel": 2,
    "pipeline_parallel": 2,
    "data_parallel": 2,
    "gpu_memory": 0.5,
    "max_sequences": 7,
    "batch_tokens": 128,
    "cpu_cache_gb": 4.0,
    "prefix_cache": False,
    "start_timeout_s": 5.0,
    "hang_s": 5.0,
    "max_restarts": 1,
    "score_path": "flat",
    "engine_args": {"scheduling_policy": "priority"},
}


def config(**options) -> VllmConfig:
    return VllmConfig(**{"model": "owner/name", "revision": COMMIT, **options})


def identity(**options) -> dict:
    return VllmEngine(config(**options)).identity()


def test_the_tables_below_know_every_option():
    speed = {
        name for name, f in VllmConfig.model_fields.items() if any(isinstance(m, ExecutionOnly) for m in f.metadata)
    }
    assert set(MEANS) == set(VllmConfig.model_fields) - speed
    assert set(MEANS_NOTHING) - {"engine_args"} == speed


@pytest.mark.parametrize("option", MEANS)
def test_what_changes_replies_changes_the_identity(option):
    assert identity(**{option: MEANS[option]}) != identity()


@pytest.mark.parametrize("option", MEANS_NOTHING)
def test_what_changes_speed_or_place_does_not(option):
    assert identity(**{option: MEANS_NOTHING[option]}) == identity()


@pytest.mark.parametrize(
    ("engine_args", "says"),
    [
        ({"max_model_len": 5, "dtype": "auto"}, "must not set dtype, max_model_len"),
        ({"speculative_config": {"rejection_sample_method": "synthetic"}}, "must not set speculative_config"),
        ({"spec_method": "ngram"}, "must not set spec_method"),
        ({"structured_outputs_config": "guidance"}, "structured_outputs_config must be a mapping"),
        ({"hf_token": "hf_abc"}, "must not hold a secret .hf_token.: set HF_TOKEN"),
        *(({name: "some.module"}, f"must not name code to import .{name}.") for name in sorted(CODE_ARGS)),
    ],
)
def test_arguments_that_no_recipe_may_set_are_refused(engine_args, says):
    with pytest.raises(ValidationError, match=says):
        config(engine_args=engine_args)


def test_lossy_speculation_cannot_be_said():
    for lossy in (
        {"rejection_sample_method": "synthetic"},
        {"posterior_threshold": 0.1},
        {"acceptance_method": "typical"},
    ):
        with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
            Speculative(method="ngram", **lossy)
    with pytest.raises(ValidationError, match="Input should be 'ngram'"):
        Speculative(method="medusa")


def test_a_draft_model_is_named_where_one_is_needed_and_only_there():
    with pytest.raises(ValidationError, match="'model' is needed with 'eagle3'"):
        Speculative(method="eagle3")
    with pytest.raises(ValidationError, match="'model' does not belong with 'ngram'"):
        Speculative(method="ngram", model="owner/draft")
    with pytest.raises(ValidationError, match="ngram_max must be at least ngram_min"):
        Speculative(method="ngram", ngram_min=4, ngram_max=3)


@pytest.mark.parametrize("rows", [[(1, 8, 5)], [(1, 8, 5), (9, 64, 2), (100, 500, 0)], []])
def test_a_schedule_by_batch_size_goes_up_from_one(rows):
    given = Speculative(method="ngram", by_batch_size=rows)
    built = speculative_arguments(given)
    assert built.get("num_speculative_tokens_per_batch_size", []) == [list(r) for r in rows]


@pytest.mark.parametrize(
    ("rows", "at"),
    [
        ([(2, 8, 5)], 0),
        ([(1, 8, 5), (8, 9, 1)], 1),
        ([(1, 8, 5), (12, 9, 1)], 1),
        ([(1, 8, 6)], 0),
        ([(1, 8, -1)], 0),
        ([(0, 8, 1)], 0),
    ],
)
def test_a_schedule_with_a_wrong_row_names_it(rows, at):
    with pytest.raises(ValidationError, match=rf"by_batch_size\[{at}\]: got"):
        Speculative(method="ngram", by_batch_size=rows)


def use(copies: bool, capability: str = CHAT) -> EngineUse:
    return EngineUse("s", "r", capability, 64, copies)


@pytest.mark.parametrize(
    ("uses", "method"),
    [
        ([use(True)], "ngram"),
        ([use(True), use(False, SCORE_TOKENS)], "ngram"),
        ([use(True), use(False)], None),
        ([use(False, SCORE_TOKENS)], None),
        ([], None),
    ],
)
def test_auto_is_ngram_if_every_sampled_reply_repeats_its_prompt(uses, method):
    engine = VllmEngine(config(speculative={"method": "auto"}))
    engine.settle(uses)
    settled = engine.identity()["speculative"]
    assert (settled and settled["method"]) == method
    given = Speculative(method="suffix")
    assert settled_speculation(given, uses) is given


def test_speculation_becomes_what_vllm_expects():
    ngram = {"method": "ngram", "num_speculative_tokens": 4, "prompt_lookup_min": 2, "prompt_lookup_max": 3}
    assert speculative_arguments(Speculative(method="ngram", num_tokens=4, ngram_max=3)) == ngram
    draft = Speculative(method="draft_model", model="owner/draft", revision=COMMIT)
    out = {"method": "draft_model", "num_speculative_tokens": 5}
    assert speculative_arguments(draft, "owner/draft") == {**out, "model": "owner/draft", "revision": COMMIT}
    assert speculative_arguments(draft, "/cache/draft") == {**out, "model": "/cache/draft"}
    assert speculative_arguments(None) is None


def test_the_draft_is_one_of_the_models():
    drafts = config(speculative={"method": "eagle", "model": "owner/head", "revision": COMMIT})
    assert VllmEngine(drafts).models() == (("owner/name", COMMIT), ("owner/head", COMMIT))
    assert VllmEngine(config()).models() == (("owner/name", COMMIT),)


def test_options_become_arguments_and_what_is_not_given_is_left_to_vllm():
    built = engine_arguments(config(), "owner/name", COMMIT, None)
    assert built["max_model_len"] is None and built["logprobs_mode"] == "raw_logprobs"
    assert built["trust_remote_code"] is False and built["generation_config"] == "vllm"
    left = {"kv_cache_dtype", "max_num_seqs", "max_num_batched_tokens", "speculative_config", "convert"}
    assert not left & built.keys() and "enable_chunked_prefill" not in built
    options = config(kv_cache_dtype="fp8", max_sequences=9, batch_tokens=99, engine_args={"seed": 1})
    full = engine_arguments(options, "m", None, {"method": "suffix"}, on_cpu=True)
    given = {"kv_cache_dtype": "fp8", "max_num_seqs": 9, "max_num_batched_tokens": 99, "seed": 1}
    given |= {"speculative_config": {"method": "suffix"}, "enable_chunked_prefill": False}
    assert given.items() <= full.items()


def test_structured_output_forbids_free_whitespace_unless_the_recipe_says_otherwise():
    built = engine_arguments(config(), "m", None, None)["structured_outputs_config"]
    assert built == {"backend": "xgrammar", "disable_any_whitespace": True}
    other = config(engine_args={"structured_outputs_config": {"backend": "guidance"}})
    built = engine_arguments(other, "m", None, None)["structured_outputs_config"]
    assert built == {"backend": "guidance", "disable_any_whitespace": True}


@pytest.mark.parametrize(("task", "convert"), [("embed", "embed"), ("classify", "classify"), ("reward", "classify")])
def test_a_pooling_model_is_run_as_one_and_offers_one_thing(task, convert):
    built = engine_arguments(config(task=task), "m", None, None, on_cpu=True)
    assert (built["runner"], built["convert"], built["enable_prefix_caching"]) == ("pooling", convert, False)
    assert "structured_outputs_config" not in built and "enable_chunked_prefill" not in built
    assert VllmEngine(config(task=task)).capabilities() == {task}
