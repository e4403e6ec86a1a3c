"""Cases of reference scores, aspect ratings and critiques."""

import json
import re

PROMPT = [{"role": "user", "content": "How long do I soak dried beans?"}]
ANSWERS = ["In salted water, overnight.", "For an hour."]


def ratings(request, draw):
    """Rate each response that is shown by its length, in the order shown."""
    shown = re.findall(r"BEGIN RESPONSE \w+\n(.*?)\nEND RESPONSE", request.messages[-1]["content"])
    rows = [{"response": i, "rationale": "So.", "rating": 1 + len(text) % 5} for i, text in enumerate(shown, 1)]
    return json.dumps({"ratings": rows})


REPLIES = {
    "score_reference": lambda request, draw: json.dumps({"feedback": "It agrees.", "score": 1 + draw % 5}),
    "rate_aspects": ratings,
    "critique": lambda request, draw: "It does not say how much water.",
}
CASES = {
    "score_reference": (
        {},
        {"id": "r", "prompt_id": "p", "prompt": PROMPT, "response": ANSWERS[0], "reference": "Overnight, with salt."},
        None,
        {
            "reference_column": "text",
            "samples": 3,
            "feedback": False,
            "format": "text",
            "temperature": 0.5,
            "top_p": 0.5,
            "max_tokens": 9,
            "attempts": 2,
            "max_reference_characters": 500,
            "max_prompt_characters": 500,
            "max_response_characters": 500,
            "overlap_words": 5,
            "copied_share": 0.9,
        },
    ),
    "rate_aspects": (
        {},
        {"id": "g", "prompt_id": "p", "prompt": PROMPT, "response_ids": ["a", "b"], "responses": ANSWERS},
        None,
        {
            "aspects": ("honesty",),
            "together": False,
            "format": "text",
            "temperature": 0.5,
            "max_tokens": 9,
            "attempts": 2,
            "max_prompt_characters": 500,
            "max_response_characters": 500,
        },
    ),
    "critique": (
        {},
        {"id": "r", "prompt": PROMPT, "response": ANSWERS[0]},
        None,
        {
            "iteration": 3,
            "subset_column": "subset",
            "examples": True,
            "temperature": 0.5,
            "max_tokens": 9,
            "attempts": 2,
            "max_prompt_characters": 500,
            "max_response_characters": 500,
        },
    ),
}
