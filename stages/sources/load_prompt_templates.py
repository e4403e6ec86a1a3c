"""Bring the prompt templates and banks of exemplars that prefmill ships into a run, to be checked like data.

Exemplars, few-shot examples and rules in prompts can leak test items as training data can: three of the six chat
exemplars released with CDR (arXiv:2411.02481) repeat items of LLMBar. Templates of third parties are not read. What is
done with the rows is the recipe's business.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa

from pipeline.api import (
    MESSAGES,
    Json,
    PrerequisiteError,
    Prompt,
    Reject,
    Source,
    StageConfig,
    columns,
    shipped_banks,
    shipped_prompts,
)

_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")


class LoadPromptTemplatesConfig(StageConfig):
    """Options of `load_prompt_templates`."""

    paragraphs: bool = True
    """Also give each paragraph of a turn as a row, so that an exemplar inside a long turn stands by itself too."""
    stages: tuple[str, ...] = ()
    """Only the templates and banks of these stages; none named means all."""


class LoadPromptTemplates(Source):
    """Gives one row for each turn of each template, and one for each paragraph of a turn that has several.

    `template` is `<stage>/<name>.v<N>`, `role` the turn's, `turn` its number from 0, `paragraph` 0 for the whole turn,
    else the paragraph's number from 1; `text` is the source with its placeholders, `prompt` the same as one user turn.
    A record of a bank is a turn of role `exemplar`, each of its texts a paragraph. No row is rejected; an empty turn
    gives no row.
    """

    name: ClassVar[str] = "load_prompt_templates"
    version: ClassVar[int] = 2
    config_type: ClassVar[type[StageConfig]] = LoadPromptTemplatesConfig

    outputs = columns(template=str, role=str, turn=int, paragraph=int, text=str, prompt=MESSAGES)

    config: LoadPromptTemplatesConfig

    def partitions(self) -> Sequence[str]:
        """Return the one part."""
        return ["templates"]

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield one batch a template, in the order of their names."""
        for name, source in self._wanted().items():
            rows = _rows_of(name, source, self.config.paragraphs)
            if rows:
                yield pa.RecordBatch.from_pylist(rows, schema=self.outputs)

    def digest(self) -> Mapping[str, Json]:
        """Return the hash of each template and bank.

        Raises:
            PrerequisiteError: if a stage that the recipe names has no template.
        """
        return {name: _digest(source) for name, source in self._wanted().items()}

    def _wanted(self) -> dict[str, Prompt | str]:
        """Return templates and the text of banks, by name."""
        shipped: dict[str, Prompt | str] = {**shipped_prompts(), **shipped_banks()}
        owners = {name.split("/")[0] for name in shipped}
        for stage in self.config.stages:
            if stage not in owners:
                raise PrerequisiteError(
                    f"stage '{stage}' has no prompt template; those that have: {', '.join(sorted(owners))}"
                )
        return {
            n: s for n, s in sorted(shipped.items()) if not self.config.stages or n.split("/")[0] in self.config.stages
        }


def _rows_of(name: str, source: Prompt | str, paragraphs: bool) -> list[dict[str, Json]]:
    if isinstance(source, str):
        return bank_rows(name, source, paragraphs)
    return template_rows(name, source, paragraphs)


def template_rows(name: str, prompt: Prompt, paragraphs: bool) -> list[dict[str, Json]]:
    """Return the rows of one template: each turn, followed by its paragraphs if it has several and they are wanted."""
    rows = []
    for turn, (role, source) in enumerate(prompt.turns):
        parts = [p.strip() for p in _PARAGRAPH_END.split(source) if p.strip()]
        rows += _rows(name, role, turn, source.strip(), parts if paragraphs else [])
    return rows


def bank_rows(name: str, text: str, paragraphs: bool) -> list[dict[str, Json]]:
    """Return the rows of one bank (JSON Lines): each record's texts together, followed by each by itself if wanted."""
    rows = []
    for turn, line in enumerate(text.splitlines()):
        texts = [value for value in json.loads(line).values() if isinstance(value, str)]
        rows += _rows(name, "exemplar", turn, "\n\n".join(texts), texts if paragraphs else [])
    return rows


def _rows(name: str, role: str, turn: int, whole: str, parts: Sequence[str]) -> list[dict[str, Json]]:
    texts = [whole, *(parts if len(parts) > 1 else ())]
    return [
        {
            "template": name,
            "role": role,
            "turn": turn,
            "paragraph": paragraph,
            "text": text,
            "prompt": [{"role": "user", "content": text}],
        }
        for paragraph, text in enumerate(texts)
        if text
    ]


def _digest(source: Prompt | str) -> str:
    return source.digest if isinstance(source, Prompt) else hashlib.sha256(source.encode("utf-8")).hexdigest()
