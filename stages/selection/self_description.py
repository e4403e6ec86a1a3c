"""Find sentences in which a response speaks of itself as a model, or of how far its knowledge reaches.

Filters after Olmo 3 (arXiv:2512.13961, 4.2.1: model identity, date cut-off) in purpose only; patterns are ours, for
English. Only the first person counts: a response about language models describes others. It does not know who trains
on the data; a response that is asked for its name answers rightly and is found all the same.
"""

from __future__ import annotations

import re

from stages.selection.speech import any_of

_AI = r"(?:AI|artificial intelligence|(?:large )?language model|LLM)"
_PROGRAM = any_of(
    "computer program|software program|machine learning model|neural network|chatbot|bot",
    "virtual assistant|digital assistant",
)
_KIND = (
    rf"(?:[\w-]+ )?(?:\w+-based |\w+-powered )?{_AI}(?:-powered|-based)?(?: language)?"
    r"(?: (?:model|assistant|chatbot|bot|system|program|tool))?"
)
_PERSONS = any_of(
    "engineer|researcher|consultant|enthusiast|developer|specialist|ethicist|expert|student",
    "scientist|professional|lead|trainer|teacher|lawyer|artist|founder|skeptic|sceptic",
)
_NAMES = any_of(
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
_I_AM = r"\bI(?: a|')m (?:\w+ly |just |only |but |also |still )*"

_IDENTITY = re.compile(
    any_of(
        rf"\b(?:as|being) (?:an?|your) {_KIND}(?:,? I\b|, my\b|,? {_MADE}\b[^.!?\n]{{0,60}}\bI\b)",
        rf"(?:{_I_AM}|\bme, )an? {_KIND}(?![\w' -]{{0,40}}{_PERSONS})",
        rf"{_I_AM}an? {_PROGRAM}\b",
        # A surname after it makes it a person: Claude Monet.
        rf"\b(?:I(?: a|')m|my name is|call me) {_NAMES}\b(?! (?-i:[A-Z]))",
        rf"\bI (?:was|am|have been) (?:\w+ly )?{_MADE} (?:and \w+ )?(?:by|at) {_MAKERS}\b",
        rf"\bmy (?:developers|creators|makers) (?:at|are|is) {_MAKERS}\b",
        r"\bI (?:do not|don't) have (?:\w+ )?(?:feelings|emotions|consciousness|a physical body|experiences|opinions)\b"
        rf"(?=[^.!?\n]{{0,80}}\b(?:{_AI}|human|machine)\b)",
    ),
    re.IGNORECASE,
)

_KNOWLEDGE = r"(?:knowledge|training(?: data)?|information|data(?:base| set|set)?)"
_LAST = r"(?:last|latest|most recent)"
_UP_TO = r"(?:up )?(?:to|until|till|through|as of)"
_YEAR = r"(?:\w+,? ){0,2}(?:19|20)\d\d\b"
_REACHES = any_of(
    rf"(?:only )?(?:goes|extends|reaches|runs) (?:only )?{_UP_TO}",
    "ends|stops|only (?:covers|includes)|includes (?:information|data) up",
    rf"(?:is|was) (?:only |currently )?(?:current|up to date|updated|last updated) {_UP_TO}",
    r"(?:is|was) (?:only )?(?:limited to|from|based on (?:data|information))",
    r"(?:is|was|may be|might be|could be) (?:\w+ )?(?:outdated|out of date)",
    rf"(?:ended|was completed|was finished|took place) in {_YEAR}",
)
_CURRENT = "(?:real[- ]?time|up[- ]to[- ]date|(?:the )?current|live|recent|the latest|the most recent)"
_NEWS = "(?:data|information|news|access|updates?|knowledge|events?|weather|internet|prices)"
_I_LACK = any_of(r"I (?:do not|don't) (?:currently )?have(?: any)?", "I have no", "I lack")

_CUTOFF = re.compile(
    any_of(
        r"\bmy (?:\w+ ){0,2}cut[- ]?off\b",
        rf"\b(?:as of|at the time of|since|after|until|up to|before) my {_LAST} (?:{_KNOWLEDGE} )?(?:update|training)\b"
        r"(?! (?:to|with|on|of)\b)",
        rf"\bmy {_LAST} {_KNOWLEDGE}(?: \w+)? update\b",
        rf"\bmy (?:\w+ )?{_KNOWLEDGE} (?:only |currently )?{_REACHES}",
        rf"\bI (?:was|am|have been) (?:last |only )?(?:trained|updated)\b[^.!?\n]{{0,40}}"
        rf"\b(?:{_UP_TO}|before|in) {_YEAR}",
        rf"\b{_KNOWLEDGE} (?:that )?I (?:was|am|have been) trained on\b",
        rf"\bI (?:do not|don't|may not|might not|cannot|can't|have no)\b[^.!?\n]{{0,60}}"
        rf"\b(?:after|past|beyond|later than|since) (?:{_YEAR}|that (?:date|point)|my (?:{_LAST}|training|knowledge))",
        rf"\b{_I_LACK} (?:access to )?{_CURRENT} {_NEWS}",
        rf"\bmy (?:responses|answers) (?:are|is) (?:only )?based on [^.!?\n]{{0,40}}(?:before|{_UP_TO}) {_YEAR}",
    ),
    re.IGNORECASE,
)


def identity(own: str) -> str | None:
    """Return the words by which a response names itself a model, None if there are none.

    Args:
        own: the response without quotations, as `own_words` returns it.
    """
    found = _IDENTITY.search(own)
    return found and found[0]


def date_cutoff(own: str) -> str | None:
    """Return the words about the end of the model's knowledge, None if there are none.

    Args:
        own: the response without quotations, as `own_words` returns it.
    """
    found = _CUTOFF.search(own)
    return found and found[0]
