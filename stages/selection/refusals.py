"""Tell whether a response refuses to do what was asked.

A filter that Olmo 3 (arXiv:2512.13961, 5.3.1) applies to chosen responses, in purpose only: patterns and rules are
ours, for English. A refusal shows in the first sentences, so only these are read. A response that says what it cannot
do and then does what it can ("I can't diagnose you, but common causes are ...") is no refusal, nor is a letter that
declines something. Words by which people too turn something down ("I'll pass", "I won't") count only beside a reason
or another offer. It does not judge whether a refusal is right, and sees none in other languages.
"""

from __future__ import annotations

import re

from stages.selection.speech import any_of, is_reported

_READ = 480
"""Characters of the opening."""
_SENTENCES = 3
_LONG = 50
"""Words from which on a text is long: if it goes on after its excuse it has answered after all, and what it cannot
carry out is told rather than refused."""

_ADVERBS = (
    r"(?:\w+ly |also |still |just |ever |in good conscience |in any way |and will not |and won't "
    r"|be the one to |bring myself to )*"
)
_CAN_NOT = any_of(
    "can't", "cannot", "can not", "won't", "will not", "wouldn't be able to", "would not be able to", "shall not"
)
_AM_NOT = r"(?:am|'m) " + any_of(
    "unable to|unwilling to|not at liberty to",
    "incapable of",
    "not capable of",
    "not comfortable",
    "not (?:able|allowed|permitted|going|designed|programmed|authori[sz]ed|willing|equipped|in a position) to",
    "not (?:prepared|inclined|meant|supposed|cleared) to",
)
_UNEASY = (
    r"(?:do not|don't|wouldn't|would not) feel (?:\w+ly )?(?:comfortable|able|right|at ease|good|safe)(?: about| in)?"
)
_HAVE_NOT = r"(?:do not|don't) (?:have|possess) (?:the )?(?:\w+ )?" + (
    any_of("ability", "capability", "capacity", "permission", "authori[sz]ation") + " to"
)
_I_CANNOT = rf"\bI(?: |(?='m)){_ADVERBS}{any_of(_CAN_NOT, _AM_NOT, _UNEASY)}"
_MUST = any_of(
    "(?: must| have to| need to|(?: will|'ll| would|'d) (?:have|need) to)",
    "(?: am|'m) (?:going|obliged|bound|forced) to",
)
_SERVICE = any_of(
    r"help(?! but| myself| it\b| \w+ing\b)",
    "assist|provid(?!e an? better)|fulfil|comply|answer|respond to|creat|writ|generat|produc",
    r"shar(?!e (?:a|my|the) (?:flat|room|house|bed|car|table))",
    r"offer(?! more| less)|discuss|support|engage|continue(?=[.,;]| with| this| our)|participat|facilitat",
    "condon|encourag|promot|endors|role-?play|pretend(?! that| it| this| there| otherwise)|act as|impersonat|reveal",
    r"disclos|instruct|giv(?!e up|e in\b|e away)|do (?:that|this|so|what)\b|make (?:that|any|such)",
    r"be (?:a )?(?:part(?:y)?|complicit|involved)\b|take (?:any )?part in|lend (?:a hand|my)|go along with",
    r"tell you(?! how| enough)|walk you through|contribute to (?:it|this|that|such)\b|hand (?:you|out|over)",
    r"go into (?:any |the |this|that|it\b|detail)",
)
"""What an assistant is asked for; where it says that it cannot do that, it refuses."""
_ERRAND = any_of(
    "access|brows|open|view|advis|carry out|complet|process|perform|predict|translat|speculat",
    r"describ(?!e how \w+ (?:I|we|it|he|she|they)\b)|explain|diagnos|show you|guide|teach|play|send|buy|book",
    "confirm|verify",
    r"recommend(?!.{0,60}\benough)",
    r"mak(?:e|ing) (?:\w+ )?(?:calls?|bookings?|reservations?|purchases?)",
    "see (?:the|your|any)",
)
"""What people too say that they cannot do; it counts in a short response only."""
_DEED = any_of(_SERVICE, _ERRAND, "go into|touch|walk you|comment|speak|talk|weigh in|tell (?:you|anyone) how")
_TOPIC = any_of(
    "something",
    "(?:a|the kind of|the sort of|a kind of) (?:topic|request|question|task|subject|thing|conversation"
    "|discussion|area)",
)
_RULES = any_of(
    "guidelines|programming|principles|polic(?:y|ies)|values|instructions|standards|ethics|morals", "code of conduct"
)
_UNFIT = any_of(
    r"(?:\bnot|n't)(?: \w+){0,5} (?:right|ethical|responsible|proper|acceptable|wise|okay|ok|fair|safe|appropriate)",
    r"\b(?:irresponsible|unethical|wrong|inappropriate|improper|immoral|reckless|negligent|harmful|dangerous|unsafe)",
)
_WAY = any_of("way", "means", "circumstances?", "situations?", "scenario", "conditions?", "possibility")
_BEYOND = any_of(
    r"my (?:\w+ )?(?:scope|remit|capabilities|mandate|permissions)",
    r"the (?:scope|range|limits|bounds) of what I\b",
    rf"what I(?: can|'m| am| will) (?:{_DEED}|do\b|able|allowed|permitted|willing|comfortable)",
)
_END = r"(?=[.,;:!\n]|$| here\b| (?:on|to|for|with) (?:this|that|it)\b)"

_REFUSALS = re.compile(
    any_of(
        rf"{_I_CANNOT} (?:be (?:able |willing |comfortable )?)?(?:to )?{_ADVERBS}{_SERVICE}",
        rf"\b(?:sorry|apologi[sz]e|apologies|regret)\b[^.!?\n]{{0,90}}?{_I_CANNOT}",
        rf"^(?:sorry,? (?:but )?)?(?:can't|cannot|won't|unable to|not able to|not going to) {_ADVERBS}{_SERVICE}"
        r"(?=[^.!?\n]{0,90}(?:[.!]|$))",
        rf"\bI {_HAVE_NOT}",
        r"\bI(?: a|')m not (?:\w+ly )?comfortable with (?:this|that|your|such|the (?:request|question|topic))\b",
        rf"\bas an? (?:AI|artificial intelligence|language model)\b[^.!?\n]{{0,60}}{_I_CANNOT}",
        rf"\b(?:your|this|that) request (?:{_CAN_NOT}|is (?:not|against|in violation)|violates)",
        rf"\bI{_MUST} (?:have to )?(?:\w+ly )?(?:turn (?:this|that|you|your request) down\b"
        r"|(?:decline|refuse)\b(?! (?:an?|some|the|his|her|their|my) (?!(?:\w+ )?(?:request|question|task))))",
        rf"\bI{_MUST} (?:have to )?(?:\w+ly )?turn down(?=[.,;]|$| (?:this|that|your) (?:request|question|one)\b)",
        rf"\bI(?: will|'ll| would|'m going to| am going to)? (?:\w+ly )?(?:decline|refuse) to {_DEED}",
        rf"\bI(?: a|')m (?:\w+ly )?(?:declining|refusing|choosing not) (?:to {_DEED}|(?:this|that|your) request)",
        r"\bI(?:'d| would| will|'ve| have|'m going to)? (?:\w+ly )?(?:rather|prefer|choose|chosen|decided"
        r"|opt(?:ed)?) not "
        rf"(?:to )?{_ADVERBS}(?:{_SERVICE}|say(?! …)|go into|talk|get into|comment)",
        rf"\bI(?: will|'ll| must| have to| need to| should) (?:refrain|abstain)(?: from {_ADVERBS}{_DEED}|[.,;]|$)",
        rf"\bI (?:do not|don't) (?:\w+ly )?(?:wish|care|intend|plan) to {_ADVERBS}{_SERVICE}",
        rf"\bhelping you\b[^.!?\n]{{0,80}} (?:would|could|might|may) be {_UNFIT}",
        rf"\b(?:not|n't) my (?:place|role) to {_DEED}",
        r"\bline (?:that )?I (?:\w+ly )?(?:will not|won't|do not|don't|cannot|can't|refuse to) cross\b",
        r"\bout of the question for me\b",
        rf"\b{_TOPIC} (?:that )?I(?: will|'ll| can| would) never {_ADVERBS}(?:{_DEED}|do\b)",
        r"\bI(?: will|'ll|(?:'d| would) rather|(?:'d| would)? prefer to| have to) "
        r"(?:steer|stay|keep) (?:clear|away|out) (?:of|from) "
        r"(?:(?:this|that|the|such) (?:topic|subject|question|request|kind)|it\b|this\b)",
        rf"\bI (?:have no|lack the) (?:ability|capability|permission|authori[sz]ation|authority) to {_DEED}",
        rf"\bmy (?:policy|rule|practice|principle) (?:is )?not to {_DEED}",
        rf"\bI(?:'ve| have) been (?:instructed|told|asked|trained|programmed|designed) not to {_SERVICE}",
        rf"\bI have no (?:intention|desire|wish|interest|plans?) (?:of|to|in) {_ADVERBS}{_DEED}",
        r"\bI (?:do not|don't) (?:\w+ly )?(?:provide|assist|help (?:with|people|anyone|anybody)|engage in|discuss"
        r"|generate|facilitate|comply|answer (?:questions|requests|this|that|such))",
        rf"\b{_TOPIC} (?:that )?(?:{_I_CANNOT}|I (?:avoid|(?:stay|keep) (?:away|clear|out)|steer clear))",
        rf"(?:\bnot|n't) {_TOPIC} (?:that )?I(?:'m| am| can|'d be)\b",
        rf"\b{_TOPIC} (?:that )?I (?:\w+ )?(?:do not|don't) (?:do|touch|discuss|assist with|help with"
        rf"|provide)(?=[.,;!]|$)",
        rf"(?:\bnot|n't) {_TOPIC} (?:that )?I(?: will|'ll| intend to| want to| wish to| care to) (?:ever "
        rf")?(?:{_DEED}|do\b)",
        rf"(?:\bgoes|\bgo|\bis|\bare|'s) against (?:(?:my|our) (?:\w+ )?{_RULES}|the (?:\w+ )?{_RULES} (?:that )?I\b)",
        rf"\bviolates? (?:my|our|the) (?:\w+ ){{0,2}}{_RULES}",
        rf"\bmy {_RULES} (?:do|does)(?:n't| not) (?:allow|permit)",
        r"(?:\bnot |n't |\bin)(?:be )?appropriate for me to\b",
        rf"{_UNFIT}(?: (?:thing|step|course))? (?:for|of) me to {_ADVERBS}{_DEED}",
        r"\bI (?:don't|do not) think (?:that )?I (?:can|should) (?:help|assist|answer|provide|do that)",
        r"\b(?:prevents?|prohibits?|forbids?) me (?:from|to)\b",
        rf"\b(?:no|isn't any|not any) {_WAY} (?:for me|(?:in |under )?(?:which |that )?I (?:can|could|will|would))"
        rf" (?:to )?{_ADVERBS}{_SERVICE}",
        rf"\bI (?:see|have|know(?: of)?) no {_WAY} (?:to|of) {_SERVICE}",
        r"\bunder no circumstances (?:can|will|would|could|shall|am) I\b",
        r"\bin no (?:way|case) (?:can|will|would|shall) I\b",
        rf"\bit(?:'s| is| would be) (?:best|better|wiser|safer) (?:if|that) I (?:do not|don't|did not|didn't) {_DEED}",
        r"\b(?:want|wish for|take|have) no part (?:of|in) (?:it|this|that|any|such)\b",
        r"^(?:i'm )?sorry,? (?:but )?(?:no|no can do|no chance|no way)(?=[.!\n]|$)",
        r"\b(?:sorry|^no), (?:but )?that's not (?:something|possible)",
    ),
    re.IGNORECASE | re.MULTILINE,
)
_ERRANDS = re.compile(
    any_of(
        rf"{_I_CANNOT} (?:to )?{_ADVERBS}{_ERRAND}",
        r"\b(?:so|therefore|hence),? I (?:will not|won't|cannot|can't|must decline|decline|refuse)(?=[.!;\n]|$)",
        rf"\bI (?:\w+ ){{1,5}}and (?:will not|won't) {_ADVERBS}{_SERVICE}",
        rf"\b(?:beyond|outside(?: of)?|not within|not in) {_BEYOND}",
    ),
    re.IGNORECASE,
)
_TURNED_DOWN = re.compile(
    any_of(
        rf"\bI(?:{_MUST}| will|'ll) (?:have to )?(?:\w+ly )?"
        rf"(?:stop (?:you there|here|there|right (?:here|there))|say no){_END}",
        rf"\bI(?:{_MUST} (?:have to )?| will |'ll | would rather |'d rather )(?:\w+ly )?"
        rf"(?:pass|sit (?:this|that) (?:one )?out|bow out|leave (?:it|this|that) alone){_END}",
        rf"\bI(?:{_MUST}| will|'ll)? (?:\w+ly )?draw (?:the|a) line\b",
        rf"\bI(?: will|'ll)? (?:\w+ly )(?:decline|refuse){_END}",
        r"\bI(?: will|'ll)? (?:decline|refuse)(?=[.;!\n]|$)",
        r"\bI (?:will not|won't|cannot|can't|shall not)(?: and (?:will not|won't))?(?: (?:do|be doing|go) "
        r"(?:so|it|that|this|there))?"
        r"(?=[.;!\n]|$|,(?! (?:however|of course|though|but)\b))",
        r"\bbetter not to (?:answer|discuss|respond|comment|go into)\b",
        r"\bcount me out\b|\bnot from me(?=[.,;!])|\b(?:get|find) (?:that|this|it|them|any\w*) from me\b",
        r"\b(?:that|this) (?:is|'s|one is|one's) a no from me\b",
        r"\b(?:my|so the) (?:answer|reply) (?:is|has to be|must be) no\b|\b(?:don't|do not) ask me to\b"
        r"|\bnot doing that\b",
        r"\b(?:so|and|but) I(?:'m| am) (?:declining|refusing|passing|out)\b|\bif I (?:helped|assisted|showed) you\b",
        r"\bI(?:'d| would) rather we (?:spoke|talked|discussed|turned|moved)\b",
        r"(?:\bis|\bare|'s) (?:off[- ]limits|out of bounds|off the table)\b",
        r"\b(?:sorry|afraid)[^.!?\n]{0,20} (?:that|this|it)(?:'s| is) (?:not|something)\b[^.!?\n]{0,20}"
        r"\b(?:I|me|possible)\b",
        r"\b(?:let(?:'s| us)|(?:could|can|shall|may|might) we) (?:\w+ )?(?:talk|speak|discuss|move on|turn "
        r"to|change|find|pick|choose)\b[^.!?\n]{0,40}"
        r"\b(?:else|different|other things|subject|topic)\b",
    ),
    re.IGNORECASE | re.MULTILINE,
)
"""Words by which people too turn something down."""
_BESIDE_IT = re.compile(
    any_of(
        r"\b(?:harm|hurt|danger|endanger|illegal|unlawful|crime|criminal|unethical|immoral|unsafe|abus"
        r"|exploit|violat|threat|blackmail|steal|bully|deceiv|hate)\w*",
        r"\b(?:(?:against|break|breaks) the law|consent|privacy|cross(?:es)? (?:a|the) line|cruel\w*|victims?"
        r"|someone you trust"
        r"|weapons?|forbidden)\b",
        r"\b(?:do|does|would|could|might|may|can) (?:\w+ )?(?:damage|injure|ruin|put)\b",
        r"\b(?:is|are|be|'s) (?:\w+ )?(?:wrong|not (?:okay|ok|fine|acceptable))\b",
        r"\b(?:anything|something) else\b[^.!?\n]{0,40}\b(?:help|mind|you|instead|about)\b",
        r"\b(?:happy|glad) to (?:help|assist|talk|answer)\b",
        r"\banother (?:topic|subject|question|request)\b",
    ),
    re.IGNORECASE,
)
"""Reasons and other offers by which an assistant softens a refusal."""
_DOES_IT = any_of(
    r"\bhere(?:'s| is| are)\b",
    r"\b(?:in general|generally|typically|common|commonly|usually|most likely|probably|roughly|on average)\b",
    r"\bif I (?:was|were|had)\b",
    r"\bI (?:can|could|will|'ll) (?:\w+ly )?"
    + any_of(
        "tell|explain|describe|outline|walk|point|summar|sketch|list|give|share",
        "suggest|offer (?:some|a few|general)|provide (?:some|a|general)",
    ),
)
_GOES_ON = re.compile(
    r"\b(?:but|however|that said|nevertheless|nonetheless|still|instead|though)\b[^.!?\n]{0,90}?" + _DOES_IT,
    re.IGNORECASE,
)
_IN_PASSING = re.compile(
    rf"{_I_CANNOT} (?:to )?{_ADVERBS}"
    r"(?:access|browse|open|view|see|check|look|verify|confirm|hear|read|taste|measure|predict|guarantee|promise"
    r"|(?:give|offer|provide) (?:you )?(?:with )?(?:an? )?"
    r"(?:medical|legal|financial|tax|professional|exact|precise|definite|personali[sz]ed"
    r"|full|complete|detailed|simple|single|final|short) \w+)\b"
    r"[^.!?\n]{0,80}[,;.] "
    r"(?:but|however|so|still|yet|though|that said|nevertheless|even so|on average|in general)\b,?[^.!?\n]{0,60}?"
    + any_of(
        _DOES_IT,
        r"\b(?:as|so) far as I (?:know|can tell|am aware|recall)\b",
        r"\bfrom (?:memory|what I (?:know|remember|have read))\b",
        r"\bI (?:know|believe|think|recall|remember|suspect|would (?:say|guess|expect|start|try))\b",
        r"(?<=but )(?:most|many|some|it|this|these|such|the) \w+",
        r"\bon average\b|, though,|(?<=on average, )|(?<=in general, )",
        r"\bmy (?:best )?(?:guess|estimate)\b|\bto my knowledge\b|\bas I (?:recall|remember)\b",
    ),
    re.IGNORECASE,
)
"""What it cannot look at, and the answer in spite of that; even a short response has answered then."""
_LETTER = re.compile(
    any_of(
        r"[\s*…]*(?:subject:|dear\b|to whom|(?:hi|hello|hey) (?!there|!)[\w\[][\w .\[\]]{0,40},[ \t]*\n)",
        r"[\s*…]*(?:thank you|thanks)(?: so much| very much| again)? for "
        r"(?:(?:the|your|this) (?:\w+ )?(?:offer|invit\w+|proposal|application|order)\b|inviting|offering|thinking of)",
    ),
    re.IGNORECASE,
)
_SIGNED = re.compile(
    r"\n[ \t]*(?:(?:kind|best|warm) (?:regards|wishes)|(?:yours )?sincerely|regards|cheers|yours)(?:,|[ \t]*\n)",
    re.IGNORECASE,
)
_ASIDE = re.compile(
    r", (?:in good (?:conscience|faith)|of course|therefore|\w+ly|as a (?:rule|matter of principle)), ", re.IGNORECASE
)
_SENTENCE_END = re.compile(r"(?<=[.!?:])\s+|\n+")


def refusal(own: str) -> str | None:
    """Return the words that refuse, None if there are none.

    Args:
        own: the response without quotations, as `own_words` returns it.
    """
    if _LETTER.match(own) or _SIGNED.search(own) or _IN_PASSING.search(own[:_READ]):
        return None
    opening, is_long = _opening(own), len(own.split()) >= _LONG
    found = _REFUSALS.search(opening) or (None if is_long else _ERRANDS.search(opening) or _softened(opening))
    if found is None or (is_long and _GOES_ON.search(own[:_READ])) or is_reported(opening, found.end()):
        return None
    return found[0]


def _opening(own: str) -> str:
    """Return the first sentences, each on a line of its own, without asides between commas."""
    opening = "\n".join([s for s in _SENTENCE_END.split(own[:_READ]) if s.strip()][:_SENTENCES])
    return _ASIDE.sub(" ", opening)


def _softened(opening: str) -> re.Match[str] | None:
    return _TURNED_DOWN.search(opening) if _BESIDE_IT.search(opening) else None
