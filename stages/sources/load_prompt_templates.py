"""Bring the prompt templates that prefmill ships into a run, to be checked like data.

Exemplars, few-shot examples and rules in prompts can leak test items as training data can: three of the six chat
exemplars released with CDR (arXiv:2411.02481) repeat items of LLMBar. Templates of third parties are not read. What is
done with the rows is the recipe's business.
"""

from __future__ import annotations

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
    shipped_prompts,
)

_PARAGRAPH_END = re.compile(r"\n[ \t]*\n")


class LoadPromptTemplatesConfig(StageConfig):
    """Options of `load_prompt_templates`."""

    paragraphs: bool = True
    """Also give each paragraph of a turn as a row, so that an exemplar inside a long turn stands by itself too."""
    stages: tuple[str, ...] = ()
    """Only the templates of these stages; none named means all."""


class LoadPromptTemplates(Source):
    """Gives one row for each turn of each template, and one for each paragraph of a turn that has several.

    `template` is `<stage>/<name>.v<N>`, `role` the turn's, `turn` its number from 0, `paragraph` 0 for the whole turn,
    else the paragraph's number from 1; `text` is the source with its placeholders, `prompt` the same as one user turn.
    No row is rejected; an empty turn gives no row.
    """

    name: ClassVar[str] = "load_prompt_templates"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LoadPromptTemplatesConfig

    outputs = columns(template=str, role=str, turn=int, paragraph=int, text=str, prompt=MESSAGES)

    config: LoadPromptTemplatesConfig

    def partitions(self) -> Sequence[str]:
        """Return the one part."""
        return ["templates"]

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield one batch a template, in the order of their names."""
        for name, prompt in self._wanted().items():
            rows = template_rows(name, prompt, self.config.paragraphs)
            if rows:
                yield pa.RecordBatch.from_pylist(rows, schema=self.outputs)

    def digest(self) -> Mapping[str, Json]:
        """Return the hash of each template.

        Raises:
            PrerequisiteError: if a stage that the recipe names has no template.
        """
        return {name: prompt.digest for name, prompt in self._wanted().items()}

    def _wanted(self) -> dict[str, Prompt]:
        shipped = shipped_prompts()
        owners = {name.split("/")[0] for name in shipped}
        for stage in self.config.stages:
            if stage not in owners:
                raise PrerequisiteError(
                    f"stage '{stage}' has no prompt template; those that have: {', '.join(sorted(owners))}"
                )
        return {n: p for n, p in shipped.items() if not self.config.stages or n.split("/")[0] in self.config.stages}


def template_rows(name: str, prompt: Prompt, paragraphs: bool) -> list[dict[str, Json]]:
    """Return the rows of one template: each turn, followed by its paragraphs if it has several and they are wanted."""
    rows = []
    for turn, (role, source) in enumerate(prompt.turns):
        parts = [p.strip() for p in _PARAGRAPH_END.split(source) if p.strip()]
        texts = [source.strip(), *parts] if paragraphs and len(parts) > 1 else [source.strip()]
        for paragraph, text in enumerate(texts):
            if text:
                said = [{"role": "user", "content": text}]
                where = {"template": name, "role": role, "turn": turn, "paragraph": paragraph}
                rows.append({**where, "text": text, "prompt": said})
    return rows
