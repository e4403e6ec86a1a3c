"""Cases of the SkillMix stages: plan, synthesis, poor responses."""

NAMED = [("skill", "weighing"), ("skill", "sequencing"), ("query_type", "how_to"), ("persona", "beekeeper")]
PLAN_ROWS = [
    {"id": str(i), "kind": kind, "name": name, "definition": None, "examples": []}
    for i, (kind, name) in enumerate(NAMED)
]

CASES = {
    "plan_skillmix": (
        {"n": 1},
        PLAN_ROWS,
        None,
        {
            "n": 2,
            "k": 1,
            "query_type_sampling": "iid",
            "persona": "balanced",
            "sampler": "release",
            "too_few_sets": "take_all",
        },
    ),
    "synthesize_skillmix": (
        {},
        {"id": "p", "skills": ["weighing", "sequencing"], "query_type": "how_to", "query_type_definition": None},
        None,
        {
            "mode": "one_turn",
            "response": True,
            "format": "sections",
            "max_words": 50,
            "temperature": 0.1,
            "max_tokens": 9,
            "attempts": 1,
        },
    ),
    "degrade_responses": (
        {"share": 1.0},
        {"id": "r", "prompt": [{"role": "user", "content": "Name a river."}], "response": "The Danube."},
        None,
        {
            "kind": "junk",
            "share": 0.5,
            "mode": "add",
            "brevity_words": 50,
            "temperature": 0.1,
            "max_tokens": 9,
            "attempts": 1,
        },
    ),
}
