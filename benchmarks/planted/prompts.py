"""Prompts with planted copies, and with planted items of a benchmark that is our own.

Near copies have a known Jaccard similarity of their word pairs: a prompt of n different words has n - 1 of them, and
each inner word replaced, no two side by side, changes two, so J = (n - 1 - 2r) / (n - 1 + 2r) for r words replaced.
"""

from __future__ import annotations

import random
from typing import NamedTuple

from benchmarks.planted import Planted, numbered

THRESHOLD = 0.85
_WHO = (
    "a retired teacher", "two night nurses", "my teenage nephew", "a village choir", "our chess circle", "a bus driver",
    "an amateur beekeeper", "three flatmates", "a young carpenter", "the school librarian", "a stubborn uncle",
    "a touring puppet theatre", "an elderly neighbour", "a rowing crew", "the allotment committee", "a shy apprentice",
)  # fmt: skip
_WANT = (
    "explain step by step how to repair", "draft a cheerful letter about", "compare three honest ways of choosing",
    "list every common mistake people make with", "plan one rainy weekend around", "write short verses praising",
    "summarise what beginners should know regarding", "argue politely against buying",
    "design a simple game involving", "estimate roughly the yearly cost of", "describe the history behind",
    "invent a bedtime story featuring", "prepare twelve quiz questions on", "outline safety rules for handling",
)  # fmt: skip
_WHAT = (
    "leaking garden hoses", "second-hand bicycles", "sourdough starters", "wooden sailing boats",
    "mechanical alarm clocks",
    "paper lanterns", "tomato seedlings", "old fountain pens", "hand-knitted mittens", "copper kettles", "board games",
    "mountain weather stations", "chicken coops", "stained glass windows", "vintage radios", "apple presses", "kites",
    "window boxes", "street maps", "railway timetables",
)  # fmt: skip
_HOW = (
    "keeping sentences brief while avoiding any jargon",
    "and finish with exactly four practical tips for winter",
    "assuming nobody owns special tools or much spare money",
    "so that even sleepy readers stay curious until midnight",
    "using metric units plus clear headings throughout",
    "without mentioning brands, prices, or famous inventors",
    "then suggest which local experts might help further",
    "because our yearly meeting happens next Thursday evening",
    "with gentle humour but no exclamation marks",
    "including sources where curious learners could read more",
)  # fmt: skip
_SWAPS = (
    "amber", "brisk", "cobalt", "dapper", "elusive", "frosty", "gallant", "hollow", "ivory", "jagged", "keen", "lofty",
    "mellow", "nimble", "opaque", "plucky", "quaint", "rugged", "sturdy", "tidy", "urban", "velvet", "wiry", "zesty",
)  # fmt: skip


class Copies(NamedTuple):
    """Prompts in order; what repeats an earlier one carries the fault `exact` or `near`."""

    items: list[Planted]
    similarity: dict[str, float]
    """Jaccard similarity of each near copy, those below the threshold too, to the prompt it was made from."""


def base_prompts(rng: random.Random, count: int) -> list[str]:
    """Return prompts of one to three sentences, of which no two are more than 0.6 alike."""
    out: list[str] = []
    sets: list[frozenset[tuple[str, str]]] = []
    while len(out) < count:
        text = " ".join(_sentence(rng) for _ in range(1 + len(out) % 3))
        pairs = pairs_of_words(text)
        if len(pairs) < len(text.split()) - 3 or any(len(pairs & p) > 0.6 * len(pairs | p) for p in sets):
            continue
        out.append(text)
        sets.append(pairs)
    return out


def _sentence(rng: random.Random) -> str:
    how, more = rng.sample(_HOW, 2)
    return f"For {rng.choice(_WHO)}, please {rng.choice(_WANT)} {rng.choice(_WHAT)}, {how}, {more}."


def pairs_of_words(text: str) -> frozenset[tuple[str, str]]:
    """Return the set of neighbouring words, case and punctuation left out."""
    words = "".join(c if c.isalnum() else " " for c in text.lower()).split()
    return frozenset(zip(words, words[1:], strict=False))


def similarity(one: str, other: str) -> float:
    """Return the Jaccard similarity of two texts' pairs of words."""
    a, b = pairs_of_words(one), pairs_of_words(other)
    return len(a & b) / len(a | b)


def planted_copies(rng: random.Random) -> Copies:
    """Return 500 prompts, then, shuffled, 80 exact copies and 160 near ones, above and below the threshold."""
    prompts = base_prompts(rng, 500)
    items = numbered("prompt", prompts)
    chosen = rng.sample(range(500), 240)
    similar: dict[str, float] = {}
    later: list[Planted] = []
    for i, source in enumerate(chosen[:80]):
        later.append(
            Planted(f"exact-{i:03d}", _same_but_for_case_and_space(rng, prompts[source]), frozenset({"exact"}))
        )
    for i, source in enumerate(chosen[80:]):
        text = _with_words_replaced(rng, prompts[source], 1 + i % 3)
        near = similarity(text, prompts[source])
        faults = frozenset({"near"} if near >= THRESHOLD else ())
        later.append(Planted(f"near-{i:03d}", text, faults))
        similar[f"near-{i:03d}"] = near
    rng.shuffle(later)
    return Copies([*items, *later], similar)


def _same_but_for_case_and_space(rng: random.Random, text: str) -> str:
    changed = rng.choice((str.upper, str.lower, str.title, str.swapcase))(text)
    gap = rng.choice(("  ", "\n", "\t", " \u00a0", "\r\n"))
    words = changed.split(" ")
    at = rng.randrange(1, len(words))
    return (
        rng.choice(("", " ", "\n")) + " ".join(words[:at]) + gap + " ".join(words[at:]) + rng.choice(("", "  ", "\n"))
    )


def _with_words_replaced(rng: random.Random, text: str, count: int) -> str:
    words = text.split(" ")
    plain = [i for i, w in enumerate(words) if w.isalpha() and 1 < i < len(words) - 2]
    places: list[int] = []
    for i in rng.sample(plain, len(plain)):
        if len(places) < count and all(abs(i - p) > 1 for p in places):
            places.append(i)
    swaps = rng.sample(_SWAPS, len(places))
    for place, swap in zip(places, swaps, strict=True):
        words[place] = swap
    return " ".join(words)


class BenchmarkItem(NamedTuple):
    """One item of the made-up benchmark."""

    id: str
    question: str
    paraphrase: str


_QUESTIONS = (
    ("A ferry leaves the northern harbour at seven with {a} passengers and drops {b} of them on the first island "
     "before "
     "picking up twice as many sheep as there are sailors, so how many living creatures reach the last pier?",
     "Starting with {a} people aboard, a boat loses {b} at its first stop. It then loads sheep, two for each crew "
     "member. "
     "Count everyone and every animal on arrival."),
    ("If a baker divides {a} loaves between {b} stalls and every stall sells all but two of its loaves before noon, "
     "how "
     "many loaves in total are left for the afternoon market?",
     "{b} market stalls share {a} loaves. Each has two unsold at midday. What remains altogether?"),
    ("Which of the following best explains why a clock with a pendulum of {a} centimetres runs slower on a mountain of "
     "{b} metres than it does at the level of the sea?",
     "Why do pendulum clocks lose time at altitude? Take one {a} cm long, carried {b} m up."),
    ("Write a function that takes a list of {a} temperatures measured every {b} minutes and returns the longest "
     "stretch "
     "in which each value is strictly larger than the one before it.",
     "Given {a} readings spaced {b} minutes apart, code something to find the longest increasing run."),
    ("During the siege of the fictional town of Marrowgate the {a} defenders held the eastern gate for {b} days "
     "because "
     "they had diverted the river through the old tannery, according to the passage what did they lack most?",
     "The passage tells of Marrowgate, besieged for {b} days and held by {a} people. Name their worst shortage."),
    ("A gardener plants {a} tulips in rows of {b} and notices that every third row attracts snails while the remaining "
     "rows attract only bees, what fraction of the tulips is visited by snails?",
     "Rows of {b} tulips, {a} bulbs in all; snails come to one row in three. Give the share eaten."),
    ("What happens to the pitch of a whistle when the train carrying it at {a} kilometres an hour passes a listener "
     "who "
     "walks beside the track at {b} kilometres an hour in the same direction?",
     "Describe the change of tone heard by someone strolling ({b} km/h) along rails as a train ({a} km/h) goes past."),
    ("Translate the sentence about the {a} geese that crossed the frozen canal behind the {b} lanterns into a language "
     "with grammatical gender and explain each agreement you had to make.",
     "Put a line on {a} geese and {b} lanterns into some gendered language, then justify the endings."),
)  # fmt: skip
_AROUND = (
    ("I found this in an old exercise book and cannot solve it: ", " Please show all of your working, thank you."),
    ("Help me with my homework.\n\n", "\n\nAnswer in one paragraph."),
    ("My tutor asked us the following yesterday. ", " I think the trick is in the wording, but I am not sure."),
    ("", " Explain as you would to a child."),
)
_SHARED = (
    "Please answer the following question and explain your reasoning in detail before you give the final answer.",
    "Which of the following best describes the main idea of the text that I am going to paste below?",
    "Write a function that takes a list of names and returns those that begin with a vowel, with tests.",
    "Explain step by step how a pendulum clock works and why it has to be adjusted in summer.",
    "How many loaves of bread should a small bakery prepare for an afternoon market in a town of two thousand?",
    "What happens to the sound of a siren when an ambulance drives past, and what is the effect called?",
    "Tell me about famous sieges of walled towns and how rivers were used against the defenders.",
    "A gardener plants tulips in autumn; which pests should she expect, and what can be done without poison?",
)


class Contaminated(NamedTuple):
    """A made-up benchmark, and prompts of which some repeat its items (fault `benchmark`)."""

    benchmark: list[BenchmarkItem]
    items: list[Planted]


def planted_benchmark(rng: random.Random) -> Contaminated:
    """Return 48 items, and 400 prompts: items whole, embedded, most of one; a third of one, paraphrases, others."""
    benchmark = [
        BenchmarkItem(f"item-{i}-{j}", *(t.format(a=13 + 7 * j + i, b=3 + j) for t in texts))
        for i, texts in enumerate(_QUESTIONS)
        for j in range(6)
    ]
    found: list[Planted] = []
    for n, item in enumerate(benchmark):
        before, after = _AROUND[n % len(_AROUND)]
        whole = item.question.upper() if n % 3 == 0 else item.question
        found += numbered(f"verbatim{n}", [whole], "benchmark")
        found += numbered(f"embedded{n}", [before + item.question + after], "benchmark")
        found += numbered(f"most{n}", [before + _part(item.question, 0.8, n % 2) + after], "benchmark")
        found += numbered(f"third{n}", [before + _part(item.question, 0.33, n % 2) + after])
        found += numbered(f"paraphrase{n}", [item.paraphrase])
    found += numbered("shared", _SHARED) + numbered("clean", base_prompts(rng, 152))
    rng.shuffle(found)
    return Contaminated(benchmark, found)


def _part(text: str, share: float, from_the_end: int) -> str:
    """Return a share of a text's words from its beginning or its end."""
    words = text.split(" ")
    count = round(len(words) * share)
    return " ".join(words[-count:] if from_the_end else words[:count])
