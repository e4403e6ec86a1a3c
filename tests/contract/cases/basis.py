"""Cases of the stages of the main job."""

import json

FILES = {"in.jsonl": json.dumps({"prompt": "Why?"}) + "\n"}

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
}
