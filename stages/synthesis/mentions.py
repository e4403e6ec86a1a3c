"""Find where a query names the text it was made from, the author of it, or the request that asked for it.

PUGC (arXiv:2506.04463) wants queries that stand alone; its own filter prompt was not published, so this is ours. It
knows English only, and words only: a query that leans on the text without naming it ("Why did he stop?") is left to
the judge of `filter_queries`. In doubt it finds: a good query lost costs less than a bad one kept.
"""

from __future__ import annotations

import re

_QUALITY = r"(?:(?:original|above|given|following|provided|entire|whole|quoted|first|last|same|linked)[ -])*"
_NOUN = (
    r"(?:blog[ -]?posts?|posts?|postings?|articles?|texts?|passages?|documents?|threads?|excerpts?|essays?|snippets?|"
    r"paragraphs?|write-?ups?|transcripts?|reviews?|comments?|stor(?:y|ies)|narratives?)"
)
_LOOSE_NOUN = r"(?:blogs?|quotes?|quotations?|discussions?|titles?|sub-?reddits?|forums?)"
"""Words that mean the source only after `this`, or as the subject of a verb of saying."""
_WRITER = r"(?:authors?|writers?|narrators?|bloggers?|reviewers?|commenters?|redditors?)"
_PERSON = rf"(?:{_WRITER}|posters?|speakers?|users?|persons?|man|woman|guy|girl|individuals?|couple)"
_SAYS = (
    r"(?:say|said|state|mention|describe|suggest|recommend|claim|argue|discuss|impl(?:y|ie)|explain|advise|list|tell|"
    r"told|conclude|mean|think|feel|want|share|express|believe|propose|write|wrote|refer|point|highlight|face|use|"
    r"experience|cite|warn|plan|find|found|offer|try|tried|decide|achieve|learn|make|made|give|gave)(?:s|es|d|ed|ing)?"
)
_NAMED = r"(?:mentioned|described|stated|discussed|listed|given|provided|shown|quoted|referenced|outlined|answered)"

# "the post office", "the thread of a screw", "the story behind jazz": the noun is part of another thing.
_ALONE = (
    r"(?![\w-]*[ -](?:offices?|cards?|code|box|hole|holes|man|war|master|op|mortem|boxes|messages?|messaging|editors?|"
    r"sizes?|fields?|colou?rs?|files?|fonts?|books?|alignment|counts?|pitch|sections?|process|board|period|deadline|"
    r"viewers?|formats?|scanners?|screens?)\b)"
    r"(?!\w|-\w)(?! (?:for|through|on|between|inside) (?:an?|the|my|our|your|his|her|their|its|some|each|every|all|"
    r"time|[A-Z0-9])\b)(?! (?:of|behind) \w)(?! (?:number )?\d)"
)
_SOURCE = rf"(?:{_NOUN}|{_LOOSE_NOUN}){_ALONE}"

_PATTERNS = (
    # "this post", "the text", "your article", "the provided excerpt".
    rf"\b(?:this|these) {_QUALITY}{_SOURCE}",
    rf"\b(?:above|quoted|given|provided|linked|original)[ -]{_SOURCE}",
    rf"\bthe {_QUALITY}{_NOUN}{_ALONE}",
    rf"\b(?:your|his|her|their) {_QUALITY}(?:posts?|articles?|text|threads?|story|blog ?posts?){_ALONE}",
    rf"\bthe {_QUALITY}{_LOOSE_NOUN} {_SAYS}\b",
    # "the author", but not "the author of a will".
    rf"\b(?:the|this|that) {_QUALITY}{_WRITER}(?:['’]s?)?(?! of\b)(?!\w)",
    rf"\b(?:does|did|do|is|was|has|had|would|can|could|should|will) the {_PERSON} (?:\w+ )?{_SAYS}\b",
    r"\bdid the poster\b|\bthe (?:poster|speaker|user|person)['’]s\b|\boriginal[ -]posters?\b",
    r"(?-i:\bOPs?\b)(?:['’]s)?(?![- ]?(?:amp|code|ed|art|1|Z)\b)",
    # "according to the text", "as mentioned above".
    rf"\b(?:according to|based (?:up)?on|as per|in light of) (?:the|this|that|what) {_QUALITY}(?:{_SOURCE}|{_PERSON}|"
    r"(?:information|data|details|content) (?:above|given|provided|below))\b",
    rf"\b{_NAMED} (?:above|here|below|earlier|"
    rf"(?:in|by) (?:the|this|that) {_QUALITY}(?:{_NOUN}|{_LOOSE_NOUN}|{_WRITER}))\b",
    # What the request itself is made of.
    r"\b(?:this|the above|the following|above) (?:question|query|scenario|information|content|statement|anecdote|edit|"
    r"update|topic|subject)\b",
    r"\bthe (?:answer to|purpose of|meaning of) (?:the|this|that|your) (?:question|query)\b",
    r"\bbetween the (?:two )?lines\b|\b(?:BEGIN|END) (?:DOCUMENT|QUERY|QUESTION|TEXT)\b",
)
_ANY = tuple(re.compile(pattern, re.IGNORECASE) for pattern in _PATTERNS)
_THIS_PERSON = re.compile(rf"\bthis {_PERSON}\b", re.IGNORECASE)
_FIRST_SENTENCE = re.compile(r".*?[.!?](?=\s|$)", re.DOTALL)


def mention_of_source(query: str) -> str | None:
    """Return the words with which a query names its text, the author or the request; None if it names none.

    `this person` counts only in the first sentence: later it may be somebody whom the query itself has introduced.
    """
    text = " ".join(query.split())
    for pattern in _ANY:
        if found := pattern.search(text):
            return found[0]
    first = _FIRST_SENTENCE.match(text)
    found = _THIS_PERSON.search(first[0] if first else text)
    return found[0] if found else None
