"""`prefmill fetch`: what arrives, what does not, what is said; against a hub on loopback, the command as a process."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support import Value, changed, prefmill, requests_made, short_recipe, write
from tests.unit.cli.fakehub import COMMIT, Hub

MODEL = {
    "config.json": b'{"model_type": "llama"}',
    "generation_config.json": b"{}",
    "tokenizer.json": b'{"version": "1.0"}',
    "tokenizer_config.json": b'{"chat_template": "x"}',
    "chat_template.jinja": b"{{ x }}",
    "model.safetensors": b"w" * 2000,
    "pytorch_model.bin": b"pickled",
    "pytorch_model.bin.index.json": b"{}",
    "training_args.bin": b"pickled",
    "modeling_own.py": b"print('run me')",
    "README.md": b"read me",
    "original/consolidated.safetensors": b"w" * 2000,
}
WANTED = [
    "chat_template.jinja",
    "config.json",
    "generation_config.json",
    "model.safetensors",
    "tokenizer.json",
    "tokenizer_config.json",
]
TOKEN = "hf_a-secret-of-ours"


@pytest.fixture
def hub():
    with Hub({"a/model": dict(MODEL), "a/draft": dict(MODEL)}) as running:
        yield running


def recipe_of(folder: Path, **engine: object) -> Path:
    options: Value = {"kind": "transformers", "model": "a/model", "revision": COMMIT, **engine}
    return write(folder, changed(short_recipe(), "engines.policy", options))


def fetch(hub_url: str, recipe: Path, *options: str, **environment: str):
    return command(hub_url, "fetch", recipe, *options, **environment)


def command(hub_url: str, name: str, recipe: Path, *options: str, **environment: str):
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
    own = {"HF_ENDPOINT": hub_url, "HF_HOME": str(recipe.parent / "hf"), "HF_HUB_DISABLE_XET": "1"}
    return subprocess.run(
        [sys.executable, "-m", "pipeline.cli.main", name, str(recipe), *options],
        env=kept | own | environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def arrived(folder: Path, repository: str = "a--model") -> list[str]:
    snapshot = folder / f"hf/hub/models--{repository}/snapshots/{COMMIT}"
    return sorted(p.relative_to(snapshot).as_posix() for p in snapshot.rglob("*") if p.is_file())


def test_only_what_a_model_is_loaded_from_arrives(hub, tmp_path):
    done = fetch(hub.url, recipe_of(tmp_path))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == f"a/model@{COMMIT}  2 kB in 6 files  fetched 2 kB\n"
    assert arrived(tmp_path) == WANTED == hub.sent()


def test_a_second_fetch_sends_no_file_again(hub, tmp_path):
    recipe = recipe_of(tmp_path)
    assert fetch(hub.url, recipe).returncode == 0
    hub.asked.clear()
    done = fetch(hub.url, recipe)
    assert done.stdout == f"a/model@{COMMIT}  2 kB in 6 files  already there\n" and hub.sent() == []


def test_what_is_fetched_is_found_without_a_network(hub, tmp_path):
    recipe = recipe_of(tmp_path)
    fetch(hub.url, recipe)
    hub.asked.clear()
    done = fetch(hub.url, recipe, HF_HUB_OFFLINE="1")
    assert done.returncode == 0 and done.stdout.endswith("2 kB in 6 files  already there (hub not asked)\n")
    assert hub.asked == []


def tiny_model(folder: Path) -> dict[str, bytes]:
    """Return the files of a random model of one layer that knows seven words."""
    torch, transformers = (pytest.importorskip(name) for name in ("torch", "transformers"))
    tokenizers = pytest.importorskip("tokenizers")
    words = ["[UNK]", "<|im_end|>", "bread", "book", "blue", "sky", "good"]
    words_only = tokenizers.models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]")
    tokenizer = tokenizers.Tokenizer(words_only)
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    fast = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|im_end|>", unk_token="[UNK]")
    fast.chat_template = "{{ messages[-1]['content'] }}{% if add_generation_prompt %} good{% endif %}"
    torch.manual_seed(3)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    config = transformers.LlamaConfig(vocab_size=7, eos_token_id=1, bos_token_id=None, **sizes)
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    fast.save_pretrained(folder)
    return {p.name: p.read_bytes() for p in folder.iterdir()}


@pytest.mark.local
def test_a_run_without_a_network_uses_what_was_fetched(hub, tmp_path):
    hub.files["a/model"] = {**tiny_model(tmp_path / "made"), "pytorch_model.bin": b"pickled"}
    recipe = recipe_of(tmp_path)
    assert fetch(hub.url, recipe).returncode == 0
    hub.asked.clear()
    short = ("--set", "stages.responses.with.max_tokens=8")
    run = command(hub.url, "run", recipe, *short, "--run-dir", str(tmp_path / "run"), HF_HUB_OFFLINE="1")
    assert run.returncode in (0, 6) and "done  responses: 3 of 3 rows" in run.stderr, run.stderr  # some may be empty
    assert hub.asked == [] and requests_made(tmp_path / "run") == 3


def test_a_broken_fetch_goes_on_with_what_is_missing(hub, tmp_path):
    recipe = recipe_of(tmp_path)
    fetch(hub.url, recipe)
    (tmp_path / f"hf/hub/models--a--model/snapshots/{COMMIT}/model.safetensors").resolve().unlink()
    assert "does not hold all of its files" in fetch(hub.url, recipe, HF_HUB_OFFLINE="1").stderr
    hub.asked.clear()
    assert fetch(hub.url, recipe).stdout.endswith("fetched 2 kB\n") and hub.sent() == ["model.safetensors"]


def with_engine(value: Value, name: str, model: str) -> Value:
    """Return a recipe with one more engine and a stage that uses it."""
    out = changed(value, f"engines.{name}", {"kind": "transformers", "model": model, "revision": COMMIT})
    entry = {"id": name, "use": "sample_responses", "from": "prompts", "roles": {"policy": name}, "with": {"n": 1}}
    out["stages"].append(entry)
    return out


def test_draft_models_come_too_and_a_model_of_two_engines_comes_once(hub, tmp_path):
    draft = {"method": "draft_model", "model": "a/draft", "revision": COMMIT}
    recipe = recipe_of(tmp_path, kind="vllm", speculative=draft)
    write(tmp_path, with_engine(json.loads(recipe.read_text()), "second", "a/model"))
    done = fetch(hub.url, recipe)
    assert [line.split("@")[0] for line in done.stdout.splitlines()] == ["a/model", "a/draft"]
    assert arrived(tmp_path, "a--draft") == WANTED and len(hub.sent()) == 2 * len(WANTED)


def test_engines_of_a_file_and_overrides_count(hub, tmp_path):
    recipe = recipe_of(tmp_path, model="not/there")
    (tmp_path / "mine.yaml").write_text(json.dumps({"policy": {"kind": "transformers", "model": "a/model"}}))
    done = fetch(
        hub.url, recipe, "--engines", str(tmp_path / "mine.yaml"), "--set", f"engines.policy.revision='{COMMIT}'"
    )
    assert done.returncode == 0 and done.stdout.startswith(f"a/model@{COMMIT}")


def test_the_token_is_sent_and_never_shown(hub, tmp_path):
    hub.gated.add("a/model")
    done = fetch(hub.url, recipe_of(tmp_path), HF_TOKEN=TOKEN)
    assert hub.tokens == {f"Bearer {TOKEN}"} and TOKEN not in done.stdout + done.stderr
    assert f"model 'a/model' is gated: accept its terms at {hub.url}/a/model" in done.stderr
    assert "the one in HF_TOKEN was sent" in done.stderr and done.returncode == 2


def test_a_token_that_a_login_left_is_not_sent(hub, tmp_path):
    (tmp_path / "hf").mkdir()
    (tmp_path / "hf/token").write_text(TOKEN)
    assert fetch(hub.url, recipe_of(tmp_path)).returncode == 0 and hub.tokens == {None}


def test_a_commit_that_is_not_there_is_answered_with_the_newest(hub, tmp_path):
    done = fetch(hub.url, recipe_of(tmp_path, revision="0" * 40))
    assert done.returncode == 2 and done.stderr.startswith(
        f"error: model 'a/model' has no commit {'0' * 40}; its newest"
    )
    assert f"is {COMMIT}." in done.stderr and hub.sent() == []


def test_a_hub_that_fails_on_the_way_is_reported(hub, tmp_path):
    hub.status["a/model"] = 418
    done = fetch(hub.url, recipe_of(tmp_path))
    assert done.returncode == 2 and f"the hub at {hub.url} answered HTTP 418" in done.stderr


@pytest.mark.parametrize("status", [401, 403])
def test_a_refused_token_is_named_as_such(hub, tmp_path, status):
    hub.status["a/model"] = status
    done = fetch(hub.url, recipe_of(tmp_path))
    assert done.returncode == 2 and "HF_TOKEN is not set" in done.stderr and "Traceback" not in done.stderr


def test_every_model_that_cannot_be_had_is_named_and_the_others_come(hub, tmp_path):
    hub.files["a/model"].pop("model.safetensors")
    hub.files["a/model"].pop("original/consolidated.safetensors")
    value = json.loads(recipe_of(tmp_path, model="a/draft").read_text())
    value = with_engine(with_engine(value, "second", "a/model"), "third", "a/missing")
    done = fetch(hub.url, write(tmp_path, value))
    assert done.returncode == 2 and done.stdout.startswith("a/draft@") and arrived(tmp_path, "a--draft") == WANTED
    assert "model 'a/model' has no .safetensors file (found pytorch_model.bin, training_args.bin)" in done.stderr
    assert "model 'a/missing' is not on the hub" in done.stderr and arrived(tmp_path) == []


def test_no_network_and_an_empty_cache_are_said(tmp_path):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        done = fetch(f"http://127.0.0.1:{closed.getsockname()[1]}", recipe_of(tmp_path))
    assert done.returncode == 2 and "cannot be reached" in done.stderr and "with HF_HOME on a disk" in done.stderr


def test_a_cache_that_takes_no_files_is_named(hub, tmp_path):
    (tmp_path / "hf").write_text("a file where a folder should be")
    done = fetch(hub.url, recipe_of(tmp_path))
    assert done.returncode == 2 and "cannot be written to" in done.stderr and "HF_HOME" in done.stderr


def test_a_name_that_can_move_is_refused_before_anything_is_asked(tmp_path):
    result = prefmill("fetch", recipe_of(tmp_path, revision="main"))
    assert result.code == 2 and "set revision to a commit of 40 hex digits (got 'main')" in result.err


def test_a_package_that_is_missing_is_named_with_its_command(tmp_path):
    result = prefmill("fetch", recipe_of(tmp_path, model="package:no_such_model/m.gguf", revision=None))
    assert result.code == 2 and "pip install the package that provides 'no_such_model'" in result.err


def test_a_local_folder_is_looked_for(tmp_path):
    folder = tmp_path / "own"
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    recipe = recipe_of(tmp_path, model=str(folder), revision=None)
    assert "the folder has no .safetensors file" in prefmill("fetch", recipe).err
    (folder / "model.safetensors").write_bytes(b"w" * 998)
    assert prefmill("fetch", recipe).out == f"{folder}  1 kB  already there (local)\n"


def test_an_engine_that_reads_no_files_needs_nothing(tmp_path):
    result = prefmill("fetch", write(tmp_path, short_recipe()))
    assert (result.code, result.out) == (
        0,
        "nothing to fetch: engines of kind 'scripted' read no model files here\n",
    )
