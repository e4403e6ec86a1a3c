"""Find phone numbers with the library phonenumbers, and tell them from the other numbers people write.

The library knows every country's numbering plan; it takes a number without country code as one of `region`. It also
takes order numbers, dates and book numbers that happen to fit a plan, so a find must besides look like a phone number:
written with a plus or 00, with brackets or in the groups of its country, or called one by the words before it. What
those words call something else (ISBN, order, tracking, price) is left. Numbers inside links are left.

For the regions US and CA two forms are taken that the library refuses: the usual grouping, as in (555) 123-4567, with
an area code that is not given out, since people write such numbers in place of real ones; and seven digits, or ten in
one run, where the words before them call them a phone number.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from phonenumbers import SUPPORTED_REGIONS, Leniency, NumberParseException, PhoneNumberMatcher, is_valid_number, parse

Span = tuple[int, int]
REGIONS = frozenset(SUPPORTED_REGIONS)
"""Two-letter codes of countries whose numbering plans are known."""

_MAYBE = re.compile(r"\d(?:[ \t().\-/\u00a0\u2010-\u2013]{0,3}\d){6}")
_CALLED_PHONE = re.compile(
    r"\b(?:phone|tel|telephone|cell|cellphone|mobile|mob|fax|call(?:ed|ing)?|text(?:ed|ing)?|txt|sms|ring|dial|hotline|"
    r"whats ?app|signal|viber|telegram|hmu|reach (?:me|us|him|her|them)|contact(?: me| us| him| her)?|"
    r"numbers?(?= is|:)|num(?=:)|extension|landline|voicemail|handy|telefon|"
    r"t\u00e9l|tel\u00e9fono|celular|m\u00f3vil|numero)\b[^\d\n]{0,25}$"
    r"|\u260e[^\d\n]{0,5}$|\U0001f4de[^\d\n]{0,5}$",
    re.IGNORECASE,
)
_CALLED_OTHER = re.compile(
    r"(?:\b(?:isbn|issn|doi|pmid|arxiv|ean|upc|asin|imei|serial|sku|vin|part|model|item|product|order|invoice|tracking|"
    r"ticket|case|account|acct|routing|ref(?:erence)?|confirmation|id|uid|version|build|timestamp|epoch|seed|hash|"
    r"patent|license|licence|policy|flight|zip|lat|lon|latitude|longitude|coordinates?|commit|error|port|transaction|"
    r"member|customer|employee|student|batch|lot|docket|bug|issue|score|date|population|total|isbn-1[03])"
    r"(?:[ \t]*(?:no\.?|number|num|code|id|is|was|of|at|#|:|=|-))*[ \t]*|[$\u20ac\u00a3\u00a5#=<>~^]\s?)$",
    re.IGNORECASE,
)
_SHAPED = re.compile(
    r"(?<![\w.+/-])(?:1[-. ])?"
    r"(?:\([2-9]\d\d\) ?|[2-9]\d\d(?P<sign>[-.]))\d{3}(?(sign)(?P=sign)|[-.])\d{4}(?![\w/-]|[.,]\d)"
)
_FROM_ABROAD = re.compile(r"(?<![\w.+/-])00[1-9](?:[ .()-]{0,2}\d){7,13}(?![\w/-]|[.,]\d)")
_SHORT = re.compile(r"(?<![\w.+/-])(?:[2-9]\d\d[-. ]\d{4}|[2-9]\d{9})(?![\w/-]|[., ]\d)")
_LINKED = re.compile(r"\b(?:https?://|ftp://|www\.)\S+|\b[\w.-]+\.(?:com|org|net|io|gov|edu)/\S+", re.IGNORECASE)
_DATE = re.compile(
    r"(?:(?:19|20)\d\d[-./ ](?:0?[1-9]|1[0-2])[-./ ](?:0?[1-9]|[12]\d|3[01])|"
    r"(?:0?[1-9]|[12]\d|3[01])[-./ ](?:0?[1-9]|[12]\d|3[01])[-./ ](?:19|20)\d\d)(?!\d).*",
    re.DOTALL,
)
_BEFORE = 60


def phone_numbers(text: str, region: str) -> Iterator[Span]:
    """Yield where phone numbers stand.

    Args:
        text: any text.
        region: two capital letters; the country of numbers that are written without country code.
    """
    if not _MAYBE.search(text):
        return
    linked = [m.span() for m in _LINKED.finditer(text)]
    grouped: frozenset[int] | None = None
    for found in PhoneNumberMatcher(text, region, leniency=Leniency.VALID):
        span = (found.start, found.end)
        called = _called(text, found.raw_string, span)
        if called is False or any(a < span[1] and span[0] < b for a, b in linked):
            continue
        if called is None and grouped is None:
            grouped = frozenset(m.start for m in PhoneNumberMatcher(text, region, leniency=Leniency.STRICT_GROUPING))
        if called or (grouped and found.start in grouped and _grouped_like_one(found.raw_string)):
            yield span
    yield from (s for s in _from_abroad(text) if not any(a < s[1] and s[0] < b for a, b in linked))
    if region in ("US", "CA"):
        yield from (s for s in _american(text) if not any(a < s[1] and s[0] < b for a, b in linked))


def _from_abroad(text: str) -> Iterator[Span]:
    """Yield numbers that are written with 00 in place of the plus, which the library reads in some regions only."""
    for found in _FROM_ABROAD.finditer(text):
        try:
            number = parse("+" + re.sub(r"\D", "", found[0])[2:])
        except NumberParseException:
            continue
        if is_valid_number(number) and not _CALLED_OTHER.search(text[max(0, found.start() - _BEFORE) : found.start()]):
            yield found.span()


def _american(text: str) -> Iterator[Span]:
    for found in _SHAPED.finditer(text):
        if not _CALLED_OTHER.search(text[max(0, found.start() - _BEFORE) : found.start()]):
            yield found.span()
    for found in _SHORT.finditer(text):
        if _CALLED_PHONE.search(text[max(0, found.start() - _BEFORE) : found.start()]):
            yield found.span()


def _called(text: str, written: str, span: Span) -> bool | None:
    """Return whether a plus or the words before a number call it a phone number or something else; None if neither."""
    before, after = text[max(0, span[0] - _BEFORE) : span[0]], text[span[1] : span[1] + 3]
    if _CALLED_OTHER.search(before) or _DATE.fullmatch(written) or not _stands_alone(before, after):
        return False
    return True if written.startswith("+") or _CALLED_PHONE.search(before) else None


def _grouped_like_one(written: str) -> bool:
    groups = re.findall(r"\d+", written)
    if written.startswith("("):
        return len(groups) > 1
    if len(groups) < 3 or any(len(g) == 1 for g in groups[1:]):
        return written.startswith("0") and len(groups) == 2 and len(groups[1]) >= 6
    return not _is_decimal_list(written)


def _stands_alone(before: str, after: str) -> bool:
    """Return whether a number is not the middle of a longer figure, such as 12.5-555.123.4567 or 1,202 555."""
    return not (re.search(r"\d[ .,/:-]?$|[\w/_=]$", before) or re.match(r"[\w%\u00b0/=]|[.,:-]\d", after))


def _is_decimal_list(written: str) -> bool:
    """Return whether groups are parted by different signs or by wide gaps, as in a row of figures."""
    parted = re.sub(r"[\d+()]", "", written).strip()
    return "  " in parted or "/" in parted or len(set(parted.replace(" ", ""))) > 1
