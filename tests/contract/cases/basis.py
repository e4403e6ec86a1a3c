"""Cases of the stages of the main job."""

import json

FILES = {"in.jsonl": json.dumps({"prompt": "Why?"}) + "\n"}
ONE_VALUE = {("score_logprobs", "conditioning")}

PROMPT = [{"role": "user", "content": "Name a river."}]

CASES = {
    "load_prompts": (
        {"path": "in.jsonl"},
        [],
        None,
        {
            "path": "other.jsonl",
            "dataset": {"dataset": "a/b", "revision": "abc", "path": None},
            "revision": {"dataset": "a/b", "revision": "abd", "path": None},
            "config_name": {"dataset": "a/b", "revision": "abc", "config_name": "x", "path": None},
            "split": "test",
            "column": "text",
            "id_column": "key",
            "keep_columns": {"topic": "string"},
            "base_folder": "elsewhere",
        },
    ),
    "load_domains": ({"domains": ["a"]}, [], None, {"domains": ["b"]}),
    "sample_responses": (
        {},
        {"id": "p", "prompt": PROMPT},
        None,
        {"n": 2, "temperature": 0.1, "top_p": 0.5, "max_tokens": 9, "stop": ["x"], "system": "Hi.", "logprobs": False},
    ),
    "score_logprobs": (
        {},
        {"id": "r", "prompt": PROMPT, "response": "The Danube."},
        None,
        {"column": "other", "include_eos": False, "reuse": False},
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
            "guard_low_likelihood": {"guard_low_likelihood": True, "normalize": "per_own_token"},
            "guard_repetition": {"guard_repetition": True, "normalize": "per_own_token"},
            "sigmoid_temperature": 0.03,
        },
    ),
}
