"""Cases of the stages that take length out of scores and that limit pairs."""

PROMPT = [{"role": "user", "content": "Name a river."}]


def response(prompt, words, reward):
    return {
        "id": f"{prompt}{words}",
        "prompt_id": prompt,
        "prompt": PROMPT,
        "response": "The Danube. " * words,
        "reward": reward,
    }


CASES = {
    "control_length": (
        {},
        [response(f"p{i}", words, 0.1 * words + 0.03 * (i * words % 7)) for i in range(25) for words in (1, 4, 9)],
        None,
        {
            "mode": "pairs",
            "column": "other",
            "length_column": "response_tokens",
            "function": "rank",
            "loss": "squared",
            "ridge": 2.0,
            "folds": 3,
            "resamples": 200,
            "winsorize": 0.0,
            "min_prompts": 30,
            "min_rank_correlation": 0.1,
            "category_column": {"category_column": "domain", "except_categories": ["summary"]},
            "except_categories": {"category_column": "domain", "except_categories": ["summary"]},
            "clip": {"mode": "pairs", "clip": 0.1},
            "theta": {"mode": "pairs", "theta": True},
            "position_column": {"mode": "pairs", "position_column": "a_first"},
        },
    ),
    "limit_pairs": (
        {"max_pairs": 1},
        [{"id": f"{d}{i}", "domain": d} for d in ("chat", "code") for i in range(3)],
        None,
        {"column": "topic", "max_pairs": 2, "quotas": {"chat": 1}, "keep": "widest", "margin_column": "gap"},
    ),
}
