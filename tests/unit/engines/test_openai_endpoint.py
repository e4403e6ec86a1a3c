"""Where the engine sends requests, with which key, and that the key never shows."""

from __future__ import annotations

import asyncio
import base64
import logging
import traceback

import pytest
from pydantic import SecretStr, ValidationError

from pipeline.engines.http.endpoint import DEFAULT_BASE_URL, Endpoint, check_url, resolve_endpoint
from pipeline.engines.openai import OpenAIConfig, OpenAIEngine
from pipeline.errors import PrerequisiteError
from tests.unit.engines.loopback import GOOD, HELLO, Answer, Loopback, ask, dead_port, engine, refusal, talk

CANARY = "sk-canary-8d1f0c77aa"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL"):
        monkeypatch.delenv(name, raising=False)


def resolve(base_url=None, **environment):
    return resolve_endpoint(base_url, "OPENAI_BASE_URL", "OPENAI_API_KEY", environment)


@pytest.mark.parametrize(
    "url",
    [
        "http://localhost:8000/v1",
        "http://127.0.0.1/v1",
        "http://127.9.9.9:1",
        "http://[::1]:8/v1",
        "https://localhost/v1/",
    ],
)
def test_a_recipe_may_name_this_machine(url):
    assert OpenAIConfig(model="m", base_url=url).base_url == url.rstrip("/")


@pytest.mark.parametrize(
    "url",
    [
        "https://api.openai.com/v1",
        "http://10.0.0.5/v1",
        "http://169.254.169.254/v1",
        "http://localhost.evil.com",
        "http://user:secret@localhost/v1",
        "ftp://localhost",
        "x",
    ],
)
def test_a_recipe_may_name_nothing_else(url):
    with pytest.raises(ValidationError) as caught:
        OpenAIConfig(model="m", base_url=url)
    assert "base_url" in str(caught.value) and "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    [
        "http://api.example.com/v1",
        "https://169.254.169.254/",
        "https://[fe80::1]/",
        "https://[fd00:ec2::254]/",
        "https://[::ffff:169.254.169.254]/",
        "https://metadata.google.internal/",
        "https://u:p@host/v1",
        "file:///etc/passwd",
        "https://host/v1?key=1",
        "https://host/v1#x",
        "https://",
        "https://[bad/",
        "https://host:99999/",
    ],
)
def test_dangerous_urls_from_the_environment_are_refused(url):
    with pytest.raises(PrerequisiteError, match="OPENAI_BASE_URL"):
        resolve(OPENAI_BASE_URL=url, OPENAI_API_KEY="k")


def test_a_recipe_may_give_no_url():
    assert OpenAIConfig(model="m", base_url=None).base_url is None


def test_a_refused_url_does_not_quote_its_password():
    with pytest.raises(ValueError) as caught:
        check_url(f"https://user:{CANARY}@host/v1?key={CANARY}")
    assert CANARY not in str(caught.value)


def test_the_recipe_goes_before_the_environment_and_that_before_the_default():
    there = {"OPENAI_BASE_URL": "https://e.example/v1", "OPENAI_API_KEY": "k"}
    assert resolve("http://localhost:1/v1", **there).base == "http://localhost:1/v1"
    assert resolve(**there).base == "https://e.example/v1"
    assert resolve(OPENAI_BASE_URL=" ", OPENAI_API_KEY="k").base == DEFAULT_BASE_URL


def test_check_names_the_variable_of_a_missing_key():
    with pytest.raises(PrerequisiteError, match="MY_KEY is not set"):
        OpenAIEngine(OpenAIConfig(model="m", api_key_env="MY_KEY")).check()


def test_check_needs_no_key_for_this_machine():
    engine("http://127.0.0.1:1/v1", scoring={"method": "echo"}).check()


def test_a_key_that_no_header_can_carry_is_refused_without_showing_it():
    with pytest.raises(PrerequisiteError) as caught:
        resolve("http://localhost:1", OPENAI_API_KEY=CANARY + "\nX-Evil: 1")
    assert CANARY not in str(caught.value)


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_the_key_is_sent_as_a_bearer_token(client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    _, seen = ask([GOOD], client=client)
    assert seen[0].headers["Authorization"] == f"Bearer {CANARY}"


def test_without_a_key_no_authorization_is_sent():
    _, seen = ask([GOOD])
    assert "Authorization" not in seen[0].headers


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_redirects_are_not_followed_and_the_key_stays_home(client, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)

    async def main():
        async with Loopback([GOOD]) as other:
            there = Answer(None, 302, {"Location": f"{other.origin}/v1/chat/completions?k={CANARY}"})
            async with Loopback([there]) as first:
                asking = engine(first.url, client=client)
                await asking.open()
                outcome = (await asyncio.gather(asking.generate(HELLO), return_exceptions=True))[0]
                await asking.close()
                return str(outcome), other.origin, other.seen

    text, origin, seen = asyncio.run(main())
    assert seen == [] and "redirect to " + origin in text and CANARY not in text


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_proxy_settings_of_the_environment_are_ignored(client, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{dead_port()}")
    monkeypatch.setenv("NO_PROXY", "")
    result, _ = ask([GOOD], client=client)
    assert result.text == "fine"


ECHO = f"your key {CANARY} or {base64.b64encode(CANARY.encode()).decode()}"


@pytest.mark.parametrize("client", ["aiohttp", "official"])
@pytest.mark.parametrize(
    "answer",
    [
        Answer(refusal(ECHO), 401),
        Answer(refusal(ECHO), 400),
        Answer(ECHO.encode(), 400),
        Answer(refusal(ECHO), 500),
        Answer(refusal(ECHO, "insufficient_quota"), 429),
        Answer(ECHO.encode()),
        Answer({"choices": [ECHO]}),
        Answer(refusal(ECHO), 429, {"Retry-After": "99999"}),
    ],
)
def test_a_key_that_the_server_echoes_never_reaches_a_text_or_log(answer, client, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    error, _ = ask([answer], client=client, max_attempts=2)
    assert isinstance(error, Exception)
    _shows_no_key(error, caplog)


@pytest.mark.parametrize("client", ["aiohttp", "official"])
def test_connection_errors_show_no_key(client, monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)
    dead = engine(f"http://127.0.0.1:{dead_port()}/v1", unreachable_s=0.05, client=client)

    async def main():
        await dead.open()
        outcome = (await asyncio.gather(dead.generate(HELLO), return_exceptions=True))[0]
        await dead.close()
        return outcome

    _shows_no_key(asyncio.run(main()), caplog)


def test_no_repr_shows_the_key(monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", CANARY)

    async def reprs(e):
        return [repr(e), repr(vars(e)), repr(vars(e._caller)), repr(vars(e._caller._transport)), repr(e.config)]

    shown = talk(Loopback([GOOD]), reprs)
    assert not [r for r in shown if CANARY in r]


def _shows_no_key(error, caplog):
    """Look at texts, representations and attributes along the whole chain, suppressed links too."""
    seen, link = [caplog.text, "".join(traceback.format_exception(error))], error
    while link is not None:
        seen += [str(link), repr(link), repr(vars(link))]
        link = link.__cause__ or link.__context__
    hidden = base64.b64encode(CANARY.encode()).decode().rstrip("=")
    assert not [s for s in seen if CANARY in s or hidden in s]


def test_server_words_are_put_on_one_short_line():
    text = Endpoint("https://h", SecretStr("k-1234")).scrub("a\n\x1b[31m k-1234 " + "x" * 500)
    assert text.startswith("a [31m [key] x") and len(text) == 300 and "\x1b" not in text
