"""Cases of groups, preference matrices and their pairs, and of the arithmetic on rewards."""

PROMPT = [{"role": "user", "content": "Why?"}]
GROUP = {"id": "p", "prompt_id": "p", "prompt": PROMPT, "response_ids": ["a", "b"], "responses": ["Because.", "Yes."]}
RATED = GROUP | {
    "preference_matrix": [[0.5, 0.75], [0.25, 0.5]],
    "win_rates": [0.625, 0.375],
    "nash_mixture": [1.0, 0.0],
    "best_id": "a",
    "worst_id": "b",
}


def response(i, **scores):
    return {"id": f"r{i}", "prompt_id": "p", "prompt": PROMPT, "response": f"Because {i}.", **scores}


CASES = {
    "group_responses": (
        {},
        [response(0), response(1)],
        None,
        {
            "lists": {"reward": "float"},
            "prompt_columns": {"topic": "string"},
            "min_responses": 3,
            "duplicates": "first",
        },
    ),
    "ungroup_responses": (
        {},
        [GROUP],
        None,
        {"lists": {"win_rates": "float"}, "prompt_columns": {"topic": "string"}},
    ),
    "rate_preferences": (
        {},
        GROUP,
        None,
        {
            "oracle": "ranker",
            "scores": {"scores": "points", "oracle": "scores"},
            "tournament": "knockout",
            "losers_bracket": {"losers_bracket": True, "tournament": "knockout"},
            "self_comparison": "exclude",
            "verdict": "scoring",
            "allow_ties": False,
            "temperature": 0.5,
            "max_tokens": 9,
            "attempts": 2,
            "max_prompt_characters": 500,
            "max_response_characters": 500,
        },
    ),
    "preference_pairs": (
        {},
        [RATED],
        None,
        {
            "rule": "nash",
            "min_margin": 0.1,
            "iteration": 2,
            "eta": 1000.0,
            "reference_logprobs": "ref_logprob",
            "previous_logprobs": "prev_logprob",
            "tau_over_eta": {
                "tau_over_eta": 0.5,
                "rule": "inpo",
                "reference_logprobs": "ref_logprob",
                "previous_logprobs": "prev_logprob",
            },
            "carry": {"draw": "int"},
            "prompt_columns": {"topic": "string"},
        },
    ),
    "shape_rewards": (
        {"reference_rewards": "refs"},
        [response(0, reward=1.0, refs=[0.5]), response(1, reward=0.0, refs=[0.5])],
        None,
        {
            "kind": "tanh",
            "reward": "other",
            "column": "par",
            "slope": 2.0,
            "reference_rewards": "others",
            "reference_flag": {"reference_flag": "is_reference", "reference_rewards": None},
            "max_references": 2,
            "over": {"over": "prompt", "kind": "minmax", "reference_rewards": None},
            "length_penalty": 0.01,
            "length_free": 200,
            "length": "words",
        },
    ),
    "combine_scores": (
        {"scores": {"rules": 1.0, "ratio": 2.0}},
        [response(0, rules=1.0, ratio=-3.0), response(1, rules=0.5, ratio=-9.0)],
        None,
        {
            "scores": {"rules": 1.0, "ratio": 1.0},
            "column": "sum",
            "missing": "skip",
            "min_agreement": 0.5,
        },
    ),
}

REPLIES = {"rate_preferences": lambda request, draw: "first"}
