"""Measure how much of a text is not prose: links, menus, notices, markup, repeated lines, marks of deleted posts.

Plain counting, no model, no paper: in the spirit of the line rules of C4 and Gopher, kept to what can be explained in
a sentence. How notices and menus are worded is in `boilerplate_phrases`. It does not know what is on topic or well
written, nor advertising in free words, nor code: a post that is mostly code passes unless its letters are few.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from dataclasses import dataclass

from stages.selection.boilerplate_phrases import is_menu_of_words, menu_lines, notice_share

_PLACEHOLDER = re.compile(
    r"[\[(<{]\s*(?:deleted|removed|withheld|content (?:deleted|removed)|"
    r"(?:deleted|removed) by (?:user|author|moderators?|reddit|admins?)|removed too many subs|gone)[\s.]*[\])>}]",
    re.IGNORECASE,
)
_EDITS = re.compile(r"^\W*(?:edit(?:ed)?|update)\b.*$", re.IGNORECASE | re.MULTILINE)
_LINK = re.compile(
    r"!?\[(?P<shown>[^\[\]\n]{0,300})\]\(\s*<?[^\s()]{0,2000}(?:\([^\s()]{0,200}\)[^\s()]{0,2000})?>?[^()\n]{0,200}\)"
    r"|<?\b(?:https?://|ftp://|www\.)[^\s<>]{1,3000}>?",
    re.IGNORECASE,
)
_MARKUP = re.compile(r"</?[a-zA-Z][^<>\n]{0,300}>|&(?:[a-z]{2,8}|#\d{1,6});|[|*_#=~`>\\+-]+")
_TAG = re.compile(r"<(script|style)\b.{0,2000}?</\1>|</?[a-zA-Z][^<>\n]{0,300}>|&(?:[a-z]{2,8}|#\d{1,6});")
_MENU_LINES = (
    r"home|menu|search|register|tweet|reply|help|faq|rss|e-?mail|password|remember me|permalink|trackback|top",
    r"log ?(?:in|out)|sign ?(?:in|up|out)(?: to .{1,20})?|forgot (?:your )?password|create (?:an |your )?account",
    r"(?:un)?subscribe(?: to .{1,40})?|share(?: this(?: page)?| on \w+)?|follow us.{0,60}|advertisement|sponsored",
    r"back(?: to top)?|skip to (?:main )?content|(?:read|load|see|show|view) (?:more|all)",
    r"(?:next|prev(?:ious)?|first|last)(?: (?:page|post))?|page \d+(?: of \d+)?|showing \d+.{0,40}results?",
    r"(?:read )?(?:our )?(?:privacy|cookie) policy|terms (?:of|and) \w+|contact(?: us)?|about(?: us)?",
    r"(?:copyright|\u00a9|\(c\))[^a-z]{0,10}\d{4}.{0,80}|all rights reserved.{0,80}",
    r"(?:accept|reject|allow|decline)(?: all)?(?: cookies)?|manage preferences",
    r"(?:tags|categories|category|filter|sort by|labels) ?:.{0,80}|(?:filed under|posted in) .{1,40}",
    r"\d+ (?:comments?|points?|likes?|shares?)",
)
_MENU = re.compile(rf"\W*(?:{'|'.join(_MENU_LINES)})\W*", re.IGNORECASE)
_PAGE_WORD = r"(?:\W|\d|next|prev(?:ious)?|first|last|of|pages?)*"
_PAGES = re.compile(rf"{_PAGE_WORD}\b(?:next|prev(?:ious)?)\b{_PAGE_WORD}", re.IGNORECASE)
_SEPARATORS = re.compile(r"\s[|•·»>/]\s")
_BREADCRUMB = re.compile(r"\W*(?:home|index|start|you are here:?)\s*[>\u00bb\u203a/|]\s*\S", re.IGNORECASE)
_LEAST_NOTICE = 0.5
_REPEATED_FROM = 3
_LONGEST_MENU = 200


@dataclass(frozen=True, slots=True)
class Boilerplate:
    """What was counted in a text; shares lie between 0 and 1.

    Attributes:
        placeholder: True if nothing but a mark such as `[deleted]` or `[removed]` is left (edit notes not counted).
        lines: lines that are not blank; the next five count kinds of them.
        links: lines that are a link and hardly anything else.
        navigation: lines of menus, buttons and footers, or short words strung together by separators.
        notices: lines that are mostly notices of the site or the mailer: consent, rights, terms, sign-up, paywall.
        markup: lines of tags and entities with few words between them, or of rules with none.
        repeated: lines of more than a word that stand there for the third time or more.
        line_share: share of the characters that stand on lines of these five kinds.
        link_share: share of the characters that belong to links; the shown text of a link is not counted.
        letter_share: share of letters among the characters outside links.

    White space is never counted as a character.
    """

    placeholder: bool
    lines: int
    links: int
    navigation: int
    notices: int
    markup: int
    repeated: int
    line_share: float
    link_share: float
    letter_share: float


def measure(text: str) -> Boilerplate:
    """Count what is not prose in a text; one pass over its lines and characters."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    kinds: Counter[str] = Counter()
    seen: Counter[str] = Counter()
    odd = 0
    menu = menu_lines(lines)
    for i, line in enumerate(lines):
        seen[line] += 1
        kind = "navigation" if i in menu else _kind(line, seen[line])
        kinds[kind] += 1
        odd += 0 if kind == "prose" else _solid(line)
    length, unlinked = _solid(text), _LINK.sub(_shown, text)
    return Boilerplate(
        _is_placeholder(text),
        len(lines),
        kinds["links"],
        kinds["navigation"],
        kinds["notices"],
        kinds["markup"],
        kinds["repeated"],
        _share(odd, length),
        _share(_linked(text), length),
        _share(_letters(unlinked), _solid(unlinked)),
    )


def _kind(line: str, times: int) -> str:
    rest = _LINK.sub("", line)
    if rest != line and _letters(rest) <= max(12, len(line) // 10):
        return "links"
    if len(line) <= _LONGEST_MENU and _is_navigation(line):
        return "navigation"
    untagged = _TAG.sub("", line)
    if untagged != line and 2 * _letters(untagged) < _solid(line) - _solid(untagged):
        return "markup"
    if not _letters(_MARKUP.sub("", line)) and not any(c.isdigit() for c in line):
        return "markup"
    if times >= _REPEATED_FROM and len(line.split()) > 1:
        return "repeated"
    if notice_share(line) > _LEAST_NOTICE:
        return "notices"
    return "prose"


def _is_navigation(line: str) -> bool:
    whole = _MENU.fullmatch(line) or _PAGES.fullmatch(line) or _BREADCRUMB.match(line)
    return bool(whole) or _is_menu_row(line) or is_menu_of_words(line)


def _is_menu_row(line: str) -> bool:
    """Return whether a line is at least three short entries between separators, as in `Home | News | Help`."""
    entries = _SEPARATORS.split(line)
    return len(entries) >= 3 and not line.startswith("|") and all(0 < len(e.split()) <= 3 for e in entries)


def _is_placeholder(text: str) -> bool:
    left, found = _PLACEHOLDER.subn("", text)
    return bool(found) and not _letters(_EDITS.sub("", left))


def _shown(link: re.Match[str]) -> str:
    return link["shown"] or " "


def _linked(text: str) -> int:
    return sum(len(m[0]) - len(m["shown"] or "") for m in _LINK.finditer(text))


def _share(part: int, whole: int) -> float:
    return round(part / whole, 4) if whole else 0.0


def _solid(text: str) -> int:
    """Count the characters that are not white space."""
    return sum(map(len, text.split()))


def _letters(text: str) -> int:
    """Count letters and the marks that many scripts write them with."""
    if text.isascii():
        return sum(map(str.isalpha, text))
    return sum(unicodedata.category(c)[0] in "LM" for c in text)
