"""Replies for the recipe `skillmix.yaml`: the mock server runs this file with `--script`.

`reply(request, text, salt)` recognises our prompt templates by their wording and answers each as a good model would,
as a pure function of the conversation and the salt.
"""

import hashlib
import json
import re

TOPICS = ["choosing good tools", "planning a week", "fixing common mistakes", "buying with care", "teaching a child"]
VERBS = ["weighing", "sequencing", "estimating", "diagnosing", "explaining", "comparing", "summarising", "persuading"]
OBJECTS = ["trade_offs", "steps", "quantities", "causes", "terms", "risks", "benefits", "exceptions"]
QUERY_TYPES = ["how to", "troubleshooting", "decision help", "explanation", "short writing", "review"]
PHRASES = [
    "start with the part you know best",
    "check it once more",
    "keep a short note",
    "ask a friend to look",
    "leave out what is not needed",
    "give one example",
    "say why it matters",
    "stop when it is good enough",
]


def number(*parts):
    text = "\0".join(map(str, parts))
    return int(hashlib.blake2b(text.encode(), digest_size=6).hexdigest(), 16)


def reply(request, text, salt):
    """Return the content of one choice."""
    messages = request.get("messages") or []
    last = messages[-1]["content"] if messages else text
    for mark, answer in ANSWERS:
        found = re.search(mark, last)
        if found:
            return answer(found, last, salt)
    return respond(last, salt)


def topics(found, last, salt):
    n = int(found[1])
    return json.dumps([TOPICS[i % len(TOPICS)] for i in range(n)])


def skills(found, last, salt):
    start = number(last)
    names = [f"{VERBS[(start + i) % 8]}_{OBJECTS[(start // 8 + 3 * i) % 8]}" for i in range(int(found[1]))]
    items = [{"name": n, "definition": f"Shows {n.replace('_', ' ')} in the answer."} for n in names]
    return "```json\n" + json.dumps(items, indent=1) + "\n```"


def query_types(found, last, salt):
    names = [QUERY_TYPES[i % len(QUERY_TYPES)] for i in range(int(found[1]))]
    return json.dumps(
        [{"name": n, "definition": f"The person wants {n}.", "examples": [f"An example of {n}."]} for n in names]
    )


def query_type(found, last, salt):
    name = QUERY_TYPES[number(last) % len(QUERY_TYPES)]
    return json.dumps({"items": [{"name": name, "definition": f"The person wants {name}."}]})


def instruction(found, last, salt):
    wanted = re.findall(r"^Skills: (.+)$", last, re.MULTILINE)[-1].split("; ")
    return (
        "### Instruction\nMy club meets twice a month and I must prepare a short talk by Friday. Help me with "
        f"{' and '.join(s.split(' (')[0] for s in wanted)}, in plain words (case {number(last, salt) % 10**6})."
    )


def critique(found, last, salt):
    return "1. Both skills matter.\n2. The form fits.\n3. Who listens?\n4. 'Help me' is bland.\n5. Keep the club."


def rewrite(found, last, salt):
    n = number(last, salt)
    wishes = [PHRASES[(n >> 3 * i) % len(PHRASES)] for i in range(3)]
    return (
        f"### Instruction\n{n % 90 + 10} beekeepers expect a talk from me on {TOPICS[n % len(TOPICS)]}. They like it "
        f"when I {wishes[0]}, {wishes[1]} and {wishes[2]}. What should I say (case {n % 10**6})?"
    )


def respond(last, salt):
    start, length = number(last, salt), 2 + number(salt, last) % 6
    steps = [PHRASES[(start >> 3 * i) % len(PHRASES)] for i in range(length)]
    return f"Plan {start % 10**6}: " + "; ".join(steps) + "."


def pair(found, last, salt):
    asked = (rewrite if "improved" in found[0] else instruction)(found, last, salt)
    return f"{asked}\n\n### Response\n{respond(last, salt)}"


ANSWERS = (
    (r"Name (\d+) topics", topics),
    (r"Name (\d+) skills", skills),
    (r"Name (\d+) query types", query_types),
    (r"Name 1 query type ", query_type),
    (r"Look at your last instruction with the eyes|Put yourself in the place of the person", critique),
    (r"Write one instruction and its response|improved instruction and the improved response", pair),
    (r"Now write the improved instruction", rewrite),
    (r"Write one instruction", instruction),
)
