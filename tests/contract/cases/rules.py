"""Cases of the stages that draw rules out of labelled pairs, merge them, score by them and check them."""

import json

RULES = ["The response names a river.", "The response is one sentence."]
FILES = {
    "rules.jsonl": "".join(json.dumps({"rule": r, "rule_id": f"r{i}"}) + "\n" for i, r in enumerate(RULES)),
}
PROMPT = [{"role": "user", "content": "Name a river."}]
PAIR = {"id": "p", "prompt": PROMPT, "response_a": "The Danube.", "response_b": "Water flows.", "label": "a"}
EXPLAINED = PAIR | {"shown_first": "b", "explanation": "It names one.", "reasoning": "A river was asked for."}
COLLECTED = [{"rule": r, "sources": ["p"]} for r in RULES]


def labelled(i, verdicts):
    judged = {"rule_ids": ["r0", "r1"], "rule_texts": RULES, "verdicts": verdicts, "p_yes": [0.5, None]}
    return {"id": f"p-{i}", "prompt_id": "p", "label": float(i), **judged}


CASES = {
    "interpret_preferences": (
        {},
        PAIR,
        None,
        {
            "short": True,
            "max_prompt_characters": 1000,
            "max_response_characters": 1000,
            "temperature": 0.1,
            "max_tokens": 99,
            "attempts": 1,
        },
    ),
    "extract_rules": (
        {},
        EXPLAINED,
        None,
        {
            "source": "explanation",
            "fallback": True,
            "max_source_characters": 1000,
            "format": "json",
            "temperature": 0.1,
            "max_tokens": 99,
            "attempts": 1,
        },
    ),
    "collect_rules": ({}, [{"id": "p", "rules": RULES}, {"id": "q", "rules": []}], None, {}),
    "merge_rules": (
        {},
        {"id": "c", "rules": COLLECTED, "pair_ids": ["p"]},
        None,
        {
            "max_rules_per_call": 10,
            "max_characters": 1000,
            "format": "lines",
            "temperature": 0.1,
            "max_tokens": 99,
            "attempts": 1,
        },
    ),
    "verify_rules": (
        {"rules": "rules.jsonl"},
        {"id": "r", "prompt": PROMPT, "response": "The Danube."},
        None,
        {
            "rules": "other.jsonl",
            "rule_set": "uf",
            "layout": {"layout": "release", "not_applicable": "satisfied", "unparsable": "as_no"},
            "short": True,
            "verdict_from": "scoring",
            "free_reply": True,
            "soft": True,
            "concise": True,
            "not_applicable": "satisfied",
            "unparsable": "as_no",
            "max_prompt_characters": 1000,
            "max_response_characters": 1000,
            "temperature": 0.1,
            "retry_temperature": 0.1,
            "max_tokens": 99,
            "attempts": 1,
            "base_folder": "elsewhere",
        },
    ),
    "validate_rules": (
        {},
        [labelled(0, [0, 1]), labelled(1, [1, None])],
        None,
        {
            "soft": True,
            "min_agreement": 0.6,
            "min_lower_bound": 0.6,
            "min_compared": 1,
            "min_coverage": 0.1,
            "min_applicability": 0.1,
            "max_opposition": 0.9,
            "min_together": 3,
            "drop_contradicting": False,
            "not_applicable": "satisfied",
        },
    ),
}
REPLIES = {
    "interpret_preferences": lambda request, draw: "<think>One names it.</think>It names a river.",
    "extract_rules": lambda request, draw: '{"rules": ["The response names what was asked for."]}',
    "merge_rules": lambda request, draw: '{"rules": [{"rule": "The response names a river.", "from": [1, 2]}]}',
    "verify_rules": lambda request, draw: '{"verdict": "yes"}',
}
