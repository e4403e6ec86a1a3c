"""Small questions to a server of vLLM: is it healthy, what does it serve, how far is it.

One session for one endpoint; no redirects, proxies or cookies. Counters come from the page `/metrics`; what a version
no longer tells is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

import aiohttp

from pipeline.engines.http.endpoint import Endpoint
from pipeline.errors import PrerequisiteError
from pipeline.types import Json

_TIMEOUT = aiohttp.ClientTimeout(total=10.0)
_COUNTERS: Final[Mapping[str, str]] = {
    "vllm:prompt_tokens_total": "prompt_tokens",
    "vllm:prompt_tokens_cached_total": "cached_tokens",
    "vllm:generation_tokens_total": "generated_tokens",
    "vllm:spec_decode_num_drafts_total": "drafts",
    "vllm:spec_decode_num_draft_tokens_total": "draft_tokens",
    "vllm:spec_decode_num_accepted_tokens_total": "accepted_tokens",
}
_SAMPLE = re.compile(r"^([a-zA-Z_:]+)(?:\{.*\})? ([-+.0-9eE]+)$", re.M)


class Probe:
    """Asks one server; needs a running loop and is closed once.

    Args:
        endpoint: address and key.
    """

    def __init__(self, endpoint: Endpoint) -> None:
        """Open no connection yet."""
        self._endpoint = endpoint
        headers = {} if endpoint.key is None else {"Authorization": f"Bearer {endpoint.key.get_secret_value()}"}
        self._session = aiohttp.ClientSession(
            headers=headers, timeout=_TIMEOUT, cookie_jar=aiohttp.DummyCookieJar(), trust_env=False
        )

    async def health(self) -> int | None:
        """Return the status of `/health`: 200 if it can work, 503 if its engine is dead; None without an answer."""
        return (await self._get("/health"))[0]

    async def version(self) -> str | None:
        """Return the version of vLLM; None if the server does not say."""
        version = (await self._json("/version")).get("version")
        return version if isinstance(version, str) else None

    async def served(self) -> list[Mapping[str, Json]]:
        """Return the entries of `/v1/models`: `id`, with vLLM also `root` and `max_model_len`.

        Raises:
            PrerequisiteError: there is no answer, or not that of such a server.
        """
        base = self._endpoint.base
        status, text, body = await self._get(base.removeprefix(self._endpoint.root) + "/models")
        if status is None:
            raise PrerequisiteError(f"no server answers at {base}: {text}")
        entries = body.get("data") if status == 200 else None
        if not isinstance(entries, list) or not all(isinstance(e, dict) and "id" in e for e in entries):
            raise PrerequisiteError(
                f"{base}/models answered {status} and no list of models: {self._endpoint.scrub(text)}; the address of "
                "a server ends with '/v1', and its key stands in the environment variable that api_key_env names"
            )
        return entries

    async def counters(self) -> dict[str, int]:
        """Return sums of its work so far over all its engines, by our names; empty if it tells none."""
        status, text, _ = await self._get("/metrics")
        return read_counters(text) if status == 200 else {}

    async def close(self) -> None:
        """Drop the connections."""
        await self._session.close()

    async def _json(self, route: str) -> Mapping[str, Any]:
        status, _, body = await self._get(route)
        return body if status == 200 else {}

    async def _get(self, route: str) -> tuple[int | None, str, Mapping[str, Any]]:
        """Return status, text, and the text read as a JSON object, empty if it is none."""
        try:
            async with self._session.get(self._endpoint.root + route, allow_redirects=False) as reply:
                status, text = reply.status, await reply.text("utf-8", "replace")
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            return None, type(error).__name__, {}
        try:
            body = json.loads(text)
        except ValueError:
            body = None
        return status, text, body if isinstance(body, dict) else {}


def read_counters(page: str) -> dict[str, int]:
    """Return the counters of a page in Prometheus' text format, labels summed, by our names."""
    sums: dict[str, int] = {}
    for name, value in _SAMPLE.findall(page):
        if name in _COUNTERS:
            ours = _COUNTERS[name]
            sums[ours] = sums.get(ours, 0) + int(float(value))
    return sums


def find_served(entries: Sequence[Mapping[str, Json]], names: Sequence[str], base: str) -> Mapping[str, Json]:
    """Return the entry whose `id` or `root` is one of `names`.

    Raises:
        PrerequisiteError: the server has other models; a recipe with two models must not ask one server for both.
    """
    for entry in entries:
        if entry["id"] in names or entry.get("root") in names:
            return entry
    has = ", ".join(f"'{e['id']}'" for e in entries) or "none"
    raise PrerequisiteError(
        f"the server at {base} does not serve '{names[0]}'; it has: {has}. Start it with --served-model-name "
        f"'{names[0]}', or give its name of the model as the engine's option served_name"
    )
