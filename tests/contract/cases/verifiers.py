"""Cases of the reward model and of the verifiers without a model."""

PROMPT = [{"role": "user", "content": "Name a river."}]

CASES = {
    "score_reward": (
        {},
        {"id": "r", "prompt": PROMPT, "response": "The Danube."},
        None,
        {
            "column": "other",
            "task": "classify",
            "format": "pair",
            "label_index": 0,
            "weights": [0.5],
            "drop_system": True,
        },
    ),
    "verify_responses": (
        {"checks": [{"kind": "length", "most": 3}, {"kind": "regex", "pattern": "Danube"}]},
        {"id": "r", "response": "The Danube."},
        None,
        {
            "checks": [{"kind": "length", "most": 4}],
            "prefix": "strict_",
            "check_reference": True,
            "reference_column": "trusted",
            "unmade": "reject",
            "sandboxes": 2,
        },
    ),
}
