"""A prompt is scored after the BOS of its chat template, exactly one where the tokenizer would write another."""

import pytest

pytest.importorskip("transformers")

from tokenizers import Tokenizer, models, pre_tokenizers, processors  # noqa: E402
from transformers import PreTrainedTokenizerFast  # noqa: E402

from pipeline.engines.local.formatting import TextFormat  # noqa: E402

WORDS = ["<s>", "</s>", "<unk>", "user", "assistant", "hello", "hi"]
TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m.role }} {{ m.content }} </s> {% endfor %}"
    "{% if add_generation_prompt %}assistant {% endif %}"
)
QUESTION = [{"role": "user", "content": "hello"}]


def text_format(template=TEMPLATE):
    """A word tokenizer that puts a BOS in front of every text, as Llama's and Mistral's do."""
    core = Tokenizer(models.WordLevel({w: i for i, w in enumerate(WORDS)}, unk_token="<unk>"))
    core.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    tokenizer.chat_template = template
    return TextFormat(tokenizer)


def words(ids):
    return [WORDS[i] for i in ids]


def test_the_tokenizer_of_this_test_adds_a_second_bos_to_rendered_text():
    tokenizer = text_format()._tokenizer
    assert words(tokenizer("<s>hello").input_ids)[:2] == ["<s>", "<s>"]


def test_a_template_that_writes_a_bos_gets_no_second_one():
    assert words(text_format().prompt_ids(QUESTION, None)) == ["<s>", "user", "hello", "</s>", "assistant"]


def test_a_template_that_writes_none_is_followed_and_gets_none():
    ids = text_format(TEMPLATE.removeprefix("{{ bos_token }}")).prompt_ids(QUESTION, None)
    assert words(ids) == ["user", "hello", "</s>", "assistant"]


def test_raw_text_gets_the_one_that_the_tokenizer_adds():
    assert words(text_format().prompt_ids(None, "hello hi")) == ["<s>", "hello", "hi"]


def test_a_response_gets_none_and_one_end_token():
    assert words(text_format().response_ids("hi", chat=True, include_eos=True)) == ["hi", "</s>"]
    assert words(text_format().response_ids("hi", chat=True, include_eos=False)) == ["hi"]
