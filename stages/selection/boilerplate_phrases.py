r"""Tell sentences of notices and entries of menus: what a web page or a mail says on its own behalf, in English.

Web corpora are cleaned of such lines by single words and marks (C4, arXiv:1910.10683, section 2.2; Gopher,
arXiv:2112.11446, appendix A.1; RefinedWeb, arXiv:2306.01116, appendix G.2). Here a sentence counts only if it *speaks*
as a notice: it holds a phrase of `legal_phrases` or `page_phrases`, or several weaker cues close together. Who tells a
story about cookies or newsletters says `I` or `she`, or puts the notice into quotation marks; such sentences do not
count. Classes and wording are ours. It does not know other languages, nor advertising in free words.

A block of phrases has one pattern a line; what is indented deeper goes on with the line above, and `<site>` and the
like stand for the words in `_NAMED`. A pattern is searched in one sentence, from the start of a word on; `^` and `$`
are the ends of that sentence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from stages.selection.legal_phrases import LEGAL_PHRASES
from stages.selection.page_phrases import PAGE_PHRASES

_NAMED = {
    "<site>": r"(?:web ?)?(?:site|page|website|app|service|store|platform|blog|forum|channel|community)s?",
    "<ours>": r"(?:our|this|the) <site>",
    "<letter>": r"(?:news ?letters?|mailing list|(?:weekly |daily |free |e-?mail )+(?:digest|updates?|alerts?|tips))",
    "<mail>": r"(?:e-?mails?|messages?|communications?|transmissions?)",
    "<post>": r"(?:post|comment|thread|topic|message|submission|content|page|video|account|user|article|tweet|profile)",
    "<paid>": r"(?:subscribers?|(?:paid |paying |premium |registered )?members?|subscriptions?|membership)",
}
_WEAK = (
    r"cookies?",
    r"privacy|personal (?:data|information)",
    r"(?:our|this|the) (?:site|website|service)s?",
    r"your (?:device|browser|inbox|consent|subscription|account|e-?mail(?: address)?|order|choices|preferences|password"
    r"|data)",
    r"our (?:partners|advertisers|policy|policies|terms|newsletter|readers|members|sponsors|community|team|guidelines)",
    r"(?:at )?any ?time",
    r"you (?:agree|consent|accept|acknowledge|opted|may|can|must)",
    r"(?:un)?subscribe|sign up|sign in|log ?in|register",
    r"click|tap",
    r"please",
    r"prohibited|permitted|infringement|liable|liability|disclaimer|applicable laws?|third part(?:y|ies)",
    r"without (?:\w+ )?(?:permission|consent|notice)",
    r"terms|conditions|policy|guidelines",
    r"marketing|advertising|offers|promotions|ads",
    r"(?:full|unlimited|digital|free) access|(?:this|premium|exclusive|our) (?:article|content|story|video)"
    r"|subscri(?:ption|ber)s?",
    r"inbox|latest|updates|tips|newsletter|stories",
    r"navigation|menu|arrow keys|main content|home ?page|search",
    r"vat|shipping|delivery|returns|checkout|dispatch|refunds?",
    r"copyright|reproduction|reproduced|trademarks?|written consent|authors?",
    r"self-promotion|spam|sidebar|rules|community",
    r"this (?:post|comment|thread|page|message|e-?mail|video|link)|your (?:post|comment|submission)",
    r"hereby|herein|thereof|pursuant|hereof|hereunder|invalid|provisions?|remain in effect",
    r"recipient|confidential|privileged|attachments?",
    r"moderators?|administrators?|webmaster",
    r"exclusive|unlimited|premium|free trial",
    r"facebook|twitter|instagram|youtube|linkedin|pinterest|whatsapp|tiktok",
)
_CUES = tuple(re.compile(rf"\b(?:{p})\b", re.IGNORECASE) for p in _WEAK)
_TELLER = re.compile(
    r"\bI\b(?! am a bot| (?:comment|accept|agree|have read)\b)"
    r"|\bmy(?:self)?\b(?! (?:personal |email |e-mail )?(?:info|data|name|newsletter|channel))"
    r"|\b(?:me(?! of (?:new|follow))|mine|he|she|him|his|hers?)\b"
    r"|\b(?:said|says|asked|told|wrote|writes|argued|ruled|somebody|anybody|nobody)\b"
    r"|^\W*(?:how|what|why|which|does|did|is it|is there|can i|should|has|do you (?!want|have))\b",
    re.IGNORECASE,
)
_QUOTED = re.compile(r"\"[^\"\n]{1,300}\"|\u201c[^\u201c\u201d\n]{1,300}\u201d|\u00ab[^\u00ab\u00bb\n]{1,300}\u00bb")
_SENTENCE_END = re.compile(r"(?<=[.!?\u2026])\s+")
_FEWEST_CUES, _FEWEST_IN_SHORT, _SHORT, _WORDS_PER_CUE = 3, 2, 10, 10
_LONGEST_READ = 5000
_LONGEST_SENTENCE = 600

_ENTRIES = """
    home homepage about contact products services pricing prices blog careers support help faq faqs login logout
    register signin signup account profile settings dashboard shop store cart basket checkout wishlist catalog
    catalogue categories category archive archives tags tag search menu sitemap news sport sports weather business
    politics culture arts travel opinion opinions video videos photos gallery live world local entertainment tech
    technology science health lifestyle fashion money finance podcasts podcast newsletters newsletter subscribe
    subscriptions donate advertise press media jobs team company partners investors legal imprint privacy terms
    cookies accessibility feedback events calendar forum forums members community downloads docs documentation
    resources features solutions customers brands sale deals offers new popular trending latest featured related more
    next previous prev back top share tweet print email facebook twitter instagram youtube linkedin pinterest whatsapp
    reddit telegram rss comment comments reply like follow save copy report edit close skip reviews details overview
    description specifications shipping returns delivery compare filter sort language english login/register index start
    page changes random upload printable version permanent link links special gift cards finder size large
    small men women kids arrivals recent main conditions policy map stock guide orders inbox
    notifications messages favorites favourites bookmarks history groups friends
    skip continue submit cancel ok yes accept decline reject dismiss
"""
_MENU_WORDS = frozenset(_ENTRIES.split())
_SMALL = "a all and by for in my of on our see the this to up us view your & in/out"
_SMALL_WORDS = frozenset(_SMALL.split(" "))
_LONGEST_ENTRY = 32
_SHORTEST_MENU, _ONLY_ENTRIES = 4, 6


def _patterns(block: str) -> str:
    """Return the lines of a class as alternatives of one pattern."""
    for name in reversed(_NAMED):
        block = block.replace(name, _NAMED[name])
    return "|".join(re.sub(r"\n {8}", "", block).split("\n    ")).strip("|\n ")


_NOTICE = re.compile(rf"(?<!\w)(?:{'|'.join(map(_patterns, LEGAL_PHRASES + PAGE_PHRASES))})", re.IGNORECASE)


def notice_share(line: str) -> float:
    """Return the share (0 to 1) of a line's characters that stand in sentences of notices.

    Judged by the first 5,000 characters. A sentence with a phrase of a notice counts; one with several weak cues counts
    if there are three of them, or two in a sentence of up to ten words or beside a phrase in the same line, and no
    fewer than one in ten words.
    """
    sentences = _SENTENCE_END.split(line[:_LONGEST_READ])
    plain = [_QUOTED.sub(" ", s[:_LONGEST_SENTENCE]) for s in sentences]
    spoken = [bool(s.strip()) and not _TELLER.search(s) for s in plain]
    strong = [ok and bool(_NOTICE.search(s)) for s, ok in zip(plain, spoken, strict=True)]
    counted = [
        len(sentence)
        for sentence, text, ok, holds in zip(sentences, plain, spoken, strong, strict=True)
        if holds or (ok and _is_dense(text, any(strong)))
    ]
    return sum(counted) / max(1, sum(map(len, sentences)))


def _is_dense(sentence: str, beside_a_phrase: bool) -> bool:
    words = len(sentence.split())
    least = _FEWEST_IN_SHORT if beside_a_phrase or words <= _SHORT else _FEWEST_CUES
    cues = sum(bool(cue.search(sentence)) for cue in _CUES)
    return cues >= least and cues * _WORDS_PER_CUE >= words


def menu_lines(lines: Sequence[str]) -> set[int]:
    """Return which lines belong to a menu of one entry a line.

    That is a run of at least four lines of one to three words without an end mark, of which at least half and no fewer
    than three are known entries (`Home`, `Contact us`, `Add to cart`); shopping lists and verses have none.
    """
    found: set[int] = set()
    run: list[int] = []
    for i, line in enumerate([*lines, ""]):
        if line and _is_short(line):
            run.append(i)
            continue
        known = sum(_is_entry(lines[j]) for j in run)
        if len(run) >= _SHORTEST_MENU and known >= 3 and 2 * known >= len(run):
            found.update(run)
        run = []
    return found


def is_menu_of_words(line: str) -> bool:
    """Return whether a line is a row of at least four entries without separators: `Home About Contact Login`."""
    words = [w for w in re.findall(r"[^\W\d_][\w'-]*", line) if w.lower() not in _SMALL_WORDS]
    known = sum(w.lower() in _MENU_WORDS and w[0].isupper() for w in words)
    return known >= 4 and 4 * known >= 3 * len(words) and line.rstrip()[-1] not in ".!?"


def _is_short(line: str) -> bool:
    return len(line) <= _LONGEST_ENTRY and 0 < len(line.split()) <= 3 and line[-1] not in ".!?,;:\u2026\"'"


def _is_entry(line: str) -> bool:
    words = [w for w in re.findall(r"[^\W\d_][\w/'-]*", line.lower()) if w not in _SMALL_WORDS]
    return bool(words) and sum(w in _MENU_WORDS for w in words) * 2 >= len(words)
