"""Cases of the stages of CDR."""

import json

PROMPT = [{"role": "user", "content": "Name a river."}]
EXEMPLAR = {
    "id": "e",
    "domain": "chat",
    "question": "Name a lake.",
    "good": "Lake Constance.",
    "bad": "The Danube.",
    "explanation": "The Danube is a river.",
}
FILES = {"exemplars.jsonl": json.dumps(EXEMPLAR) + "\n"}

CASES = {
    "route_domains": (
        {},
        {"id": "p", "prompt": PROMPT},
        None,
        {"temperature": 0.5, "max_tokens": 9, "attempts": 2, "max_question_characters": 200},
    ),
    "condition_prompts": (
        {"plain_domains": ("reasoning", "safety")},
        {"id": "p", "prompt": PROMPT, "domain": "chat"},
        None,
        {
            "domain": "chat",
            "criteria": False,
            "criteria_in": "user",
            "exemplars": "none",
            "exemplar_file": "exemplars.jsonl",
            "plain_domains": ("reasoning",),
            "base_folder": "elsewhere",
        },
    ),
    "score_logprobs": (
        {},
        {"id": "r", "prompt": PROMPT, "response": "The Danube."},
        None,
        {"column": "other", "prompt_column": "conditioned_prompt", "include_eos": False, "reuse": False},
    ),
    "density_ratio": (
        {},
        [{"id": "r", "strong_logprob": -1.0, "weak_logprob": -2.0}],
        None,
        {
            "numerator": "a",
            "denominator": "b",
            "normalize": "per_byte",
            "column": "x",
            "guard_low_likelihood": True,
            "guard_repetition": {"guard_repetition": True, "normalize": "per_own_token"},
            "repetition_reward": {"guard_repetition": True, "repetition_reward": -9.0},
            "sigmoid_temperature": 0.03,
        },
    ),
}
REPLIES = {"route_domains": lambda request, draw: "chat"}
