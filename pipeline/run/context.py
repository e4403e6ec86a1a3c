"""What the runner hands to a stage: engines by role with the journal between, prompts, seeds, a logger."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from pipeline.canonical import derive_seed
from pipeline.errors import RowError
from pipeline.plan.plan import PlannedStage
from pipeline.prompts import Prompt
from pipeline.run.control import EngineSlot, Pacer, StageProgress, StopFlag
from pipeline.stage import Stage
from pipeline.store.journal import Journal
from pipeline.store.usage import Usage, usage_of
from pipeline.types import GenRequest, GenResult, Json, PoolRequest, PoolResult, ScoreRequest, ScoreResult

Result = TypeVar("Result", GenResult, ScoreResult, PoolResult)

NOT_JOURNALED = frozenset({"engine.exhausted"})
"""Rejects that came from outside the request: a resumed run tries these rows again."""


@dataclass
class ShardLog:
    """Where the finished requests of one shard are found and kept, and what they cost.

    `answers` holds what a probe of the run was answered (`prefmill plan --probe`): they are taken, and while probing
    also kept there.
    """

    journal: Journal
    answers: Journal | None = None
    keeps_answers: bool = False
    usage: Usage = field(default_factory=Usage)
    _counted: set[str] = field(default_factory=set)

    def find(self, key: str) -> Json | None:
        """Return what was recorded for a request; a refusal in a probe is not taken for the last word."""
        found = self.journal.get(key)
        if found is None and self.answers is not None:
            kept = self.answers.get(key)
            found = kept if kept is not None and "result" in kept else None
        return found

    def keep(self, key: str, value: Json) -> None:
        """Record a finished request."""
        self.journal.append(key, value)
        if self.keeps_answers and self.answers is not None:
            self.answers.append(key, value)

    def count(self, key: str, result: GenResult | ScoreResult | PoolResult | None) -> None:
        """Count what a request cost, once for each distinct request."""
        if key not in self._counted:
            self._counted.add(key)
            self.usage += usage_of(result)


class Offers(NamedTuple):
    """What a stage may ask of one of its roles: what it needs, and what it uses where offered."""

    role: str
    capabilities: frozenset[str]


def offers_of(stage: Stage, role: str) -> Offers:
    """Return what a stage may ask of a role."""
    return Offers(role, frozenset({stage.engine_roles[role], *stage.optional_capabilities.get(role, ())}))


class JournaledEngine:
    """An engine as one shard of one stage sees it: answers from the journal first, records what it gets."""

    def __init__(
        self,
        slot: EngineSlot,
        log: ShardLog,
        stop: StopFlag,
        pacer: Pacer,
        progress: StageProgress,
        may_ask: Offers,
    ) -> None:
        """Bind a slot to a shard's log."""
        self._may_ask = may_ask
        self._slot, self._log, self._stop, self._pacer, self._progress = slot, log, stop, pacer, progress
        self.model, self.identity_digest = slot.model, slot.identity_digest

    @property
    def tokenizer_digest(self) -> str | None:
        """Return the digest of the engine's vocabulary; None if it is not known."""
        return self._slot.engine.tokenizer_digest

    def offers(self, capability: str) -> bool:
        """Return whether the engine offers a capability; an offer that the fingerprint does not keep is not told."""
        if capability not in self._may_ask.capabilities:
            raise ValueError(
                f"capability '{capability}' is not among what the stage may ask role '{self._may_ask.role}' for; "
                "name it in optional_capabilities, so that the fingerprint keeps whether it was offered"
            )
        return self._slot.engine.offers(capability)

    async def generate(self, request: GenRequest) -> GenResult:
        """Sample, once over all interruptions."""
        engine = self._slot
        return await self._once("generate", request.to_json(), GenResult.from_json, lambda: _generate(engine, request))

    async def score_tokens(self, request: ScoreRequest) -> ScoreResult:
        """Score, once over all interruptions."""
        engine = self._slot
        return await self._once(
            "score_tokens", request.to_json(), ScoreResult.from_json, lambda: _score(engine, request)
        )

    async def pool(self, request: PoolRequest) -> PoolResult:
        """Pool, once over all interruptions."""
        engine = self._slot
        return await self._once("pool", request.to_json(), PoolResult.from_json, lambda: _pool(engine, request))

    async def _once(
        self,
        kind: str,
        body: Json,
        decode: Callable[[Mapping[str, Json]], Result],
        ask: Callable[[], Awaitable[Result]],
    ) -> Result:
        key = request_key(self._slot.identity_digest, kind, body)
        found = self._log.find(key)
        if found is not None:
            self._progress.replayed += 1
            result = _decoded(found, decode) if "result" in found else None
            self._log.count(key, result)
            if result is None:
                raise RowError(*found["reject"])
            return result
        await self._pacer.turn()
        self._stop.raise_if_set()
        self._progress.requests += 1
        try:
            result = await ask()
        except RowError as e:
            if e.code not in NOT_JOURNALED:
                self._log.keep(key, {"reject": [e.code, e.message]})
                self._log.count(key, None)
            raise
        self._log.keep(key, {"result": result.to_json()})
        self._log.count(key, result)
        return result


async def _generate(slot: EngineSlot, request: GenRequest) -> GenResult:
    return await (await slot.get()).generate(request)


async def _score(slot: EngineSlot, request: ScoreRequest) -> ScoreResult:
    return await (await slot.get()).score_tokens(request)


async def _pool(slot: EngineSlot, request: PoolRequest) -> PoolResult:
    return await (await slot.get()).pool(request)


def _decoded(found: Json, decode: Callable[[Mapping[str, Json]], Result]) -> Result:
    return decode(found["result"])


def request_key(identity_digest: str, kind: str, body: Json) -> str:
    """Return the key of a request in a journal: a hash of engine identity, kind and the full request."""
    text = json.dumps([identity_digest, kind, body], sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode("ascii"), digest_size=16).hexdigest()


class RunContext:
    """The context of one shard of one stage."""

    def __init__(
        self,
        planned: PlannedStage,
        run_seed: int,
        engines: Mapping[str, JournaledEngine],
    ) -> None:
        """Bind engines by role."""
        self._planned, self._run_seed, self._engines = planned, run_seed, engines
        self.log = logging.getLogger(f"prefmill.stage.{planned.id}")

    def engine(self, role: str) -> JournaledEngine:
        """Return the engine bound to a declared role; an undeclared one is a bug in the stage (KeyError)."""
        return self._engines[role]

    def prompt(self, name: str) -> Prompt:
        """Return a declared prompt template; an undeclared one is a bug in the stage (KeyError)."""
        return self._planned.prompts[name]

    def seed(self, row_id: str, draw: int = 0) -> int:
        """Return the seed of (run seed, stage, row, draw)."""
        return derive_seed(self._run_seed, self._planned.id, row_id, draw)
