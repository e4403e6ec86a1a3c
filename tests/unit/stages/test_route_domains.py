"""The router of CDR: what it is shown, how its reply is read, what happens when it names no domain."""

import pyarrow as pa
import pytest

from pipeline.api import CHAT, CHOICE, RowError
from pipeline.testing import process_row, raises_row_error, scripted_engine
from stages.annotation.domains import parse_domain
from stages.annotation.route_domains import RouteDomains, RouteDomainsConfig
from stages.replies.asking import Unusable
from tests.unit.stages.books_in_memory import BooksInMemory

PROMPT = [
    {"role": "user", "content": "Hello."},
    {"role": "assistant", "content": "Hi."},
    {"role": "user", "content": "2 + 2?"},
]
ROW = {"id": "p", "prompt": PROMPT}


class Plain(type(scripted_engine())):
    """An engine that holds no output to anything."""

    offered = frozenset({CHAT})

    def capabilities(self):
        return self.offered


class Choosing(Plain):
    offered = frozenset({CHAT, CHOICE})


def route(*replies, kind=Plain, row=ROW, **config):
    """Route one row with an engine that replies in turn; return the row and the requests."""
    left = list(replies)
    engine = kind(scripted_engine().config, lambda request, draw: left.pop(0) if len(left) > 1 else left[0])
    (out,) = process_row(RouteDomains(RouteDomainsConfig(**config)), row, engines={"router": engine})
    return out, list(engine.generate_calls)


def test_the_last_user_turn_is_shown_as_a_quotation_after_the_instructions():
    row, (request,) = route("reasoning")
    (message,) = request.messages
    before, _, after = message["content"].partition("\n2 + 2?\n")
    assert "three domains" in before and "BEGIN QUESTION" in before.splitlines()[-1]
    assert "holds no instructions" in before and "Hello." not in message["content"]
    assert after.splitlines()[-1] == "Reply with one word and nothing else: chat, reasoning or safety."
    assert (request.temperature, request.max_tokens) == (0.0, 32)
    assert (row["domain"], row["router_raw"], row["domain_fallback"], row["domain_cut"]) == (
        "reasoning",
        "reasoning",
        False,
        False,
    )


def test_an_engine_that_can_choose_is_held_to_the_domains():
    _, (request,) = route("safety", kind=Choosing)
    assert request.choices == ("chat", "reasoning", "safety") and request.json_schema is None


def test_an_engine_that_can_hold_to_a_schema_is_asked_for_json():
    row, (request,) = route('{"domain": "safety"}', kind=type(scripted_engine()))
    assert request.json_schema["properties"]["domain"]["enum"] == ["chat", "reasoning", "safety"]
    assert row["domain"] == "safety" and "JSON object" in request.messages[0]["content"]


def test_a_reply_that_names_no_domain_falls_back_to_chat_and_is_kept():
    row, asked = route("4", "It is four.", attempts=2, temperature=1.0)
    assert (row["domain"], row["domain_fallback"], row["router_raw"]) == ("chat", True, "It is four.")
    assert len({r.seed for r in asked}) == 2


def test_a_later_attempt_can_name_it():
    row, asked = route("4", "reasoning", attempts=3, temperature=1.0)
    assert (row["domain"], row["domain_fallback"], len(asked)) == ("reasoning", False, 2)


def test_a_reply_that_was_cut_off_is_not_read():
    row, _ = route("safety safety safety", max_tokens=1)
    assert (row["domain"], row["router_raw"], row["domain_fallback"]) == ("chat", "safety", True)


def test_a_reply_that_no_file_can_hold_is_not_kept():
    row, _ = route("\ud800")
    assert (row["domain_fallback"], row["router_raw"]) == (True, None)


def refuse(code):
    def reply(request, draw):
        raise RowError(code, "no")

    return scripted_engine(reply)


def test_a_prompt_that_the_provider_filters_falls_back_and_an_outage_does_not():
    stage = RouteDomains(RouteDomainsConfig())
    (row,) = process_row(stage, ROW, engines={"router": refuse("engine.filtered")})
    assert (row["domain"], row["domain_fallback"], row["router_raw"]) == ("chat", True, None)
    outage = {"router": refuse("engine.exhausted")}
    raises_row_error("engine.exhausted", lambda: process_row(stage, ROW, engines=outage))


def test_candidates_of_one_prompt_put_equal_requests():
    asked = [route("chat", row=ROW | {"id": i, "prompt_id": "p", "response": i})[1][0] for i in ("a", "b")]
    assert asked[0] == asked[1] == route("chat")[1][0]


def test_a_long_turn_is_cut_and_flagged():
    long = [{"role": "user", "content": "word " * 100}]
    row, (request,) = route("chat", row={"id": "p", "prompt": long}, max_question_characters=100)
    assert row["domain_cut"] and len(request.messages[0]["content"]) < 2000


def test_a_prompt_that_ends_otherwise_is_rejected():
    raises_row_error("route.no_user_turn", lambda: route("chat", row={"id": "p", "prompt": PROMPT[:2]}))


GOOD = {
    "reasoning": "reasoning",
    " Reasoning.\n": "reasoning",
    "**CHAT**": "chat",
    '"safety"': "safety",
    "Domain: safety": "safety",
    "It asks for a sum.\n**Domain:** reasoning": "reasoning",
    "Domain: chat\nDomain: chat": "chat",
    "> Domain: safety\n\nDomain: chat\nchat": "chat",
    '{"domain": "Safety"}': "safety",
    '```json\n{"domain": "chat"}\n```': "chat",
}


@pytest.mark.parametrize("reply", GOOD)
def test_one_named_domain_is_read(reply):
    assert parse_domain(reply) == GOOD[reply]


@pytest.mark.parametrize(
    "reply",
    [
        "",
        "maths",
        "chat or reasoning",
        "Domain: chat\nDomain: safety",
        "Domain: chat\nDomain: maths",
        "I would say chat because it is small talk",
        '{"domain": "maths"}',
        '{"domain": ["chat"]}',
        '{"domain": "chat", "domain": "safety"}',
        "Domain: safety\nchat",
        "> Domain: safety\nchat",
        "> Domain: safety",
        '{"label": "chat"}',
        "{chat}",
        "chatty",
    ],
)
def test_no_domain_or_several_are_refused(reply):
    with pytest.raises(Unusable):
        parse_domain(reply)


def test_the_report_counts_domains_and_fallbacks():
    table = pa.table({"domain": ["chat", "chat", "safety"], "domain_fallback": [True, False, False]})
    (found,) = RouteDomains(RouteDomainsConfig()).report(BooksInMemory(3, table))
    assert found.rows == (
        ("chat", 2, 1, 0.5),
        ("reasoning", 0, 0, None),
        ("safety", 1, 0, 0.0),
        ("all", 3, 1, 0.3333),
    )


@pytest.mark.parametrize("reply", ["ſafety", "reaſoning", "Domain: ſafety"])
def test_a_letter_that_only_folds_to_a_domain_names_none(reply):
    with pytest.raises(Unusable):
        parse_domain(reply)
