"""Cases of refinement, response filters and the choice of pairs."""


def candidate(i, reward):
    return {
        "id": f"r{i}",
        "prompt_id": "p",
        "prompt": [{"role": "user", "content": "Why?"}],
        "response": f"Because {i}.",
        "reward": reward,
    }


PAIR = {
    "id": "x",
    "prompt_id": "p",
    "prompt": [{"role": "user", "content": "Why?"}],
    "chosen": "Because of the moon.",
    "rejected": "Because.",
    "transition": "Improve it.",
}

CASES = {
    "refine_responses": (
        {},
        candidate(0, 0.1),
        None,
        {
            "rounds": 2,
            "temperature": 0.1,
            "top_p": 0.5,
            "max_tokens": 9,
            "system": "Hi.",
            "keep_if_better": "mean_logprob",
        },
    ),
    "refinement_pairs": ({}, PAIR, None, {"tasks": "refine"}),
    "filter_responses": (
        {},
        [candidate(0, 0.1)],
        None,
        {"checks": ["refusal"], "languages": ["en"], "least_probability": 0.9, "apply": "both"},
    ),
    "select_pairs": (
        {},
        [candidate(0, 0.1), candidate(1, 0.7), candidate(2, 0.4)],
        None,
        {
            "score": "other",
            "rule": "margin",
            "min_margin": 0.5,
            "max_pairs_per_prompt": 2,
            "ties": "drop",
            "tie_break_by": "second",
            "ladder": {"rule": "model_ladder", "ladder": ["a", "b"]},
            "source_column": "model",
            "policy_mix": "on_on",
            "on_policy_column": "ours",
            "length": {"max_difference": 100},
            "min_candidates": 3,
            "allow_truncated_chosen": True,
            "drop_truncated": True,
            "carry": {"response": "string"},
            "prompt_columns": {"topic": "string"},
        },
    ),
}
