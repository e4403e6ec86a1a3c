"""Rows, files and engines that the tests of rules share."""

from __future__ import annotations

import json
from pathlib import Path

from pipeline.api import CHAT, CHOICE, JSON_SCHEMA, GenResult, Sample
from pipeline.engines.scripted import ScriptedConfig, ScriptedEngine

SHARED = Path(__file__).parents[4] / "shared/data/methods_annotation"
PROMPT = [{"role": "user", "content": "How do I keep basil alive?"}]
PAIR = {
    "id": "p1",
    "prompt": PROMPT,
    "response_a": "Water it.",
    "response_b": "Put it in a bright window and water it from below every second day.",
    "label": "b",
}


class Model(ScriptedEngine):
    """Gives its replies in turn, the last one for good; offers chat and what else it is told to."""

    def __init__(self, *replies, offers=(), logprobs=None):
        super().__init__(ScriptedConfig())
        self._left, self._offers, self._logprobs = list(replies), offers, logprobs

    def capabilities(self):
        return frozenset({CHAT, *self._offers})

    async def generate(self, request):
        self.generate_calls.append(request)
        reply = self._left.pop(0) if len(self._left) > 1 else self._left[0]
        if isinstance(reply, Exception):
            raise reply
        text = reply(request) if callable(reply) else reply
        sample = text if isinstance(text, Sample) else Sample(text, "stop", choice_logprobs=self._logprobs)
        return GenResult((sample,), 7, "model")


def write_rules(folder, *rules, name="rules.jsonl"):
    """Write a rule set and return its path."""
    path = folder / name
    path.write_text("".join(json.dumps(r if isinstance(r, dict) else {"rule": r}) + "\n" for r in rules), "utf-8")
    return str(path)


def last_turn(request):
    """Return what the model was asked."""
    return request.messages[-1]["content"]


HOLDS_JSON, CHOOSES = (JSON_SCHEMA,), (CHOICE,)
