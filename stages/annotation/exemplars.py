"""Banks of exemplars: questions with a good and a bad answer, by domain, read from JSON Lines and drawn by a seed.

Paper: CDR / Dr.SoW, arXiv:2411.02481 (one exemplar of the domain, drawn for each prompt). Half of the chat exemplars
released with it repeat items of LLMBar, so a bank is to be checked like data (`load_prompt_templates`,
`decontaminate`). Knows nothing of prompts.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pipeline.api import PrerequisiteError
from stages.annotation.domains import Domain


class Exemplar(BaseModel):
    """One record of a bank."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(min_length=1)
    domain: Domain
    question: str = Field(min_length=1)
    good: str = Field(min_length=1)
    bad: str = Field(min_length=1)
    explanation: str | None = None


def read_exemplars(text: str, where: str, needed: Sequence[Domain]) -> dict[Domain, tuple[Exemplar, ...]]:
    """Return the exemplars of each needed domain, in the order of the file.

    Args:
        text: JSON Lines, one record a line.
        where: names the bank in messages.
        needed: domains that must have at least one.

    Raises:
        PrerequisiteError: if a line is no exemplar, an id is used twice, or a needed domain has none.
    """
    found: dict[str, Exemplar] = {}
    for number, line in enumerate(text.split("\n"), 1):  # splitlines also cuts at U+2028, which JSON text may hold
        if line.strip():
            exemplar = _exemplar(line, f"{where}, line {number}")
            if exemplar.id in found:
                raise PrerequisiteError(f"{where}, line {number}: id '{exemplar.id}' is taken by an earlier exemplar")
            found[exemplar.id] = exemplar
    banks = {domain: tuple(e for e in found.values() if e.domain == domain) for domain in needed}
    for domain, bank in banks.items():
        if not bank:
            raise PrerequisiteError(
                f"{where} has no exemplar for domain '{domain}'; add one, or name the domain in plain_domains"
            )
    return banks


def _exemplar(line: str, where: str) -> Exemplar:
    try:
        value: Any = json.loads(line)
        return Exemplar.model_validate(value)
    except ValidationError as e:
        first = e.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the record"
        raise PrerequisiteError(f"{where}: {place}: {first['msg']}") from None
    except (ValueError, RecursionError) as e:
        raise PrerequisiteError(f"{where} is no JSON: {e}") from None
