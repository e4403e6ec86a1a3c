"""The values that pass between the runner, stages and engines.

Frozen and slotted, so that a request can be hashed and journaled. Nothing here knows files or models.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

from pydantic import BaseModel, ConfigDict
from pydantic.fields import FieldInfo

from pipeline.canonical import derive_seed, digest_of

Row = dict[str, Any]
"""One record as a plain dictionary; its columns were checked against the Arrow schema when planning."""

Json = Any
"""A value that `json` can write: None, bool, int, float, str, list, dict with string keys."""

FinishReason = Literal["stop", "length", "content_filter"]

CHAT = "chat"
"""Capability: `generate` on messages or raw text."""

SCORE_TOKENS = "score_tokens"
"""Capability: log-probabilities of a given continuation."""

JSON_SCHEMA = "json_schema"
"""Capability: `generate` with output held to a JSON schema by the engine."""

REGEX = "regex"
"""Capability: `generate` with output held to a regular expression by the engine."""

CHOICE = "choice"
"""Capability: `generate` with output held to one of a few texts, and the probability of each."""

EMBED = "embed"
"""Capability: `pool` to an embedding."""

CLASSIFY = "classify"
"""Capability: `pool` to class probabilities."""

REWARD = "reward"
"""Capability: `pool` to the raw scores of a reward model."""

PoolTask = Literal["embed", "classify", "reward"]


class Message(TypedDict):
    """One turn of a conversation; `role` is `system`, `user` or `assistant`."""

    role: str
    content: str


class ExecutionOnly:
    """Marks a config field that changes how fast or where, never what: it stays out of fingerprints."""


class _FingerprintedConfig(BaseModel):
    """A frozen pydantic model without unknown fields that knows which of its fields change results."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=False, protected_namespaces=())

    def fingerprint_fields(self) -> dict[str, Json]:
        """Return the fields that change results, defaults filled, as JSON values."""
        names = {n for n, info in type(self).model_fields.items() if not _is_execution_only(info)}
        dumped: dict[str, Json] = self.model_dump(mode="json", include=names)
        return dumped


def _is_execution_only(info: FieldInfo) -> bool:
    return any(isinstance(m, ExecutionOnly) or m is ExecutionOnly for m in info.metadata)


class StageConfig(_FingerprintedConfig):
    """Base of a stage's `with:` options."""


class EngineConfig(_FingerprintedConfig):
    """Base of an engine's options in the recipe; `kind` is handled by the registry."""


@dataclass(frozen=True, slots=True)
class GenRequest:
    """Ask an engine for `n` samples.

    Exactly one of `messages` (chat) and `prompt` (raw text continued as it is) is set.

    Args:
        messages: the conversation so far; the engine applies its own chat template.
        prompt: raw text, no template.
        n: samples wanted, at least 1.
        max_tokens: most new tokens of one sample.
        temperature: 0 is greedy.
        top_p: nucleus mass in (0, 1].
        seed: 63-bit; sample i of the request draws from (seed, i). None leaves it to the engine.
        stop: strings that end a sample and are cut off.
        json_schema: hold the output to this schema; needs the capability `json_schema`.
        logprobs: also return the policy's own log-probability of each sample.
        regex: hold the output to this regular expression; needs the capability `regex`.
        choices: answer with exactly one of these texts; needs the capability `choice`. Each sample then carries the
            log-probability of every choice.

    At most one of `json_schema`, `regex` and `choices` is set.
    """

    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    n: int = 1
    max_tokens: int = 1024
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    stop: tuple[str, ...] = ()
    json_schema: Mapping[str, Json] | None = None
    logprobs: bool = False
    regex: str | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("GenRequest: exactly one of 'messages' and 'prompt' must be given")
        if sum((self.json_schema is not None, self.regex is not None, bool(self.choices))) > 1:
            raise ValueError("GenRequest: at most one of 'json_schema', 'regex' and 'choices' may be given")

    @property
    def seed_to_draw(self) -> int:
        """Return the seed, or one that follows from the request itself where none was given."""
        return self.seed if self.seed is not None else derive_seed("unseeded", digest_of(self.to_json()))

    def to_json(self) -> dict[str, Json]:
        """Return the request as JSON values; equal requests give equal values.

        Fields that came after the first release appear only where set, so that journals keep their keys.
        """
        held: dict[str, Json] = {} if self.regex is None else {"regex": self.regex}
        if self.choices:
            held["choices"] = list(self.choices)
        return {
            **held,
            "messages": None if self.messages is None else [dict(m) for m in self.messages],
            "prompt": self.prompt,
            "n": self.n,
            "max_tokens": self.max_tokens,
            "temperature": self.temperature,
            "top_p": self.top_p,
            "seed": self.seed,
            "stop": list(self.stop),
            "json_schema": None if self.json_schema is None else dict(self.json_schema),
            "logprobs": self.logprobs,
        }


@dataclass(frozen=True, slots=True)
class Sample:
    """One sampled text.

    `logprob` is the sum over the sample's tokens (end token included when it was sampled) of the natural-log
    probability under the model itself at temperature 1, in nats; None when it was not asked for or not given.
    `tokens` counts new tokens, end token included when sampled; None when the engine does not say.
    `scorable` says that `logprob` is what scoring the text after the same prompt, with the end token, would give: the
    text encodes to the sampled tokens, and the last of them is the end-of-turn token.
    `choice_logprobs` (nats, in the order of `GenRequest.choices`) are log-probabilities among the choices alone: their
    exponentials sum to 1; None where no choices were given.
    """

    text: str
    finish_reason: FinishReason
    tokens: int | None = None
    logprob: float | None = None
    scorable: bool = False
    choice_logprobs: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Json]:
        """Return JSON values that `from_json` reads back equal."""
        body: dict[str, Json] = {
            "text": self.text,
            "finish_reason": self.finish_reason,
            "tokens": self.tokens,
            "logprob": self.logprob,
        }
        if self.scorable:
            body["scorable"] = True
        if self.choice_logprobs is not None:
            body["choice_logprobs"] = list(self.choice_logprobs)
        return body

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> Sample:
        """Read what `to_json` wrote."""
        choices = value.get("choice_logprobs")
        return Sample(**{**value, "choice_logprobs": None if choices is None else tuple(choices)})


@dataclass(frozen=True, slots=True)
class GenResult:
    """The `n` samples of one `GenRequest`, in order of draw."""

    samples: tuple[Sample, ...]
    prompt_tokens: int | None = None
    model: str = ""

    @property
    def text(self) -> str:
        """Return the text of the first sample."""
        return self.samples[0].text

    @property
    def finish_reason(self) -> FinishReason:
        """Return why the first sample ended."""
        return self.samples[0].finish_reason

    def to_json(self) -> dict[str, Json]:
        """Return JSON values that `from_json` reads back equal."""
        samples = [s.to_json() for s in self.samples]
        return {"samples": samples, "prompt_tokens": self.prompt_tokens, "model": self.model}

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> GenResult:
        """Read what `to_json` wrote."""
        samples = tuple(Sample.from_json(s) for s in value["samples"])
        return GenResult(samples, value["prompt_tokens"], value["model"])


@dataclass(frozen=True, slots=True)
class ScoreRequest:
    """Ask an engine for the log-probability of `response` after a prompt.

    Exactly one of `messages` (each model formats its own prompt with its chat template) and `prompt` is set.
    `include_eos` also scores the model's end-of-turn token after the response.
    """

    response: str
    messages: tuple[Message, ...] | None = None
    prompt: str | None = None
    include_eos: bool = True

    def __post_init__(self) -> None:
        if (self.messages is None) == (self.prompt is None):
            raise ValueError("ScoreRequest: exactly one of 'messages' and 'prompt' must be given")

    def to_json(self) -> dict[str, Json]:
        """Return the request as JSON values; equal requests give equal values."""
        return {
            "messages": None if self.messages is None else [dict(m) for m in self.messages],
            "prompt": self.prompt,
            "response": self.response,
            "include_eos": self.include_eos,
        }


@dataclass(frozen=True, slots=True)
class ScoreResult:
    """Sum of log-probabilities (nats) over `tokens` response tokens; the end token counts if it was scored."""

    logprob: float
    tokens: int
    prompt_tokens: int
    model: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return JSON values that `from_json` reads back equal."""
        return asdict(self)

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> ScoreResult:
        """Read what `to_json` wrote."""
        return ScoreResult(**value)


@dataclass(frozen=True, slots=True)
class PoolRequest:
    """Ask a pooling model for one vector: an embedding, class probabilities or reward scores.

    Exactly one of `messages` (the engine applies the model's chat template) and `text` is set.

    Args:
        text_pair: second text of a cross-encoder, which reads `text` and this as a pair.
        candidates: two responses to `messages` that a pair ranker compares; the result's one value is the probability
            that the first is better.
    """

    task: PoolTask
    messages: tuple[Message, ...] | None = None
    text: str | None = None
    text_pair: str | None = None
    candidates: tuple[str, str] | None = None

    def __post_init__(self) -> None:
        if (self.messages is None) == (self.text is None):
            raise ValueError("PoolRequest: exactly one of 'messages' and 'text' must be given")
        if self.text_pair is not None and self.text is None:
            raise ValueError("PoolRequest: 'text_pair' goes with 'text'")
        if self.candidates is not None and self.messages is None:
            raise ValueError("PoolRequest: 'candidates' are responses to 'messages'")

    def to_json(self) -> dict[str, Json]:
        """Return the request as JSON values; equal requests give equal values.

        Fields that came after the first release appear only where set, so that journals keep their keys.
        """
        more: dict[str, Json] = {} if self.text_pair is None else {"text_pair": self.text_pair}
        if self.candidates is not None:
            more["candidates"] = list(self.candidates)
        messages = None if self.messages is None else [dict(m) for m in self.messages]
        return {"task": self.task, "messages": messages, "text": self.text, **more}


@dataclass(frozen=True, slots=True)
class PoolResult:
    """The vector of one `PoolRequest`; one value for a scalar reward."""

    values: tuple[float, ...]
    tokens: int
    model: str = ""

    def to_json(self) -> dict[str, Json]:
        """Return JSON values that `from_json` reads back equal."""
        return {"values": list(self.values), "tokens": self.tokens, "model": self.model}

    @staticmethod
    def from_json(value: Mapping[str, Json]) -> PoolResult:
        """Read what `to_json` wrote."""
        return PoolResult(tuple(value["values"]), value["tokens"], value["model"])


@dataclass(frozen=True, slots=True)
class EngineUse:
    """One role of one stage that the recipe binds to an engine: what the engine is told when planning.

    `max_tokens` is the stage's option of that name, None where it has none. `copies_prompt` says that the stage's
    replies repeat long parts of its prompts (refinement, rewriting), which a speculative proposer can use.
    """

    stage_id: str
    role: str
    capability: str
    max_tokens: int | None = None
    copies_prompt: bool = False


@dataclass(frozen=True, slots=True)
class Reject:
    """A row set aside: the row as it was (an input row, or a row a stage made and then refused), and why."""

    row: Row = field(hash=False)
    code: str
    message: str


def messages_of(value: str | Sequence[Mapping[str, Any]]) -> tuple[Message, ...]:
    """Return a prompt as messages; a string becomes one user turn.

    Raises:
        ValueError: if a message lacks `role` or `content` as text, has an unknown role, or the list is empty.
    """
    if isinstance(value, str):
        return ({"role": "user", "content": value},)
    out: list[Message] = []
    for i, m in enumerate(value):
        if not isinstance(m, Mapping) or not isinstance(m.get("role"), str) or not isinstance(m.get("content"), str):
            raise ValueError(f"message {i}: expected an object with strings 'role' and 'content'")
        if m["role"] not in ("system", "user", "assistant"):
            raise ValueError(f"message {i}: role '{m['role']}'; expected 'system', 'user' or 'assistant'")
        out.append({"role": m["role"], "content": m["content"]})
    if not out:
        raise ValueError("a prompt needs at least one message")
    return tuple(out)
