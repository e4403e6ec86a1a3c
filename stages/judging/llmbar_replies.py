"""Read judge replies as LLMBar's own evaluator does, to check its published figures.

Source: LLMBar, arXiv:2310.07641; rules read in its evaluator's code and in the configurations of all its judges and
kinds of prompt. It searches for a pattern that means the first output, and only if that is nowhere for the one that
means the second, so that a reply that says both counts for the first. Two patterns are in use: a line that begins with
the output's name ("opening"), and the sentence "Output (a) is better" anywhere ("conclusion"). PaLM2's chain of thought
is read by the first, although it concludes in sentences: "Output (b) is better." with a next line "Output (a) is too
short" counts as a vote for (a). Ratings are compared as numbers. A winner is "1", "2" or nothing; there are no ties.

Take this to check published figures, and only for that. For judging take `pair_verdicts`, which refuses what is not
clear.
"""

from __future__ import annotations

import re
from typing import Literal

Rule = Literal["opening", "conclusion", "either"]
_OPENING = tuple(re.compile(rf"(?:^|\n) ?Output \({letter}\)") for letter in "ab")
_CONCLUSION = tuple(re.compile(rf"Output \({letter}\) is better.") for letter in "ab")
_LONGEST_OPENING = 400
"""Characters that 50 tokens, the most of a reply in the second round of `Swap`, cannot well exceed."""


def published_rule(judge: str, prompting: str) -> Rule:
    """Return the rule by which a judge's replies to a kind of prompt were read.

    Args:
        judge: as LLMBar names it, such as "GPT-4" or "PaLM2".
        prompting: as it names the kind of prompt, such as "Vanilla", "CoT", "Swap_CoT" or "Metrics_Reference".

    `Swap` alone asks in two rounds that are read by different rules, the second only where the first contradicts
    itself. Where a reply does not say its round, "either" takes the sentence where there is one, and the opening of
    replies that are short enough to be of the second round. If you know the round, take "conclusion" for the first and
    "opening" for the second.

    Raises:
        ValueError: for ratings of single outputs, which `rating_winners` compares.
    """
    if prompting.startswith("Rating"):
        raise ValueError(f"'{prompting}' rates each output by itself; take rating_winners on the two replies")
    if prompting == "Swap":
        return "either"
    concludes = prompting == "Swap_CoT" or (prompting == "CoT" and judge != "PaLM2")
    return "conclusion" if concludes else "opening"


def published_winner(reply: str, rule: Rule, swapped: bool) -> str | None:
    """Return the output that won, "1" or "2" as in the file, or None for a reply that was not read.

    Args:
        reply: the judge's reply.
        rule: from `published_rule`.
        swapped: whether output 2 was shown as (a).
    """
    text = reply.strip()
    patterns = [_OPENING] if rule == "opening" else [_CONCLUSION]
    if rule == "either" and len(text) <= _LONGEST_OPENING:
        patterns.append(_OPENING)
    for first, second in patterns:
        if first.search(text):
            return "2" if swapped else "1"
        if second.search(text):
            return "1" if swapped else "2"
    return None


def rating_winners(score_1: str, score_2: str) -> tuple[str, str]:
    """Return the winners in both orders of a judge that rated each output by itself, as published.

    Equal ratings count as a different winner in each order, and so do ratings that are no whole numbers.
    """
    try:
        one, two = int(score_1), int(score_2)
    except ValueError:
        return "1", "2"
    return ("1" if one > two else "2"), ("2" if two > one else "1")
