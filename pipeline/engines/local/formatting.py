"""Turn chats, raw prompts and responses into token ids, and say which ids end a turn.

Follows methods_annotation.md B3: ids of the prompt come from the model's own chat template, encoded without adding
special tokens (so no second BOS), the response is encoded on its own and appended, so the prompt is a prefix by
construction. Control tokens come from the template only: a string such as <|im_end|> inside a message, a raw
prompt or a response is encoded as plain text. It knows the tokenizer, not the model.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from pipeline.engines.local.runtime import Ids
from pipeline.errors import EngineError, RowError
from pipeline.types import Message

_MARK = "\ue000{}\ue001"
_MARKS = re.compile("\ue000([0-9]+)\ue001")
_PROBE: tuple[Message, ...] = ({"role": "user", "content": "Question"},)
_PROBE_ANSWER = "Answer"


class TextFormat:
    """Encodes and decodes for one tokenizer; used from one thread at a time.

    Attributes:
        end_of_turn: id of the token that the chat template writes after an assistant's turn; the tokenizer's EOS
            if there is no template or it writes none; None if there is neither.
        eos: the tokenizer's EOS id, which ends raw text; `end_of_turn` if it has none.
    """

    def __init__(self, tokenizer: Any) -> None:
        """Look at the tokenizer's special tokens and chat template."""
        self._tokenizer = tokenizer
        special = {t.content for t in tokenizer.added_tokens_decoder.values() if t.special}
        special |= set(tokenizer.all_special_tokens)
        ordered = sorted(special - {""}, key=len, reverse=True)
        self._special = re.compile("|".join(re.escape(s) for s in ordered)) if ordered else re.compile(r"(?!)")
        self._raw_start = self._ids_before_raw_text()
        self._turn_follows = True
        self.end_of_turn: int | None = self._find_end_of_turn()
        self.eos: int | None = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else self.end_of_turn

    def prompt_ids(self, messages: Sequence[Message] | None, prompt: str | None) -> Ids:
        """Return the ids of a chat up to where the assistant speaks, or of raw text.

        Raises:
            EngineError: if messages are given and the model has no chat template.
            RowError: `engine.template_refused`, `engine.empty_prompt`.
        """
        if messages is not None:
            return self._chat_ids(messages)
        ids = self._raw_start + self.plain_ids(prompt or "")
        if ids:
            return ids
        start = next((i for i in (self._tokenizer.bos_token_id, self.eos) if i is not None), None)
        if start is None:
            raise RowError("engine.empty_prompt", "the prompt has no tokens and the tokenizer has no BOS or EOS token")
        return (start,)

    def response_ids(self, response: str, chat: bool, include_eos: bool) -> Ids:
        """Return the ids of a response, with one end token appended if asked.

        Raises:
            EngineError: if an end token is asked for and the tokenizer has none, or if the chat template does not
                continue its own generation prompt.
        """
        if chat and not self._turn_follows:
            raise EngineError(
                "the chat template renders an assistant's turn that does not begin with its own generation prompt; "
                "scores would be of text that the model never sees. Score with a raw 'prompt'"
            )
        ids = self.plain_ids(response)
        if not include_eos:
            return ids
        end = self.end_of_turn if chat else self.eos
        if end is None:
            raise EngineError("include_eos: the tokenizer has no EOS token; set include_eos: false")
        return (*ids, end)

    def pooled_ids(self, messages: Sequence[Message] | None, text: str | None) -> Ids:
        """Return the ids of a whole conversation, or of a text with the tokens that the tokenizer puts around it.

        Raises:
            EngineError: if messages are given and the model has no chat template.
            RowError: `engine.template_refused`.
        """
        if messages is not None:
            return self._chat_ids(messages, add_generation_prompt=False)
        return tuple(self._tokenizer(text or "", add_special_tokens=True, split_special_tokens=True).input_ids)

    def scores_as(self, text: str, tokens: Sequence[int], chat: bool) -> bool:
        """Return whether scoring `text`, end token included, would run over exactly these sampled tokens.

        False where the text encodes to other tokens (about one sample in seven at temperature 1), where it was cut by
        a limit or a stop string, and where it ended with another token than the one that scoring appends.
        """
        end = self.end_of_turn if chat else self.eos
        if end is None or not tokens or tokens[-1] != end or (chat and not self._turn_follows):
            return False
        return self.response_ids(text, chat, include_eos=True) == tuple(tokens)

    def plain_ids(self, text: str) -> Ids:
        """Encode text in which no string is a control token."""
        return tuple(self._tokenizer(text, add_special_tokens=False, split_special_tokens=True).input_ids)

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids, special tokens left out."""
        text: str = self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
        return text

    def _chat_ids(self, messages: Sequence[Message], add_generation_prompt: bool = True) -> Ids:
        if not self._tokenizer.chat_template:
            raise EngineError("the model has no chat template: it is a base model; give requests a raw 'prompt'")
        forged = {i for i, m in enumerate(messages) if self._special.search(m["content"])}
        marked: list[Message] = [
            {"role": m["role"], "content": _MARK.format(i) if i in forged else m["content"]}
            for i, m in enumerate(messages)
        ]
        rendered = self._render(marked, add_generation_prompt=add_generation_prompt)
        if not forged:
            return tuple(self._tokenizer(rendered, add_special_tokens=False).input_ids)
        return self._encode_marked(rendered, {str(i): messages[i]["content"] for i in forged})

    def _encode_marked(self, rendered: str, contents: Mapping[str, str]) -> Ids:
        """Encode a render whose genuine control tokens are those outside the marks, then fill the marks."""
        ids: list[int] = []
        at = 0
        for found in self._special.finditer(rendered):
            ids += self._filled_ids(rendered[at : found.start()], contents)
            ids.append(self._tokenizer.convert_tokens_to_ids(found[0]))
            at = found.end()
        ids += self._filled_ids(rendered[at:], contents)
        return tuple(ids)

    def _filled_ids(self, text: str, contents: Mapping[str, str]) -> Ids:
        filled = _MARKS.sub(lambda m: contents.get(m[1], m[0]), text)
        return self.plain_ids(filled) if filled else ()

    def _render(self, messages: Sequence[Message], add_generation_prompt: bool) -> str:
        from jinja2 import TemplateError

        try:
            text: str = self._tokenizer.apply_chat_template(
                [dict(m) for m in messages], tokenize=False, add_generation_prompt=add_generation_prompt
            )
        except (TemplateError, TypeError, KeyError) as error:
            roles = ", ".join(m["role"] for m in messages)
            raise RowError("engine.template_refused", f"the chat template refused turns [{roles}]: {error}") from error
        return text

    def _ids_before_raw_text(self) -> Ids:
        """Return what the tokenizer itself puts before raw text, usually nothing or one BOS."""
        plain = self.plain_ids("a")
        full = tuple(self._tokenizer("a", add_special_tokens=True).input_ids)
        at = next((i for i in range(len(full)) if full[i : i + len(plain)] == plain), 0)
        return full[:at]

    def _find_end_of_turn(self) -> int | None:
        eos: int | None = self._tokenizer.eos_token_id
        if not self._tokenizer.chat_template:
            return eos
        try:
            prompt = self._render(_PROBE, add_generation_prompt=True)
            whole = self._render((*_PROBE, {"role": "assistant", "content": _PROBE_ANSWER}), False)
        except RowError:
            return eos
        self._turn_follows = whole.startswith(prompt)
        found = self._special.search(whole, whole.rfind(_PROBE_ANSWER))
        return eos if found is None else int(self._tokenizer.convert_tokens_to_ids(found[0]))
