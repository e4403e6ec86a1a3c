"""What identifies a tokenizer without loading it."""

import json
import os
import struct
import subprocess
import sys

import pytest

from pipeline.engines.http.scoring_config import ScoringConfig
from pipeline.engines.local.address import ModelFiles, resolve
from pipeline.engines.local.gguf_header import read_vocabulary
from pipeline.engines.local.vocabulary import folder_vocabulary_digest, vocabulary_digest
from pipeline.engines.openai import OpenAIConfig, OpenAIEngine
from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine
from pipeline.engines.vllm.server import VllmServerEngine
from pipeline.engines.vllm.server_config import VllmServerConfig
from tests.unit.engines.conftest import SMOL

WORDS = {"a": 0, "b": 1, "<s>": 2}
BOS = {"id": 2, "content": "<s>", "special": True}


def digest(folder, vocabulary=WORDS, added=(BOS,), **more):
    value = {"model": {"type": "BPE", "vocab": vocabulary}, "added_tokens": list(added), **more}
    (folder / "tokenizer.json").write_text(json.dumps(value))
    return folder_vocabulary_digest(folder)


def test_a_child_that_added_control_tokens_cuts_text_as_its_parent(tmp_path):
    mark = {"id": 3, "content": "<|im_start|>", "special": True}
    same = digest(tmp_path)
    assert digest(tmp_path, added=[BOS, mark]) == same
    assert digest(tmp_path, WORDS | {"<|im_start|>": 3}, [BOS, mark]) == same
    assert digest(tmp_path, truncation={"max_length": 9}) == same


def test_another_token_or_another_id_is_another_vocabulary(tmp_path):
    same = digest(tmp_path)
    assert digest(tmp_path, WORDS | {"c": 3}) != same
    assert digest(tmp_path, {"a": 1, "b": 0, "<s>": 2}) != same
    assert digest(tmp_path, added=[BOS, {"id": 3, "content": "ab", "special": False}]) != same


def test_pieces_with_scores_are_numbered_by_their_place(tmp_path):
    assert digest(tmp_path, [["a", -1.0], ["b", -2.0], ["<s>", 0.0]]) == digest(tmp_path)


NO_VOCABULARY = [
    "{}",
    "not JSON",
    "[" * 100_000,
    '{"model": {"vocab": [1]}}',
    '{"model": {"vocab": "abc"}}',
    '{"model": {"vocab": {"a": -1}}}',
    '{"model": {"vocab": {"a": 1e400}}}',
    None,
]


@pytest.mark.parametrize("text", NO_VOCABULARY)
def test_a_file_that_tells_no_vocabulary_gives_no_digest(tmp_path, text):
    if text is not None:
        (tmp_path / "tokenizer.json").write_text(text)
    assert folder_vocabulary_digest(tmp_path) is None


def gguf(path, tokens, magic=b"GGUF"):
    def array(key, kind, items):
        name = key.encode()
        return struct.pack("<Q", len(name)) + name + struct.pack("<IIQ", 9, kind, len(tokens)) + items

    texts = b"".join(struct.pack("<Q", len(t.encode())) + t.encode() for t, _ in tokens)
    types = struct.pack(f"<{len(tokens)}i", *(kind for _, kind in tokens))
    body = array("tokenizer.ggml.tokens", 8, texts) + array("tokenizer.ggml.token_type", 5, types)
    path.write_bytes(magic + bytes(20) + body)
    return path


def test_a_gguf_file_and_a_tokenizer_file_of_one_vocabulary_agree(tmp_path):
    path = gguf(tmp_path / "m.gguf", [("a", 1), ("b", 1), ("<s>", 3), ("[PAD3]", 5)])
    assert read_vocabulary(path)[2] == (b"<s>", 3)
    assert vocabulary_digest(ModelFiles("gguf", path)) == digest(tmp_path)


@pytest.mark.parametrize("magic", [b"GGUF", b"ABCD"])
def test_a_gguf_file_without_a_vocabulary_gives_no_digest(tmp_path, magic):
    path = tmp_path / "m.gguf"
    path.write_bytes(magic + bytes(40))
    assert vocabulary_digest(ModelFiles("gguf", path)) is None


def test_a_gguf_file_that_was_cut_off_gives_no_digest_and_no_traceback(tmp_path):
    path = gguf(tmp_path / "m.gguf", [("a", 1), ("b", 1)])
    whole = path.read_bytes()
    for length in range(0, len(whole), 3):
        path.write_bytes(whole[:length])
        assert vocabulary_digest(ModelFiles("gguf", path)) is None


ASK = """
from pipeline.engines.local.address import ModelFiles
from pipeline.engines.local.vocabulary import vocabulary_digest
print(vocabulary_digest(ModelFiles("hub", hub_id="acme/tiny"), "{commit}"))
"""


def test_a_model_of_the_hub_is_looked_for_in_the_cache(tmp_path):
    pytest.importorskip("huggingface_hub")
    snapshot = tmp_path / "hub" / "models--acme--tiny" / "snapshots" / ("a" * 40)
    snapshot.mkdir(parents=True)
    found = digest(snapshot)

    def asked(commit):
        environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_CACHE": str(tmp_path / "hub")}
        command = [sys.executable, "-c", ASK.format(commit=commit)]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.strip()

    assert (asked("a" * 40), asked("b" * 40)) == (found, "None")


def test_a_server_tells_nothing_unless_a_folder_is_named(tmp_path):
    def engine(**scoring):
        return OpenAIEngine(OpenAIConfig(model="m", scoring={"method": "echo", **scoring}))

    known = digest(tmp_path)
    assert engine().tokenizer_digest is None and OpenAIEngine(OpenAIConfig(model="m")).tokenizer_digest is None
    assert engine(tokenizer=str(tmp_path)).tokenizer_digest == known


def test_local_engines_tell_that_of_their_models_folder(tmp_path):
    known = digest(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"")
    other = tmp_path / "other"
    other.mkdir()
    named = digest(other, WORDS | {"c": 3})
    here = str(tmp_path)
    assert TransformersEngine(TransformersConfig(model=here)).tokenizer_digest == known
    assert VllmEngine(VllmConfig(model=here)).tokenizer_digest == known
    assert VllmServerEngine(VllmServerConfig(model=here)).tokenizer_digest == known
    scoring = ScoringConfig(method="prompt_logprobs", tokenizer=str(other))
    assert VllmServerEngine(VllmServerConfig(model=here, scoring=scoring)).tokenizer_digest == named


def test_the_embedded_model_and_a_folder_written_from_it_agree(local, tmp_path):
    from transformers import AutoTokenizer

    files = resolve(SMOL, None)
    tokenizer = AutoTokenizer.from_pretrained(str(files.path.parent), gguf_file=files.path.name)
    tokenizer.save_pretrained(tmp_path)
    assert local.engine.tokenizer_digest == folder_vocabulary_digest(tmp_path) is not None
