"""Find personal data that has a form: e-mail, phone, IP address, payment card, IBAN, US social security number, handle.

Found by patterns and check sums (`checked_numbers`, `phone_numbers`), no model. NOT found: names, street addresses,
dates of birth, places of work, user names without a mark before them, what a photograph or a story gives away. A text
with nothing found is not anonymous.

Where two kinds claim the same characters the one with the stronger check has them, in the order of `KINDS`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from stages.selection.checked_numbers import Span, cards, ibans, ip_addresses, social_security_numbers
from stages.selection.code_context import is_code_name
from stages.selection.phone_numbers import phone_numbers

Kind = Literal["email", "iban", "card", "ip", "ssn", "phone", "handle"]
KINDS: tuple[Kind, ...] = ("email", "iban", "card", "ip", "ssn", "phone", "handle")

_EMAIL = re.compile(
    r"(?<![\w.%+@-])[\w.%+'-]{1,64}@(?:[\w-]{1,63}\.){1,6}([^\W\d_]{2,24}|xn--[a-z0-9-]{2,59})(?![\w@-])"
)
_SPELLED = re.compile(
    r"(?<![\w.%+-])[\w.%+-]{1,64} ?[\[({<] ?(?:at|@) ?[\])}>] ?[\w-]{1,63}"
    r"(?: ?(?:[\[({<] ?(?:dot|\.) ?[\])}>]|\.) ?[\w-]{1,63}){1,4}(?!\w)",
    re.IGNORECASE,
)
_FILE_ENDINGS = frozenset(
    (
        "png",
        "jpg",
        "jpeg",
        "gif",
        "svg",
        "webp",
        "bmp",
        "css",
        "scss",
        "js",
        "ts",
        "tsx",
        "jsx",
        "json",
        "html",
        "py",
        "md",
        "txt",
    )
)
_REDDIT = re.compile(
    r"\[(?P<name>[A-Za-z0-9_-]{3,20})\]\((?:https?://(?:\w+\.)?reddit\.com)?/u(?:ser)?/(?P=name)/?\)"
    r"|(?<![\w/.])/?u/[A-Za-z0-9_-]{3,20}(?![\w/-])|(?<=reddit\.com)/u(?:ser)?/[A-Za-z0-9_-]{3,20}(?![\w-])"
)
_AT_NAME = re.compile(r"(?<![\w@./=\"'`+%&*-])@([A-Za-z_][A-Za-z0-9_.]{1,29})(?:@[\w-]+(?:\.[\w-]+)+)?(?![\w@/(:=-])")


@dataclass(frozen=True, slots=True)
class Found:
    """One piece of personal data: its kind and where it stands in the text."""

    kind: Kind
    start: int
    end: int


def find(text: str, region: str, kinds: Collection[Kind] = KINDS) -> list[Found]:
    """Return the personal data of a text, in order, without overlaps.

    Args:
        text: any text.
        region: two capital letters, for phone numbers without country code.
        kinds: which kinds are looked for.
    """
    searches: dict[Kind, Callable[[str], Iterator[Span]]] = {
        "email": emails,
        "iban": ibans,
        "card": cards,
        "ip": ip_addresses,
        "ssn": social_security_numbers,
        "phone": lambda t: phone_numbers(t, region),
        "handle": handles,
    }
    taken: list[Found] = []
    for kind in KINDS:
        for start, end in searches[kind](text) if kind in kinds else ():
            if not any(f.start < end and start < f.end for f in taken):
                taken.append(Found(kind, start, end))
    return sorted(taken, key=lambda f: f.start)


def mask(text: str, found: Sequence[Found]) -> str:
    """Return a text with each find replaced by its kind in capitals, such as `[EMAIL]`."""
    parts, at = [], 0
    for f in found:
        parts += [text[at : f.start], f"[{f.kind.upper()}]"]
        at = f.end
    return "".join([*parts, text[at:]])


def emails(text: str) -> Iterator[Span]:
    """Yield where e-mail addresses stand, also spelled with `[at]` and `[dot]`; `git@host` is no person's."""
    if "@" in text:
        for found in _EMAIL.finditer(text):
            if found[1].lower() not in _FILE_ENDINGS and not found[0].lower().startswith("git@"):
                yield found.span()
    for found in _SPELLED.finditer(text):
        if "@" in found[0] or re.search(r"\bat\b", found[0], re.IGNORECASE):
            yield found.span()


def handles(text: str) -> Iterator[Span]:
    """Yield where `u/name` and `@name` stand; what `code_context` knows as code is left."""
    yield from (found.span() for found in _REDDIT.finditer(text))
    for found in _AT_NAME.finditer(text):
        name = found[1].rstrip(".")
        if not is_code_name(text, found.start(), name):
            yield found.start(), found.end() if found.end(1) < found.end() else found.start() + 1 + len(name)
