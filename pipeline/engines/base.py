"""The engine protocol: one class, capabilities declared, identity known before anything is loaded.

An engine batches; stages do not. Life: constructed from its config (no I/O), `settle` (told what it is used for),
`check` (is everything there?), `identity` (may hash local files, never loads a model or contacts an endpoint),
`keep_faults_in`, `open`, requests, `statistics`, `close`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar, NamedTuple

from pipeline.canonical import digest_of
from pipeline.types import (
    EngineConfig,
    EngineUse,
    GenRequest,
    GenResult,
    Json,
    PoolRequest,
    PoolResult,
    ScoreRequest,
    ScoreResult,
)


class ModelAddress(NamedTuple):
    """Where an engine takes a model from, as the recipe says it."""

    model: str
    """`package:<import name>/<file>`, a local folder or file, or `owner/name` on a hub."""
    revision: str | None


class Engine(ABC):
    """A language model that can be asked.

    Attributes:
        kind: registry name; equals the entry-point key.
        config_type: pydantic model of the engine's options in the recipe (without `kind`).
        resident: True if it holds a model in this machine's memory while open; the planner keeps the number of
            resident engines of a segment within `limits.resident_engines`.
    """

    kind: ClassVar[str]
    config_type: ClassVar[type[EngineConfig]]
    resident: ClassVar[bool]

    def __init__(self, config: EngineConfig) -> None:
        """Keep the config; no file is opened and no package imported here."""
        self.config = config

    @abstractmethod
    def capabilities(self) -> frozenset[str]:
        """Return what it offers under this config: `chat`, `score_tokens`, `json_schema`, `choice`, `embed`, ..."""

    def offers(self, capability: str) -> bool:
        """Return whether it offers a capability."""
        return capability in self.capabilities()

    def settle(self, uses: Sequence[EngineUse]) -> None:  # noqa: B027  most engines resolve nothing
        """Resolve options that depend on what the recipe uses the engine for; called once, when planning.

        Raises:
            PlanError: if a use cannot be served (a context too short for `max_tokens`, say).
        """

    @property
    def devices(self) -> int:
        """Return how many accelerators one replica needs; 0 for an engine that needs none here."""
        return 0

    def models(self) -> Sequence[ModelAddress]:
        """Return the models whose files it will read on this machine, drafts included; none if a server has them."""
        return ()

    def keep_faults_in(self, folder: Path) -> None:  # noqa: B027  most engines keep nothing
        """Take a folder, which need not exist, where the engine may keep what must survive a restart of the run.

        What lies there changes no reply: it says which requests have killed the engine before.
        """

    def statistics(self) -> Mapping[str, Json]:
        """Return figures about its work since `open` (tokens, restarts, accepted drafts); empty if it keeps none."""
        return {}

    @abstractmethod
    def check(self) -> None:
        """Raise `PrerequisiteError` if a package, key or model is missing; loads nothing, contacts nothing."""

    @abstractmethod
    def identity(self) -> dict[str, Json]:
        """Return all that changes its replies: kind, version, model, revision, chat template, numeric set-up.

        Endpoint, concurrency, time-outs and keys are not part of it. `model` and `revision` are always keys.
        """

    @property
    def identity_digest(self) -> str:
        """Return the digest of the identity: engines with equal digests give equal replies."""
        return digest_of(self.identity())

    @property
    def tokenizer_digest(self) -> str | None:
        """Return the digest of its vocabulary; None if it cannot be told from files that are here.

        Engines with equal digests cut a text into the same tokens, as far as files tell; it may read model files.
        """
        return None

    @abstractmethod
    async def open(self) -> None:
        """Load or connect. Raises `PrerequisiteError` or `EngineError`."""

    @abstractmethod
    async def close(self) -> None:
        """Abort what is running and free memory; safe to call twice and without `open`."""

    async def generate(self, request: GenRequest) -> GenResult:
        """Sample.

        Raises:
            RowError: this request can never succeed (`engine.context_exceeded`, `engine.refused`, ...).
            EngineError: no request can succeed.
            Stopped: the server keeps refusing, or the engine is being closed; the run can be resumed later.
        """
        raise TypeError(f"engine kind '{self.kind}' does not generate")

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Score a continuation; same errors as `generate`."""
        raise TypeError(f"engine kind '{self.kind}' does not score")

    async def pool(self, request: PoolRequest) -> PoolResult:
        """Turn a text into a vector; same errors as `generate`."""
        raise TypeError(f"engine kind '{self.kind}' does not pool")

    @property
    def model(self) -> str:
        """Return `model@revision` as rows record it."""
        identity = self.identity()
        return f"{identity['model']}@{identity['revision']}" if identity.get("revision") else str(identity["model"])
