"""Find payment cards, IBANs, US social security numbers and IP addresses: numbers that a rule can confirm.

Cards: ISO/IEC 7812 prefixes and lengths, and the Luhn sum; not the old 13 digits of Visa, which look like an EAN.
IBANs: ISO 13616 lengths by country, and the sum modulo 97; in one run or in groups of four. US social security numbers
have no check digit, so only the hyphenated form is taken, or nine digits that the text calls such a number. IP
addresses are taken if they belong to somebody: global ones, and those set aside for examples, which stand for them.
Loopback, private and link-local addresses and netmasks are left, and what the words before it call a version or a
section, what stands beside a number of three parts such as 1.2.6, and four numbers up to 31 unless something near them
speaks of hosts.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator

Span = tuple[int, int]

_CARD = re.compile(r"(?<![\w.,/+-])\d{4}(?:[ -]?\d{2,7}){2,5}(?![\w/]|[.,-]\d)")
_CARD_SHAPES = (
    r"4\d{15}(?:\d{3})?",
    r"5[1-5]\d{14}|2(?:2[2-9]|[3-6]\d|7[01])\d{13}|2720\d{12}",
    r"3[47]\d{13}",
    r"6(?:011|4[4-9]\d|5\d\d)\d{12}",
    r"35(?:2[89]|[3-8]\d)\d{12}",
    r"3(?:0[0-5]|[689]\d)\d{11}",
    r"62\d{14,17}",
    r"(?:5018|5020|5038|6304|6759|676[1-3])\d{8,15}",
)
_CARD_NUMBER = re.compile("|".join(_CARD_SHAPES))
_IBAN = re.compile(
    r"(?<!\w)[A-Z]{2}\d{2}(?:[A-Z0-9]{11,30}|(?:[ -][A-Z0-9]{4}){2,7}(?:[ -][A-Z0-9]{1,4})?)(?!\w)", re.IGNORECASE
)
_IBAN_LENGTHS = {
    code: int(length)
    for length, codes in re.findall(
        r"(\d\d): ([A-Z ]+)",
        """15: NO
        16: BE BI
        18: DK FI FK FO GL NL SD
        19: MK SI
        20: AT BA EE KZ LT LU MN XK
        21: CH HN HR LI LV
        22: BG BH CR DE GB GE IE ME RS VA
        23: AE GI IL IQ OM SO TL
        24: AD CZ ES MD PK RO SA SE SK TN VG
        25: LY PT ST
        26: IS TR
        27: BF CI DJ FR GR IT MC MR SM
        28: AL AZ BY CY DO GT HU LB NI PL SV
        29: BR EG PS QA UA
        30: JO KW MU YE
        31: MT SC
        32: LC
        33: RU""",
    )
    for code in codes.split()
}
_SSN = re.compile(r"(?<![\w.-])(\d{3})([- ]?)(\d{2})\2(\d{4})(?![\w-]|\.\d)")
_SSN_CALLED = re.compile(r"\b(?:ssn|social security|social)\b[^\d\n]{0,30}$", re.IGNORECASE)
_IPV4 = re.compile(r"(?<![\w.])(?:\d{1,3}\.){3}\d{1,3}(?![\w]|\.\d)")
_IPV6 = re.compile(r"(?<![\w:])[23][0-9a-f]{3}(?::[0-9a-f]{0,4}){2,7}(?![\w:])", re.IGNORECASE)
_VERSION_BEFORE = re.compile(
    r"(?:\b(?:v|ver|version|release|build|firmware|update|upgrade\w*|driver|drivers|assembly\w*|dotnet|oid"
    r"|schema|revision|rev|patch|sdk)[ .:=#]*\"?|/|==|>=|<=|~=)$",
    re.IGNORECASE,
)
_SECTION_BEFORE = re.compile(
    r"(?:\b(?:sections?|sect?\.|chapters?|ch\.|clauses?|paragraphs?|paras?|articles?|art\.|annex(?:es)?|appendix"
    r"|appendices|tables?|figures?|figs?\.|items?|requirements?|rules?|headings?|parts?|numbers?"
    r"|no\.|exercises?|see|cf\.)|\u00a7+)[ .:#]*\(?"
    r"(?:[\d.]+(?:,? (?:and|or|to|through|&) |, ?| ?[-\u2013] ?)){0,6}$",
    re.IGNORECASE,
)
_ADDRESS_WORD = re.compile(
    r"\b(?:ips?|ipv4|address\w*|servers?|hosts?|hosted|dns|ping\w*|ssh|dig|whois|trace\w*|nslookup|curl|wget|telnet|nmap"
    r"|connect\w*|log(?:s|ged|ins?|in)?|firewall\w*|block\w*|bann?(?:ed|s)?|routers?|gateway|network|subnet|resolv\w*|proxy|vpn|ports?|packets?"
    r"|traffic|requests?|attack\w*|scan\w*|cameras?|clients?|nodes?|peers?|listen\w*|bind|spam\w*|visitors?|AAAA)\b",
    re.IGNORECASE,
)
_PORT_OR_NET = re.compile(r":\d{2,5}\b|/\d{1,2}\b")
_HIGHEST_SECTION = 31
_RESOLVERS = frozenset(("8.8.8.8", "8.8.4.4", "1.1.1.1", "1.0.0.1", "9.9.9.9"))
_VERSION = re.compile(r"(?<![\w.])\d{1,3}\.\d{1,3}\.\d{1,3}(?![\w]|\.\d)")
_EXAMPLES = tuple(map(ipaddress.ip_network, ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")))
_URL_BEFORE = re.compile(r"\b[a-z][a-z+]{1,10}://\S*$", re.IGNORECASE)


def luhn(digits: str) -> bool:
    """Return whether digits pass the Luhn sum."""
    doubled = [int(d) * (1 + i % 2) for i, d in enumerate(reversed(digits))]
    return sum(n - 9 * (n > 9) for n in doubled) % 10 == 0


def iban_holds(iban: str) -> bool:
    """Return whether letters and digits without spaces have an IBAN's length for their country and its sum."""
    iban = iban.upper()
    if _IBAN_LENGTHS.get(iban[:2]) != len(iban):
        return False
    return int("".join(str(int(c, 36)) for c in iban[4:] + iban[:4])) % 97 == 1


def cards(text: str) -> Iterator[Span]:
    """Yield where payment card numbers stand, written in one run or in groups."""
    for found in _CARD.finditer(text):
        digits = re.sub(r"\D", "", found[0])
        if _CARD_NUMBER.fullmatch(digits) and luhn(digits) and len(set(digits)) > 1:
            yield found.span()


def ibans(text: str) -> Iterator[Span]:
    """Yield where IBANs stand; a longer run is cut to the length of its country."""
    for found in _IBAN.finditer(text):
        length = _IBAN_LENGTHS.get(found[0][:2].upper(), 0)
        places = [i for i, c in enumerate(found[0], 1) if c.isalnum()][:length]
        if len(places) < length or not length:
            continue
        written, after = found[0][: places[-1]], found[0][places[-1] : places[-1] + 1]
        if not after.isalnum() and iban_holds(re.sub(r"[ -]", "", written)):
            yield found.start(), found.start() + len(written)


def social_security_numbers(text: str) -> Iterator[Span]:
    """Yield where US social security numbers stand."""
    for found in _SSN.finditer(text):
        area, hyphen, group, serial = found.groups()
        possible = area not in ("000", "666") and area < "900" and group != "00" and serial != "0000"
        called = hyphen == "-" or _SSN_CALLED.search(text[max(0, found.start() - 60) : found.start()])
        if possible and called:
            yield found.span()


def ip_addresses(text: str) -> Iterator[Span]:
    """Yield where IPv4 and IPv6 addresses stand that belong to somebody."""
    for found in _IPV4.finditer(text):
        named = _is_version(text, found) or _is_section(text, found)
        if not named and _belongs_to_somebody(found[0]) and not found[0].endswith(".0.0"):
            yield found.span()
    for found in _IPV6.finditer(text):
        if _belongs_to_somebody(found[0]):
            yield found.span()


def _is_version(text: str, found: re.Match[str]) -> bool:
    before = text[max(0, found.start() - 40) : found.start()]
    around = before + " " + text[found.end() : found.end() + 40]
    return bool((_VERSION_BEFORE.search(before) or _VERSION.search(around)) and not _URL_BEFORE.search(before))


def _is_section(text: str, found: re.Match[str]) -> bool:
    """Return whether four small numbers count sections: so called, or with nothing near them that speaks of hosts."""
    before, after = text[max(0, found.start() - 60) : found.start()], text[found.end() : found.end() + 30]
    if _SECTION_BEFORE.search(before):
        return True
    if found[0] in _RESOLVERS or max(map(int, found[0].split("."))) > _HIGHEST_SECTION:
        return False
    near = before + " " + re.split(r"[,;.\n]", after)[0]
    return not (_ADDRESS_WORD.search(near) or _PORT_OR_NET.match(after) or _URL_BEFORE.search(before))


def _belongs_to_somebody(address: str) -> bool:
    try:
        ip = ipaddress.ip_address(address)
    except ValueError:
        return False
    return (ip.is_global and not ip.is_multicast) or any(ip in network for network in _EXAMPLES)
