"""Tiny pooling models with random, seeded weights and byte-level tokenizers, written to a folder as safetensors."""

from __future__ import annotations

from pipeline.engines.local.quiet import quiet_transformers

TURNS = "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>{% endfor %}"
SMALL = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2}


def byte_tokenizer(special, ordinary=(), around=None, **names):
    """Return a tokenizer of single bytes; `around` are the tokens that it puts around one text and between two."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    raw = Tokenizer(models.BPE(vocab={t: i for i, t in enumerate([*special, *letters])}, merges=[]))
    raw.pre_tokenizer, raw.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    raw.add_special_tokens(list(special))
    raw.add_tokens([AddedToken(t, normalized=True, special=False) for t in ordinary])
    if around is not None:
        start, end = around
        ids = [(t, raw.token_to_id(t)) for t in around if t]
        raw.post_processor = processors.TemplateProcessing(
            single=[start, "$A:0", *([end] if end else [])],
            pair=[start, "$A:0", *([end] if end else []), "$B:1", *([f"{end}:1"] if end else [])],
            special_tokens=ids,
        )
    return PreTrainedTokenizerFast(tokenizer_object=raw, **names)


def save(folder, model, tokenizer):
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


def seeded(model, scale=0.3):
    """Fill all weights with reproducible numbers that are large enough to make scores differ."""
    import torch

    draw = torch.Generator().manual_seed(11)
    with torch.no_grad():
        for name, weight in sorted(model.named_parameters()):
            if "norm" not in name.lower():
                weight.copy_(torch.randn(weight.shape, generator=draw) * scale)
    return model.eval()


def decoder(folder, labels=1, template=TURNS, pad="<pad>", around=("<s>", ""), **config):
    """Write a sequence classifier of Llama's kind; `pad` may be a token that conversations hold, or None."""
    from transformers import LlamaConfig, LlamaForSequenceClassification

    special = ["<s>", "<|im_start|>", "<|im_end|>", "<pad>"]
    tokenizer = byte_tokenizer(special, around=around, bos_token="<s>", eos_token="<|im_end|>", pad_token=pad)
    tokenizer.chat_template = template
    settings = {"num_labels": labels, "vocab_size": len(tokenizer), "pad_token_id": tokenizer.pad_token_id}
    settings |= {"max_position_embeddings": 256, "bos_token_id": 0, "eos_token_id": 2, "dtype": "float32"}
    return save(folder, seeded(LlamaForSequenceClassification(LlamaConfig(**SMALL, **settings | config))), tokenizer)


def encoder(folder, kind="ForSequenceClassification", labels=1, around=("[CLS]", "[SEP]"), **config):
    """Write a model of BERT's kind."""
    import transformers

    special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    tokenizer = byte_tokenizer(special, around=around, model_input_names=SEGMENTS, **names)
    settings = {"num_labels": labels, "vocab_size": len(tokenizer), "max_position_embeddings": 128, "pad_token_id": 0}
    made = getattr(transformers, f"Bert{kind}")(transformers.BertConfig(**SMALL, **settings | config))
    return save(folder, seeded(made), tokenizer)


def debertas(kind):
    """Return configuration and model class of DeBERTa-v2, whose import warns."""
    with quiet_transformers():
        import transformers

        return transformers.DebertaV2Config, getattr(transformers, kind)


SEGMENTS = ["input_ids", "token_type_ids", "attention_mask"]
MARKERS = ("<|source|>", "<|candidate1|>", "<|candidate2|>")


def pair_ranker(folder, ordinary=MARKERS, special=()):
    """Write a model in the layout of PairRM-hf: weights under `pretrained_model`, and a head of two layers."""
    import torch
    from safetensors.torch import load_file, save_file

    config_type, model_type = debertas("DebertaV2Model")
    known = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]", *special]
    names = {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "unk_token": "[UNK]"}
    tokenizer = byte_tokenizer(known, ordinary, ("[CLS]", "[SEP]"), **names)
    settings = {"relative_attention": True, "position_biased_input": False, "pos_att_type": ["p2c", "c2p"]}
    config = config_type(**SMALL, vocab_size=len(tokenizer), max_position_embeddings=64, type_vocab_size=0, **settings)
    save(folder, seeded(model_type(config)), tokenizer)
    draw = torch.Generator().manual_seed(3)
    shapes = {"1.weight": (16, 32), "1.bias": (16,), "4.weight": (1, 16), "4.bias": (1,)}
    head = {f"head_layer.{n}": torch.randn(s, generator=draw) for n, s in shapes.items()}
    body = load_file(folder / "model.safetensors")
    renamed = {f"pretrained_model.{name}": weight for name, weight in body.items()}
    save_file({**renamed, **head}, folder / "model.safetensors", metadata={"format": "pt"})
    return str(folder)
