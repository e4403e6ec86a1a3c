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
}
