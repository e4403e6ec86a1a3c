"""What the classifier engine needs and refuses, mostly said without torch and without loading anything."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipeline.engines.classifier import ClassifierConfig, ClassifierEngine
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine
from pipeline.errors import EngineError, PrerequisiteError
from pipeline.types import CLASSIFY, EMBED, REWARD, PoolRequest, messages_of
from tests.unit.engines.test_classifier import chat, pooled
from tests.unit.engines.tiny_models import SMALL, byte_tokenizer, debertas, decoder, encoder, save, seeded

ROOT = Path(__file__).resolve().parents[3]


def engine(**options):
    return ClassifierEngine(ClassifierConfig(**{"model": "owner/name", "revision": "a" * 40, **options}))


def test_importing_the_engine_does_not_import_torch():
    code = "import sys, pipeline.engines.classifier; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_it_offers_what_its_options_make_it():
    ranker = {"layout": "pairrm"}
    assert engine().capabilities() == {REWARD, CLASSIFY}
    assert engine(task="embed").capabilities() == {EMBED} and engine(pair_ranker=ranker).capabilities() == {CLASSIFY}


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"pooling": "last"}, "pooling goes with task: embed"),
        ({"task": "embed", "pair_ranker": {"layout": "pairrm"}}, "pair_ranker goes with task: score"),
        ({"pair_ranker": {"layout": "template"}}, "given with layout: template"),
        ({"pair_ranker": {"layout": "pairrm", "template": "{prompt}{first}{second}"}}, "given with layout: template"),
        ({"pair_ranker": {"layout": "template", "template": "{first} {second}"}}, "must hold {prompt}"),
        ({"pair_ranker": {"layout": "pairrm", "label": 1}}, "has one value"),
    ],
)
def test_options_that_do_not_belong_together_are_refused(options, told):
    with pytest.raises(ValidationError, match=told):
        engine(**options)


def test_speed_and_device_stay_out_of_the_fingerprint_and_all_else_changes_the_identity():
    base = {"model": "owner/name", "revision": "a" * 40}
    same = ClassifierConfig(**base, device="cpu", pass_tokens=64)
    assert same.fingerprint_fields() == ClassifierConfig(**base).fingerprint_fields()
    others = [{"dtype": "float32"}, {"max_context": 64}, {"task": "embed"}, {"task": "embed", "pooling": "last"}]
    others += [{"revision": "b" * 40}, {"pair_ranker": {"layout": "pairrm"}}, {}]
    assert len({engine(**o).identity_digest for o in others}) == len(others)


def test_the_content_of_a_folder_is_its_revision_and_another_one_is_refused(tmp_path):
    folder = decoder(tmp_path)
    plain = ClassifierEngine(ClassifierConfig(model=folder))
    plain.check()
    assert len(plain.identity()["revision"]) == 64 and plain.identity()["chat_template"]
    assert [m.model for m in plain.models()] == [folder]
    with pytest.raises(PrerequisiteError, match="other files than the recipe was made with"):
        ClassifierEngine(ClassifierConfig(model=folder, revision="0" * 64)).check()


def test_a_gguf_file_is_refused(tmp_path):
    (tmp_path / "model.gguf").write_bytes(b"GGUF")
    with pytest.raises(PrerequisiteError, match="holds no classifier"):
        ClassifierEngine(ClassifierConfig(model=str(tmp_path / "model.gguf"))).check()


def test_weights_that_the_files_lack_are_refused_and_never_drawn_at_random(tmp_path):
    folder = encoder(tmp_path, "Model")
    with pytest.raises(EngineError, match="no weights for classifier.bias, classifier.weight"):
        pooled(folder, PoolRequest("reward", text="Yes."))


def test_a_model_without_a_chat_template_says_so(tmp_path):
    with pytest.raises(EngineError, match="no chat template"):
        pooled(encoder(tmp_path), PoolRequest("reward", chat("Yes.")))


def test_more_context_than_the_model_has_is_refused(tmp_path):
    with pytest.raises(PrerequisiteError, match="more than the model's 256 tokens"):
        pooled(decoder(tmp_path), PoolRequest("reward", chat("Yes.")), max_context=300)


def test_a_model_of_robertas_kind_has_fewer_positions_than_it_lists(tmp_path):
    from transformers import RobertaConfig, RobertaForSequenceClassification

    tokenizer = byte_tokenizer(
        ["<s>", "<pad>", "</s>", "<unk>"], (), ("<s>", "</s>"), bos_token="<s>", pad_token="<pad>"
    )
    settings = {"vocab_size": len(tokenizer), "num_labels": 1, "max_position_embeddings": 66, "type_vocab_size": 1}
    model = RobertaForSequenceClassification(RobertaConfig(**SMALL, **settings, pad_token_id=1))
    folder = save(tmp_path, seeded(model), tokenizer)
    assert pooled(folder, PoolRequest("reward", text="a" * 62))[0].tokens == 64
    with pytest.raises(Exception, match="exceeds the context of 64"):
        pooled(folder, PoolRequest("reward", text="a" * 63))


def test_a_model_with_relative_positions_needs_a_context(tmp_path):
    config_type, model_type = debertas("DebertaV2ForSequenceClassification")
    tokenizer = byte_tokenizer(["[PAD]", "[CLS]", "[SEP]"], (), ("[CLS]", "[SEP]"), pad_token="[PAD]")
    relative = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c"], "num_labels": 1}
    config = config_type(**SMALL, **relative, vocab_size=len(tokenizer), max_position_embeddings=64)
    folder = save(tmp_path, seeded(model_type(config)), tokenizer)
    with pytest.raises(EngineError, match="set max_context"):
        pooled(folder, PoolRequest("reward", text="Yes."))
    [result] = pooled(folder, PoolRequest("reward", text="a" * 100), max_context=128)
    assert result.tokens == 102


def test_files_that_cannot_be_read_are_told_by_name(tmp_path):
    folder = decoder(tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "no such kind"}')
    with pytest.raises(EngineError, match="cannot be loaded"):
        pooled(folder, PoolRequest("reward", chat("Yes.")))
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(PrerequisiteError, match="cannot be loaded"):
        pooled(folder, PoolRequest("reward", chat("Yes.")))


def test_a_request_that_makes_no_sense_is_refused_when_it_is_made():
    with pytest.raises(ValueError, match="'text_pair' goes with 'text'"):
        PoolRequest("reward", messages_of("Hi"), text_pair="x")
    with pytest.raises(ValueError, match="'candidates' are responses to 'messages'"):
        PoolRequest("classify", text="x", candidates=("a", "b"))


def test_fields_that_came_later_appear_in_a_journal_only_where_set():
    assert PoolRequest("embed", text="x").to_json() == {"task": "embed", "messages": None, "text": "x"}
    assert PoolRequest("reward", text="x", text_pair="y").to_json()["text_pair"] == "y"
    assert PoolRequest("classify", messages_of("Hi"), candidates=("a", "b")).to_json()["candidates"] == ["a", "b"]


IN_ANOTHER_PROCESS = """
import sys
from pipeline.types import PoolRequest
from tests.unit.engines.test_classifier import chat, pooled
[result] = pooled("owner/name", PoolRequest("reward", chat("Yes.")), revision="a" * 40)
print(*result.values)
"""


def test_a_model_of_the_hub_is_read_from_its_cache_at_the_pinned_commit(tmp_path):
    folder = decoder(tmp_path / "hub/models--owner--name/snapshots" / ("a" * 40))
    [here] = pooled(folder, PoolRequest("reward", chat("Yes.")))
    environment = os.environ | {"HF_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-W", "ignore", "-c", IN_ANOTHER_PROCESS]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == pytest.approx(here.values[0], abs=1e-6)


@pytest.mark.parametrize(
    "asked",
    [PoolRequest("reward", text="a", text_pair="b"), PoolRequest("reward", messages_of("Hi"), candidates=("a", "b"))],
)
def test_vllm_names_this_engine_where_it_is_asked_for_a_pair(asked):
    one = VllmEngine(VllmConfig(model="m", task="reward"))
    with pytest.raises(EngineError, match="bind an engine of kind 'classifier'"):
        asyncio.run(one.pool(asked))
