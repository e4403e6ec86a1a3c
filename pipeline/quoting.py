"""Put text of strangers into a prompt so that a model can tell it from instructions.

Documents and replies of models are data. `quote` sets them between two lines that carry a nonce: 16 hex digits from a
seed, a label and the text itself. A text cannot hold its own nonce, since a change of the text changes the nonce, so it
cannot close its own quotation even if the recipe and its seed are known. What looks like a control token of a chat
template (`<|im_start|>`, `[INST]`, `</s>`) is set apart by a word joiner (U+2060, no width), so that it stays plain
text in every tokenizer, also behind a server whose tokenizer we do not see. Nothing else of the text is changed.

It does not judge what a text says: `suspicious` is only the count of control tokens and of lines that pretend to be
such a delimiter.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass

_JOINER = "\u2060"
"""WORD JOINER: no width, no line break, no letter; parts a control token without changing what is read."""
_CONTROL = re.compile(
    r"<\|[^|<>\n]{1,60}\|>"
    r"|<\uff5c[^\uff5c<>\n]{1,60}\uff5c>"
    r"|\[/?INST\]|<</?SYS>>|</?s>|<(?:start|end)_of_turn>|<(?:bos|eos|pad|unk|mask)>"
    r"|<(?:bos|eos|pad|unk)_token>|</?(?:think|tools|tool_call|tool_response)>|<(?:start|end)_of_image>"
    r"|<(?:repo_?name|file_?name|file_sep|gh_stars|issue_(?:start|comment|closed)|jupyter_[a-z_]{1,20}|empty_output)>"
    r"|<(?:commit_(?:before|msg|after)|fim[_-](?:prefix|middle|suffix|pad)|(?:extra_id_|unused|reserved_)[0-9]{1,5})>"
    r"|\[/?(?:AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS|SYSTEM_PROMPT|THINK|TOOL_CONTENT)\]"
    r"|\[(?-i:CLS|SEP|PAD|UNK|MASK|gMASK|IMG|IMG_BREAK|IMG_END|ARGS|CALL_ID|PREFIX|MIDDLE|SUFFIX)\]",
    re.IGNORECASE,
)
_DELIMITER = re.compile(r"^[ \t]*(?:BEGIN|END) [A-Z]{1,40} [0-9a-f]{16}[ \t]*$", re.MULTILINE)
_LABEL = re.compile(r"[A-Z]{1,40}")


@dataclass(frozen=True, slots=True)
class Quoted:
    """A quoted text.

    Attributes:
        text: the two delimiter lines with the text between them; what a template puts in.
        opening: the first delimiter line, to be named in the instruction.
        closing: the last one.
        suspicious: how many control tokens and forged delimiter lines the text holds.
    """

    text: str
    opening: str
    closing: str
    suspicious: int


def quote(label: str, text: str, seed: int) -> Quoted:
    """Quote a text of a stranger.

    Args:
        label: what it is, in capitals, such as `DOCUMENT`.
        text: the text; goes in unchanged but for control tokens, which are set apart.
        seed: from `StageContext.seed` of the row, so that a resumed run quotes alike.

    Raises:
        ValueError: if the label is not 1 to 40 capital letters.
    """
    if not _LABEL.fullmatch(label):
        raise ValueError(f"label {label!r}: expected 1 to 40 capital letters")
    nonce = hashlib.blake2b(f"{seed}\0{label}\0{text}".encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    opening, closing = f"BEGIN {label} {nonce}", f"END {label} {nonce}"
    plain, control = _CONTROL.subn(_set_apart, text)
    forged = len(_DELIMITER.findall(text))
    return Quoted(f"{opening}\n{plain}\n{closing}", opening, closing, control + forged)


def _set_apart(found: re.Match[str]) -> str:
    token = found[0]
    return token[0] + _JOINER + token[1:]
