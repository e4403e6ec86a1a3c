"""Pooling models made from the embedded one: embedding, classes and reward equal a plain pass of transformers."""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

import pytest

from pipeline.engines.local.address import content_digest, resolve
from pipeline.engines.local.folders import written_folder
from pipeline.engines.vllm.config import VllmConfig
from pipeline.engines.vllm.engine import VllmEngine
from pipeline.errors import RowError
from pipeline.types import PoolRequest, messages_of
from tests.vllm.conftest import MODEL

CONVERSATIONS = [
    messages_of([{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": answer}])
    for answer in ("The Danube.", "I do not know any rivers, sorry.")
]


def base_folder():
    files = resolve(MODEL, None)
    return written_folder(files, "float32", None, content_digest(files))


def classifier(place: Path, labels: int) -> Path:
    """Write the embedded model with a random, seeded head of `labels` scores."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(7)
    model = AutoModelForSequenceClassification.from_pretrained(base_folder(), num_labels=labels, dtype=torch.float32)
    with torch.no_grad():
        model.score.weight.normal_(0, 0.5)
    model.save_pretrained(place)
    for file in Path(base_folder()).glob("*token*"):
        shutil.copy(file, place)
    for file in Path(base_folder()).glob("chat_template*"):
        shutil.copy(file, place)
    return place


def plain_pass(folder, cls):
    """Return what transformers computes for the conversations."""
    import torch
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = cls.from_pretrained(folder, dtype=torch.float32).eval()
    out = []
    for messages in CONVERSATIONS:
        text = tokenizer.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=False)
        ids = tokenizer(text, add_special_tokens=False, return_tensors="pt").input_ids
        with torch.no_grad():
            out.append(model(input_ids=ids))
    return out


def pooled(loop, folder, task):
    async def work():
        one = VllmEngine(VllmConfig(model=str(folder), task=task, dtype="float32", eager=True, max_context=512))
        await one.open()
        try:
            asked = [one.pool(PoolRequest(task, m)) for m in CONVERSATIONS]
            too_long = one.pool(PoolRequest(task, text="word " * 900))
            return await asyncio.gather(*asked, too_long, return_exceptions=True)
        finally:
            await one.close()

    *vectors, refused = loop.run(work())
    assert isinstance(refused, RowError) and refused.code == "engine.context_exceeded"
    return [v.values for v in vectors]


@pytest.mark.parametrize(("task", "labels"), [("reward", 1), ("classify", 3)])
def test_scores_of_a_sequence_classifier_equal_a_plain_pass(loop, tmp_path, task, labels):
    from transformers import AutoModelForSequenceClassification

    folder = classifier(tmp_path, labels)
    logits = [o.logits[0] for o in plain_pass(folder, AutoModelForSequenceClassification)]
    expected = [v.softmax(-1) if task == "classify" else v for v in logits]
    for ours, theirs in zip(pooled(loop, folder, task), expected, strict=True):
        assert ours == pytest.approx(theirs.tolist(), abs=2e-3)


def test_an_embedding_has_unit_length_and_is_that_of_the_last_token(loop):
    from transformers import AutoModel

    states = [o.last_hidden_state[0, -1] for o in plain_pass(base_folder(), AutoModel)]
    for ours, theirs in zip(pooled(loop, base_folder(), "embed"), states, strict=True):
        assert sum(v * v for v in ours) == pytest.approx(1.0, abs=1e-3)
        assert ours == pytest.approx((theirs / theirs.norm()).tolist(), abs=2e-3)
