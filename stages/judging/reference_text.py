"""Find the part of a long reference that is about a question, and how much of it a response copies.

PUGC, arXiv:2506.04463, scores with the user's document as reference; how long documents were shown is not published, so
the window is ours. It knows words, not meaning: a passage that answers in other words than the question's is missed.
"""

from __future__ import annotations

import math
import re
from collections import Counter

from stages.replies.word_runs import words_of

_SENTENCE = re.compile(r"\S[^\n]*?(?:[.!?…][\"'”’)\]]*(?=\s)|(?=\n)|\Z)")


def relevant_window(text: str, question: str, limit: int) -> tuple[str, bool]:
    """Return the part of a text that shares most with a question, and whether anything was left out.

    The part is a run of whole sentences (a longer sentence is split) of at most `limit` characters. Its value is the
    sum, over its sentences, of the question's words that they hold, each weighted by how rare it is among all sentences
    of the text: ln(sentences / sentences with the word). Of equal parts the first is taken; so it is the beginning if
    nothing is shared.

    Args:
        text: the reference.
        question: the prompt only, so that all responses to it are judged by the same part.
        limit: characters, from 1.
    """
    if len(text) <= limit:
        return text, False
    spans = _sentences(text, limit) or [(0, limit)]
    values = _values([text[start:end] for start, end in spans], question)
    best, at, total, last = -1.0, (0, 0), 0.0, 0
    for first, (start, _) in enumerate(spans):
        while last < len(spans) and spans[last][1] - start <= limit:
            total += values[last]
            last += 1
        if total > best + 1e-9:
            best, at = total, (first, last)
        total -= values[first]
    return text[spans[at[0]][0] : spans[at[1] - 1][1]], True


def copied_share(response: str, reference: str, words: int) -> float | None:
    """Return the share, 0 to 1, of a response's runs of `words` words that stand in the reference too.

    Case and punctuation do not count. None if the response is shorter than one run.
    """
    mine = _runs(response, words)
    if not mine:
        return None
    theirs = set(_runs(reference, words))
    return sum(run in theirs for run in mine) / len(mine)


def _runs(text: str, words: int) -> list[tuple[str, ...]]:
    found = words_of(text)
    return list(zip(*(found[i:] for i in range(words)), strict=False))


def _sentences(text: str, limit: int) -> list[tuple[int, int]]:
    return [
        (start, min(start + limit, found.end()))
        for found in _SENTENCE.finditer(text)
        for start in range(found.start(), found.end(), limit)
    ]


def _values(sentences: list[str], question: str) -> list[float]:
    asked = set(words_of(question))
    shared = [asked.intersection(words_of(sentence)) for sentence in sentences]
    holding = Counter(word for words in shared for word in words)
    weight = {word: math.log(len(sentences) / n) for word, n in holding.items()}
    return [sum(weight[word] for word in sorted(words)) for words in shared]
