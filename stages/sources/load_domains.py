"""Start a run from a list of domains written in the recipe.

Paper: Instruct-SkillMix, arXiv:2408.14774, the variant that needs no seed data set. The stage does not know what the
domains are used for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar

import pyarrow as pa
from pydantic import Field, field_validator

from pipeline.api import Json, Reject, Source, StageConfig, columns


class LoadDomainsConfig(StageConfig):
    """Options of `load_domains`."""

    domains: tuple[str, ...] = Field(min_length=1)
    """Names of fields of knowledge or life, such as 'home cooking'."""

    @field_validator("domains")
    @classmethod
    def _distinct(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        stripped = tuple(d.strip() for d in value)
        if not all(stripped):
            raise ValueError("a domain is empty")
        folded = [d.casefold() for d in stripped]
        twice = sorted({d for d, f in zip(stripped, folded, strict=True) if folded.count(f) > 1})
        if twice:
            raise ValueError(f"domains named more than once: {', '.join(twice)}")
        return stripped


class LoadDomains(Source):
    """Gives one row per domain, in the order of the recipe. No row is rejected."""

    name: ClassVar[str] = "load_domains"
    version: ClassVar[int] = 1
    config_type: ClassVar[type[StageConfig]] = LoadDomainsConfig

    outputs = columns(domain=str)

    config: LoadDomainsConfig

    def partitions(self) -> Sequence[str]:
        """Return the one part."""
        return ["domains"]

    def read(self, partition: str) -> Iterator[pa.RecordBatch | Reject]:
        """Yield one batch."""
        yield pa.RecordBatch.from_pydict({"domain": list(self.config.domains)}, schema=self.outputs)

    def digest(self) -> Mapping[str, Json]:
        """Return the list itself."""
        return {"domains": list(self.config.domains)}
