"""How the recipe declares that a server can score a given text, and what of it identifies the result."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from pipeline.engines.local.vocabulary import folder_vocabulary_digest
from pipeline.errors import PrerequisiteError
from pipeline.types import ExecutionOnly, Json

_TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)


class ScoringConfig(BaseModel):
    """Options of scoring by a server.

    `method`: `echo` (the completions route gives the prompt back with its log-probabilities) or `prompt_logprobs`
    (vLLM's extension). `tokenizer`: `server` (vLLM's route `/tokenize`; token ids are sent), `text` (text is sent, made
    with `template`, and positions are found by character offset), or a local folder with a tokenizer (ids are sent).
    `template`: for `text` only; `chatml`, or `transcript`: turns named `User:` and `Assistant:`, no end token,
    for models and servers without special tokens.
    `echo_max_tokens`: tokens to generate beside the echo; some servers refuse 0.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    method: Literal["echo", "prompt_logprobs"]
    tokenizer: str = Field(default="server", min_length=1)
    template: Literal["chatml", "transcript"] | None = None
    echo_max_tokens: Annotated[int, ExecutionOnly()] = Field(default=0, ge=0, le=1)

    @model_validator(mode="after")
    def _fits(self) -> ScoringConfig:
        if (self.tokenizer == "text") != (self.template is not None):
            raise ValueError("scoring: 'template' belongs to 'tokenizer: text', and is needed there")
        if self.tokenizer == "text" and self.method != "echo":
            raise ValueError("scoring: 'method: prompt_logprobs' selects by token id; 'tokenizer: text' gives none")
        return self

    @property
    def folder(self) -> Path | None:
        """Return the tokenizer's folder if one is named."""
        return None if self.tokenizer in ("server", "text") else Path(self.tokenizer)

    def check(self) -> None:
        """Raise `PrerequisiteError` if a named folder or the package for it is missing."""
        if self.folder is None:
            return
        if self.tokenizer.startswith("package:"):
            raise PrerequisiteError(f"scoring.tokenizer '{self.tokenizer}': this engine takes a local folder only")
        if not any((self.folder / name).is_file() for name in _TOKENIZER_FILES):
            raise PrerequisiteError(f"scoring.tokenizer '{self.tokenizer}' is no folder with a tokenizer")
        from importlib.util import find_spec

        if find_spec("transformers") is None:
            raise PrerequisiteError(
                "scoring.tokenizer names a folder, which needs the extra 'local': pip install 'prefmill[local]'"
            )

    @property
    def tokenizer_digest(self) -> str | None:
        """Return the digest of the named folder's vocabulary; None if the server or its text makes the tokens."""
        return None if self.folder is None else folder_vocabulary_digest(self.folder)

    def identity(self) -> dict[str, Json]:
        """Return what changes the scores; a folder counts by the content of its files, not by its place."""
        tokenizer = self.tokenizer if self.folder is None else f"sha256:{_digest(self.folder)}"
        return {"method": self.method, "tokenizer": tokenizer, "template": self.template}


def _digest(folder: Path) -> str:
    digest = hashlib.sha256()
    for name in _TOKENIZER_FILES:
        path = folder / name
        if path.is_file():
            raw = path.read_bytes()
            digest.update(f"{name}\0{len(raw)}\0".encode() + raw)
    return digest.hexdigest()
