"""What the local engine needs, said without torch and without loading anything."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys

import pytest

from pipeline.engines.local.address import chat_template_digest, content_digest, resolve
from pipeline.engines.transformers import TransformersConfig, TransformersEngine
from pipeline.errors import EngineError, PrerequisiteError
from pipeline.types import GenRequest


def folder_with(tmp_path, *names: str):
    for name in names:
        (tmp_path / name).write_text("{}")
    return tmp_path


def test_importing_the_engine_does_not_import_torch():
    code = "import sys, pipeline.engines.transformers; print([m for m in ('torch', 'gguf') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_a_missing_package_says_what_to_install():
    with pytest.raises(PrerequisiteError, match="package 'no_such_model' is not installed"):
        resolve("package:no_such_model/x.gguf", None)


def test_a_hub_name_needs_a_commit():
    with pytest.raises(PrerequisiteError, match="40 hex digits"):
        resolve("owner/name", "main")
    assert resolve("owner/name", "0" * 40).hub_id == "owner/name"


def test_a_folder_of_pickled_weights_is_refused(tmp_path):
    folder = folder_with(tmp_path, "config.json", "pytorch_model.bin")
    with pytest.raises(PrerequisiteError, match="only safetensors and GGUF"):
        resolve(str(folder), None)


def test_a_path_out_of_the_package_is_refused():
    with pytest.raises(PrerequisiteError, match="expected 'package:"):
        resolve("package:json/../os.py", None)


def test_a_folder_revision_follows_its_content(tmp_path):
    files = resolve(str(folder_with(tmp_path, "config.json", "model.safetensors")), None)
    before = content_digest(files)
    (tmp_path / "notes.md").write_text("not part of the model")
    assert content_digest(files) == before
    (tmp_path / "model.safetensors").write_text("other")
    assert content_digest(files) != before


def test_a_revision_that_is_not_the_content_is_refused(tmp_path):
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    folder = folder_with(tmp_path, "config.json", "model.safetensors")
    engine = TransformersEngine(TransformersConfig(model=str(folder), revision="0" * 64))
    with pytest.raises(PrerequisiteError, match="other files than the recipe was made with"):
        engine.check()


def test_the_template_of_a_folder_is_read_from_either_file(tmp_path):
    folder = folder_with(tmp_path, "config.json", "model.safetensors")
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({"chat_template": "{{ a }}"}))
    files = resolve(str(folder), None)
    from_config = chat_template_digest(files)
    (tmp_path / "chat_template.jinja").write_text("{{ a }}")
    assert chat_template_digest(files) == from_config is not None


def test_identity_of_a_hub_model_reads_no_file():
    pytest.importorskip("transformers")
    identity = TransformersEngine(TransformersConfig(model="owner/name", revision="a" * 40)).identity()
    assert (identity["model"], identity["revision"]) == ("owner/name", "a" * 40)


def test_batch_settings_and_device_stay_out_of_the_fingerprint():
    config = TransformersConfig(model="m")
    other = TransformersConfig(model="m", device="cpu", batch_rows=1, batch_tokens=256, pass_tokens=64)
    assert config.fingerprint_fields() == other.fingerprint_fields()


def test_an_engine_that_was_not_opened_says_so():
    engine = TransformersEngine(TransformersConfig(model="m"))
    with pytest.raises(EngineError, match="before it was opened"):
        asyncio.run(engine.generate(GenRequest(prompt="a")))


def test_closing_without_opening_is_safe():
    engine = TransformersEngine(TransformersConfig(model="m"))
    asyncio.run(engine.close())
    asyncio.run(engine.close())
