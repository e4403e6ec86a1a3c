"""Responses to compare, and judges that compare them, for the tests of general preference."""

import itertools
import re

from pipeline.api import CHAT, CHOICE, GenResult, PoolResult, Reject
from pipeline.testing import process_row, scripted_engine
from stages.preference.rate_preferences import RatePreferences, RatePreferencesConfig

PROMPT = [{"role": "user", "content": "Name a river."}]
_SHOWN = re.compile(r"^BEGIN (FIRST|SECOND) [0-9a-f]{16}\n(.*?)\nEND \1 ", re.MULTILINE | re.DOTALL)
LIKED = ["Rhine", "Danube", "Elbe", "Oder", "Spree"]
"""Best first."""


def group(*texts, **further):
    return {
        "id": "p",
        "prompt_id": "p",
        "prompt": PROMPT,
        "response_ids": [f"r-{i}" for i in range(len(texts))],
        "responses": list(texts),
    } | further


def shown(request):
    return {side: text.strip() for side, text in _SHOWN.findall(request.messages[-1]["content"])}


def fair(request, _draw):
    texts = shown(request)
    return "first" if LIKED.index(texts["FIRST"]) < LIKED.index(texts["SECOND"]) else "second"


def around(request, _draw):
    """Prefer in a circle: Rhine over Danube over Elbe over Rhine."""
    texts = shown(request)
    return "first" if (LIKED.index(texts["SECOND"]) - LIKED.index(texts["FIRST"])) % 3 == 1 else "second"


def always(word):
    return lambda request, draw: word


def rate(row, reply=fair, engines=None, **config):
    return process_row(RatePreferences(RatePreferencesConfig(**config)), row, reply, engines)[0]


def unreadable(row, reply=fair, engines=None, **config):
    found = rate(row, reply, engines, **config)
    assert isinstance(found, Reject) and found.code == "preference.unreadable"
    return found


class Choosing:
    """A scripted engine that chooses among texts, and remembers its requests."""

    def __init__(self, sample):
        self.engine, self.requests = scripted_engine(), []
        self.engine.capabilities = lambda: frozenset({CHAT, CHOICE})

        async def generate(request):
            self.requests.append(request)
            return GenResult((sample,))

        self.engine.generate = generate


class Ranking:
    """An engine that ranks a pair by `share(first, second)`."""

    def __init__(self, share):
        self.engine = scripted_engine()

        async def pool(request):
            return PoolResult((share(*request.candidates),), 3)

        self.engine.pool = pool


def permutations(texts):
    return list(itertools.permutations(texts, 2))


def ranking(shares):
    return Ranking(lambda first, second: shares[first, second]).engine
