"""What identifies the tokenizer of a model without loading it: the ordinary tokens of its vocabulary and their ids.

Two models whose digests are equal cut a response into the same tokens, so their averages per token compare
(methods_annotation.md B3). Control tokens are left out: a chat model that added `<|im_start|>` to its parent's
vocabulary still cuts ordinary text as its parent does, and no text of ours is encoded into control tokens. Rules for
splitting before the vocabulary is used are not looked at; files that keep the vocabulary in another form than
`tokenizer.json` or GGUF give no digest.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from pipeline.engines.local.address import ModelFiles
from pipeline.engines.local.gguf_header import read_vocabulary
from pipeline.types import Json

_FILE = "tokenizer.json"
_ORDINARY = (1, 4, 6)
"""GGUF types of tokens that ordinary text can become: normal, user-defined, byte."""


def vocabulary_digest(files: ModelFiles, revision: str | None = None) -> str | None:
    """Return the digest of a model's vocabulary, 64 hex digits; None if no file here tells it.

    Args:
        files: the model's files; a model of the hub is looked for in the hub's cache.
        revision: the commit of a model of the hub.
    """
    if files.kind == "gguf":
        assert files.path is not None
        try:
            tokens = read_vocabulary(files.path)
        except (struct.error, ValueError):  # cut off; what is wrong with it is said where it is loaded
            tokens = None
        return (
            None if tokens is None else _digest((i, text) for i, (text, kind) in enumerate(tokens) if kind in _ORDINARY)
        )
    folder = files.path if files.hub_id is None else _cached(files.hub_id, revision)
    return None if folder is None else folder_vocabulary_digest(folder)


def folder_vocabulary_digest(folder: Path) -> str | None:
    """Return the digest of the vocabulary in a folder's `tokenizer.json`; None if it has none that can be read."""
    try:
        tokens = _ordinary_tokens(json.loads((folder / _FILE).read_bytes()))
        return _digest((i, text.encode("utf-8", "surrogatepass")) for text, i in tokens.items())
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError, struct.error):
        return None


def _ordinary_tokens(value: Any) -> dict[str, int]:
    """Return the ordinary tokens of a parsed `tokenizer.json`, with their ids."""
    vocabulary: Json = value["model"]["vocab"]
    if isinstance(vocabulary, list):  # Unigram: pieces with scores, the place is the id
        vocabulary = {piece[0]: i for i, piece in enumerate(vocabulary)}
    added = {token["content"]: token for token in value.get("added_tokens") or []}
    ordinary = {text: int(i) for text, i in vocabulary.items() if text not in added}
    return ordinary | {text: int(t["id"]) for text, t in added.items() if not t["special"]}


def _digest(tokens: Iterable[tuple[int, bytes]]) -> str:
    total = hashlib.sha256()
    for i, text in sorted(tokens):
        total.update(struct.pack("<QQ", i, len(text)) + text)
    return total.hexdigest()


def _cached(hub_id: str, revision: str | None) -> Path | None:
    """Return the folder of the hub's cache that holds the model's `tokenizer.json`; nothing is fetched."""
    if importlib.util.find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    found = try_to_load_from_cache(hub_id, _FILE, revision=revision)
    return Path(found).parent if isinstance(found, str) else None
