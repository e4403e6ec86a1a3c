"""Turns conversations and responses into token ids, by the server's own route or by a local tokenizer.

Each model formats its own prompt. The ids that are scored are: prompt rendered up to the assistant's turn, then the
response tokenised without special tokens, then the end-of-turn token; nothing is decoded and encoded again
(`specs/methods_annotation.md`, B3).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from pipeline.engines.http.replies import bad, document
from pipeline.errors import EngineError, PrerequisiteError
from pipeline.types import Json, Message, ScoreRequest

Ids = list[int]

Post = Callable[[str, dict[str, Json], Callable[[bytes], Ids]], Awaitable[Ids]]
"""Posts to a route beside the base URL and reads the reply."""

_REMEMBERED_PROMPTS = 1024


class Tokenizer(Protocol):
    """What scoring needs of a tokenizer."""

    async def render(self, messages: Sequence[Message], generation_prompt: bool) -> Ids:
        """Apply the chat template; with `generation_prompt`, up to where the assistant's words begin."""

    async def encode(self, text: str) -> Ids:
        """Tokenise plain text, adding no special tokens."""


class ServerTokenizer:
    """vLLM's route `/tokenize`, which lies beside `/v1`."""

    def __init__(self, model: str, post: Post) -> None:
        self._model, self._post = model, post

    async def render(self, messages: Sequence[Message], generation_prompt: bool) -> Ids:
        """See `Tokenizer`."""
        body = {"model": self._model, "messages": list(messages), "add_generation_prompt": generation_prompt}
        return await self._post("/tokenize", body, _read_ids)

    async def encode(self, text: str) -> Ids:
        """See `Tokenizer`."""
        body = {"model": self._model, "prompt": text, "add_special_tokens": False}
        return await self._post("/tokenize", body, _read_ids)


def _read_ids(body: bytes) -> Ids:
    ids = document(body).get("tokens")
    if not isinstance(ids, list) or not all(type(i) is int for i in ids):
        raise bad("the reply has no list of token ids 'tokens'", body)
    return ids


class LocalTokenizer:
    """A tokenizer of `transformers` that `load_tokenizer` returned."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    async def render(self, messages: Sequence[Message], generation_prompt: bool) -> Ids:
        """See `Tokenizer`."""
        text = self._tokenizer.apply_chat_template(
            list(messages), add_generation_prompt=generation_prompt, tokenize=False
        )
        return await self.encode(text)

    async def encode(self, text: str) -> Ids:
        """See `Tokenizer`."""
        return list(self._tokenizer.encode(text, add_special_tokens=False))


def load_tokenizer(folder: Path) -> Any:
    """Load a tokenizer from a local folder; nothing is fetched and no code of the folder is run.

    Raises:
        PrerequisiteError: if `transformers` is missing or cannot read the folder.
    """
    try:
        from transformers import AutoTokenizer

        return AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    except (ImportError, OSError, ValueError, KeyError, TypeError) as error:
        raise PrerequisiteError(f"scoring.tokenizer: no tokenizer can be loaded from '{folder}': {error}") from error


class Spans:
    """Builds (prompt ids, scored ids) of a request; asks for the end-of-turn token once, remembers recent prompts."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self._tokenizer = tokenizer
        self._end_of_turn: int | None = None
        self._lock = asyncio.Lock()
        self._prompts: dict[tuple[tuple[str, str], ...] | str, Ids] = {}

    async def of(self, request: ScoreRequest) -> tuple[Ids, Ids]:
        """Return the ids before the response, and those of the response with the end-of-turn token if it counts."""
        prompt = await self._prompt(request)
        response = list(await self._tokenizer.encode(request.response)) if request.response else []
        if request.include_eos:
            response.append(await self._end())
        return prompt, response

    async def _prompt(self, request: ScoreRequest) -> Ids:
        key = request.prompt if request.messages is None else tuple((m["role"], m["content"]) for m in request.messages)
        assert key is not None
        ids = self._prompts.get(key)
        if ids is None:
            if request.messages is not None:
                ids = await self._tokenizer.render(request.messages, True)
            else:
                ids = await self._tokenizer.encode(request.prompt or "")
            if len(self._prompts) >= _REMEMBERED_PROMPTS:
                del self._prompts[next(iter(self._prompts))]
            self._prompts[key] = ids
        return ids

    async def _end(self) -> int:
        async with self._lock:
            if self._end_of_turn is None:
                self._end_of_turn = await self._find_end()
            return self._end_of_turn

    async def _find_end(self) -> int:
        """Return the first token that the chat template puts after two different answers to one question."""
        question: Message = {"role": "user", "content": "a"}
        before = await self._tokenizer.render([question], True)
        answers: list[Message] = [{"role": "assistant", "content": c} for c in "xy"]
        one, other = [await self._tokenizer.render([question, answer], False) for answer in answers]
        same = 0
        while same < min(len(one), len(other)) and one[-1 - same] == other[-1 - same]:
            same += 1
        if not 0 < same < len(one) - len(before) + 1 or one[: len(before)] != before:
            raise EngineError(
                "the chat template shows no end-of-turn token after an answer, or an answer does not "
                "begin where the prompt ends; score with include_eos: false, or with 'tokenizer: text'"
            )
        return one[-same]
