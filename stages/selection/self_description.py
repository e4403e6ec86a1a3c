"""Find sentences in which a response speaks of itself as a model, or of how far its knowledge reaches.

Filters after Olmo 3 (arXiv:2512.13961, 4.2.1: model identity, date cut-off) in purpose only; patterns are ours, for
English. Only the first person counts: a response about language models describes others. It does not know who trains
on the data; a response that is asked for its name answers rightly and is found all the same.
"""

from __future__ import annotations

import re

from stages.selection.speech import any_of, is_reported

_AI = r"(?:AI|A\.I\.|artificial intelligence|(?:large )?language model|LLM)"
_PROGRAM = any_of(
    "(?:computer|software) program|piece of software|neural network|chatbot|chat bot|bot"
    "|(?:conversational|dialogue) (?:agent|system)",
    "(?:virtual|digital|automated|software|text-based) (?:assistant|helper|system|agent)",
    r"(?:\w{1,30} )?(?:machine[- ]learning|deep[- ]learning|pre-?trained|fine-tuned|generative|neural|statistical"
    r"|text-based|transformer(?:-based)?|foundation|trained) (?:language )?(?:model|network|system|program)",
)
_KIND = (
    rf"(?:[\w-]{{1,30}} )?(?:\w{{1,20}}-based |\w{{1,20}}-powered )?{_AI}(?:-powered|-based)?(?: language)?"
    r"(?: (?:model|assistant|chatbot|bot|system|program|tool|tutor|helper|agent|companion))?"
)
_PERSONS = any_of(
    "engineer|researcher|consultant|enthusiast|developer|specialist|ethicist|expert|student",
    "fan|geek|nerd|critic|novice|beginner|hobbyist|advocate|journalist|reporter|company|startup|lab",
    "maker|builder|user|operator|dealer|photographer|agency",
    "scientist|professional|manager|analyst|architect|writer|annotator|actor|actress|lead|trainer|teacher"
    "|lawyer|artist|founder|skeptic|sceptic",
)
_NAMES = any_of(
    r"Meta AI|Google Assistant|Gemma(?= ?\d|,? an? )|PaLM(?: ?2)?|Command R\+?|Kimi(?=,? an? AI)",
    r"ChatGPT|GPT-?\d[\w.-]*|InstructGPT|Claude(?: \d)?|Gemini|Google Bard",
    r"Bard(?=,? an? )|LLaMA|Llama ?\d[\w.]*|Qwen[\w.-]*|Mistral|Mixtral",
    r"DeepSeek[\w-]*|Copilot|Bing Chat|Vicuna|Grok|Phi-\d|SmolLM\w*|Tülu|OLMo\w*|Falcon-\d\w*",
    "Open ?Assistant",
)
_MAKERS = any_of(
    "OpenAI|Anthropic|Google|DeepMind|Meta(?: AI)?|Microsoft|Alibaba(?: Cloud)?",
    "Mistral(?: AI)?|DeepSeek|xAI|Hugging ?Face|LMSYS|Moonshot(?: AI)?|Cohere|AI2|the Allen Institute",
    "NVIDIA|Baidu|Tencent",
)
_MADE = any_of("developed", "created", "trained", "made", "built", "designed", "programmed")
_I_AM = (
    r"\bI(?: a|')m(?:,[\w ]{2,20},)? (?:not (?:an? )?(?:\w+ ){1,3}but )?"
    r"(?:\w+ly |just |only |but |also |still |after all |nothing (?:more than|but) |no more than )*"
)
_CALLED = r"(?:I(?: a|')m(?: called| named| known as)?|my name is|call me|I go by(?: the name(?: of)?)?)"
_AS = "(?:role|nature|purpose|design|limits|limitations|capacity|position|function|status|existence|abilities)"

_IDENTITY = re.compile(
    any_of(
        rf"\b(?:as|being) (?:an?|your) (?:{_KIND}|(?:\w+ )?{_PROGRAM})"
        rf"(?:,? I\b|, my\b|,? {_MADE}\b[^.!?\n]{{0,60}}\bI\b| means (?:that )?I\b)",
        rf"\bI (?:(?:do not|don't) (?:have|feel|hold|possess|experience)|have no|lack|cannot|can't)\b[^.!?\n]{{0,60}}"
        rf"\bas an? {_KIND}(?=[,.;])",
        rf"\b(?:myself|speaking) as an? {_KIND}(?=[,.;])|\bI, (?:as )?an? {_KIND},",
        rf"\bas the {_KIND} (?:that )?(?:you are|you're|answering|behind|in this)\b",
        rf"\blike (?:any|every|all|most|other) (?:{_KIND}|{_PROGRAM})s?,? I\b",
        rf"\b(?:what|who) I am(?: is|:|,|;) an? {_KIND}(?![\w' -]{{0,40}}{_PERSONS})",
        r"\bI (?:only |just )?exist (?:only |just )?as (?:software|code|a program|a model)\b",
        rf"\bI (?:may|might) (?:only |just |well )?be an? {_KIND}(?![\w' -]{{0,40}}{_PERSONS})",
        rf"(?:^|[,.!?]\s){_NAMES} here(?=[,.!:])",
        rf"{_I_AM}(?:a machine|software|code|lines of code|an algorithm)(?=[.,;:!]| and| so| that|$)",
        rf"(?:^|[.!?]\s)you(?:'re| are) (?:talking|speaking|chatting|writing) (?:to|with) an? {_KIND}(?: "
        rf"here)?(?=[,.;:!])",
        rf"\bmy {_AS}(?: here)? as an? {_KIND}(?![\w' -]{{0,40}}{_PERSONS})",
        rf"\b(?:{_KIND}|{_PROGRAM}|(?:computer )?program|machine)s? (?:like|such as) (?:me|myself)\b",
        rf"\b(?:remember|mind|note|forget) (?:that )?you(?:'re| are) (?:talking|speaking|chatting|writing) (?:to|with)"
        rf" an? (?:{_KIND}|{_PROGRAM})",
        rf"{_I_AM}not (?:(?:an? )?(?:\w+ )?human(?: being)?|a (?:real |human )?person)(?=[.,;:!]| but| and| so|$)",
        rf"(?:{_I_AM}|\bme, )an? {_KIND}(?![\w' -]{{0,40}}{_PERSONS})",
        rf"{_I_AM}an? (?:\w+ )?{_PROGRAM}\b(?![\w' -]{{0,40}}{_PERSONS})",
        rf"{_I_AM}an? (?:\w+ ){{0,3}}(?:model|assistant) (?:called|named) {_NAMES}\b",
        # A surname after it makes it a person: Claude Monet.
        rf"\b{_CALLED} {_NAMES}\b(?! (?-i:[A-Z]))",
        rf"\bI (?:was|am|have been) (?:\w+ly )?{_MADE} (?:and \w+ )?(?:by|at) {_MAKERS}\b",
        rf"\bmy (?:developer|creator|maker|parent company)s?(?:,| at| are| is| was)? {_MAKERS}\b",
        rf"\b{_MAKERS},? (?:has |have |which |who )?(?:\w+ly )?{_MADE} me\b",
        r"\bI (?:do not|don't) have (?:\w+ )?(?:feelings|emotions|consciousness|a physical body|experiences|opinions)\b"
        rf"(?=[^.!?\n]{{0,80}}\b(?:{_AI}|human|machine)\b)",
    ),
    re.IGNORECASE,
)

_KNOWLEDGE = r"(?:knowledge(?: base)?|training(?: data)?|information|data(?:base| set|set)?)"
_LAST = r"(?:last|latest|most recent)"
_UP_TO = r"(?:up )?(?:to|until|till|through|as of)"
_YEAR = r"(?:\w+,? ){0,3}(?:19|20)\d\d\b"
_ENDS = any_of(
    "c[ao]mes? to an end|concluded|ends|ended|stops|stopped|finished|closes|closed|runs out|ran out"
    "|breaks off|broke off|cuts off",
    "(?:was|were) (?:completed|finished|frozen|over|collected|gathered|compiled)",
)
_LEARNED = any_of(
    "know|knew|learned|learnt|read|studied",
    "(?:was|have been) (?:taught|shown|fed|given)",
    "have (?:read|seen|learned)",
)
_OF_KNOWING = any_of(
    r"\b(?:know|knew|knowledge|aware|learn\w*|written|information|data|facts|news|events?|texts?)\b",
    r"\b(?:newer|later|recent|out of date|outdated|up to date|released|may have changed|might have changed)\b",
)
_REACHES = any_of(
    rf"(?:only )?(?:goes|extends|reaches|runs) (?:only )?{_UP_TO}",
    "ends|stops|only (?:covers|includes)|includes (?:information|data) up",
    rf"(?:is|was) (?:only |currently )?(?:current|up to date|updated|last updated) {_UP_TO}",
    rf"(?:is|was) last (?:updated|refreshed) (?:in|on) {_YEAR}",
    "pre-?dates|precedes",
    rf"(?:does|do|may|might|will)(?: not|n't) (?:include|cover|reflect|contain)[^.!?\n]{{0,50}}\b(?:{_YEAR}"
    r"|recent|latest|newer)",
    r"(?:is|was) (?:only )?(?:limited to(?! a\b| what\b| the (?!period|time|years|data))|from)",
    "(?:is|was) (?:only )?based on (?:data|information)",
    r"(?:is|was|may be|might be|could be) (?:\w+ )?(?:outdated|out of date|stale|old|behind the times)",
)
_CURRENT = "(?:real[- ]?time|up[- ]to[- ]date|(?:the )?current|live|recent|the latest|the most recent|today's|newer)"
_NEWS = r"(?:\w+ )?" + any_of(
    "data|information|news|access|updates?|knowledge|events?|internet|prices|figures",
    r"weather(?! (?!data|info|for|in|at|on|now|today)\w)",
)
_I_LACK = any_of(r"I (?:do not|don't) (?:currently )?have(?: any)?", "I have no", "I lack", "I am without")
_AFTER = "(?:after|past|beyond|later than|newer than)"
_WAS_TRAINED = any_of(
    r"\b(?:trained(?! as\b| at\b| by\b| on\b| to\b)|updated|refreshed|retrained)",
    r"\btrained on (?:\w+ ){0,3}(?:data|texts?|information|books|documents|sources|pages|writing)",
)

_CUTOFF = re.compile(
    any_of(
        r"\bas of (?:the (?:time|date|end) of )?my training\b(?=[,.;:]| data\b| in (?:\w+ )?(?:19|20)\d\d)",
        r"\bas far as my (?:training|data|training data) (?:reaches|goes|extends|covers)\b",
        r"\bmy (?:\w+ ){1,2}(?:has|have|with) an? (?:\w+ )?cut[- ]?off(?= (?:in|of|at|date)\b|[.,;])",
        r"\bI (?:only have (?:\w+ )?(?:data|information|knowledge|facts)|have (?:data|information|facts) only) "
        r"(?:until|up to|through|till|before) "
        rf"{_YEAR}",
        rf"\bI (?:knew|know|had learned) as of {_YEAR}",
        rf"\b{_I_LACK} (?:access to )?(?:data|information|news|knowledge) (?:on|about|regarding|of) {_CURRENT}\b",
        rf"\bI can only (?:speak|vouch|report|comment|describe|tell|answer)\b[^.!?\n]{{0,50}}\b(?:before"
        rf"|{_UP_TO}) {_YEAR}",
        rf"\b{_LAST} (?:information|data|news|figures|facts|texts) (?:that )?I (?:have|know|hold)(?: of| seen| read)? "
        rf"(?:is|are|comes?|dates?)(?: only)?(?: back)? (?:from|to|for|of) {_YEAR}",
        r"\bI (?:may|might) not (?:have|know|be aware of) the (?:latest|newest|most recent|current) (?:\w+ )?"
        r"(?:information|data|news|developments|changes|versions?|releases?|figures|updates?)\b",
        rf"\b{_AFTER} (?:the year )?{_YEAR},? I (?:know (?:nothing|little)|have no (?:information|knowledge|data|news)"
        r"|am not aware|cannot say|can't say|cannot tell|can't tell)",
        r"\bI (?:can't|cannot|am not able to|'m not able to|am unable to|have no way to) (?:\w+ly )?"
        rf"(?:access|see|check|retrieve|look up|fetch|get|obtain) {_CURRENT} {_NEWS}",
        r"\bI(?: a|')m (?:working|going|drawing|relying)(?: only)? (?:from|on|off|with) (?:information"
        r"|data|texts|sources)\b"
        rf"[^.!?\n]{{0,40}}\b(?:{_UP_TO}|before|from) {_YEAR}",
        r"\bmy (?:\w+ ){0,2}cut[- ]?off\b",
        r"\b(?:as of|at the time of|since|after|until|up to|before|according to|per|by|at|based on|in|with)"
        rf" my {_LAST} (?:{_KNOWLEDGE} )?(?:update|training|refresh)\b"
        r"(?! (?:to|with|on|of|for|about|session|course|run)\b| from (?!(?:\w+ )?(?:19|20)\d\d))",
        r"\bcut[- ]?off(?: date| point)? (?:of|for|in) my (?:training|knowledge|data)\b",
        r"\bmy training (?:data|set|corpus|texts?|material) (?:was|were) "
        r"(?:collected|gathered|compiled|cut off|frozen)\b",
        rf"\bmy {_KNOWLEDGE} (?:has|holds|contains|includes) (?:nothing|no \w+) (?:from |about )?{_AFTER}\b",
        r"\bend of my (?:training data|knowledge)\b",
        rf"\bmy {_LAST} {_KNOWLEDGE}(?: \w+)? update\b",
        rf"\bmy (?:\w+ )?{_KNOWLEDGE} (?:only |currently )?{_REACHES}",
        rf"\bI (?:was|am|have been) (?:last |only |most recently )?{_WAS_TRAINED}\b[^.!?\n]{{0,40}}"
        rf"\b(?:{_UP_TO}|before|in) {_YEAR}",
        rf"{_OF_KNOWING}[^.!?\n]{{0,60}}\bmy training {_ENDS}",
        rf"\bmy training {_ENDS}[^!?\n]{{0,120}}?{_OF_KNOWING}",
        rf"\b(?:all|everything|anything|what|whatever|the texts|the books)(?: of)?(?: that| which)? I {_LEARNED}\b"
        rf"[^.!?\n]{{0,40}}?\b(?:ends|stops|breaks off|comes from|dates (?:from|back)|is from|goes (?:only )?{_UP_TO}"
        rf"|was written)\b[^.!?\n]{{0,30}}\b(?:19|20)\d\d\b",
        rf"\bI (?:only|just) (?:know|learned|have read|have (?:facts|texts|sources|data|knowledge|information))\b"
        rf"[^.!?\n]{{0,60}}\b(?:before|up to|until|till|through|prior to) {_YEAR}",
        rf"\bmy (?:\w+ )?(?:memory|(?:view|picture) of the world|sources|corpus|learning|facts|texts) (?:only )?"
        rf"(?:{_REACHES}|end|stop|go(?:es)? (?:only )?{_UP_TO})\b[^.!?\n]{{0,30}}\b(?:19|20)\d\d\b",
        rf"\b(?:{_AFTER}|postdates?) my (?:training|knowledge)\b(?! as\b| course\b| in (?!(?:19|20)\d\d))",
        r"\bI (?:have not|haven't) been (?:updated|retrained|refreshed)\b(?! (?:on|by|about)\b)",
        r"\bI (?:stopped|ceased|finished) learning (?:in|at|before) [^.!?\n]{0,20}\b(?:19|20)\d\d\b",
        rf"\b{_KNOWLEDGE} (?:that )?I (?:was|am|have been) trained on\b",
        rf"\bI (?:do not|don't|may not|might not|cannot|can't|have no)\b[^.!?\n]{{0,60}}"
        rf"\b(?:after|past|beyond|later than|since) (?:{_YEAR}|that (?:date|point)|my (?:{_LAST}|training|knowledge))",
        rf"\bI(?: a|')m (?:not|un)(?: yet)? ?(?:aware|familiar|informed)\b[^.!?\n]{{0,60}}"
        rf"\b{_AFTER} (?:{_YEAR}|that (?:date|point)|my (?:{_LAST}|training|knowledge))",
        rf"\b{_I_LACK} (?:access to )?{_CURRENT} {_NEWS}(?! from\b)",
        rf"\bmy (?:responses|answers) (?:are|is) (?:only )?based on [^.!?\n]{{0,40}}(?:before|{_UP_TO}) {_YEAR}",
    ),
    re.IGNORECASE,
)


def identity(own: str) -> str | None:
    """Return the words by which a response names itself a model, None if there are none.

    Args:
        own: the response without quotations, as `own_words` returns it.
    """
    return _own(_IDENTITY, own)


def date_cutoff(own: str) -> str | None:
    """Return the words about the end of the model's knowledge, None if there are none.

    Args:
        own: the response without quotations, as `own_words` returns it.
    """
    return _own(_CUTOFF, own)


def _own(pattern: re.Pattern[str], own: str) -> str | None:
    """Return the first words that match and are not reported speech."""
    return next((found[0] for found in pattern.finditer(own) if not is_reported(own, found.end())), None)
